"""The lock of an environment in a home: a file that is locked as long as the command that changes the environment runs.

The system gives up the lock of a process that ends in whatever way. The file says who holds it, and is gone when nobody
does. So a process that has opened a file may lock it when it has gone already; it then tries again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.common.notes import DamagedNote, parse_note, read_note
from provision.common.own_directories import make_own
from provision.common.patience import Patience
from provision.errors import Unavailable
from provision.home.holders import Holder, busy, taken_over
from provision.home.usable import made

_MODE = 0o600
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
_PAUSE_S = 0.05
_MOMENT_S = 2.0
_LARGEST = 16 * 1024
DRAFT = ".new"
"""How the name of a lock ends that is to take the place of one."""


class HomeLock:
    """The lock of one environment, held by this object from `take` or `take_over` until `release`.

    Args:
        home: the home's directory.
        environment: the name that the lock is for.
    """

    def __init__(self, home: Path, environment: str) -> None:
        self._home, self._environment = home, environment
        self.file = home / "locks" / environment
        self._held: int | None = None
        self._holder: Holder | None = None

    def take(self, holder: Holder) -> None:
        """Take the lock.

        Raises:
            Busy: another command holds it; names that one.
            OSError: there can be no such file.
        """
        self._make_directory()
        patience = Patience(_MOMENT_S)
        while True:
            opened = os.open(self.file, _FLAGS, _MODE)
            try:
                if not _locked(opened):
                    raise busy(self._environment, self.holder())
                if self._is_there(opened):
                    _write(opened, holder)
                    self._held, opened, self._holder = opened, -1, holder
                    return
            finally:
                if opened >= 0:
                    os.close(opened)
            if not patience.pause(_PAUSE_S / 10):
                raise busy(self._environment, self.holder())

    def take_over(self, holder: Holder, patience: Patience) -> bool:
        """Take the lock also from a command that holds it, which then ends before its next action; wait for that.

        One that is frozen may go on long after this one has given the lock up. So that is noted in its own file too.

        Returns:
            Whether the other one has ended; also if there was none.

        Raises:
            OSError: there can be no such file.
        """
        self._make_directory()
        draft = self.file.with_name(f"{self._environment}.{holder.token}{DRAFT}")
        with self._alone():
            before = os.open(self.file, _FLAGS, _MODE)
            self._held = os.open(draft, _FLAGS | os.O_EXCL, _MODE)
            _locked(self._held)
            _write(self._held, holder)
            self._holder = holder
            draft.replace(self.file)
            _write(before, holder)
        try:
            while not (ended := _locked(before)) and patience.pause(_PAUSE_S):
                pass
            return ended
        finally:
            os.close(before)

    def require_held(self) -> None:
        """Check that nobody has taken it over. What was only removed is made again.

        Raises:
            Busy: somebody has; names them.
        """
        if self._held is None or self._is_there(self._held):
            return
        taken_by = _noted_in(self._held)
        if taken_by and taken_by != self._holder:
            raise taken_over(self._environment, taken_by)
        if self.file.exists() or not self._is_made_again():
            raise taken_over(self._environment, self.holder())

    def _is_made_again(self) -> bool:
        """Make the lock again that somebody has removed by hand, perhaps with all of the home, unless another has."""
        try:
            self._make_directory()
            opened = os.open(self.file, _FLAGS | os.O_EXCL, _MODE)
        except FileExistsError:
            return False
        except (OSError, Unavailable):  # there is no room for one: then nobody else gets one either
            return True
        if self._holder is None or not _locked(opened):
            os.close(opened)
            return False
        _write(opened, self._holder)
        former, self._held = self._held, opened
        if former is not None:
            os.close(former)
        return self._is_there(opened)

    def release(self) -> None:
        """Give it up."""
        if self._held is None:
            return
        held, self._held = self._held, None
        try:
            with self._alone():
                if self._is_there(held):
                    self.file.unlink()
        except FileNotFoundError:  # there is no home any more
            pass
        finally:
            os.close(held)

    @property
    def is_held(self) -> bool:
        """Whether a command has it now. What only the lock itself can tell, such as of another machine, that is asked.

        It is locked for that, for a moment; a command that comes just then would take it for another one's. So it is
        not asked what its holder's process tells.
        """
        holder = self.holder()
        over = holder.process.is_over if holder else None
        if over is not None:
            return not over
        try:
            opened = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # there is none, or something else, which nobody can have locked
            return False
        try:
            return not _locked(opened)
        finally:
            os.close(opened)

    def holder(self) -> Holder | None:
        """Who holds it, or held it last; None if that is not known."""
        with suppress(DamagedNote):
            return read_note(self.file, Holder, _LARGEST)
        return None

    def _make_directory(self) -> None:
        made(self._home)
        make_own(self.file.parent, below=self._home)

    def _is_there(self, opened: int) -> bool:
        """Whether the open file is the one that others would open now."""
        try:
            return os.path.samestat(os.fstat(opened), self.file.lstat())
        except FileNotFoundError:
            return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else put another file in the place of a lock, or remove one, for a moment.

        Who makes everybody else wait for long is frozen, and not waited for.
        """
        directory = os.open(self.file.parent, os.O_RDONLY)
        try:
            patience = Patience(_MOMENT_S)
            while not _locked(directory) and patience.pause(_PAUSE_S / 10):
                pass
            yield
        finally:
            os.close(directory)


def _locked(opened: int) -> bool:
    """Lock an open file unless another process has done so; whether that worked."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(opened: int, holder: Holder) -> None:
    """Say who holds it. A full disk does not matter: what counts is the lock."""
    said = holder.model_dump_json().encode()
    with suppress(OSError):
        os.pwrite(opened, said, 0)
        os.ftruncate(opened, len(said))


def _noted_in(opened: int) -> Holder | None:
    """Who holds it according to an open file; None if that cannot be read."""
    with suppress(DamagedNote, OSError):
        return parse_note(os.pread(opened, _LARGEST, 0), Holder)
    return None
