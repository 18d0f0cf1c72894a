"""How the tests of all processes share an environment: together, or one alone."""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import Self

from provision import NotReady
from provision.common.patience import Patience

ALONE_S = 300.0
"""How long a test waits for the others to end, or for one that has the environment to itself."""
_PAUSE_S = 0.05
_MOST_BYTES = 65536


class Use:
    """The use of an environment by one test. The kernel releases it if the process dies.

    Who wants it alone closes the gate until the others have ended, so that no new ones get ahead. The file itself has
    the names of nodes that are down for a test, which stay there if that cannot start them any more.

    Raises:
        NotReady: a test that has it alone did not end in time.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._gate = _opened(file), _opened(file.with_name(f"{file.name}.gate"))
        self._is_alone = False
        try:
            self._enter(fcntl.LOCK_SH)
        except BaseException:
            self.release()
            raise

    def alone(self) -> None:
        """Wait until no other test uses the environment, and keep it alone from then on.

        Raises:
            NotReady: another test did not end in time.
        """
        if not self._is_alone:
            # Without releasing it first, two tests that want this would wait for each other.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._enter(fcntl.LOCK_EX)
            self._is_alone = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def release(self) -> None:
        """End the use."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._gate)
            self._file = -1

    @property
    def down(self) -> frozenset[str]:
        """The nodes that a test has taken down and not started again."""
        return frozenset(os.pread(self._file, _MOST_BYTES, 0).decode().split())

    def note_down(self, nodes: Collection[str]) -> None:
        """Note which nodes are down; only who has the environment alone does."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, "\n".join(sorted(nodes)).encode(), 0)

    def _enter(self, kind: int) -> None:
        patience = Patience(ALONE_S)
        _lock(self._gate, fcntl.LOCK_EX, patience)
        try:
            _lock(self._file, kind, patience)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(file: int, kind: int, patience: Patience) -> None:
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not patience.pause(_PAUSE_S):
                raise NotReady(f"another test still uses the environment after {patience.given}") from error
        else:
            return
