"""Which members of an ensemble may have data, and which ones join: no majority may start empty. Pure."""

from collections.abc import Sequence

from provision.catalogue.versions import KRAFT
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.cluster.properties import read
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment

ENSEMBLE_FILE = MAIN_FILES[Role.ZOOKEEPER]


def joining(cluster: Cluster, observed: ObservedEnvironment) -> list[Node]:
    """Members that have to start one after the other, because others may have data.

    If some members have run, these are the ones that never did. If none has, it is unknown which have data: a node may
    have been created for existing data and not started yet, and a storage may be left from interrupted growth. So one
    member starts, and the others join it: without waiting until they are a majority, from then on each once those
    before it form a quorum. That is safe whatever ensemble there was: a majority that begins with the lowest numbers
    has a member of each majority of the smaller ensemble. If no data were kept, all members start concurrently.
    """
    kept = observed.kept
    members = sorted(cluster.zookeepers, key=lambda node: node.name not in kept)  # members surely empty come last
    states = {node.name: node.state for node in observed.of_role(Role.ZOOKEEPER)}
    never_ran = [node for node in members if states.get(node.name, NodeState.CREATED) is NodeState.CREATED]
    if len(never_ran) < len(members):
        return never_ran
    return never_ran[1:] if any(node.name in kept or node.name in states for node in members) else []


def stands_alone(observed: ObservedEnvironment, details: NodeDetails) -> bool:
    """Whether the ensemble is a single node, configured without the others it needs now."""
    there = [node for node in observed.of_role(Role.ZOOKEEPER) if node.state is NodeState.RUNNING]
    return any(members_in(details.files.get(node.name, ())) == 1 for node in there)


def members_in(files: Sequence[RenderedFile]) -> int:
    """The size of the ensemble according to a node's files; 0 if they do not give it."""
    content = next((file.text for file in files if file.name == ENSEMBLE_FILE), None)
    settings = None if content is None else read(content)
    return 0 if settings is None else max(sum(key.startswith("server.") for key in settings), 1)


def storage_steps(cluster: Cluster) -> tuple[tuple[Node, ...], ...]:
    """The nodes in the steps in which their storages are created; within a step in any order.

    In KRaft mode the storages of all voters but the first come first, then the first voter's, then those of nodes that
    do not vote. So an interrupted first `up` differs from data that were kept of a smaller quorum, and
    `voters_left_behind` can tell them apart.
    """
    if cluster.mode != KRAFT:
        return (cluster.nodes,)
    voters = cluster.voters
    return voters[1:], voters[:1], tuple(node for node in cluster.nodes if not node.votes)


def voters_left_behind(cluster: Cluster, observed: ObservedEnvironment) -> tuple[list[Node], list[str]]:
    """The voters that would start empty, and the nodes whose kept data show that there was a cluster before.

    Empty if a majority of the voters has storages: any majority then includes one of them.
    """
    if cluster.mode != KRAFT:
        return [], []
    without = [n for n in cluster.voters if n.name not in observed.kept and observed.node(n.name) is None]
    if len(without) <= len(cluster.voters) // 2:
        return [], []
    # The storages that a first `up` creates first prove nothing, and the state of an existing node tells if it has run.
    early = {node.name for node in storage_steps(cluster)[0]}
    gone = sorted(name for name in observed.kept if name not in early and observed.node(name) is None)
    kept = [name for name in gone if not observed.never_ran(name)]
    return (without, kept) if kept else ([], [])
