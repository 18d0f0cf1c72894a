"""Partitions that lack replicas, leaders or room to write, and reassignments that do not end: with their cause."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized

from provision.cluster.model import Role
from provision.common.counts import counted
from provision.operations.doctor.away import Absence, absence, first_few, numbers, throttle_of
from provision.operations.doctor.facts import Arrival, Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Repair, Severity
from provision.operations.doctor.registry import check
from provision.operations.doctor.repairs import electing
from provision.plan.observed import ObservedCluster, ObservedPartition
from provision.spec.units import size_text

_MINIMUM, _REBALANCE = "min.insync.replicas", "auto.leader.rebalance.enable"
# From this release on, a minimum above the number of replicas counts as that number (KAFKA-15583).
_CAPPED = (3, 7)
# A throttle that makes a reassignment take longer than this was not meant.
_LONGEST_S = 600
Lacking = list[tuple[str, ObservedPartition]]


def _cluster(facts: Facts) -> ObservedCluster | None:
    """The cluster with its reassignments; None if no broker answers."""
    cluster = facts.inside.cluster
    return cluster.with_moves(known(facts.inside.moves) or {}) if cluster else None


def _partitions(cluster: ObservedCluster) -> Iterator[tuple[str, ObservedPartition]]:
    for topic in cluster.topics:
        for partition in topic.partitions:
            yield topic.name, partition


def _away(partition: ObservedPartition) -> tuple[int, ...]:
    """The replicas that are not in sync, except for those that a reassignment is adding."""
    return tuple(broker for broker in partition.settled if broker not in partition.in_sync)


@check("under-replicated")
def under_replicated(facts: Facts) -> Iterator[Finding]:
    """Replicas that are not in sync, by the broker that lacks them."""
    cluster = _cluster(facts)
    if cluster is None:
        return
    lacking = defaultdict[int, Lacking](list)
    total = defaultdict[int, int](int)
    for name, partition in _partitions(cluster):
        for broker in partition.settled:
            total[broker] += 1
        for broker in _away(partition):
            if len(partition.replicas) > 1:
                lacking[broker].append((name, partition))
    for broker, partitions in sorted(lacking.items()):
        why = absence(facts, broker, partitions)
        if not why.is_passing:
            of_them = f"{len(partitions)} of the {counted('partition', total[broker])} on {why.broker}"
            yield Finding(
                "under-replicated",
                f"{of_them} {_are(partitions)} not in sync there",
                evidence=first_few(map(_shown, partitions)),
                cause=why.why,
                fix=why.fix,
                severity=Severity.WARNING,
                repairs=why.repairs,
                node=why.broker,
            )


def _shown(at: tuple[str, ObservedPartition]) -> str:
    name, partition = at
    return f"{name}-{partition.number}: replicas {numbers(partition.replicas)}; in sync {numbers(partition.in_sync)}"


@check("no-leader")
def no_leader(facts: Facts) -> Iterator[Finding]:
    """Partitions that nobody can read or write, by the brokers that could lead them."""
    cluster = _cluster(facts)
    if cluster is None:
        return
    without = defaultdict[tuple[int, ...], Lacking](list)
    for name, partition in _partitions(cluster):
        if partition.leader < 0:
            # Only a replica that was in sync may lead; of the last ones Kafka keeps record.
            without[partition.in_sync or partition.replicas].append((name, partition))
    for brokers, partitions in sorted(without.items()):
        reasons = [absence(facts, broker, partitions) for broker in brokers]
        if not any(reason.is_passing for reason in reasons):
            yield _without_leader(partitions, reasons)


def _are(things: Sized) -> str:
    return "is" if len(things) == 1 else "are"


def _without_leader(partitions: Lacking, reasons: Sequence[Absence]) -> Finding:
    could = " and ".join(reason.broker for reason in reasons)
    what = "1 partition has no leader" if len(partitions) == 1 else f"{len(partitions)} partitions have no leader"
    return Finding(
        "no-leader",
        f"{what}: only {could} could lead {'it' if len(partitions) == 1 else 'them'}",
        evidence=first_few(map(_shown, partitions)),
        cause="; ".join(reason.why for reason in reasons),
        fix=reasons[0].fix if reasons else "",
        repairs=_repairs(reasons),
    )


def _repairs(reasons: Sequence[Absence]) -> tuple[Repair, ...]:
    return tuple(repair for reason in reasons for repair in reason.repairs)


@check("min-isr-not-met")
def minimum_not_met(facts: Facts) -> Iterator[Finding]:
    """Partitions to which nobody can write with acks=all, by topic."""
    cluster = _cluster(facts)
    if cluster is None:
        return
    lacking = defaultdict[tuple[str, int], list[ObservedPartition]](list)
    for name, partition in _partitions(cluster):
        minimum = _minimum(facts, name, len(partition.settled))
        if partition.leader >= 0 and len(partition.in_sync) < minimum:
            lacking[name, minimum].append(partition)
    for (name, minimum), partitions in sorted(lacking.items()):
        away = sorted({broker for partition in partitions for broker in _away(partition)})
        reasons = [absence(facts, broker, [(name, p) for p in partitions]) for broker in away]
        if any(reason.is_passing for reason in reasons):
            continue
        fewest = min(len(partition.settled) for partition in partitions)
        too_high = f"{name} has {fewest} replica{'s' if fewest > 1 else ''} only" if fewest < minimum else ""
        lower = f"set {_MINIMUM} of {name} to at most {fewest}"
        yield Finding(
            "min-isr-not-met",
            f"nobody can write with acks=all to {counted('partition', len(partitions))} of {name}",
            evidence=(f"{_MINIMUM}={minimum}", *first_few(_shown((name, p)) for p in partitions)),
            cause=too_high or "; ".join(reason.why for reason in reasons),
            file=_place_of_minimum(facts, name),
            fix=lower if too_high else next((reason.fix for reason in reasons), ""),
            repairs=() if too_high else _repairs(reasons),
        )


def _minimum(facts: Facts, topic: str, replicas: int) -> int:
    """The effective `min.insync.replicas`: of the topic, else of the brokers, dynamic or in their files, else 1."""
    own = next((t.config for t in known(facts.inside.topics) or () if t.name == topic), {})
    on_brokers: list[Mapping[str, str]] = [own, *(known(facts.inside.settings) or {}).values()]
    on_brokers += [about.settings for about in facts.nodes.values() if _is(about, Role.BROKER)]
    text = next((settings[_MINIMUM] for settings in on_brokers if _MINIMUM in settings), "1")
    minimum = int(text) if text.isdecimal() else 1
    observed = known(facts.observed)
    version = tuple(int(part) for part in (observed.version if observed else "").split(".")[:2] if part.isdecimal())
    return min(minimum, replicas) if version >= _CAPPED else minimum


def _place_of_minimum(facts: Facts, topic: str) -> str:
    declared = [one.name for one in facts.cluster.topics] if facts.cluster else []
    paths: list[tuple[str | int, ...]] = []
    if topic in declared:
        paths = [("topics", declared.index(topic), "config", _MINIMUM), ("topic_defaults", "config", _MINIMUM)]
    paths.append(("brokers", "properties", _MINIMUM))
    return next(filter(None, (facts.line_of(*path) for path in paths)), "")


@check("leaders-not-preferred")
def leaders_not_preferred(facts: Facts) -> Iterator[Finding]:
    """Leaderships that stay where they are, because Kafka was told not to give them back."""
    cluster, observed = _cluster(facts), known(facts.observed)
    decides = Role.CONTROLLER if observed and observed.of_role(Role.CONTROLLER) else Role.BROKER
    told = {about.settings.get(_REBALANCE, "").strip().lower() for _, about in facts.running if _is(about, decides)}
    never = "false" in told
    if cluster is None or not never:
        return
    elsewhere = {
        (name, p.number): p for name, p in _partitions(cluster) if p.leader >= 0 and _could_lead(p) and not p.moves
    }
    if elsewhere:
        yield Finding(
            "leaders-not-preferred",
            f"{counted('partition', len(elsewhere))} {_are(elsewhere)} not led by the preferred replica",
            evidence=first_few(
                f"{name}-{number}: leader {p.leader}, preferred {p.replicas[0]}"
                for (name, number), p in elsewhere.items()
            ),
            cause=f"{_REBALANCE} is false, so Kafka does not give leaderships back",
            file=facts.line_of(f"{decides}s", "properties", _REBALANCE),
            fix=f"provision doctor {facts.name} --fix; or remove {_REBALANCE}",
            severity=Severity.WARNING,
            repairs=(electing(list(elsewhere)),),
        )


def _is(about: NodeFacts, role: Role) -> bool:
    return Role.parse(about.name)[0] is role


def _could_lead(partition: ObservedPartition) -> bool:
    preferred = partition.replicas[0]
    return partition.leader != preferred and preferred in partition.in_sync


@check("reassignment-hangs")
def reassignment_hangs(facts: Facts) -> Iterator[Finding]:
    """Reassignments whose new replicas do not arrive, by the broker that should get them."""
    cluster, arrivals = _cluster(facts), known(facts.inside.arrivals)
    if cluster is None or not arrivals:
        return
    waiting = defaultdict[int, Lacking](list)
    for name, partition in _partitions(cluster):
        arrival = arrivals.get((name, partition.number))
        if arrival is None:
            continue
        for broker in partition.adding:
            if broker not in partition.in_sync and _hangs(facts, (name, partition), broker, arrival):
                waiting[broker].append((name, partition))
    for broker, partitions in sorted(waiting.items()):
        why = absence(facts, broker, partitions)
        if not why.is_passing:
            yield Finding(
                "reassignment-hangs",
                f"the reassignment of {counted('partition', len(partitions))} to {why.broker} does not come to an end",
                evidence=first_few(_moving(at, arrivals[at[0], at[1].number]) for at in partitions),
                cause=why.why,
                fix=why.fix,
                repairs=why.repairs,
                node=why.broker,
            )


def _hangs(facts: Facts, at: tuple[str, ObservedPartition], broker: int, arrival: Arrival) -> bool:
    rate = throttle_of(facts, broker, [at])
    return not arrival.gained_bytes or (rate is not None and arrival.lacking_bytes > rate * _LONGEST_S)


def _moving(at: tuple[str, ObservedPartition], arrival: Arrival) -> str:
    name, partition = at
    return (
        f"{name}-{partition.number}: {numbers(partition.settled)} → {numbers(partition.target)};"
        f" {size_text(arrival.lacking_bytes)} to go, {size_text(arrival.gained_bytes)} arrived while it was watched"
    )
