"""Examine an environment: gather the facts, let every check look at them, and repair what is safe to repair."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct

from provision.common.patience import Patience
from provision.errors import NodeFailed, NotReady, UsageError
from provision.events import Listener, Notice, action
from provision.kafka.levels import Level
from provision.observe.waiting import Wait
from provision.operations.doctor.checks import findings
from provision.operations.doctor.facts import Facts, known
from provision.operations.doctor.findings import Finding, Hands, Repair
from provision.operations.doctor.gather import gather
from provision.operations.doctor.reachability import Reach
from provision.plan.observed import ObservedEnvironment
from provision.runtime import IN_ENGINES, Runtimes
from provision.runtime.base import Runtime
from provision.spec.source import Source

_READY_S = 60.0

MOMENTARY = frozenset(
    {
        "kraft-quorum-lost",
        "min-isr-not-met",
        "no-leader",
        "node-stopped",
        "not-examined",
        "not-ready",
        "under-replicated",
        "unreachable-listener",
        "zookeeper-quorum-lost",
    }
)
"""What may be true only while a node goes down or comes up: it is told if a second look finds it too."""

OF_CHANGES = MOMENTARY | {
    "change-interrupted",
    "dynamic-setting",
    "file-edited",
    "file-half-written",
    "leaders-not-preferred",
    "network-lost",
    "node-exists",
    "node-gone",
    "not-formatted",
    "port-taken",
    "reassignment-hangs",
    "slow-node",
    "stale-throttle",
    "volume-lost",
    "voters-differ",
    "wrong-address",
    "zookeeper-silent",
}
"""What a change brings about itself while it goes on: it is told only if no command is changing the environment."""

Choose = Callable[[Repair], bool]
"""Whether the user agrees to a repair."""


class Diagnosis(Struct, frozen=True):
    """What an environment has, and whether it exists at all: `is_up` is whether there are nodes."""

    environment: str
    findings: tuple[Finding, ...]
    reachability: tuple[Reach, ...]
    is_up: bool

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as `doctor -o json` shows it."""
        return {
            "environment": self.environment,
            "findings": [finding.as_dict() for finding in self.findings],
            "reachability": [row.as_dict() for row in self.reachability],
        }


class _Look(Struct, frozen=True):
    """One look at an environment: what was gathered, where it is, and what the checks find in it."""

    facts: Facts
    runtime: Runtime | None
    found: tuple[Finding, ...]

    @property
    def suspected(self) -> frozenset[tuple[str, str]]:
        """What may be over in a moment."""
        return frozenset(_subject(one) for one in self.found if one.id in MOMENTARY)

    @property
    def diagnosis(self) -> Diagnosis:
        """What it comes to."""
        rows = known(self.facts.reachability) or ()
        return Diagnosis(self.facts.name, self.found, rows, bool(self.facts.there))


def examine(source: Source, runtimes: Runtimes) -> tuple[Diagnosis, Runtime | None]:
    """Examine an environment, and return with it the runtime that has it.

    Raises:
        UsageError: there is neither a file nor an environment of that name.
    """
    look = _confirmed(_look(source, runtimes), source, runtimes)
    return look.diagnosis, look.runtime


def _look(source: Source, runtimes: Runtimes) -> _Look:
    facts, runtime = gather(source, runtimes)
    _require_something(facts, runtime, runtimes)
    return _Look(facts, runtime, _findings(facts))


def _confirmed(look: _Look, source: Source, runtimes: Runtimes) -> _Look:
    """The look, or a second one, without what only one of them has found and may be over in a moment."""
    if not look.suspected:
        return look
    facts, runtime = gather(source, runtimes)
    found = (one for one in _findings(facts) if one.id not in MOMENTARY or _subject(one) in look.suspected)
    return _Look(facts, runtime, tuple(found))


def _findings(facts: Facts) -> tuple[Finding, ...]:
    every = findings(facts)
    return tuple(one for one in every if one.id not in OF_CHANGES) if known(facts.changing) else every


