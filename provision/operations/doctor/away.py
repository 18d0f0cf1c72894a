"""Why a broker is missing from the in-sync replicas of its partitions, and what brings it back."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from provision.cluster.model import Role
from provision.common.clocks import now_s
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Repair, starting
from provision.plan.observed import NodeState, ObservedNode, ObservedPartition
from provision.plan.throttle import FOLLOWERS, LEADERS, RATES
from provision.spec.units import size_text

RETURNING_S = 45.0
"""How long a node that has just been started may take until all its replicas are in sync."""
_GOING_DOWN_S = 30.0
_SHUTS_DOWN = re.compile(r"[Ss]hutting down|shut down completed")
_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_LAST_LINES = 200
_SHOWN = 5


class Absence(Struct, frozen=True):
    """Why a broker is away, what brings it back, and the repairs if those are safe.

    `is_passing` is whether it needs nothing but a moment: it has just been started, or is going down.
    """

    broker: str
    why: str
    fix: str
    repairs: tuple[Repair, ...] = ()
    is_passing: bool = False


def absence(facts: Facts, broker: int, lacking: Iterable[tuple[str, ObservedPartition]] = ()) -> Absence:
    """Why a broker is not in sync.

    Args:
        facts: of its environment.
        broker: its id.
        lacking: the topics and partitions that wait for it.
    """
    name = Role.BROKER.node(broker)
    node = next((there for there in facts.there if there.name == name), None)
    start = f"provision start {facts.name} {name}"
    if node is None:
        return Absence(name, f"{name} is not there", f"provision up {facts.name}")
    about = facts.nodes.get(name) or NodeFacts(name)
    match node.state:
        case NodeState.RUNNING:
            return _of_running(facts, node, about, lacking)
        case NodeState.PAUSED:
            return Absence(name, f"{name} is paused", start, starting(name))
        case NodeState.CREATED:
            return Absence(name, f"{name} was never started", f"provision up {facts.name}")
        case NodeState.LOST:
            return Absence(name, f"{name} runs, but its directory is gone", f"provision down {facts.name} --keep-data")
        case NodeState.EXITED | NodeState.RESTARTING:
            return _of_exited(facts, node, start)


def is_passing(facts: Facts, node: ObservedNode, about: NodeFacts) -> bool:
    """Whether a node that runs has just been started, or is on its way down."""
    vitals = known(about.vitals)
    started_s = vitals.started_s if vitals else None
    return node.state is NodeState.RUNNING and (
        _is_within(started_s, RETURNING_S) or _is_within(_logged_s(facts, about, _SHUTS_DOWN), _GOING_DOWN_S)
    )


def _logged_s(facts: Facts, about: NodeFacts, what: re.Pattern[str]) -> float | None:
    """When a node last logged that (Unix time); None if it did not, or its lines have no times."""
    for line in reversed((known(about.log) or ())[-_LAST_LINES:]):
        if what.search(line) and (match := _TIME.match(line)):
            zone = UTC if facts.is_in_docker else None  # the time of a container, or of this machine
            return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).timestamp()
    return None


def nothing_runs(facts: Facts) -> bool:
    """Whether no node has a process: what is said of a cluster is not said of an environment that is down."""
    return not any(node.is_alive for node in facts.there)


def is_stopped_as_a_whole(facts: Facts) -> bool:
    """Whether every node was asked to stop, as far as is known: that is no failure."""
    ended = [node for node, _ in facts.in_state(NodeState.EXITED)]
    if len(ended) < len(facts.there) or not all(map(facts.may_have_been_stopped, ended)):
        return False
    return not ended or any(map(facts.was_stopped, ended))


def _of_exited(facts: Facts, node: ObservedNode, start: str) -> Absence:
    name = node.name
    if failure := facts.failure_of(node):
        return Absence(name, f"{name} has exited: {failure.reason}", failure.hint or start)
    if facts.was_stopped(node):
        return Absence(name, f"{name} is stopped", start, starting(name))
    code = "" if node.exit_code is None else f" with code {node.exit_code}"
    return Absence(name, f"{name} has exited{code}", start, starting(name))


def _of_running(
    facts: Facts, node: ObservedNode, about: NodeFacts, lacking: Iterable[tuple[str, ObservedPartition]]
) -> Absence:
    name, vitals, answers = node.name, known(about.vitals), known(facts.inside.answers)
    if vitals and vitals.stopped:
        fix = f"provision start {facts.name} {name}"
        return Absence(name, f"a signal (SIGSTOP) has stopped the process of {name}", fix, starting(name))
    passing = is_passing(facts, node, about)
    logs = f"provision logs {facts.name} {name}"
    if full := next((space for space in vitals.spaces if not space.free_bytes), None) if vitals else None:
        return Absence(name, f"the disk of {name} is full ({full.place})", f"free some space in {full.place}")
    if node.astray:
        return Absence(name, f"{name}: {node.astray}", f"provision up {facts.name}")
    if answers and (why := answers.silent.get(node.number)):
        failure = None if passing else facts.failure_of(node)
        told = f": {failure.reason}" if failure else f" does not answer: {why}"
        return Absence(name, f"{name}{told}", failure.hint if failure else logs, is_passing=passing)
    if rate := throttle_of(facts, node.number, lacking):
        slow = f"the replication of {name} is throttled to {size_text(rate)}/s"
        return Absence(name, slow, f"provision doctor {facts.name} --fix, or raise the throttle")
    return Absence(name, f"{name} runs and has not caught up yet", logs, is_passing=passing)


def throttle_of(facts: Facts, broker: int, lacking: Iterable[tuple[str, ObservedPartition]]) -> int | None:
    """The rate (bytes/s) to which a throttle holds down what this broker, as a follower, lacks; None without one."""
    settings, topics = known(facts.inside.settings) or {}, {t.name: t for t in known(facts.inside.topics) or ()}
    of_all = {key: now for key, (now, _) in (known(facts.inside.defaults) or {}).items()}
    rates = []
    for name, partition in lacking:
        config = topics[name].config if name in topics else {}
        sides = ((FOLLOWERS, RATES[1], broker), (LEADERS, RATES[0], partition.leader))
        rates += [
            int(rate)
            for key, setting, on in sides
            if is_listed(config.get(key, ""), partition.number, on)
            and (rate := {**of_all, **settings.get(on, {})}.get(setting, "")).isdecimal()
        ]
    return min(rates, default=None)


def is_listed(replicas: str, partition: int, broker: int) -> bool:
    """Whether a throttle's list of replicas, as `0:1,0:2` or `*`, has that one."""
    return replicas.strip() == "*" or f"{partition}:{broker}" in (one.strip() for one in replicas.split(","))


def _is_within(since_s: float | None, duration_s: float) -> bool:
    return since_s is not None and now_s() - since_s < duration_s


def passing(facts: Facts) -> frozenset[str]:
    """The nodes that may be on their way down or up: what is said of them now need not be true in a moment."""
    return frozenset(
        node.name for node in facts.there if is_passing(facts, node, facts.nodes.get(node.name) or NodeFacts(node.name))
    )


def numbers(ids: Iterable[int]) -> str:
    """`1, 2, 3`, or `none`."""
    return ", ".join(map(str, ids)) or "none"


def first_few(lines: Iterable[str], shown: int = _SHOWN) -> tuple[str, ...]:
    """The first lines, and how many more there are."""
    every = tuple(lines)
    more = (f"and {len(every) - shown} more",) if len(every) > shown else ()
    return (*every[:shown], *more)
