"""Environments as context managers, and their methods without waiting for them: awaited, or with their events."""

from __future__ import annotations

import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from provision.common.offloading import Work, awaited, stopping_here, watched
from provision.errors import Interrupted, Refused
from provision.events import Event, Listener

if TYPE_CHECKING:
    from provision.plan.actions import Plan

P = ParamSpec("P")
T = TypeVar("T")


class Entered(ABC):
    """The part of `Environment` that is a context manager, sync and async."""

    on_event: Listener

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._brought_up = False

    @abstractmethod
    def _is_described(self) -> bool:
        """Whether it can be brought up: it is more than a name, and no cluster of others."""

    @abstractmethod
    def _is_absent(self) -> bool:
        """Whether nothing of it exists."""

    @abstractmethod
    def _bring_up(self, agree: Callable[[Plan], None], owner_pid: int | None) -> None:
        """Bring it up, after that was agreed to; it goes with that process, if there is one."""

    @abstractmethod
    def _remove(self) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def __enter__(self) -> Self:
        """The environment, up and ready; leaving the block removes it, unless it was there before.

        If this process is killed inside the block, the environment is removed as well, within half a minute. One that
        is there before is updated only as far as nothing is restarted or deleted. One that is known by its name alone,
        and an external cluster, are taken as they are.
        """
        if self._is_described():
            try:
                absent = self._is_absent()
                self._bring_up(_only_additions, os.getpid() if absent else None)
            except BaseException:
                self.close()
                raise
            self._brought_up = absent
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._brought_up and not self._is_absent():
                self._remove()
        finally:
            self._brought_up = False
            self.close()

    async def __aenter__(self) -> Self:
        """As `with`, while the event loop goes on; a cancelled task leaves nothing behind."""
        try:
            return await awaited(Work(self.__enter__, self._stop), self._leave)
        finally:
            self._stopping.clear()

    async def __aexit__(self, *_: object) -> None:
        await awaited(Work(self._leave, lambda: None))

    def _leave(self) -> None:
        self._stopping.clear()
        self.__exit__()

    async def in_thread(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method, such as `environment.restart`, in a thread, while the event loop goes on.

        A cancelled task ends it as Ctrl-C does: a first `up` is rolled back, another change stops where it is. The
        task ends when that is done.
        """
        try:
            return await awaited(Work(partial(method, *args, **kwargs), self._stop))
        finally:
            self._stopping.clear()

    def events_of(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Generator[Event, None, T]:
        """Call a method in a thread, and iterate over its events as they come; an error is raised at the end.

        Whoever leaves the iteration early ends it as Ctrl-C does. The listener is told as well.
        """
        events = queue.SimpleQueue[Event | None]()
        listener = self.on_event

        def on_event(event: Event) -> None:
            events.put(event)
            listener(event)

        self.on_event = on_event
        try:
            return (yield from watched(Work(partial(method, *args, **kwargs), self._stop), events))
        finally:
            self.on_event = listener
            self._stopping.clear()

    def _stop(self) -> None:
        self._stopping.set()

    def _require_wanted(self) -> None:
        """Raise if the work of this thread, or that for which it works, is to end early.

        It raises once: what has to be done then is done to its end.
        """
        stopping = stopping_here() or self._stopping
        if stopping.is_set():
            stopping.clear()
            raise Interrupted("interrupted")


def _only_additions(plan: Plan) -> None:
    if changes := plan.needs_consent:
        why = "\n".join(map(str, changes))
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="call `up` where that is meant")
