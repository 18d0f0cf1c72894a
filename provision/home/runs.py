"""The directories in which the processes of a test run agree about its environments: one for each run."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from provision.common.clocks import now_s
from provision.common.notes import DamagedNote, read_note
from provision.common.own_directories import is_own, make_own
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import write_whole
from provision.errors import Refused
from provision.home.usable import made

_CONTROLLER = "controller"
KEPT = "kept"
"""What stands for a run where environments outlive it."""
_START_S = 3600.0
_KEY = re.compile(r"[0-9a-f]{8}")


def directory_of(home: Path, run: str) -> Path:
    """The directory of a run, which need not exist."""
    return home / "tests" / run


def make_directory(home: Path, run: str, controller: int | None) -> Path:
    """The directory of a run, made if it is missing; `controller` is the process with whose end it is of no more use.

    Raises:
        UsageError: there is no such process.
        Unavailable: the home cannot be used.
        Refused: something else is in its place.
    """
    made(home)
    directory = directory_of(home, run)
    make_own(directory, below=home)
    note = directory / _CONTROLLER
    if controller is not None and not note.exists():
        write_whole(note, ProcessIdentity.of(controller).model_dump_json())
    return directory


def files_about(directory: Path, key: str) -> list[Path]:
    """The files about one environment: its note, locks, and marks of runs that use it."""
    return sorted(directory.glob(f"{key}.*"))


def is_used(directory: Path, key: str, beside: str = "") -> bool:
    """Whether a run uses an environment that has not ended, other than the run named."""
    for mark in directory.glob(f"{key}.*.used"):
        with suppress(DamagedNote):
            controller = read_note(mark, ProcessIdentity)
            if controller and not controller.is_over and mark.name != f"{key}.{beside}.used":
                return True
    return False


class Kept(NamedTuple):
    """What is noted of an environment that outlives its runs: its key, its name, if there is a note, and the files."""

    key: str
    name: str
    files: list[Path]


def kept(home: Path) -> Iterator[Kept]:
    """Environments that outlive their runs, except those that a run uses now; none starts or looks for one meanwhile.

    One that is being started is left out, unless that began so long ago that it was killed.
    """
    directory = directory_of(home, KEPT)
    try:
        keys = sorted({file.name.partition(".")[0] for file in directory.iterdir()}) if is_own(directory, home) else []
    except (OSError, Refused):  # there is none, or it is not ours
        return
    for key in filter(_KEY.fullmatch, keys):
        with suppress(DamagedNote, OSError), _held(directory / f"{key}.lock") as is_held:
            if not is_held or is_used(directory, key):
                continue
            note = directory / f"{key}.json"
            known = read_note(note, dict[str, str]) or {}
            if not ("starting" in known and now_s() - note.stat().st_mtime < _START_S):
                yield Kept(key, known.get("name", ""), files_about(directory, key))


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Keep everybody else from a lock, if it is there; false if somebody has it."""
    from filelock import FileLock, Timeout

    with ExitStack() as held:
        try:
            if lock.exists():
                held.enter_context(FileLock(lock, timeout=0))
        except Timeout:
            yield False
            return
        yield True


def ended(home: Path) -> Iterator[tuple[Path, ProcessIdentity]]:
    """The directories of runs whose controlling process has ended, killed or not, and that process."""
    try:
        entries = sorted((home / "tests").iterdir()) if is_own(home / "tests", below=home) else []
    except (OSError, Refused):  # there are none, or they are not ours
        return
    for directory in entries:
        try:
            controller = read_note(directory / _CONTROLLER, ProcessIdentity)
        except DamagedNote:
            continue
        if controller and controller.is_over:
            yield directory, controller
