"""One wait: its time, its pauses, and its end from outside. The clock is a made one, so that nothing really waits."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.common import patience as patience_module
from provision.common.patience import Patience
from provision.errors import Interrupted, UsageError

A_LIFE_S = 10_000.0
JOIN_S = 60.0


class Clock(threading.Event):
    """Time that only pauses let pass; `paused_s` are those pauses. It is set by itself when `ends_at_s` comes."""

    def __init__(self, ends_at_s: float = math.inf) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.ends_at_s = self.now_s + ends_at_s
        self.paused_s: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass."""
        assert timeout is not None
        self.paused_s.append(timeout)
        self.now_s += timeout
        if self.now_s >= self.ends_at_s:
            self.set()
        return self.is_set()


@contextmanager
def made_time(ends_at_s: float = math.inf) -> Iterator[Clock]:
    clock = Clock(ends_at_s)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patience_module, "running_s", lambda: clock.now_s)
        yield clock


@given(timeout_s=st.integers(0, 100), pause_s=st.integers(1, 30))
def test_the_last_look_is_taken_at_the_limit_itself_and_none_after_it(timeout_s: int, pause_s: int) -> None:
    with made_time() as clock:
        patience = Patience(timeout_s, clock)
        looks_s = [patience.waited_s]
        while patience.pause(pause_s):
            looks_s.append(patience.waited_s)
        assert looks_s == [*range(0, timeout_s, pause_s), timeout_s]
        assert sum(clock.paused_s) == timeout_s
        assert patience.is_over
        assert not patience.pause(pause_s)
        assert sum(clock.paused_s) == timeout_s


@given(timeout_s=st.integers(0, 50), passed_s=st.integers(0, 100))
def test_what_has_passed_and_what_is_left_make_up_the_limit(timeout_s: int, passed_s: int) -> None:
    with made_time() as clock:
        patience = Patience(timeout_s, clock)
        clock.now_s += passed_s
        assert patience.waited_s == passed_s
        assert patience.left_s == max(timeout_s - passed_s, 0)
        assert patience.is_over is (passed_s >= timeout_s)
        assert patience.timeout_s == timeout_s


def test_a_limit_of_nothing_is_a_single_look() -> None:
    with made_time() as clock:
        patience = Patience(0.0, clock)
        assert patience.is_over
        assert not patience.pause(1.0)
        assert clock.paused_s == []


def test_without_a_limit_it_is_never_over() -> None:
    with made_time() as clock:
        patience = Patience(math.inf, clock)
        assert all(patience.pause(A_LIFE_S) for _ in range(3))
        assert clock.paused_s == [A_LIFE_S] * 3
        assert not patience.is_over


@pytest.mark.parametrize(
    ("timeout_s", "given_in_words"),
    [
        *((0.0, "0 s"), (0.2, "0.2 s"), (1.5, "1.5 s"), (30.0, "30 s"), (120, "120 s"), (3600.0, "3600 s")),
        (86400.0, "86400 s"),
    ],
)
def test_the_limit_is_said_as_it_was_given_however_much_is_left(timeout_s: float, given_in_words: str) -> None:
    with made_time() as clock:
        patience = Patience(timeout_s, clock)
        assert patience.given == given_in_words
        clock.now_s += A_LIFE_S
        assert patience.given == given_in_words


# -- the end from outside ---------------------------------------------------------------------------------------------


@given(timeout_s=st.integers(1, 60), cancelled_after_s=st.integers(1, 60), pause_s=st.integers(1, 10))
def test_a_pause_in_which_it_is_cancelled_raises_and_no_later_one_begins(
    timeout_s: int, cancelled_after_s: int, pause_s: int
) -> None:
    with made_time(ends_at_s=cancelled_after_s) as clock:
        patience = Patience(timeout_s, clock, "the wait for a quorum")

        def wait() -> None:
            while patience.pause(pause_s):
                assert not clock.is_set()

        if cancelled_after_s > timeout_s:
            wait()
            assert patience.is_over
            return
        with pytest.raises(Interrupted, match="the wait for a quorum was cancelled"):
            wait()
        assert patience.waited_s < cancelled_after_s + pause_s
        begun = len(clock.paused_s)
        with pytest.raises(Interrupted):
            patience.pause(pause_s)
        assert len(clock.paused_s) == begun


