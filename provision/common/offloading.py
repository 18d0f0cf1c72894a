"""Work in a thread of its own: awaited while an event loop goes on, or watched as it goes. It can be stopped early.

Only its own thread learns of that, as only the main thread learns of Ctrl-C: threads that it has started finish what
they have begun, or are told by it.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from provision.errors import Interrupted

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
E = TypeVar("E")

_here = threading.local()


def _work_here() -> Work[Any] | None:
    """The work whose own thread this is."""
    return getattr(_here, "work", None)


def require_wanted() -> None:
    """Raise if the work of this thread is to end early. Once: what has to be done then is done to its end.

    Raises:
        Interrupted: it is, and this is no `sheltered` block.
    """
    work = _work_here()
    if work and work.heeds_stop():
        raise Interrupted("interrupted")


def pause(pause_s: float) -> None:
    """Sleep; work that is to end early is woken.

    Raises:
        Interrupted: as `require_wanted`.
    """
    work = _work_here()
    if work:
        work.sleep(pause_s)
        require_wanted()
    else:
        time.sleep(pause_s)


@contextmanager
def sheltered(came: threading.Event) -> Generator[None]:
    """Run the block to its end although the work of this thread is to end early; `came` is set if it is."""
    work = _work_here()
    if work is None:
        yield
        return
    work.shelters += 1
    try:
        yield
    finally:
        work.shelters -= 1
        if work.heeds_stop():
            came.set()


class Work(Generic[T]):
    """A call in a thread of its own, with the context variables of whoever creates it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call, self._context = call, contextvars.copy_context()
        self._stopping = threading.Event()
        self.shelters = 0
        """How many blocks its thread is in that are not to be interrupted."""
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="provision")
        self._done: Callable[[], object] = lambda: None

    def start(self, done: Callable[[], object]) -> None:
        """Begin; `done` is called in the thread at the end."""
        self._done = done
        self._thread.start()

    def _run(self) -> None:
        _here.work = self
        try:
            self._result.append(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 it is raised where the result is asked for
            self._error = error
        self._done()

    def stop(self) -> None:
        """Have it end early, and wait until it has."""
        if self._thread.is_alive():
            self._stopping.set()
        self._thread.join()

    def heeds_stop(self) -> bool:
        """Whether it is to end early now; says so once. Only for its own thread."""
        heeds = self._stopping.is_set() and not self.shelters
        if heeds:
            self._stopping.clear()
        return heeds

    def sleep(self, pause_s: float) -> None:
        """Sleep, at most until it is to end early. Only for its own thread."""
        if self.shelters:
            time.sleep(pause_s)
        else:
            self._stopping.wait(pause_s)

    def result(self) -> T:
        """What the call returned, or the error that it raised; waits for the end."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]


async def awaited(work: Work[T], undo: Callable[[], None] = lambda: None) -> T:
    """The result of work, while the event loop goes on; asyncio's, or with anyio also trio's.

    A task that is cancelled meanwhile ends only when the work has ended, early; if it came to its end all the same,
    `undo` is called first.
    """
    import asyncio  # which every command would wait for at its start

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return await _awaited_by_trio(work, undo)
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    work.start(lambda: loop.call_soon_threadsafe(end))
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        await _settled(loop.run_in_executor(None, _stopped, work, undo))
        raise
    return work.result()


async def _settled(ending: asyncio.Future[None]) -> None:
    """Wait for the end, however often the task is cancelled again."""
    import asyncio

    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            continue
    ending.result()


async def _awaited_by_trio(work: Work[T], undo: Callable[[], None]) -> T:
    import trio

    ended = trio.Event()
    token = trio.lowlevel.current_trio_token()
    work.start(lambda: token.run_sync_soon(ended.set))
    try:
        await ended.wait()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_stopped, work, undo)
        raise
    return work.result()


def _stopped(work: Work[T], undo: Callable[[], None]) -> None:
    work.stop()
    try:
        work.result()
    except BaseException:  # noqa: BLE001 the cancellation is what is raised
        return
    undo()


@contextmanager
def _ended(work: Work[T]) -> Generator[None]:
    try:
        yield
    finally:
        work.stop()


def watched(work: Work[T], events: queue.SimpleQueue[E | None]) -> Generator[E, None, T]:
    """The events that work puts into a queue, as they come; then its result, or its error.

    Whoever ends the iteration early ends the work, too.
    """
    work.start(lambda: events.put(None))
    with _ended(work):
        while (event := events.get()) is not None:
            yield event
        return work.result()
