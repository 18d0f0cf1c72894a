"""Ctrl-C and SIGTERM as one thing, and a shelter for the moments that must not be cut in half."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


def as_keyboard_interrupt() -> None:
    """Make SIGTERM and SIGHUP raise `KeyboardInterrupt`, so that a cancelled CI job cleans up as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a background job want it
            signal.signal(number, interrupt)


@contextmanager
def shielded(on_interrupt: Callable[[], None]) -> Iterator[None]:
    """Run the block to its end: signals only call `on_interrupt`, which tells the user to be patient."""
    if threading.current_thread() is not threading.main_thread():  # signal handlers belong to the main thread
        yield
        return
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    for number in _SIGNALS:
        signal.signal(number, lambda _number, _frame: on_interrupt())
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
