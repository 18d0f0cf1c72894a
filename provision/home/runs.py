"""The directories in which the processes of a test run agree about its environments: one for each run."""

import time
from collections.abc import Iterator
from pathlib import Path

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


def kept(home: Path) -> Iterator[tuple[str, list[Path]]]:
    """The names of environments that outlive their runs, as far as there are notes, and the files about each.

    One that is being started is left out, unless that began so long ago that it was killed.
    """
    directory = directory_of(home, KEPT)
    try:
        notes = sorted(directory.glob("*.json")) if is_own(directory, below=home) else []
    except (OSError, Refused):  # not ours
        return
    for note in notes:
        try:
            known = read_note(note, dict[str, str]) or {}
        except DamagedNote:
            continue
        if "name" in known and not ("starting" in known and time.time() - note.stat().st_mtime < _START_S):
            yield known["name"], files_about(directory, note.stem)


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
