"""The first wave: which networks, storages and nodes must be made or started. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, Node, RenderedFile, Role, StorageKind
from provision.plan.actions import Action, Kind, Verb
from provision.plan.differences import differences
from provision.plan.observed import NodeState, ObservedEnvironment

RECREATE_HINT = "a running cluster is not changed like this yet: `provision down` it first, or undo the change"


def plan_nodes(
    cluster: Cluster,
    files: tuple[RenderedFile, ...],
    observed: ObservedEnvironment,
    *,
    software_present: bool,
    observed_files: Mapping[str, tuple[RenderedFile, ...]],
) -> tuple[Action, ...]:
    """Compare the desired nodes with those there are.

    Args:
        cluster: what must be.
        files: its rendered files.
        observed: what the runtime has.
        software_present: whether the image or the jars are there.
        observed_files: the files of nodes whose configuration hash differs, to name what changed.

    Returns:
        Actions in an order in which they can be done: software, network and storages, nodes, starts. A node starts
        only after every storage is there, so that a started broker proves that the ensemble's storage once existed.
    """
    # a changed ensemble is told as such, and not as a lost one too
    refusals = tuple(_refusals(cluster, files, observed, observed_files)) or tuple(_lost_ensemble(cluster, observed))
    if refusals:
        return refusals
    actions: list[Action] = []
    missing_nodes = [node for node in cluster.nodes if observed.node(node.name) is None]
    if missing_nodes and not software_present:
        actions.append(Action(Verb.FETCH, Kind.SOFTWARE, cluster.software, "not here yet"))
    if not observed.network:
        actions.append(Action(Verb.CREATE, Kind.NETWORK, cluster.name, "not there"))
    # The network first: with it a runtime notes whose storages these are, and finds out whether nodes can run at all.
    network = tuple(action.key for action in actions if action.kind is Kind.NETWORK)
    actions += [
        Action(Verb.CREATE, Kind.STORAGE, node.name, "not there", after=network, subject=node)
        for node in missing_nodes
        if node.name not in observed.storages
    ]
    prepared = tuple(action.key for action in actions)
    creations = [
        Action(Verb.CREATE, Kind.NODE, node.name, "not there", _describe(node), prepared, node)
        for node in missing_nodes
    ]
    created = {action.name: action.key for action in creations}
    starts = [
        Action(Verb.START, Kind.NODE, node.name, cause, after=_after(node, created, prepared), subject=node)
        for node in cluster.nodes
        if (cause := _cause_to_start(node, observed))
    ]
    return (*actions, *creations, *starts)


def _after(node: Node, created: Mapping[str, str], prepared: tuple[str, ...]) -> tuple[str, ...]:
    return (*prepared, created[node.name]) if node.name in created else prepared


def _describe(node: Node) -> str:
    rack = f" in rack {node.rack}" if node.rack else ""
    return f"{node.endpoint or 'no host port'}{rack}"


def _cause_to_start(node: Node, observed: ObservedEnvironment) -> str:
    there = observed.node(node.name)
    if there is None:
        return "new"
    match there.state:
        case NodeState.CREATED:
            return "never started"
        case NodeState.EXITED:
            return f"exited with {there.exit_code}" if there.exit_code not in (0, 143, None) else "stopped"
        case NodeState.RUNNING:
            return ""


def _refusals(
    cluster: Cluster,
    files: tuple[RenderedFile, ...],
    observed: ObservedEnvironment,
    observed_files: Mapping[str, tuple[RenderedFile, ...]],
) -> Iterator[Action]:
    for thing in observed.foreign:
        cause = "it was not made by provision, and has a name that this environment needs"
        yield Action(Verb.REFUSE, Kind.FOREIGN, thing, cause)
    desired = {node.name: node for node in cluster.nodes}
    for there in observed.nodes:
        if there.name not in desired:
            yield Action(Verb.REFUSE, Kind.NODE, there.name, "it runs but is no longer in the file", RECREATE_HINT)
        elif there.config_hash != config_hash(there.name, files):
            own_files = [file for file in files if file.node == there.name]
            changes = _changes(observed_files.get(there.name, ()), own_files)
            yield Action(Verb.REFUSE, Kind.NODE, there.name, f"config changed: {changes}", RECREATE_HINT)


def _changes(before: Sequence[RenderedFile], after: Sequence[RenderedFile]) -> str:
    if not before:
        return "its files cannot be read, so it is not known what"
    return "; ".join(differences(before, after)) or "only its mark, as by another version of provision"


def _lost_ensemble(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """ZooKeeper's data are gone while brokers kept theirs: a new ensemble would have another cluster id."""
    kept = [node.name for node in observed.nodes if node.role == Role.BROKER and node.state is not NodeState.CREATED]
    if not kept or cluster.storage.kind is StorageKind.MEMORY:
        return
    for node in cluster.zookeepers:
        if observed.node(node.name) is None and node.name not in observed.storages:
            cause = f"its data are gone while {', '.join(kept)} kept theirs: a new ensemble would not know their topics"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, "`provision down` removes the rest")
