"""Signals that end a command, wait for a better moment, or are not heeded at all."""

import os
import signal
from collections.abc import Iterator

import pytest

from provision.common.interrupts import handle_signals, shielded

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers_of_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ALL)
def test_each_of_them_is_a_keyboard_interrupt(number: signal.Signals) -> None:
    handle_signals()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ALL)
def test_a_sheltered_block_ends_and_knows_of_the_signal(number: signal.Signals) -> None:
    handle_signals()
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
    handle_signals()
    with shielded(lambda: pytest.fail("it is to be ignored")) as interrupted:
        os.kill(os.getpid(), signal.SIGHUP)
    assert not interrupted.is_set()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
