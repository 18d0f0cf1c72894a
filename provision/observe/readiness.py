"""How ready an environment is, from the answers of the runtime and of Kafka."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role
from provision.common.values import replace
from provision.errors import Unavailable
from provision.kafka.leaders import missing_for_topics
from provision.kafka.levels import Level
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import BrokerAnswers, ask_brokers, missing_for_brokers
from provision.kafka.zookeeper import has_quorum
from provision.observe.ensemble import way_to
from provision.observe.health import Health, silence_of
from provision.observe.leaders import LEADER, SILENT, ensemble_modes
from provision.observe.listeners import silent_listeners
from provision.observe.reach import access_to, why_cut_off, why_not_running
from provision.plan.observed import NodeState, ObservedCluster, ObservedEnvironment
from provision.runtime.base import Runtime

_ADMIN_S = 5.0
_LACKS = {None: "it is not part of a quorum yet", SILENT: "it runs, and what asks it from inside does not end"}
"""What members lack that are in none of the modes of an ensemble."""


class Assessment(Struct, frozen=True):
    """The readiness of an environment, and what the next level lacks: node name to reason.

    `health` is what each node is like, and `edited` whether its files are other than `up` has written them (None if
    they could not be read), if that was asked. `lost` are nodes of which nothing is left, and whom others remember.
    """

    observed: ObservedEnvironment
    level: Level
    missing: Mapping[str, str] = field(default_factory=dict)
    cluster: ObservedCluster | None = None
    health: Mapping[str, Health] = field(default_factory=dict)
    edited: Mapping[str, bool | None] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def assess(
    runtime: Runtime,
    observed: ObservedEnvironment,
    topics: Collection[str] | None,
    *,
    nodes: Sequence[str] | None = None,
    ask_inside: bool = False,
    ignore_moves: bool = False,
) -> Assessment:
    """Check every level once.

    Args:
        runtime: where the nodes run.
        observed: what the runtime has.
        topics: the names of those that must exist; None for whichever do.
        nodes: the nodes that must run; None for whichever exist.
        ask_inside: ask ZooKeeper nodes without a published port too, from inside, which starts a JVM for each.
        ignore_moves: replicas that a reassignment is adding need not be in sync yet.
    """
    stopped = _not_running(observed, nodes)
    if stopped or not observed.nodes:
        return Assessment(observed, Level.NONE, stopped)
    wanted = frozenset(nodes if nodes is not None else (node.name for node in observed.nodes))
    access = access_to(observed)
    access = access.to({n: at for n, at in access.brokers.items() if Role.BROKER.node(n) in wanted})
    answers = ask_brokers(access)
    missing = missing_for_brokers(answers) or silent_listeners(observed, wanted)
    if missing:
        missing |= silence_of(observed, answers)
    # Nodes that nobody finds are the reason, whatever else is missing, and brokers do not miss all of them.
    cut_off = {node.name: why_cut_off(node) for node in observed.nodes if node.cut_off and node.name in wanted}
    if missing or cut_off or not access.brokers:
        quorum = _missing_for_quorum(runtime, observed, ask_inside=ask_inside)
        level = Level.PROCESS if quorum is None or quorum else Level.QUORUM
        return Assessment(observed, level, {**cut_off, **(quorum or missing), **cut_off}, answers.best)
    missing = missing_for_topics(answers, access, topics)
    if missing and ignore_moves:
        missing = missing_for_topics(_with_moves(observed, answers), access, topics)
    return Assessment(observed, Level.BROKERS if missing else Level.TOPICS, missing, answers.best)


def with_members(assessment: Assessment, runtime: Runtime, members: Collection[str]) -> Assessment:
    """The same if these members of the ensemble are part of it; brokers do without single ones, and answer anyway."""
    modes = ensemble_modes(runtime, assessment.observed) if members else {}
    missing = {name: _LACKS[state] for name, state in modes.items() if name in members and state in _LACKS}
    return replace(assessment, level=Level.PROCESS, missing=missing) if missing else assessment


def _with_moves(observed: ObservedEnvironment, answers: BrokerAnswers) -> BrokerAnswers:
    from provision.kafka.admin import connected

    try:
        with connected(access_to(observed), _ADMIN_S) as admin:
            moves = admin.partitions.moves()
    except Unavailable:  # the controller is changing: it is asked again with everything else
        return answers
    clusters = {broker: cluster.with_moves(moves) for broker, cluster in answers.clusters.items()}
    return replace(answers, clusters=clusters)


def _not_running(observed: ObservedEnvironment, nodes: Sequence[str] | None) -> dict[str, str]:
    wanted = [node.name for node in observed.nodes] if nodes is None else nodes
    there = {node.name: node for node in observed.nodes}
    return {
        name: why_not_running(there[name]) if name in there else "it is not there"
        for name in wanted
        if name not in there or there[name].state is not NodeState.RUNNING
    }


def _missing_for_quorum(runtime: Runtime, observed: ObservedEnvironment, *, ask_inside: bool) -> dict[str, str] | None:
    """What the ensemble or KRaft quorum lacks; empty when it is complete, None if it cannot be determined from here."""
    if observed.mode == KRAFT:
        return {} if ask_for_quorum(access_to(observed)) else None
    reached = way_to(observed).is_ours and all(node.endpoint for node in observed.of_role(Role.ZOOKEEPER))
    if not ask_inside and not reached:
        return None
    modes = ensemble_modes(runtime, observed)
    if has_quorum(list(modes.values())):
        return {}
    return {
        node: _LACKS.get(state) or f"it is {state}, others are missing"
        for node, state in modes.items()
        if state in _LACKS or LEADER not in modes.values()
    }
