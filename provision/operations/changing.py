"""The one way into every change of an environment: with its lock, and noted in its journal.

The lock is taken before the command looks at what there is, and lasts until it has ended. There are two: that of the
home, and that of the runtime (`Runtime.hold`), for those who use the same engine from another home. The journal is
written from the events, from the first action on: a command that changes nothing is not noted.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from provision.common.clocks import now_s, running_s
from provision.common.interrupts import leaving, shielded
from provision.common.patience import Patience
from provision.errors import Busy, Interrupted, ProvisionError, Refused, Unavailable
from provision.events import (
    ActionStarted,
    ActionStep,
    Event,
    Fetching,
    Listener,
    NodeWaiting,
    Notice,
    Progress,
    StillWaiting,
    silent,
)
from provision.home.holders import Holder
from provision.home.journals import KILLED, Journal, Run, outcome_of
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.operations.changes import note_with_environment, told_as_killed, way_on
from provision.runtime.base import Hold, Runtime

FORCE_S = 30.0
"""How long a command has to end if its lock is taken over; what it is doing is finished in that time."""
COLLECTS_S = 3.0
"""How long `gc` is waited for in any case, which holds for a moment what killed commands have left."""
_PAUSE_S = 0.2
_BETWEEN_ACTIONS = (ActionStarted, ActionStep, Fetching, NodeWaiting, Progress, StillWaiting)
"""The events at which a command that has lost its lock stops: something is about to begin, or it only waits."""


class Change:
    """A command that changes an environment. This one has no lock and no journal: for callers that have their own.

    Args:
        tell: receives the events.
    """

    def __init__(self, tell: Listener = silent) -> None:
        self.tell = tell
        self.has_waited = False
        """Whether another command had the lock before, which may have changed everything."""

    def hold(self, runtime: Runtime) -> None:
        """Claim the environment in the runtime too, before anything of it is looked at.

        Raises:
            Busy: another command holds it.
        """

    @property
    def is_held(self) -> bool:
        """Whether no other command has taken the environment over."""
        return True

    def roll_back(self) -> None:
        """Note that what was made is about to be removed again."""


@contextmanager
def changing(  # noqa: PLR0913 who changes what, and how it is told
    home: Home,
    name: str,
    command: str,
    *,
    options: str = "",
    tell: Listener = silent,
    timeout_s: float = 0.0,
    force: bool = False,
) -> Iterator[Change]:
    """Change an environment: alone, and with a note of it.

    Args:
        home: where the lock and the journal are.
        name: the environment's name.
        command: the verb, as in `provision up`.
        options: what has to be said again to go on with it.
        tell: receives the events, and what is to be said about the lock.
        timeout_s: how long to wait for another command.
        force: take the lock over from a command that runs.

    Raises:
        Busy: another command is changing it; or it has taken the environment over while this one was at work.
        Interrupted: Ctrl-C; says which command goes on.
    """
    change = _Held(home, name, Holder.of(command, options), tell, Patience(timeout_s), force=force)
    with ExitStack() as stack:
        stack.callback(change.release)
        change.take()
        stack.enter_context(leaving(change.way_on))
        try:
            yield change
        except BaseException as error:
            change.end(error)
            if change.is_unfinished and isinstance(error, KeyboardInterrupt):
                raise Interrupted("interrupted", hint=change.way_on()) from error
            if change.is_unfinished and isinstance(error, Interrupted) and not error.hint:
                error.hint = change.way_on()
            raise
        change.end(None)


class _Held(Change):
    """A change with both locks and a journal."""

    def __init__(
        self, home: Home, name: str, holder: Holder, tell: Listener, patience: Patience, *, force: bool
    ) -> None:
        super().__init__(self._on_event)
        self._name, self._holder, self._listener = name, holder, tell
        self._patience, self._force = patience, force
        self._began_s = running_s()
        self._lock = HomeLock(home.directory, name)
        self._holds: dict[str, Hold] = {}
        self._runtimes: list[Runtime] = []
        self._journal: Journal | None = Journal(home.directory, name)
        self._journaling = threading.Lock()
        self._last: Run | None = None
        self._killed: Holder | None = None
        self._begun = self._rolled_back = False
        self._unlocked: list[str] = []

    # -- take and give up ---------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Take the home's lock.

        Raises:
            Busy: another command holds it, and has not ended in time.
        """
        try:
            if self._force:
                self._take_over()
            else:
                self._wait(self._lock.take)
        except OSError as error:
            self._unlocked.append(f"{self._lock.file}: {error.strerror or error}")
        except Unavailable as error:
            self._unlocked.append(f"{error.what}: {error.why}")
        if self._journal and not self._journal.ended_well:
            self._last = self._journal.last()
        if self._last and self._last.state == KILLED:
            self._listener(Notice(f"{told_as_killed(self._last)}; going on from there"))

    def hold(self, runtime: Runtime) -> None:
        if runtime.kind in self._holds:  # by an earlier step of the same change
            return

        def claim(holder: Holder) -> None:
            self._holds[runtime.kind] = runtime.hold(self._name, holder, tell=self._listener)

        def take_over(holder: Holder) -> None:
            try:
                claim(holder)
            except Busy as reason:
                self._listener(Notice(f"{reason.what}; taking over from it"))
                self._holds[runtime.kind] = runtime.hold(self._name, holder, Patience(FORCE_S), self._listener)

        self._runtimes.append(runtime)
        killed = self._killed_before(runtime)
        try:
            self._wait(take_over if self._force else claim)
        except (Busy, Refused, Unavailable):
            raise
        except ProvisionError as error:  # there is no room for a lock: then nobody else gets one either
            self._unlocked.append(error.why or error.what)
        else:
            if killed:
                self._note_killed(runtime, killed)

    def _killed_before(self, runtime: Runtime) -> Holder | None:
        """Whose lock was left there; None also if that cannot be known, since it is only told."""
        try:
            return runtime.killed_holder(self._name)
        except ProvisionError:
            return None

    def _note_killed(self, runtime: Runtime, killed: Holder) -> None:
        """Let the environment know of a killed command, which could not tell it; it may be one of another home."""
        if not (self._last and self._last.id == killed.token):
            self._last = Run(killed)
            self._listener(Notice(f"{told_as_killed(self._last)}; going on from there"))
        self._killed = killed
        note_with_environment([runtime], self._name, killed, KILLED)

    def _wait(self, take: Callable[[Holder], None]) -> None:
        told, for_gc = False, Patience(COLLECTS_S)
        while True:
            try:
                take(self._holder)
            except Busy as reason:
                patience = for_gc if reason.command == "gc" and self._patience.is_over else self._patience
                if patience.is_over:
                    raise
                self.has_waited = True
                if not told:
                    self._listener(Notice(f"{reason.what}; waiting for it"))
                    told = True
                patience.pause(_PAUSE_S)
            else:
                return

    def _take_over(self) -> None:
        try:
            self._lock.take(self._holder)
        except Busy as reason:
            self._listener(Notice(f"{reason.what}; taking over from it"))
            if not self._lock.take_over(self._holder, Patience(FORCE_S)):
                self._listener(
                    Notice("it does not end; what it has begun may still appear, `provision down` again then")
                )

    def release(self) -> None:
        """Give both locks up, whatever has come of it."""
        with shielded(), ExitStack() as stack:
            stack.callback(self._lock.release)
            for held in self._holds.values():
                stack.callback(held.release)

    # -- while it lasts -----------------------------------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        try:
            with shielded():
                self._require_held(at_once=True)
        except ProvisionError:  # where that cannot be found out, nothing is removed
            return False
        return True

    def _require_held(self, *, at_once: bool = False) -> None:
        self._lock.require_held()
        for held in self._holds.values():
            held.require_held(at_once=at_once)

    def roll_back(self) -> None:
        self._rolled_back = True

    @property
    def is_unfinished(self) -> bool:
        """Whether something was begun, and neither ended nor undone."""
        return self._begun and not self._rolled_back

    def way_on(self) -> str:
        """Which commands go on if this one ends now."""
        return way_on(self._holder, self._name)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, _BETWEEN_ACTIONS):
            self._require_held()
        self._note(event)
        self._listener(event)

    def _note(self, event: Event) -> None:
        with self._journaling:
            if isinstance(event, ActionStarted):
                self._begin()
            if self._begun:
                self._write(lambda journal: journal.tell(self._holder.token, event))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            for reason in self._unlocked:  # not before: a command that needs what cannot be used says so itself
                text = f"other commands are not kept off {self._name}, as it cannot be locked: {reason}"
                self._listener(Notice(text))
            self._write(lambda journal: journal.begin(self._holder))

    def end(self, error: BaseException | None) -> None:
        """Note how it ended; a success also without an action, if what was noted last did not end well."""
        with self._journaling:
            if error is None and self._last:
                self._begin()
            if self._begun:
                taken_s, ended_s = running_s() - self._began_s, now_s()
                undone = self._rolled_back
                self._tell_environment(error, taken_s)
                self._write(
                    lambda journal: journal.end(self._holder.token, ended_s, taken_s, error, rolled_back=undone)
                )

    def _tell_environment(self, error: BaseException | None, taken_s: float) -> None:
        """Let the environment, if it is there, know of the change too: other homes have journals of their own."""
        if error is not None and not self.is_held:
            return
        if self._killed:  # its environment may not have been there before
            note_with_environment(self._runtimes, self._name, self._killed, KILLED)
        note_with_environment(self._runtimes, self._name, self._holder, *outcome_of(error), round(taken_s, 3))

    def _write(self, write: Callable[[Journal], None]) -> None:
        """Write to the journal; if that is not possible, the work goes on without one."""
        if self._journal is None:
            return
        try:
            write(self._journal)
        except (OSError, Unavailable) as error:
            file, self._journal = self._journal.file, None
            reason = error.why if isinstance(error, Unavailable) else error.strerror or error
            self._listener(Notice(f"no history is kept: {file} cannot be written: {reason}"))
