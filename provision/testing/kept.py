"""What test runs know of the environments that they leave running: notes, which go once their environments are gone.

For each there are a note (`KEY.json`), locks, and a mark of each run that uses it (`KEY.RUN.used`), which names the
process that controls the run.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from provision import Environment, Interrupted, ProvisionError
from provision.common.notes import DamagedNote, read_note
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import write_whole
from provision.home.place import Home
from provision.home.runs import KEPT, directory_of, files_about, is_used


def use(home: Home, key: str, run: str, controller: int) -> bool:
    """Note that a run uses one, and return whether that is new; `controller` is the process that controls the run."""
    mark = _directory(home) / f"{key}.{run}.used"
    is_new = not mark.exists()
    write_whole(mark, ProcessIdentity.of(controller).model_dump_json())
    return is_new


def names(home: Home, run: str) -> tuple[str, ...]:
    """The names of those that a run has used; what could not be started is left out."""
    directory = _directory(home)
    keys = sorted(mark.name.partition(".")[0] for mark in directory.glob(f"*.{run}.used"))
    notes = (read_note(directory / f"{key}.json", dict[str, str]) for key in keys)
    return tuple(known["name"] for known in notes if known and "starting" not in known)


class Holder(NamedTuple):
    """A kept environment that is in the way: its name, where it is described, and whether another run uses it now."""

    name: str
    origin: str
    is_used: bool


def holder(home: Home, wanted: AbstractSet[str], run: str) -> Holder | None:
    """The one that has nodes and takes some of what is wanted, as far as is known; whether another run uses it."""
    directory = _directory(home)
    for key in _keys(directory):
        with suppress(DamagedNote, ProvisionError):
            known = read_note(directory / f"{key}.json", dict[str, str]) or {}
            if wanted & _taken(known):
                with Environment.named(known["name"], home=home) as environment:
                    if environment.runtime.observe(environment.name).nodes:
                        return Holder(known["name"], known["origin"], is_used(directory, key, beside=run))
    return None


def _taken(known: Mapping[str, str]) -> frozenset[str]:
    """What one takes that no other can have meanwhile: ports and a directory."""
    return frozenset(known.get("takes", "").splitlines())


def make_room(home: Home, key: str, origin: str, wanted: AbstractSet[str]) -> bool:
    """As `replace`, but only what takes some of what is wanted, or may do so; returns whether anything went."""
    return _replace(home, key, origin, lambda former: "takes" not in former or bool(_taken(former) & wanted))


def replace(home: Home, key: str, origin: str) -> None:
    """Remove what was made from an earlier content of the same description, unless another run uses it."""
    _replace(home, key, origin, lambda _former: True)


def _replace(home: Home, key: str, origin: str, is_meant: Callable[[Mapping[str, str]], bool]) -> bool:
    directory, has_gone = _directory(home), False
    for other in _keys(directory):
        if other == key:
            continue
        with _settled(directory, other) as known:
            if not known or known.get("origin") != origin or is_used(directory, other) or not is_meant(known):
                continue
            try:
                with Environment.named(known["name"], home=home) as earlier:
                    if not earlier.runtime.observe(earlier.name).is_absent:
                        earlier.down(delete_data=True)  # also in a directory: what takes its place cannot use them
                _forget(directory, other)
                has_gone = True
            except Interrupted:
                raise
            except ProvisionError:  # the next run tries it again
                continue
    return has_gone


def end(home: Home, run: str) -> None:
    """Forget the marks of a run, and those environments that are gone."""
    directory = _directory(home)
    for mark in directory.glob(f"*.{run}.used"):
        mark.unlink(missing_ok=True)
    for key in _keys(directory):
        with _settled(directory, key) as known:
            if not known or "starting" in known or is_used(directory, key):
                continue
            with suppress(ProvisionError):  # its runtime does not answer, so that is not known
                with Environment.named(known["name"], home=home) as environment:
                    is_gone = environment.runtime.observe(environment.name).is_absent
                if is_gone:
                    _forget(directory, key)


def _directory(home: Home) -> Path:
    return directory_of(home.directory, KEPT)


def _keys(directory: Path) -> list[str]:
    return sorted(note.stem for note in directory.glob("*.json"))


@contextmanager
def _settled(directory: Path, key: str) -> Iterator[dict[str, str] | None]:
    """What is noted of one, which nobody starts or looks for meanwhile; None if somebody does."""
    from filelock import FileLock, Timeout

    with ExitStack() as held:
        known = None
        with suppress(Timeout, DamagedNote):
            held.enter_context(FileLock(directory / f"{key}.lock", timeout=0))
            known = read_note(directory / f"{key}.json", dict[str, str])
        yield known if known and "name" in known else None


def _forget(directory: Path, key: str) -> None:
    for file in files_about(directory, key):
        file.unlink(missing_ok=True)
