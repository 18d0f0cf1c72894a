"""Who of an ensemble may have data, and who joins it: no majority may begin an empty history beside them. Pure."""

from collections.abc import Sequence

from provision.catalogue.versions import KRAFT
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.cluster.properties import parse
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment

ENSEMBLE_FILE = MAIN_FILES[Role.ZOOKEEPER]


def joining(cluster: Cluster, observed: ObservedEnvironment) -> list[Node]:
    """Members that start one after the other, because others may have data.

    Where members have run, these are the ones that never did. Where none has, nobody can tell who has data: a node may
    have been created over them and not started yet, and a storage may be that of a growth that was cut off. So one
    member starts, and all others join it, until they are a majority without waiting for one, from then on each when
    those before it are a quorum. That is safe for whatever ensemble there was: a majority that begins with the lowest
    numbers has a member of each majority of the smaller one. Where nothing was kept all start side by side.
    """
    kept = observed.kept
    members = sorted(cluster.zookeepers, key=lambda node: node.name not in kept)  # whoever is surely empty comes last
    states = {node.name: node.state for node in observed.of_role(Role.ZOOKEEPER)}
    never_ran = [node for node in members if states.get(node.name, NodeState.CREATED) is NodeState.CREATED]
    if len(never_ran) < len(members):
        return never_ran
    return never_ran[1:] if any(node.name in kept or node.name in states for node in members) else []


def stands_alone(observed: ObservedEnvironment, details: NodeDetails) -> bool:
    """Whether the ensemble is one node that knows of no other, and will have to."""
    there = [node for node in observed.of_role(Role.ZOOKEEPER) if node.state is NodeState.RUNNING]
    return any(members_in(details.files.get(node.name, ())) == 1 for node in there)


def members_in(files: Sequence[RenderedFile]) -> int:
    """How many members an ensemble has according to a node's files; 0 where they do not say."""
    content = next((file.text for file in files if file.name == ENSEMBLE_FILE), None)
    return 0 if content is None else max(sum(key.startswith("server.") for key in parse(content)), 1)


def storage_steps(cluster: Cluster) -> tuple[tuple[Node, ...], ...]:
    """The nodes in the steps in which their storages are made; within a step in any order.

    In KRaft mode first those of all voters but the first one, then the first one's, then those that do not vote. So a
    first `up` that is cut off here leaves another picture than data that were kept of a smaller quorum, and
    `voters_left_behind` can tell them apart.
    """
    if cluster.mode != KRAFT:
        return (cluster.nodes,)
    voters = cluster.voters
    return voters[1:], voters[:1], tuple(node for node in cluster.nodes if not node.votes)


def voters_left_behind(cluster: Cluster, observed: ObservedEnvironment) -> tuple[list[Node], list[str]]:
    """The voters that would begin empty, and whose kept data show that there was a cluster before.

    Nobody where a majority of the voters has storages: any majority has one of them then.
    """
    if cluster.mode != KRAFT:
        return [], []
    without = [n for n in cluster.voters if n.name not in observed.kept and observed.node(n.name) is None]
    if len(without) <= len(cluster.voters) // 2:
        return [], []
    # What a first `up` makes before all else proves nothing, and a node that is there says by its state if it has run.
    early = {node.name for node in storage_steps(cluster)[0]}
    kept = sorted(name for name in observed.kept if name not in early and observed.node(name) is None)
    return (without, kept) if kept else ([], [])
