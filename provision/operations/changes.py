"""What is said about changes of an environment: who makes one now, and how to go on after one that did not end."""

from provision.home.holders import Holder
from provision.home.journals import Run
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.runtime.base import Runtime


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
