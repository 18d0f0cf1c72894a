"""What test runs know of the environments that they leave running: notes, which go once their environments are gone.

For each there are a note (`KEY.json`), locks, and a mark of each run that uses it (`KEY.RUN.used`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision import Environment, ProvisionError
from provision.common.notes import DamagedNote, read_note
from provision.home.runs import files_about


def use(directory: Path, key: str, run: str) -> None:
    """Note that a run uses one."""
    (directory / f"{key}.{run}.used").touch()


def used(directory: Path, run: str) -> list[str]:
    """The keys of those that a run has used."""
    return sorted(mark.name.partition(".")[0] for mark in directory.glob(f"*.{run}.used"))


def replace(directory: Path, key: str, origin: str) -> None:
    """Remove what was made from an earlier content of the same description, unless a test is using it."""
    for other, known in _notes(directory):
        if other != key and known.get("origin") == origin:
            with _unused(directory, other) as free, suppress(ProvisionError):  # the next run tries it again
                if free:
                    with Environment.named(known["name"]) as earlier:
                        if not earlier.runtime.observe(earlier.name).is_absent:
                            earlier.down()
                    _forget(directory, other)


def end(directory: Path, run: str) -> None:
    """Forget the marks of a run, and those environments that are gone."""
    for mark in directory.glob(f"*.{run}.used"):
        mark.unlink(missing_ok=True)
    for key, known in _notes(directory):
        with suppress(ProvisionError):  # its runtime does not answer, so that is not known
            with Environment.named(known["name"]) as environment:
                is_gone = environment.runtime.observe(environment.name).is_absent
            if is_gone and "starting" not in known:
                _forget(directory, key)


def _notes(directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for note in sorted(directory.glob("*.json")):
        with suppress(DamagedNote):
            known = read_note(note, dict[str, str])
            if known and "name" in known:
                yield note.stem, known


@contextmanager
def _unused(directory: Path, key: str) -> Iterator[bool]:
    """Whether no test uses it, and none can during the block."""
    with (directory / f"{key}.use").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _forget(directory: Path, key: str) -> None:
    for file in files_about(directory, key):
        file.unlink(missing_ok=True)
