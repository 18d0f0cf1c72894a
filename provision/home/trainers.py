"""The processes that train archives in the background: each is noted with the environment that it belongs to.

The note is there as long as the process is wanted. Whoever removes it ends the process, at the latest when that looks
again.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from provision.common.notes import DamagedNote, Note, Seconds, read_note
from provision.common.own_directories import is_own, make_own
from provision.common.process_identity import ProcessIdentity
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError, Refused
from provision.home.turns import alone
from provision.home.usable import made
from provision.spec.names import is_environment_name

_SUFFIX = ".json"


class Trainer(Note):
    """A process that trains, or waits to train: the environment it belongs to, its runtime, and since when (Unix time).

    It ends with that environment.
    """

    environment: str
    runtime: str
    process: ProcessIdentity
    since_s: Seconds

    @property
    def is_own(self) -> bool:
        """Whether it is this process."""
        return self.process == ProcessIdentity.of()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_s))
        return f"pid {self.process.pid} on {self.process.host} trains archives in the background since {since}"


class Trainers:
    """Those of a home, whose directory this is."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._directory = home / "trainers"

    def __iter__(self) -> Iterator[Trainer]:
        """All that are noted, by environment, also those whose process has ended."""
        try:
            entries = sorted(self._directory.iterdir()) if is_own(self._directory, below=self._home) else []
        except (OSError, Refused, ProvisionError):  # there are none, or they are not ours
            return
        for file in entries:
            if file.suffix == _SUFFIX and is_environment_name(file.stem) and (found := self.of(file.stem)):
                yield found

    def of(self, environment: str) -> Trainer | None:
        """The one that belongs to an environment; None without one, or if its note is damaged."""
        with suppress(DamagedNote):
            found = read_note(self._file(environment), Trainer)
            return found if found and found.environment == environment else None
        return None

    def running(self, environment: str) -> Trainer | None:
        """The one that belongs to an environment, unless it has ended."""
        found = self.of(environment)
        return found if found and not found.process.is_over else None

    def note(self, trainer: Trainer) -> None:
        """Note a process.

        Raises:
            ProvisionError: the home cannot be used.
        """
        made(self._home)
        make_own(self._directory, below=self._home)
        write_whole(self._file(trainer.environment), trainer.model_dump_json())

    def forget(self, environment: str) -> None:
        """Remove the note of an environment's, if there is one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._file(environment).unlink()
        with suppress(OSError):  # others are in it
            self._directory.rmdir()

    def alone(self) -> AbstractContextManager[bool]:
        """Whether this process is the only one of the home that trains in the background, as long as the block runs."""
        return alone(self._home / "trainer.lock")

    def _file(self, environment: str) -> Path:
        return self._directory / f"{environment}{_SUFFIX}"


def throwaway(home: Path) -> str:
    """The name of the throwaway environment of a home: each has its own, because an engine may serve several."""
    return f"provision-warm-{hashlib.sha256(os.fsencode(home)).hexdigest()[:6]}"


def training(cache: Path, wait_s: float = 0.0) -> AbstractContextManager[bool]:
    """Whether nobody else trains with this cache, as long as the block runs; another one is waited for so long."""
    return alone(cache / "training.lock", wait_s)
