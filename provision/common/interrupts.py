"""Treat Ctrl-C, SIGTERM and SIGHUP alike: the first one ends the work in an orderly way, the second one at once.

Blocks that must not be interrupted are shielded from the first one. Only a program calls `handle_signals` and
`keep_awake`; a library never changes the signal handlers of its process. Without these calls, shielding has no effect:
Ctrl-C raises `KeyboardInterrupt` there as everywhere. Work in a thread of its own that is to end early
(`provision.common.offloading`) is shielded from that in any case.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from provision.common.offloading import heed, sheltered
from provision.errors import Interrupted, ProvisionError

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)
# A signal that interrupts a wait and raises only an interrupt that is due, and when it is sent after another one.
_NUDGE = getattr(signal, "SIGURG", None)
_NUDGES_S = (0.05, 0.5)
# What a signal does inside shielded blocks, the innermost last. Signals are delivered only to the main thread.
_shelters: list[Callable[[], None]] = []
# What is to be said if the program ends at once, the innermost last.
_ways_on: list[Callable[[], str]] = []
# What interrupts the main thread from another one; there is one where `keep_awake` was called.
_interrupters: list[Callable[[Callable[[], bool]], None]] = []


def handle_signals(end: Callable[[str], None]) -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise `KeyboardInterrupt`, except in `shielded` blocks; a second one is the end.

    So a cancelled CI job cleans up like Ctrl-C does. Ignored signals stay ignored: nohup relies on that for SIGHUP, and
    background jobs for SIGINT.

    Args:
        end: ends the program without waiting for anything; is given what remains to be said, which may be nothing.
    """
    came = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came > 1:
            end(_ways_on[-1]() if _ways_on else "")
        _interrupt()

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)


def _interrupt() -> None:
    if not _shelters:
        raise KeyboardInterrupt
    _shelters[-1]()


def keep_awake() -> None:
    """Have no signal wait until the main thread's wait is over; for a program, once, in its main thread.

    Python handles a signal when the main thread's wait is interrupted. One that arrives a moment before the wait
    begins, or in another thread, interrupts nothing. So a thread learns of each, and interrupts the wait afterwards.
    """
    if _NUDGE is None:  # Windows
        return
    nudge, main, due = _NUDGE, threading.get_ident(), list[Callable[[], bool]]()
    reader, writer = os.pipe()  # open as long as the program runs
    os.set_blocking(writer, False)

    def watch() -> None:
        while came := os.read(reader, 64):
            if set(came) == {nudge}:
                continue
            for pause in _NUDGES_S:
                time.sleep(pause)
                signal.pthread_kill(main, nudge)

    def on_nudge(_number: int, _frame: FrameType | None) -> None:
        asked = [due.pop() for _ in range(len(due))]
        if any(wanted() for wanted in asked):
            _interrupt()

    def interrupt(wanted: Callable[[], bool]) -> None:
        due.append(wanted)
        os.write(writer, bytes([signal.SIGINT]))

    _interrupters.append(interrupt)
    _repeat_dropped(lambda: interrupt(lambda: True))
    signal.signal(nudge, on_nudge)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()


def interrupt_main(wanted: Callable[[], bool]) -> None:
    """Interrupt the main thread as Ctrl-C does, a moment later, from another thread.

    Has no effect where `keep_awake` was not called.

    Args:
        wanted: whether it still is, asked in the main thread at that moment.
    """
    for interrupt in _interrupters:
        interrupt(wanted)


def _repeat_dropped(interrupt: Callable[[], None]) -> None:
    """Interrupt again for each interrupt that Python drops: in the callback of a weak reference, or in a `__del__`."""
    tell = sys.unraisablehook

    def on_unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            interrupt()
        else:
            tell(ignored)

    sys.unraisablehook = on_unraisable


@contextmanager
def leaving(way_on: Callable[[], str]) -> Iterator[None]:
    """Have something said if the program has to end at once inside the block, such as the command that goes on."""
    _ways_on.append(way_on)
    try:
        yield
    finally:
        _ways_on.remove(way_on)


@contextmanager
def shielded(on_interrupt: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Run the block to its end despite signals; the yielded event is set, at the end at the latest, if one came.

    Args:
        on_interrupt: called for each signal, to ask the user for patience.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        with sheltered(came):
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


def end_if(came: threading.Event) -> None:
    """End the work if something came in a shielded block, as it would have without the block.

    Raises:
        KeyboardInterrupt: it did.
    """
    if came.is_set():
        heed()
        raise KeyboardInterrupt


@contextmanager
def telling_where_it_stands(standing: Callable[[], str]) -> Iterator[None]:
    """Add to an error or Ctrl-C that ends the block early how far it got."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", why=standing()) from error
    except ProvisionError as error:
        error.add(standing())
        raise
