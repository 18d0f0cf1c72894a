"""Environments that nobody needs any more. They are removed like by `down`: alone, and only if that is still so."""

from collections.abc import Callable, Iterator
from pathlib import Path

from provision.errors import ProvisionError
from provision.events import Listener, Notice
from provision.home.place import Home
from provision.operations.changing import changing
from provision.operations.gc.leftover import Found, Leftover, Removal, Situation, Storages
from provision.operations.remove import down
from provision.plan.about import About
from provision.plan.observed import ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.spec.units import duration_text

Why = Callable[[ObservedEnvironment, Situation], str]
"""Why an environment is left over; empty if it is not."""


def expired(situation: Situation) -> Iterator[Leftover]:
    """Environments that are past their `ttl`."""
    for found in situation.environments:
        yield from _judged(found, situation, "expired", _why_expired, found.observed.expires_s)


def _why_expired(observed: ObservedEnvironment, situation: Situation) -> str:
    over_s = situation.now_s - (observed.expires_s or situation.now_s)
    return f"past its ttl of {duration_text(observed.ttl_s or 0)} by {duration_text(over_s)}" if over_s > 0 else ""


def ownerless(situation: Situation) -> Iterator[Leftover]:
    """Environments whose owner, a process or a CI job, has ended; also those of which only a note is left."""
    for found in (*situation.environments, *situation.noted):
        yield from _judged(found, situation, "owner ended", _why_ownerless, found.observed.created_s)


def _why_ownerless(observed: ObservedEnvironment, situation: Situation) -> str:
    about = observed.about
    if about and about.owner and about.owner in situation.jobs_ended:
        return f"its owner {about.owner} has ended"
    if about and about.owner_process and about.owner_process.is_over:
        return f"its owner, {about.owner_process}, has ended"
    return ""


def half_made(situation: Situation) -> Iterator[Leftover]:
    """Environments without nodes and without data: what a killed command leaves."""
    for found in situation.environments:
        runtime = found.runtime

        def why(observed: ObservedEnvironment, situation: Situation, runtime: Runtime = runtime) -> str:
            is_empty = _is_empty(observed, runtime, situation.with_data)
            return "it has no nodes, and nothing was ever stored" if is_empty else ""

        yield from _judged(found, situation, "half-made", why, found.observed.created_s)


def _is_empty(observed: ObservedEnvironment, runtime: Runtime, with_data: set[Storages]) -> bool:
    storages = (runtime.kind, observed.name, observed.created_s, observed.storages)
    if observed.nodes or observed.is_absent or storages in with_data:
        return False
    stored = [runtime.read_storage(observed.name, node) for node in observed.storages]
    if any(data is not None and data.written for data in stored):
        with_data.add(storages)  # data that were written stay written
    return all(data is not None and not data.written for data in stored)


def remembered(situation: Situation) -> Iterator[Leftover]:
    """Environments that are gone but for what they knew of themselves."""
    for found in situation.noted:
        since_s = found.observed.about.created_s if found.observed.about else None
        yield from _judged(found, situation, "note", _why_remembered, since_s)


def _why_remembered(observed: ObservedEnvironment, _situation: Situation) -> str:
    return "only a note is left of the environment" if observed.is_absent and observed.about else ""


def homeless(situation: Situation) -> Iterator[Leftover]:
    """Processes of environments whose directory, or whose whole home, has been deleted under them."""
    own = situation.runtimes.home
    for runtime in situation.answering:
        orphans = runtime.orphans()

        def why(observed: ObservedEnvironment, _situation: Situation, runtime: Runtime = runtime) -> str:
            return _why_homeless(observed, runtime, own.directory)

        for found in situation.environments:
            if found.runtime is runtime and (own.directory, found.name) in orphans:
                yield from _judged(found, situation, "home gone", why, found.observed.created_s)
        for home, name in sorted(one for one in orphans if one[0] != own.directory):
            told = f"it runs, but its home {home} is gone"
            remove = _removal_of_lost(runtime, name, Home.at(home, own.cache))
            yield Leftover("home gone", name, told, remove, environment=name)


def _why_homeless(observed: ObservedEnvironment, runtime: Runtime, home: Path) -> str:
    lost = observed.nodes and all(node.state == "lost" for node in observed.nodes)
    is_gone = lost and not observed.network and (home, observed.name) in runtime.orphans()
    return "it runs, but its directory is gone" if is_gone else ""


def _removal_of_lost(runtime: Runtime, name: str, home: Home) -> Removal:
    """The removal of what has no home, and so neither a lock nor a journal."""

    def remove(tell: Listener) -> bool:
        if (home.directory, name) not in runtime.orphans():  # it has ended, or has been made again
            return False
        return bool(down(Runtimes(home).of_kind(runtime.kind), name, home, tell=tell))

    return remove


def _judged(found: Found, situation: Situation, kind: str, why: Why, since_s: float | None) -> Iterator[Leftover]:
    """The environment, if it is left over."""
    try:
        reason = why(found.observed, situation)
    except ProvisionError as error:  # the others are looked at all the same
        situation.tell(Notice(f"{found.name} cannot be looked at: {error}"))
        return
    if reason:
        told = f"{reason}; {_told_of(found.observed.about)}" if found.observed.about else reason
        remove = _removal(found, situation, why)
        yield Leftover(kind, found.name, told, remove, since_s, f"{found.runtime.kind} {found.name}")


def _told_of(about: About) -> str:
    whose = f" by {about.user}" if about.user else ""
    return f"made from {about.origin}{whose}"


def _removal(found: Found, situation: Situation, why: Why) -> Removal:
    runtimes, runtime, name = situation.runtimes, found.runtime, found.name

    def remove(tell: Listener) -> bool:
        with changing(runtimes.home, name, "gc", tell=tell) as change:
            change.hold(runtime)
            now = Situation(runtimes, situation.jobs_ended)
            if not why(runtime.observe(name), now):  # somebody has changed it since it was found
                return False
            down(runtime, name, runtimes.home, tell=change.tell, elsewhere=runtimes.elsewhere)
        return True

    return remove
