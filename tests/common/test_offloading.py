"""Work in a thread of its own: only that thread learns that it is to end early, once, and where it may."""

import asyncio
import contextvars
import gc
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import anyio
import pytest

from provision.common import offloading
from provision.common.interrupts import end_if, shielded
from provision.common.offloading import Work, awaited, require_wanted, watched
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


@pytest.mark.parametrize("ends_itself", [False, True])
def test_a_shielded_block_runs_to_its_end_and_knows_then(ends_itself: bool) -> None:
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
        if ends_itself:
            with pytest.raises(KeyboardInterrupt):
                end_if(outer)
            require_wanted()
        else:
            with pytest.raises(Interrupted):  # a stop that nobody has heeded is not lost
                require_wanted()
        require_wanted()
        seen.append("ended")

    stopped = Stopped(call)
    stopped.stop()
    stopped.work.result()
    assert seen == ["inner", "outer", True, True, "ended"]


def _endless() -> None:
    while True:
        offloading.pause(LONG_S)


def _ended_by(process: "subprocess.Popen[bytes]") -> None:
    with process, offloading.ended_by(process.kill):
        process.wait()
    require_wanted()


WAITS: dict[str, Callable[[], object]] = {
    "a pause": lambda: offloading.pause(LONG_S),
    "a wait": lambda: [None for _ in iter(lambda: Patience(LONG_S).pause(0.01), False)],
    "a thread": lambda: offloading.result_of(Future()),
    "a queue": lambda: offloading.next_of(queue.SimpleQueue[None]()),
    "a process": lambda: _ended_by(subprocess.Popen(["/bin/sleep", str(LONG_S)])),
    "other work": lambda: next(watched(Work(_endless), queue.SimpleQueue[None]())),
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


def test_a_cancelled_task_does_not_wait_for_threads_that_others_keep_busy() -> None:
    others, begun = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        _endless()

    async def use() -> None:
        loop = asyncio.get_running_loop()
        busy = [loop.run_in_executor(None, others.wait, LONG_S) for _ in range(64)]
        tasks = [asyncio.create_task(awaited(Work(call))) for _ in range(3)]
        while not begun.is_set():  # noqa: ASYNC110 it is set in another thread
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        assert not others.is_set()
        others.set()
        await asyncio.gather(*busy)

    asyncio.run(use())


def test_an_iteration_may_be_collected_in_the_thread_of_its_work(recwarn: pytest.WarningsRecorder) -> None:
    ended = threading.Event()
    events = queue.SimpleQueue[str | None]()

    class Holder:
        """What is in a cycle with the iteration."""

    def call() -> None:
        events.put("begun")
        while not collected.is_set():
            gc.collect()
        ended.set()

    collected = threading.Event()
    holder = Holder()
    iteration = watched(Work(call), events)
    holder.itself, holder.iteration = holder, iteration  # type: ignore[attr-defined]
    assert next(iteration) == "begun"
    del holder, iteration
    time.sleep(0.05)
    collected.set()
    assert ended.wait(LONG_S)
    assert not [one for one in recwarn if "join" in str(one.message)]


async def _cancelled_after(seconds: float, call: Callable[[], object], undo: Callable[[], None] | None) -> None:
    with anyio.move_on_after(seconds) as scope:
        await awaited(Work(call), undo)
    assert scope.cancelled_caught


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_cancelled_task_ends_its_work_and_undoes_what_came_to_its_end_all_the_same(loop: str) -> None:
    undone: list[str] = []

    async def use() -> None:
        assert await awaited(Work(lambda: "result"), lambda: undone.append("wrongly")) == "result"
        await _cancelled_after(0.1, _endless, lambda: undone.append("wrongly"))
        await _cancelled_after(0.1, lambda: time.sleep(0.3), lambda: undone.append("rightly"))
        await _cancelled_after(0.1, lambda: time.sleep(0.3), None)

    anyio.run(use, backend=loop)
    assert undone == ["rightly"]
