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
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from provision.errors import Interrupted

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
E = TypeVar("E")

_here = threading.local()
_LOOK_S = 0.2
"""How soon work that waits for other work learns that it is to end."""


def _work_here() -> Work[Any] | None:
    """The work whose own thread this is."""
    return getattr(_here, "work", None)


def require_wanted() -> None:
    """Raise if the work of this thread is to end early. Once: what has to be done then is done to its end.

    Raises:
        Interrupted: it is, and this is no `sheltered` block.
    """
    work = _work_here()
    if work and not work.shelters and work.heed():
        raise Interrupted("interrupted")


def heed() -> None:
    """Take note that the work of this thread ends early, if it is to do so; nothing more is raised for that."""
    if work := _work_here():
        work.heed()


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
    """Run the block to its end although the work of this thread is to end early; `came` is set if it is.

    Whoever ends the work for that calls `heed`; else it is raised where it is heeded next.
    """
    work = _work_here()
    if work is None:
        yield
        return
    work.shelters += 1
    try:
        yield
    finally:
        work.shelters -= 1
        if work.is_to_end:
            came.set()


def next_of(things: queue.SimpleQueue[E]) -> E:
    """The next thing of a queue, which is waited for.

    Raises:
        Interrupted: as `require_wanted`.
    """
    while True:
        try:
            return things.get(timeout=_LOOK_S)
        except queue.Empty:
            require_wanted()


def result_of(future: Future[E]) -> E:
    """The result of what another thread does, which is waited for.

    Raises:
        Interrupted: as `require_wanted`.
    """
    while not wait([future], _LOOK_S).done:
        require_wanted()
    return future.result()


@contextmanager
def ended_by(end: Callable[[], None]) -> Generator[None]:
    """In the block, `end` is called from another thread if the work of this one is to end early."""
    work = _work_here()
    if work is None:
        yield
        return
    work.ends.append(end)
    try:
        if work.is_to_end:
            end()
        yield
    finally:
        work.ends.remove(end)


class Work(Generic[T]):
    """A call in a thread of its own, with the context variables of whoever creates it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call, self._context = call, contextvars.copy_context()
        self._stopping = threading.Event()
        self.ends: list[Callable[[], None]] = []
        """What is called when it is to end early."""
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

    def ask_to_end(self) -> None:
        """Have it end early."""
        if self._thread.is_alive():
            self._stopping.set()
            for end in tuple(self.ends):
                end()

    def stop(self) -> None:
        """Have it end early, and wait until it has. Its own thread, which may be collecting garbage, cannot wait."""
        self.ask_to_end()
        if self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_to_end(self) -> bool:
        """Whether it is to end early, and that has not been heeded."""
        return self._stopping.is_set()

    def heed(self) -> bool:
        """Whether it is to end early; says so once. Only for its own thread."""
        is_to_end = self.is_to_end
        self._stopping.clear()
        return is_to_end

    def sleep(self, pause_s: float) -> None:
        """Sleep, at most until it is to end early. Only for its own thread."""
        if self.shelters:
            time.sleep(pause_s)
        else:
            self._stopping.wait(pause_s)

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended without an error."""
        return bool(self._result)

    def result(self) -> T:
        """What the call returned, or the error that it raised; waits for the end."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]


async def awaited(work: Work[T], undo: Callable[[], None] | None = None) -> T:
    """The result of work, while the event loop goes on; asyncio's, or with anyio also trio's.

    A task that is cancelled meanwhile ends only when the work has ended, early; if it came to its end all the same,
    `undo` is called first.
    """
    import asyncio  # which every command would wait for at its start

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await _awaited_by_trio(work, undo)
    ended = _begun(work)
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        work.ask_to_end()
        await _settled(ended)
        if undo and work.has_succeeded:
            await _settled(_begun(undoing := Work(undo)))
            undoing.result()
        raise
    return work.result()


def _begun(work: Work[Any]) -> asyncio.Future[None]:
    """Begin; what the event loop learns of its end by."""
    import asyncio

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    work.start(lambda: loop.call_soon_threadsafe(end))
    return ended


async def _settled(ending: asyncio.Future[None]) -> None:
    """Wait for the end, however often the task is cancelled again."""
    import asyncio

    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            continue


async def _awaited_by_trio(work: Work[T], undo: Callable[[], None] | None) -> T:
    import trio

    token = trio.lowlevel.current_trio_token()

    def begun(some: Work[Any]) -> trio.Event:
        ended = trio.Event()
        some.start(lambda: token.run_sync_soon(ended.set))
        return ended

    ended = begun(work)
    try:
        await ended.wait()
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            work.ask_to_end()
            await ended.wait()
            if undo and work.has_succeeded:
                await begun(undoing := Work(undo)).wait()
                undoing.result()
        raise
    return work.result()


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
        while (event := next_of(events)) is not None:
            yield event
        return work.result()
