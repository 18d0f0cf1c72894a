"""The first wave: which networks, storages and nodes must be created, started or changed. Pure.

Additions come first, concurrently. Changes of running nodes follow, one node at a time, in this order:

1. nodes that join the ensemble, one after the other: each finds a quorum that has the data and copies them from it, so
   that no majority of newcomers can begin an empty history (`provision.plan.ensembles`);
2. the other members, the leader last. They come after the newcomers, because a member that expects five finds no
   majority among two others; but a single node comes before them, because nodes cannot join it otherwise;
3. the brokers, the active controller last;
4. new brokers that get a port of a running one;
5. nodes that move to another engine, controllers first (`provision.plan.engines`).

Nodes of a role that give up a port go before the one that gets it (`provision.plan.ports`).

A change that cannot be made in one step has several phases (`provision.plan.phases`). The above is the first one; each
later phase is another rolling restart, in the same order, of the nodes whose files differ from the phase before. So a
new Kafka version takes two rolling restarts of the brokers: brokers that already use the new inter-broker protocol
cannot talk to those that do not know it. Another `security` takes three (`provision.plan.securing`).
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, Node
from provision.common.values import replace
from provision.plan.actions import Action, Kind
from provision.plan.changes import NodeChange, change_of
from provision.plan.engines import Departures
from provision.plan.ensembles import stands_alone
from provision.plan.graph import Files, Graph, own_files
from provision.plan.observed import NodeDetails, ObservedEnvironment, ObservedNode
from provision.plan.phases import Phase
from provision.plan.ports import givers_first, held_by, refuse_clashes, waits_for_others
from provision.plan.refusals import refuse

_NOBODY_LEAVES = Departures()


def plan_nodes(
    cluster: Cluster,
    phases: Sequence[Phase],
    observed: ObservedEnvironment,
    *,
    missing_software: Collection[str],
    details: NodeDetails,
    leaving_engines: Departures = _NOBODY_LEAVES,
) -> tuple[Action, ...]:
    """Compare the desired nodes with the observed ones.

    Args:
        cluster: the desired cluster.
        phases: the rendered files, phase by phase; those of the last phase are the final ones.
        observed: what the runtime has.
        missing_software: the part of `cluster.all_software` that is not there yet.
        details: what the nodes report about themselves.
        leaving_engines: the nodes that leave their engines, as far as they may.

    Returns:
        Actions in an executable order. Nodes that the file no longer has are included only if they were never used:
        the replicas of others have to be moved away first (`provision.plan.removal`).
    """
    first, *later = phases
    observed = observed.without(leaving_engines.lost.keys())
    changes = _changes(cluster, first.files, observed, details)
    changes = {name: change for name, change in changes.items() if name not in leaving_engines.moving}
    if refusals := refuse(cluster, observed, changes, details):
        return refusals
    cluster = replace(cluster, nodes=tuple(map(first.node, cluster.nodes)))
    held = held_by(cluster, observed, details)
    late = [node for node in _new(cluster, observed) if waits_for_others(node, held)]
    graph = Graph(cluster, observed, first.files, changes)
    graph.remove_leftovers()
    graph.abandon(leaving_engines)
    graph.prepare(missing_software, moves=bool(leaving_engines.moving))
    early = [node for node in cluster.nodes if node not in late]
    graph.add_nodes(early)
    graph.write_again()
    graph.format_storages(early)
    graph.join_network(cut_off=True)
    graph.start(cluster.zookeepers)
    graph.start(cluster.controllers)
    # Existing nodes must be running before any node may go down; new ones join the ensemble in its final form.
    known = [node for node in cluster.brokers if observed.node(node.name)]
    if not known and cluster.controllers:  # nobody else could tell which controller may go down
        known = [node for node in cluster.brokers if node not in late]
    graph.start(known)
    graph.start_leaving()
    graph.join_network(cut_off=False)
    members = givers_first(_leader_last(cluster.zookeepers, details.ensemble_leader), held)
    graph.roll_ensemble(members, alone=stands_alone(observed, details))
    controllers = givers_first(_leader_last(cluster.controllers, details.active_controller), held)
    graph.roll(controllers)
    graph.start([node for node in cluster.brokers if node not in (*known, *late)])
    graph.configure(details)
    brokers = givers_first(_leader_last(cluster.brokers, details.active_controller), held)
    graph.roll(brokers)
    graph.add_nodes(late)
    graph.format_storages(late)
    graph.start(late)
    graph.move([*controllers, *brokers], leaving_engines)
    for before, phase in pairwise(phases):
        graph.next_phase((*members, *controllers, *brokers), before, phase)
    if later:
        graph.name_first_phase(first)
    actions = _possible(graph.actions, observed)
    return refuse_clashes(actions, cluster, held, observed) or actions


def _new(cluster: Cluster, observed: ObservedEnvironment) -> list[Node]:
    """The brokers that nobody misses: they may come last. Until then they are not created, or they would be missed."""
    missing = (node for node in cluster.brokers if observed.node(node.name) is None)
    return [node for node in missing if node.name not in observed.kept or observed.never_ran(node.name)]


def _possible(actions: Iterable[Action], observed: ObservedEnvironment) -> tuple[Action, ...]:
    """The actions without those on nodes whose engine is away: they are planned again once it is back."""
    waiting = {node.name for node in observed.nodes if node.waits_for}
    return tuple(one for one in actions if not (one.kind in (Kind.NODE, Kind.STORAGE) and one.name in waiting))


def _changes(
    cluster: Cluster, files: Files, observed: ObservedEnvironment, details: NodeDetails
) -> dict[str, NodeChange]:
    return {
        node.name: change
        for node in cluster.nodes
        if (there := observed.node(node.name)) and (change := _change(cluster, node, there, files, details))
    }


def _change(cluster: Cluster, node: Node, there: ObservedNode, files: Files, details: NodeDetails) -> NodeChange | None:
    before = details.files.get(node.name)
    if before is None and there.config_hash == config_hash(node.name, files):
        return None
    return change_of(cluster, there, before or (), own_files(files, node.name), details.dynamic.get(node.name, ()))


def _leader_last(nodes: Iterable[Node], leader: str) -> list[Node]:
    return sorted(nodes, key=lambda node: node.name == leader)
