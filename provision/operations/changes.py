"""What is noted and said about changes of an environment: who makes one now, and how to go on after a killed one."""

from collections.abc import Iterable
from contextlib import suppress

from provision.errors import ProvisionError
from provision.events import Listener
from provision.home.holders import Holder
from provision.home.journals import KILLED, Run
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.plan.about import Change
from provision.runtime.base import Remnant, Runtime


def changed_by(home: Home, name: str, runtime: Runtime | None) -> Holder | None:
    """The command that is changing an environment now, as far as this home and the runtime tell; None if none is."""
    ours = HomeLock(home.directory, name).holder()
    if ours and ours.process.is_over is False:
        return ours
    return runtime.holder(name) if runtime else None


def told_as_killed(run: Run) -> str:
    """What is said about a run that was killed."""
    return f"the last change was killed: {run.holder}"


def way_on(holder: Holder, name: str) -> str:
    """Which commands go on after one that was interrupted or killed, with the options that it had."""
    verb = holder.command
    again = f"`provision {' '.join(filter(None, [verb, name, holder.options]))}`"
    if verb == "down":
        return f"{again} removes what is left"
    if verb.startswith("topics"):
        return f"`provision topics list {name}` shows what is there"
    if verb == "gc":
        return "`provision gc` removes what is left"
    return f"{again} continues, `provision down {name}` removes it"


def note_with_environment(
    runtimes: Iterable[Runtime],
    name: str,
    of: Holder,
    outcome: str,
    exit_code: int | None = None,
    seconds: float | None = None,
) -> None:
    """Let an environment, where it is there, know of a command: other homes have journals of their own."""
    change = Change(
        run=of.token,
        command=of.command,
        user=of.user,
        process=of.process,
        began_s=of.since,
        seconds=seconds,
        outcome=outcome,
        exit_code=exit_code,
    )
    for runtime in runtimes:
        with suppress(ProvisionError):  # it may be the reason of a failure; the journal has it
            if about := runtime.about(name):
                runtime.write_about(name, about.with_change(change))


def give_up_killed(runtime: Runtime, lock: Remnant, tell: Listener) -> bool:
    """Give up the claim of a killed command, whichever home it was of; its environment knows of it from then on.

    Returns whether that claim was still there.

    Raises:
        Busy: another command has claimed it meanwhile.
    """
    name = lock.name
    before, killed = runtime.about(name), runtime.killed_holder(name)
    if killed is None and lock not in runtime.remnants():  # one that cannot be read is there all the same
        return False
    held = runtime.hold(name, Holder.of("gc"), tell=tell)
    try:
        # Whoever has taken it over meanwhile, and given it up again, has noted that, and may have changed more since.
        if runtime.about(name) != before:
            return False
        if killed:
            note_with_environment([runtime], name, killed, KILLED)
    finally:
        held.release()
    return True
