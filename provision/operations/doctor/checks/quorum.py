"""A ZooKeeper ensemble or a KRaft quorum without a majority, and nodes that do not agree who votes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role, node_with_id
from provision.observe.leaders import SILENT
from provision.observe.reach import NOT_RUNNING
from provision.operations.doctor.away import nothing_runs, passing
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, starting
from provision.operations.doctor.places import place_of_setting
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState

_STARTABLE = (NodeState.EXITED, NodeState.PAUSED)
_VOTERS = "controller.quorum.voters"
_SERVER = "server."
_APART, _SILENT = "it runs, and is not part of a quorum", "it runs, and what asks it from inside does not end"


@check("zookeeper-quorum-lost")
def zookeeper_quorum_lost(facts: Facts) -> Iterator[Finding]:
    """Too few members of the ensemble run, or those that run find no leader."""
    observed, modes = known(facts.observed), known(facts.inside.modes)
    if observed is None:
        return
    members = [node.name for node in observed.of_role(Role.ZOOKEEPER)]
    told = [about for about in facts.nodes.values() if about.name in members]
    size = max([len(members), *(sum(key.startswith(_SERVER) for key in about.settings) for about in told)], default=0)
    reasons = _not_running(facts, members)
    serving = [name for name, mode in (modes or {}).items() if mode not in (None, SILENT)]
    if nothing_runs(facts) or not members or _has_majority(serving, size) or (modes is None and not reasons):
        return
    silent = [name for name in members if name not in serving and name not in reasons]
    coming = passing(facts) & {*silent, *reasons}
    if coming and _has_majority([*serving, *(set(silent) | coming)], size):
        return  # they are looking for each other, or are just being restarted
    yield _lost(
        "zookeeper-quorum-lost",
        f"ZooKeeper has no majority: {len(serving)} of {size} members serve, {size // 2 + 1} are needed",
        reasons | {name: _SILENT if (modes or {}).get(name) == SILENT else _APART for name in silent},
        facts,
    )


@check("kraft-quorum-lost")
def kraft_quorum_lost(facts: Facts) -> Iterator[Finding]:
    """Too few voters of the KRaft quorum run, or those that run have no active controller."""
    observed = known(facts.observed)
    if observed is None or observed.mode != KRAFT or nothing_runs(facts):
        return
    voters = [node_with_id(voter) for voter in sorted(_voters(facts))]
    reasons = _not_running(facts, voters)
    running = [name for name in voters if name not in reasons]
    needed = len(voters) // 2 + 1
    if not voters:
        return
    coming = passing(facts)
    if len({*running, *(coming & reasons.keys())}) < needed:
        title = f"the KRaft quorum has no majority: {len(running)} of {len(voters)} voters run, {needed} are needed"
        yield _lost("kraft-quorum-lost", title, reasons, facts)
        return
    brokers = [node.name for node, _ in facts.running if node.role == Role.BROKER]
    answers = known(facts.inside.answers)
    # A quorum that nobody can be asked about is not known to be lost.
    if facts.inside.quorum is None and answers and answers.clusters and not coming & {*running, *brokers}:
        why = dict.fromkeys(running, "it runs, and the brokers find no active controller")
        yield _lost("kraft-quorum-lost", "the KRaft quorum has no active controller", reasons | why, facts)


def _lost(identity: str, title: str, reasons: Mapping[str, str], facts: Facts) -> Finding:
    startable = [node for node in facts.there if node.name in reasons and node.state in _STARTABLE]
    first = next((failure for node in startable if (failure := facts.failure_of(node))), None)
    names = " ".join(node.name for node in startable)
    return Finding(
        identity,
        title,
        evidence=tuple(f"{name}: {reason}" for name, reason in reasons.items()),
        cause=first.reason if first else "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
        fix=f"provision start {facts.name} {names}" if names else f"provision logs {facts.name} {' '.join(reasons)}",
        repairs=() if first else starting(*(node.name for node in startable)),
    )


def _has_majority(nodes: Sequence[str], of: int) -> bool:
    return len(nodes) > of // 2


def _not_running(facts: Facts, nodes: Sequence[str]) -> dict[str, str]:
    there = {node.name: node for node in facts.there}
    reasons = {}
    for name in nodes:
        node = there.get(name)
        if node is None:
            reasons[name] = "it is not there"
        elif node.state is not NodeState.RUNNING:
            failure = facts.failure_of(node) if node.state is NodeState.EXITED else None
            reasons[name] = NOT_RUNNING[node.state] + (f": {failure.reason}" if failure else "")
        elif (vitals := known((facts.nodes.get(name) or NodeFacts(name)).vitals)) and vitals.stopped:
            reasons[name] = "a signal (SIGSTOP) has stopped its process"
    return reasons


def _voters(facts: Facts) -> frozenset[int]:
    """The voters as most nodes name them."""
    told = [voters for about in facts.nodes.values() if (voters := _voters_of(about))]
    return max(told, key=told.count, default=frozenset())


def _voters_of(about: NodeFacts) -> frozenset[int]:
    text = about.settings.get(_VOTERS, "")
    ids = [one.strip().partition("@")[0] for one in text.split(",") if one.strip()]
    return frozenset(map(int, ids)) if all(one.isdecimal() for one in ids) else frozenset()


@check("voters-differ")
def voters_differ(facts: Facts) -> Iterator[Finding]:
    """Nodes whose files name other voters than those of the others: they would not join, or elect a second leader."""
    by_voters = defaultdict[str, list[NodeFacts]](list)
    for about in facts.nodes.values():
        if text := about.settings.get(_VOTERS, ""):
            by_voters[",".join(sorted(one.strip() for one in text.split(",")))].append(about)
    if len(by_voters) < 2:  # noqa: PLR2004 one opinion is none too many
        return
    (most, others), *different = sorted(by_voters.items(), key=lambda item: -len(item[1]))
    for voters, nodes in different:
        for about in nodes:
            yield Finding(
                "voters-differ",
                f"{about.name} has other voters of the KRaft quorum than {', '.join(one.name for one in others)}",
                evidence=(f"{about.name}: {_VOTERS}={voters}", f"the others: {_VOTERS}={most}"),
                cause="its file was edited, or a change was interrupted",
                file=place_of_setting(facts, about, _VOTERS),
                fix=f"provision up {facts.name}",
                node=about.name,
            )
