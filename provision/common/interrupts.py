"""Ctrl-C and SIGTERM as one thing, and a shelter for the moments that must not be cut in half.

Only a program calls `handle_signals`; a library never changes the signal handlers of the process it is part of. Where
nobody has called it, a shelter is open: Ctrl-C raises `KeyboardInterrupt` there as everywhere.
"""

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
# What a signal does inside a shelter, the innermost last. Signals are delivered to the main thread alone.
_shelters: list[Callable[[], None]] = []


def handle_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise `KeyboardInterrupt`, but for the blocks that are `shielded`.

    So a cancelled CI job cleans up as Ctrl-C does. Signals that are ignored stay so: nohup wants that of SIGHUP, and a
    background job of SIGINT.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    if not _shelters:
        raise KeyboardInterrupt
    _shelters[-1]()


@contextmanager
def shielded(on_interrupt: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Run the block to its end, whatever signals come; what it gives is set when one came.

    Args:
        on_interrupt: called for each, to tell the user to be patient.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note() -> None:
        came.set()
        on_interrupt()

    _shelters.append(note)
    try:
        yield came
    finally:
        _shelters.remove(note)


@contextmanager
def telling_where_it_stands(standing: Callable[[], str]) -> Iterator[None]:
    """Let whatever ends the block early, an error or Ctrl-C, tell how far it got."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", why=standing()) from error
    except ProvisionError as error:
        error.add(standing())
        raise
