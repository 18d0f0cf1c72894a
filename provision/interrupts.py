"""Ctrl-C and SIGTERM as one thing, and a shelter for the moments that must not be cut in half."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from provision.errors import Interrupted, ProvisionError

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


def as_keyboard_interrupt() -> None:
    """Make SIGTERM and SIGHUP raise `KeyboardInterrupt`, so that a cancelled CI job cleans up as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in _heeded():
        signal.signal(number, interrupt)


def _heeded() -> list[signal.Signals]:
    """The signals that are not to be ignored, as nohup wants it of SIGHUP, and a background job of SIGINT."""
    return [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def shielded(on_interrupt: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Run the block to its end, whatever signals come; what it gives is set when one came.

    Args:
        on_interrupt: called for each, to tell the user to be patient.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signal handlers belong to the main thread
        yield came
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        came.set()
        on_interrupt()

    before = [(number, signal.getsignal(number)) for number in _heeded()]
    for number, _ in before:
        signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def telling_where_it_stands(standing: Callable[[], str]) -> Iterator[None]:
    """Let whatever ends the block early, an error or Ctrl-C, tell how far it came."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", why=standing()) from error
    except ProvisionError as error:
        error.add(standing())
        raise