def _subject(finding: Finding) -> tuple[str, str]:
    return finding.id, finding.node


def _require_something(facts: Facts, runtime: Runtime | None, runtimes: Runtimes) -> None:
    """Refuse a name that nothing has; an engine that does not answer may have what the home knows to be there."""
    observed = known(facts.observed)
    nobody_begins = facts.source is None and known(facts.changing) is None
    may_be_there = facts.engine is not None and runtimes.noted_place(facts.name, *IN_ENGINES)
    if nobody_begins and not may_be_there and runtime and observed and observed.is_absent:
        there = ", ".join(runtime.environments()) or "none"
        why = f"plain processes only were looked at: {facts.engine.why}" if facts.engine else ""
        hint = f"running: {there}; `provision up` makes one"
        raise UsageError(f"there is no environment {facts.name}", why=why, hint=hint)


def mend(
    source: Source,
    runtimes: Runtimes,
    *,
    allowed: Callable[[], None],
    choose: Choose,
    changing: AbstractContextManager[Listener],
) -> tuple[Diagnosis, Sequence[str]]:
    """Examine, carry out the safe repairs that are agreed to, and examine again.

    Another command may have changed the environment while the user was asked, or while it was waited for: then it is
    looked at again once nobody else can change it, and what is no longer found is not repaired. So it is with what may
    be over in a moment.

    Args:
        source: the file, or the name.
        runtimes: where it may be.
        allowed: raises if it may not be changed; called before the user is asked.
        choose: asks the user.
        changing: entered before the first repair; holds the environment, and has the listener.

    Returns:
        The last diagnosis, and what was done.

    Raises:
        Busy: another command is changing it.
        UsageError: as `examine`.
        ProvisionError: a repair failed.
    """
    look = _look(source, runtimes)
    possible, runtime = _repairs(look.found), look.runtime
    if not possible or runtime is None:
        return _confirmed(look, source, runtimes).diagnosis, ()
    allowed()
    chosen = {repair for repair in possible if choose(repair)}
    if not chosen:
        return _confirmed(look, source, runtimes).diagnosis, ()
    with changing as tell:
        hands = Hands(runtime, look.facts.name, runtimes.home, tell)
        certain = chosen.issubset(_repairs(one for one in look.found if one.id not in MOMENTARY))
        visible = not any(repair.in_kafka for repair in chosen)
        holds = certain and visible and not _has_changed(look.facts, runtime)
        found = look.found if holds else findings(gather(source, runtimes)[0])
        needed = [repair for repair in _repairs(found) if repair in chosen]
        for repair in needed:
            with action(tell, repair.verb, repair.subject):
                repair.act(hands)
        for repair in chosen.difference(needed):
            tell(Notice(f"not done, because it is no longer needed: {repair}"))
        _await_ready(hands)
    return examine(source, runtimes)[0], list(map(str, needed))


def _has_changed(facts: Facts, runtime: Runtime) -> bool:
    """Whether its nodes, or what it knows of its changes, are other than they were when the facts were gathered."""
    before, now = known(facts.observed), runtime.observe(facts.name)
    return before is None or _standing(before) != _standing(now)


def _standing(observed: ObservedEnvironment) -> tuple[object, ...]:
    nodes = tuple((node.name, node.state, node.config_hash, node.astray) for node in observed.nodes)
    return nodes, observed.gone, observed.network, observed.about


def _repairs(found: Iterable[Finding]) -> Sequence[Repair]:
    """Each repair once, as the first finding describes it."""
    return list(dict.fromkeys(repair for one in found for repair in one.repairs))


def _await_ready(hands: Hands) -> None:
    """Give what was repaired the time to come back; what does not is found by the next examination."""
    nodes = [node.name for node in hands.runtime.observe(hands.name).nodes]
    try:
        Wait(hands.runtime, hands.name, nodes, Patience(_READY_S), hands.tell).until(Level.TOPICS, None)
    except (NotReady, NodeFailed):
        return
