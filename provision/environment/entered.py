"""Environments as context managers, and their methods without waiting for them: awaited, or with their events."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Self, TypeVar

from provision.common.interrupts import shielded
from provision.common.offloading import Work, awaited, watched
from provision.environment.living import Living
from provision.errors import ProvisionError, Refused, UsageError
from provision.events import Event

if TYPE_CHECKING:
    from provision.plan.actions import Plan

P = ParamSpec("P")
T = TypeVar("T")

REMOVE_S = 60.0
"""How long whoever ends the use of an environment waits for another command that is changing it, at least."""


class Creation(NamedTuple):
    """When and by which process an environment was made; one of the same name made at another time is another one."""

    at_s: float | None
    by: int


class Entered(Living):
    """The part of `Environment` that is a context manager, sync and async."""

    _entered: tuple[Creation | None, ...] = ()
    """For each block that has been entered and not left: what was made on the way in, if anything was."""
    _entering = threading.Lock()
    """While `_entered` is changed; one for all objects, since it is held for a moment only."""

    def __enter__(self) -> Self:
        """The environment, up and ready; leaving the block removes it, unless it was there before.

        If this process is killed inside the block, the environment is removed as well, within half a minute. One that
        is there before is updated only as far as nothing is restarted or deleted. One that is known by its name alone,
        and an external cluster, are taken as they are.
        """
        from provision.pipeline import UpOptions

        made: Creation | None = None
        try:
            if self._is_described():
                with self.changing("up"):  # nobody comes between the look and the change
                    absent = self._is_absent()
                    self.up(UpOptions(owner_pid=os.getpid() if absent else None), agree=_only_additions)
                    made = self._creation() if absent else None
        except BaseException:
            if not self._entered:
                self.close()
            raise
        with self._entering:
            self._entered += (made,)
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        with self._entering:
            if not self._entered:
                raise UsageError(f"{self.name} is left, but was not entered", hint="use it in `with`")
            *outer, made = self._entered
            self._entered = tuple(outer)
        try:
            if made and made.by == os.getpid():  # a forked process leaves the block, too
                self._remove(made)
        except ProvisionError as failure:
            if error is None:
                raise
            error.add_note(f"{self.name} could not be removed: {failure}")
        finally:
            if not self._entered:
                self.close()

    def _remove(self, made: Creation) -> None:
        """Remove it, if it is still what was made, and not one that somebody else has made since, under the same name.

        Another command that is changing it is waited for: nobody would remove it later.
        """
        said, self.lock_timeout_s = self.lock_timeout_s, max(self.lock_timeout_s, REMOVE_S)
        try:
            with self.changing("down"):
                if not self._is_absent() and self._creation() == made:
                    self.down()
        finally:
            self.lock_timeout_s = said

    def _creation(self) -> Creation:
        about = self.runtime.about(self.name)
        return Creation(about.created_s if about else None, os.getpid())

    def _is_described(self) -> bool:
        if self._source.only_name:
            return False
        return not self._source.require_valid(self._tell).bootstrap_servers

    def _is_absent(self) -> bool:
        return self.runtime.observe(self.name).is_absent

    async def __aenter__(self) -> Self:
        """As `with`, while the event loop goes on; a cancelled task leaves nothing behind."""
        return await awaited(Work(self.__enter__), partial(self.__exit__, None, None, None))

    async def __aexit__(self, *raised: object) -> None:
        await awaited(Work(partial(self._leave, *raised)))

    def _leave(self, *raised: Any) -> None:  # noqa: ANN401
        with shielded():  # a task that is cancelled now has it removed all the same
            self.__exit__(*raised)

    async def in_thread(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method, such as `environment.restart`, in a thread, while the event loop goes on.

        A cancelled task ends it as Ctrl-C does: a first `up` is rolled back, another change stops where it is. The
        task ends when that is done.
        """
        return await awaited(Work(partial(method, *args, **kwargs)))

    def events_of(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Generator[Event, None, T]:
        """Call a method in a thread, and iterate over its events as they come; an error is raised at the end.

        Whoever leaves the iteration early ends it as Ctrl-C does. The listener is told as well.
        """
        events = queue.SimpleQueue[Event | None]()

        with self._watched(events.put):  # while the work takes over the context
            work = Work(partial(method, *args, **kwargs))
        return (yield from watched(work, events))


def _only_additions(plan: Plan) -> None:
    if changes := plan.needs_consent:
        why = "\n".join(map(str, changes))
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="call `up` where that is meant")
