"""A wait: a time limit, pauses between two attempts, and cancellation, in one object."""

import math
import threading

from provision.common.clocks import running_s
from provision.common.offloading import require_wanted
from provision.errors import Interrupted, UsageError


class Pauses:
    """Pauses between polls: the first ones short, each double the one before, up to the longest.

    Args:
        first_s: the first pause.
        longest_s: what no pause exceeds.
    """

    def __init__(self, first_s: float = 0.01, longest_s: float = 0.15) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to pause now."""
        now_s = min(self._next_s, self._longest_s)
        self._next_s = now_s * 2
        return now_s

    def begin_again(self) -> None:
        """Something has changed, and more may soon."""
        self._next_s = self._first_s


def require_seconds(timeout_s: object) -> None:
    """Refuse a timeout, which a program may have given, that is no number.

    Raises:
        UsageError: it is none.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or math.isnan(timeout_s):
        raise UsageError(f"a timeout is a number of seconds, not {timeout_s!r}")


class Patience:
    """One wait, which begins when this object is created.

    Callers check first and pause afterwards, so that nothing is lost if the condition already holds:

        patience = Patience(30.0)
        while not is_there():
            if not patience.pause(0.3):
                raise NotReady(f"it is not there after {patience.given}")

    Args:
        timeout_s: how long to wait; 0 for a single check.
        cancelled: set from another thread, it ends the wait even during a pause.
        doing: names the wait in the error if it is cancelled.

    Raises:
        UsageError: the timeout is no number.
    """

    def __init__(self, timeout_s: float, cancelled: threading.Event | None = None, doing: str = "the wait") -> None:
        require_seconds(timeout_s)
        self.timeout_s = timeout_s
        self.cancelled = cancelled or threading.Event()
        self.doing = doing
        self._began = running_s()

    @property
    def waited_s(self) -> float:
        """Seconds since it began."""
        return running_s() - self._began

    @property
    def left_s(self) -> float:
        """Seconds until the time limit; 0 from then on."""
        return max(self.timeout_s - self.waited_s, 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time limit has passed."""
        return self.left_s <= 0

    @property
    def given(self) -> str:
        """The time limit as text: `30 s`."""
        return f"{self.timeout_s:.12g} s"

    def pause(self, pause_s: float) -> bool:
        """Pause before the next check; False if the time limit has passed. The last check is at the time limit itself.

        Raises:
            Interrupted: the wait is cancelled.
        """
        self.check()
        left_s = self.left_s
        if left_s <= 0:
            return False
        self.cancelled.wait(min(pause_s, left_s))
        self.check()
        return True

    def check(self) -> None:
        """Raise if the wait is cancelled.

        Raises:
            Interrupted: the wait is cancelled, or the work of this thread is to end early.
        """
        require_wanted()
        if self.cancelled.is_set():
            raise Interrupted(f"{self.doing} was cancelled")

    def renewed(self, doing: str = "") -> "Patience":
        """A new wait with the same time limit, from now on."""
        return Patience(self.timeout_s, self.cancelled, doing or self.doing)
