"""Changes in the file that an existing environment cannot undergo without losing something. Pure."""

from collections.abc import Iterator, Mapping

from provision.catalogue.versions import KafkaVersion
from provision.cluster.model import Cluster, Role, StorageKind
from provision.plan.actions import Action, Kind, Verb
from provision.plan.changes import NodeChange
from provision.plan.ensembles import members_in, voters_left_behind
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment, ObservedNode

DOWN_FIRST = "`provision down` it first, or undo the change"
END_LOST = "`provision down --keep-data` ends it and keeps what is left; `provision up` goes on from there"


def refuse(
    cluster: Cluster, observed: ObservedEnvironment, changes: Mapping[str, NodeChange], details: NodeDetails
) -> tuple[Action, ...]:
    """Every refusal; a changed ensemble is not reported as a lost one too."""
    return (
        tuple(_refusals(cluster, observed, changes))
        or tuple(_lost_ensemble(cluster, observed, details))
        or tuple(_quorum_of_newcomers(cluster, observed))
    )


def leaving(cluster: Cluster, observed: ObservedEnvironment) -> tuple[ObservedNode, ...]:
    """Existing brokers that are no longer in the file."""
    desired = {node.name for node in cluster.nodes}
    return tuple(node for node in observed.of_role(Role.BROKER) if node.name not in desired)


def _refusals(cluster: Cluster, observed: ObservedEnvironment, changes: Mapping[str, NodeChange]) -> Iterator[Action]:
    for thing in observed.foreign:
        cause = "it was not made by provision, and has a name that this environment needs"
        yield Action(Verb.REFUSE, Kind.FOREIGN, thing, cause)
    lost = [node.name for node in observed.nodes if node.state is NodeState.LOST]
    for name in lost:
        cause = "it runs, but its directory is gone: the file cannot be compared with it"
        yield Action(Verb.REFUSE, Kind.NODE, name, cause, END_LOST)
    if lost:
        return
    if observed.nodes and observed.mode and observed.mode != cluster.mode:
        cause = f"kafka.mode {observed.mode} → {cluster.mode}: its metadata would be left behind"
        yield Action(Verb.REFUSE, Kind.SOFTWARE, cluster.software, cause, DOWN_FIRST)
        return
    newer = [node for node in observed.nodes if node.version and _is_newer(node.version, cluster.version)]
    for node in newer:
        cause = f"Kafka {node.version} → {cluster.version}: an older release cannot read what a newer one has written"
        yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, DOWN_FIRST)
    yield from _smaller_ensemble(cluster, observed)
    for name, change in changes.items():
        if change.verb is Verb.REFUSE and name not in {node.name for node in newer}:
            yield Action(Verb.REFUSE, Kind.NODE, name, change.cause, change.hint, changes=change.differences)
    for node in leaving(cluster, observed):
        if node.version and node.version != str(cluster.version):
            cause = f"it leaves while Kafka changes from {node.version} to {cluster.version}"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, "change the version first, then brokers.nodes")


def _smaller_ensemble(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """Former members, existing or with kept data: the remaining ones may lack acknowledged writes."""
    desired = {node.name for node in cluster.nodes}
    for node in observed.nodes:
        if node.name not in desired and node.role != Role.BROKER:
            cause = "it is no longer in the file, and an ensemble is not made smaller while it is in use"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, DOWN_FIRST)
    for name in sorted(observed.kept - desired):
        if observed.node(name) is None and Role.parse(name)[0] is not Role.BROKER:
            cause = "it is no longer in the file and its data are kept: a smaller ensemble need not have all of them"
            yield Action(Verb.REFUSE, Kind.NODE, name, cause, _undo_or_remove(cluster, observed))


def _is_newer(version: str, than: KafkaVersion) -> bool:
    return KafkaVersion.parse(version) > than


def _lost_ensemble(cluster: Cluster, observed: ObservedEnvironment, details: NodeDetails) -> Iterator[Action]:
    """A majority of the ensemble lost its data while brokers kept theirs: it would start over with a new cluster id."""
    kept = [node.name for node in observed.of_role(Role.BROKER) if node.state is not NodeState.CREATED]
    if not kept or cluster.storage.kind is StorageKind.MEMORY:
        return
    keepers = cluster.zookeepers or cluster.voters
    there = [node for node in keepers if observed.node(node.name) or node.name in observed.storages]
    if len(there) > _members(cluster, observed, details) // 2:
        return
    for node in keepers:
        if node not in there:
            cause = f"its data are gone while {', '.join(kept)} kept theirs: a new ensemble would not know their topics"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, "`provision down` removes the rest")


def _quorum_of_newcomers(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """A majority of the KRaft voters would be formatted empty while other data were kept, with the same cluster id."""
    without, kept = voters_left_behind(cluster, observed)
    for node in without:
        cause = f"it has no data while {', '.join(kept)} kept theirs: most voters would begin without the topics"
        yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, _undo_or_remove(cluster, observed))


def _undo_or_remove(cluster: Cluster, observed: ObservedEnvironment) -> str:
    if observed.is_absent:  # the runtime has no record of it, so `down` would find nothing
        return f"undo the change, or delete {cluster.storage.directory}"
    options = " --delete-data" if cluster.storage.directory else ""
    return f"undo the change, or `provision down{options}` removes the rest"


def _members(cluster: Cluster, observed: ObservedEnvironment, details: NodeDetails) -> int:
    """The size of the ensemble according to the nodes' own configuration."""
    told = (members_in(details.files.get(node.name, ())) for node in observed.of_role(Role.ZOOKEEPER))
    return next((members for members in told if members), len(cluster.zookeepers or cluster.voters))