@pytest.mark.parametrize("timeout_s", [0.0, A_LIFE_S])
@pytest.mark.parametrize(
    ("patience_of", "said"),
    [
        (Patience, "the wait was cancelled"),
        (lambda limit, ends: Patience(limit, ends, "starting broker-1"), "starting broker-1 was cancelled"),
        (lambda limit, ends: Patience(limit, ends).renewed("moving"), "moving was cancelled"),
        (lambda limit, ends: Patience(limit, ends, "moving").renewed(), "moving was cancelled"),
        (lambda limit, ends: Patience(limit, ends, "one").renewed("two").renewed(), "two was cancelled"),
    ],
)
def test_who_is_cancelled_says_what_was_waited_for_whether_time_is_up_or_not(
    timeout_s: float, patience_of: Callable[[float, threading.Event], Patience], said: str
) -> None:
    cancelled = threading.Event()
    patience = patience_of(timeout_s, cancelled)
    patience.check()
    cancelled.set()
    for ended in (patience.check, lambda: patience.pause(A_LIFE_S)):
        with pytest.raises(Interrupted) as caught:
            ended()
        assert caught.value.what == said
        assert caught.value.exit_code == 130


def test_time_that_is_up_is_no_cancellation() -> None:
    patience = Patience(0.0)
    assert not patience.pause(1.0)
    patience.check()
    assert not patience.cancelled.is_set()


def test_one_that_nobody_can_cancel_has_an_end_of_its_own() -> None:
    one, other = Patience(A_LIFE_S), Patience(A_LIFE_S)
    one.cancelled.set()
    other.check()


class Announced(threading.Event):
    """Says when somebody begins to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Say so, and wait."""
        self.is_waited_for.set()
        return super().wait(timeout)


@pytest.mark.parametrize("renewed", [False, True])
def test_another_thread_wakes_it_in_the_middle_of_a_pause(*, renewed: bool) -> None:
    cancelled, raised = Announced(), list[BaseException]()
    patience = Patience(A_LIFE_S, cancelled)
    waiting = patience.renewed("the next wait") if renewed else patience

    def wait() -> None:
        try:
            waiting.pause(A_LIFE_S)
        except Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert cancelled.is_waited_for.wait(JOIN_S)
    patience.cancelled.set()
    thread.join(JOIN_S)
    assert not thread.is_alive()
    assert [str(error) for error in raised] == [f"{waiting.doing} was cancelled"]


# -- once more --------------------------------------------------------------------------------------------------------


@given(timeout_s=st.integers(1, 50), passed_s=st.lists(st.integers(0, 60), max_size=5))
def test_each_renewal_has_the_whole_limit_from_then_on_and_takes_none_from_the_first(
    timeout_s: int, passed_s: list[int]
) -> None:
    with made_time() as clock:
        first = patience = Patience(timeout_s, clock)
        for some_s in passed_s:
            clock.now_s += some_s
            patience = patience.renewed()
            assert (patience.waited_s, patience.left_s, patience.timeout_s) == (0, timeout_s, timeout_s)
        assert first.waited_s == sum(passed_s)
        assert first.left_s == max(timeout_s - sum(passed_s), 0)


def test_a_renewal_is_another_wait_with_the_same_end() -> None:
    first = Patience(A_LIFE_S, doing="the first")
    second = first.renewed("the second")
    third = second.renewed()
    assert (first.doing, second.doing, third.doing) == ("the first", "the second", "the second")
    assert first.cancelled is second.cancelled is third.cancelled
    third.cancelled.set()
    for patience in (first, second, third):
        with pytest.raises(Interrupted, match=f"^{patience.doing} was cancelled$"):
            patience.check()


@pytest.mark.parametrize("given", ["2s", None, True, math.nan, [1]])
def test_what_is_no_number_of_seconds_is_told(given: object) -> None:
    with pytest.raises(UsageError, match="number of seconds"):
        Patience(cast("float", given))
