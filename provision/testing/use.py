"""How the tests of all processes share an environment: together, or one alone."""

import fcntl
import os
from pathlib import Path

from provision import NotReady
from provision.common.patience import Patience

ALONE_S = 300.0
"""How long a test waits for the others to end, or for one that has the environment to itself."""
_PAUSE_S = 0.05


class Use:
    """The use of an environment by one test. The kernel releases it if the process dies."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._is_alone = False
        self._lock(fcntl.LOCK_SH)

    def alone(self) -> None:
        """Wait until no other test uses the environment, and keep it alone from then on.

        Raises:
            NotReady: another test did not end in time.
        """
        if not self._is_alone:
            # Without releasing it first, two tests that want this would wait for each other.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._lock(fcntl.LOCK_EX)
            self._is_alone = True

    def release(self) -> None:
        """End the use."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self, kind: int) -> None:
        patience = Patience(ALONE_S)
        while True:
            try:
                fcntl.flock(self._file, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not patience.pause(_PAUSE_S):
                    raise NotReady(f"another test still uses the environment after {patience.given}") from error
            else:
                return
