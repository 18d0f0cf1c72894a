"""What test runs know of the environments that they leave running: notes, which go once their environments are gone.

For each there are a note (`KEY.json`), locks, and a mark of each run that uses it (`KEY.RUN.used`), which names the
process that controls the run.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provision import Environment, ProvisionError
from provision.common.notes import DamagedNote, read_note
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import write_whole
from provision.home.runs import files_about


def use(directory: Path, key: str, run: str, controller: int) -> None:
    """Note that a run uses one; `controller` is the process that controls the run."""
    write_whole(directory / f"{key}.{run}.used", ProcessIdentity.of(controller).model_dump_json())


def used(directory: Path, run: str) -> list[str]:
    """The keys of those that a run has used."""
    return sorted(mark.name.partition(".")[0] for mark in directory.glob(f"*.{run}.used"))


def replace(directory: Path, key: str, origin: str) -> None:
    """Remove what was made from an earlier content of the same description, unless another run uses it."""
    for other, known in _notes(directory):
        if other != key and known.get("origin") == origin and not _is_used(directory, other):
            with suppress(ProvisionError):  # the next run tries it again
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


def _is_used(directory: Path, key: str) -> bool:
    """Whether a run uses it that has not ended."""
    for mark in directory.glob(f"{key}.*.used"):
        with suppress(DamagedNote):
            controller = read_note(mark, ProcessIdentity)
            if controller and not controller.is_over:
                return True
    return False


def _forget(directory: Path, key: str) -> None:
    for file in files_about(directory, key):
        file.unlink(missing_ok=True)
