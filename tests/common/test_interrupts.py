"""Signals that end a command, wait for a better moment, or are not heeded at all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from provision.common.interrupts import handle_signals, shielded, telling_where_it_stands
from provision.errors import Interrupted, Refused

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _unended(_way_on: str) -> None:
    """A program that goes on where it should end at once."""


@pytest.fixture(autouse=True)
def _handlers_of_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ALL)
def test_each_of_them_is_a_keyboard_interrupt(number: signal.Signals) -> None:
    handle_signals(_unended)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ALL)
def test_a_sheltered_block_ends_and_knows_of_the_signal(number: signal.Signals) -> None:
    handle_signals(_unended)
    told: list[int] = []
    with shielded(lambda: told.append(1)) as interrupted:
        assert not interrupted.is_set()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert interrupted.is_set()
    assert told == [1, 1]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_what_a_background_job_ignores_is_ignored_in_a_shelter_too() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handle_signals(_unended)
    with shielded(lambda: pytest.fail("it is to be ignored")) as interrupted:
        os.kill(os.getpid(), signal.SIGHUP)
    assert not interrupted.is_set()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


# A signal that another thread gets is like one that comes just before the wait begins: it interrupts nothing.
UNNOTICED = """
import os, signal, threading
from provision.common.interrupts import handle_signals, keep_awake
ended = []
handle_signals(ended.append)
keep_awake()
def send():
    for number in {numbers}:
        signal.pthread_kill(threading.get_ident(), number)
        heeded.wait(20)  # a second one would come before the wait that it is to interrupt
        threading.Event().wait(0.2)
heeded = threading.Event()
threading.Timer(0.2, send).start()
unheeded = threading.Timer(15, os._exit, [3])
unheeded.daemon = True
unheeded.start()
try:
    threading.Event().wait(25)
except KeyboardInterrupt:
    print("interrupted")
try:
    heeded.set()
    threading.Event().wait({again})
    print("on", len(ended))
except KeyboardInterrupt:
    print("interrupted again", len(ended))
"""


@pytest.mark.parametrize(("numbers", "again", "said"), [([2], 0, "on 0"), ([15, 2], 25, "interrupted again 1")])
def test_a_signal_that_interrupts_no_wait_is_heeded_all_the_same(numbers: list[int], again: int, said: str) -> None:
    program = [sys.executable, "-c", UNNOTICED.format(numbers=numbers, again=again)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["interrupted", said]


DROPPED = """
import os, signal, sys, threading
from provision.common.interrupts import handle_signals, keep_awake
ended = []
handle_signals(ended.append)
keep_awake()
class Going:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))
unheeded = threading.Timer(15, os._exit, [3])
unheeded.daemon = True
unheeded.start()
try:
    Going()
    threading.Event().wait(25)
except KeyboardInterrupt:
    print("interrupted", len(ended))
"""


def test_a_signal_whose_exception_python_drops_is_heeded_all_the_same() -> None:
    program = [sys.executable, "-c", DROPPED]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("interrupted 0\n", "")


# -- in a program of somebody else's, which handles its signals itself ------------------------------------------------


def everything() -> dict[int, object]:
    """What each signal does in this process."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def sheltered_twice() -> list[dict[int, object]]:
    """What signals do in a shelter, in one within it, and after both."""
    with shielded() as outer:
        seen = [everything()]
        with shielded() as inner:
            seen.append(everything())
        assert not outer.is_set()
        assert not inner.is_set()
    return [*seen, everything()]


def test_a_shelter_touches_no_signal_handler() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: None)
    before = everything()
    assert sheltered_twice() == [before] * 3


def test_a_shelter_in_another_thread_touches_none_either() -> None:
    handle_signals(_unended)
    before = everything()
    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(sheltered_twice).result() == [before] * 3


def test_a_shelter_in_another_thread_shelters_nobody_else() -> None:
    """Signals are for the main thread: it is interrupted, and the other one goes on."""
    handle_signals(_unended)
    came: list[bool] = []
    told = threading.Event()

    def interrupted() -> None:
        with shielded(lambda: pytest.fail("signals are for the main thread")) as event:
            os.kill(os.getpid(), signal.SIGTERM)
            assert told.wait(20)
        came.append(event.is_set())

    other = threading.Thread(target=interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_and_wait(other)
    told.set()
    other.join()
    assert came == [False]


def start_and_wait(thread: threading.Thread) -> None:
    thread.start()
    thread.join(20)


def test_where_nobody_handles_signals_a_shelter_is_open() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), shielded(lambda: pytest.fail("nobody asked for that")):
        signal.raise_signal(signal.SIGINT)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    with shielded(lambda: pytest.fail("nobody asked for that")) as interrupted:
        signal.raise_signal(signal.SIGTERM)
    assert told == [signal.SIGTERM]
    assert not interrupted.is_set()


def test_of_two_shelters_the_inner_one_is_told_and_then_the_outer_one() -> None:
    handle_signals(_unended)
    told: list[str] = []
    with shielded(lambda: told.append("outer")) as outer:
        with shielded(lambda: told.append("inner")) as inner:
            signal.raise_signal(signal.SIGTERM)
        assert (inner.is_set(), outer.is_set()) == (True, False)
        signal.raise_signal(signal.SIGINT)
    assert outer.is_set()
    assert told == ["inner", "outer"]


def test_a_shelter_that_is_left_by_an_error_shelters_no_longer() -> None:
    handle_signals(_unended)
    with pytest.raises(ValueError, match="it failed"), shielded():
        raise ValueError("it failed")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


# -- how far it got ---------------------------------------------------------------------------------------------------


def test_an_interrupt_and_an_error_of_ours_tell_how_far_it_got() -> None:
    with pytest.raises(Interrupted, match="interrupted") as interrupted, telling_where_it_stands(lambda: "2 of 3"):
        raise KeyboardInterrupt
    assert interrupted.value.why == "2 of 3"
    failure = Refused("not now", why="it moves")
    with pytest.raises(Refused) as refused, telling_where_it_stands(lambda: "2 of 3"):
        raise failure
    assert refused.value is failure
    assert refused.value.why == "it moves\n2 of 3"


def test_where_nothing_ends_it_early_nobody_is_asked_how_far_it_got() -> None:
    with telling_where_it_stands(lambda: pytest.fail("it is done")):
        pass
    with (
        pytest.raises(ValueError, match="a mistake"),
        telling_where_it_stands(lambda: pytest.fail("it is no error of ours")),
    ):
        raise ValueError("a mistake")
