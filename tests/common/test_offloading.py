"""Work in a thread of its own: only that thread learns that it is to end early, once, and where it may."""

import contextvars
import threading
import time
from collections.abc import Callable

import pytest

from provision.common import offloading
from provision.common.interrupts import shielded
from provision.common.offloading import Work, require_wanted
from provision.common.pacing import paced
from provision.common.patience import Patience
from provision.errors import Interrupted

LONG_S = 60.0


class Stopped:
    """A call that is told to end early while it runs."""

    def __init__(self, call: Callable[["Stopped"], None]) -> None:
        self.begun, self.asked = threading.Event(), threading.Event()
        self.work = Work(lambda: call(self))
        self.work.start(lambda: None)

    def go_on_when_asked(self) -> None:
        """For the call: it has begun; wait until it is asked to end."""
        self.begun.set()
        assert self.asked.wait(LONG_S)

    def stop(self) -> None:
        """Ask it to end once it has begun, and wait until it has."""
        assert self.begun.wait(LONG_S)
        asking = threading.Thread(target=self.work.stop)
        asking.start()
        while not self.work._stopping.is_set() and asking.is_alive():  # noqa: SLF001
            time.sleep(0.001)
        self.asked.set()
        asking.join(LONG_S)
        assert not asking.is_alive()


def test_it_is_raised_once() -> None:
    seen: list[bool] = []

    def call(stopped: Stopped) -> None:
        stopped.go_on_when_asked()
        for _ in range(3):
            try:
                require_wanted()
            except Interrupted:
                seen.append(True)
            else:
                seen.append(False)

    Stopped(call).stop()
    assert seen == [True, False, False]


def test_threads_that_it_has_started_finish_what_they_do() -> None:
    finished: list[str] = []

    def call(stopped: Stopped) -> None:
        def other() -> None:
            require_wanted()
            Patience(LONG_S).pause(0.01)
            finished.append("other")

        stopped.go_on_when_asked()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        require_wanted()
        finished.append("never")

    stopped = Stopped(call)
    stopped.stop()
    assert finished == ["other"]
    with pytest.raises(Interrupted):
        stopped.work.result()


def test_a_shielded_block_runs_to_its_end_and_knows_then() -> None:
    seen: list[object] = []

    def call(stopped: Stopped) -> None:
        with shielded() as outer:
            with shielded() as inner:
                stopped.go_on_when_asked()
                require_wanted()
                seen.append("inner")
            require_wanted()
            seen.append("outer")
        seen.extend((inner.is_set(), outer.is_set()))
        require_wanted()  # whoever shields it ends it

    Stopped(call).stop()
    assert seen == ["inner", "outer", False, True]


WAITS: dict[str, Callable[[], object]] = {
    "a pause": lambda: offloading.pause(LONG_S),
    "a wait": lambda: [None for _ in iter(lambda: Patience(LONG_S).pause(0.01), False)],
    "a rate": lambda: list(paced(range(3), 1 / LONG_S)),
}


@pytest.mark.parametrize("wait", WAITS)
def test_waits_end_with_it(wait: str) -> None:
    def call(stopped: Stopped) -> None:
        stopped.begun.set()
        WAITS[wait]()

    stopped = Stopped(call)
    stopped.stop()
    with pytest.raises(Interrupted):
        stopped.work.result()


def test_where_there_is_no_such_work_nothing_ends_early() -> None:
    Stopped(lambda stopped: stopped.go_on_when_asked()).stop()
    require_wanted()
    offloading.pause(0.0)


def test_it_has_the_context_of_who_creates_it() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    name.set("ada")
    work = Work(name.get)
    name.set("eve")
    work.start(lambda: None)
    assert work.result() == "ada"
