"""The environments that one `down` removes together, once the user has seen which ones."""

from typing import TYPE_CHECKING

from provision.cli.consent import require_agreement
from provision.cli.output import say, tell_notices
from provision.common.counts import counted

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.plan.observed import ObservedEnvironment


def agreed(*, everything: bool, engine: bool, yes: bool) -> "list[tuple[Environment, ObservedEnvironment]]":
    """The environments of this home and of `PROVISION_OWNER` (`everything`), or all of the engine, or both.

    With each is what was seen of it, and so what was agreed to: by the time that it is removed, it may be another one.

    Raises:
        Unavailable: those of the engine are meant, and none answers.
        Refused: the user does not agree, or there is no terminal to ask.
    """
    from provision.environment import Environment
    from provision.operations.whose import is_of, named_owner

    found: list[tuple[Environment, ObservedEnvironment]] = []
    others: list[str] = []
    for environment in Environment.all(on_event=tell_notices, need_engine=engine):
        observed = environment.runtime.observe(environment.name)
        is_ours = everything and is_of(observed, environment.home.directory, named_owner())
        if is_ours or (engine and observed.runtime != "process"):
            found.append((environment, observed))
        else:
            others.append(observed.name)
    if others and everything:
        names = ", ".join(others)
        say(f"left, because they are of another home or owner: {names} (`provision list -o json` tells whose)")
    if not found:
        say("there is nothing to remove")
    elif not yes:
        for _, observed in found:
            say(f"{observed.name}: {_shown(observed)}")
        say(f"this removes {counted('environment', len(found))}")
        require_agreement("nothing is removed", "--yes agrees; `provision down NAME` removes one")
    return found


def _shown(observed: "ObservedEnvironment") -> str:
    about = observed.about
    parts = [
        {"process": "processes", "swarm": "services"}.get(observed.runtime, "containers"),
        counted("node", len(observed.nodes)) if observed.nodes else "kept data",
        f"made from {about.origin}" if about else "made by an earlier version",
    ]
    if about and about.user:
        parts.append(f"by {about.user}")
    if about and about.owner:
        parts.append(f"for {about.owner}")
    return ", ".join(parts)
