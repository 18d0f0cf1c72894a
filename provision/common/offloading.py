"""Work in a thread of its own: awaited while an event loop goes on, or watched as it goes. It can be stopped early."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
E = TypeVar("E")


_here = threading.local()


def stopping_here() -> threading.Event | None:
    """What is set when the work of this thread is to end early; None in a thread that is nobody's work."""
    return getattr(_here, "stopping", None)


class Work(Generic[T]):
    """A call in a thread of its own. `stop` is called when it is to end early: for the threads that it has started."""

    def __init__(self, call: Callable[[], T], stop: Callable[[], None]) -> None:
        self._call, self._stop = call, stop
        self._stopping = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="provision")
        self._done: Callable[[], object] = lambda: None

    def start(self, done: Callable[[], object]) -> None:
        """Begin; `done` is called in the thread at the end."""
        self._done = done
        self._thread.start()

    def _run(self) -> None:
        _here.stopping = self._stopping
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 it is raised where the result is asked for
            self._error = error
        self._done()

    def stop(self) -> None:
        """Have it end early, and wait until it has."""
        if self._thread.is_alive():
            self._stopping.set()
            self._stop()
        self._thread.join()

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
