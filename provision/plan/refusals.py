"""Changes in the file that an existing environment cannot undergo without losing something. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from provision.catalogue.versions import KafkaVersion
from provision.cluster.model import Cluster, Role, StorageKind
from provision.plan.actions import Action, Kind, Verb
from provision.plan.changes import NodeChange
from provision.plan.ensembles import members_in, voters_left_behind
from provision.plan.listing import listed
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment, ObservedNode
from provision.plan.stored import StoredData, strangers

DOWN_FIRST = "`provision down` it first, or undo the change"
END_LOST = "`provision down --keep-data` ends it and keeps what is left; `provision up` goes on from there"


def refuse(
    cluster: Cluster, observed: ObservedEnvironment, changes: Mapping[str, NodeChange], details: NodeDetails
) -> tuple[Action, ...]:
    """Every refusal; a changed ensemble is not reported as a lost one too."""
    return (
        tuple(_refusals(cluster, observed, changes))
        or tuple(_over_kept_data(cluster, observed))
        or tuple(_quorum_of_newcomers(cluster, observed))
        or tuple(_lost_ensemble(cluster, observed, details))
        or tuple(_mixed_up(observed))
        or tuple(_brokers_left_behind(cluster, observed))
    )


def leaving(cluster: Cluster, observed: ObservedEnvironment) -> tuple[ObservedNode, ...]:
    """Existing brokers that are no longer in the file and may have replicas."""
    desired = {node.name for node in cluster.nodes}
    brokers = (node for node in observed.of_role(Role.BROKER) if node.name not in desired)
    return tuple(node for node in brokers if not observed.never_ran(node.name))


def leftovers(cluster: Cluster, observed: ObservedEnvironment) -> tuple[str, ...]:
    """Nodes and storages that are no longer in the file and were never used, as an interrupted `up` leaves them."""
    desired = {node.name for node in cluster.nodes}
    there = {node.name for node in observed.nodes} | observed.storages
    return tuple(sorted(name for name in there - desired if observed.never_ran(name)))


def _refusals(cluster: Cluster, observed: ObservedEnvironment, changes: Mapping[str, NodeChange]) -> Iterator[Action]:
    yield from _occupied(cluster, observed)
    lost = [node.name for node in observed.nodes if node.state is NodeState.LOST]
    for name in lost:
        cause = "it runs, but its directory is gone: the file cannot be compared with it"
        yield Action(Verb.REFUSE, Kind.NODE, name, cause, END_LOST)
    if lost:
        return
    modes = [observed.mode] if observed.nodes else [data.mode for data in observed.stored.values() if data.written]
    if other := next((mode for mode in modes if mode and mode != cluster.mode), ""):
        cause = f"kafka.mode {other} → {cluster.mode}: its metadata would be left behind"
        hint = DOWN_FIRST if observed.nodes else _undo_or_remove(cluster, observed)
        yield Action(Verb.REFUSE, Kind.SOFTWARE, cluster.software, cause, hint)
        return
    newer = [node for node in observed.nodes if node.version and _is_newer(node.version, cluster.version)]
    for node in newer:
        yield Action(Verb.REFUSE, Kind.NODE, node.name, _older(node.version, cluster), DOWN_FIRST)
    yield from _smaller_ensemble(cluster, observed)
    for name, change in changes.items():
        if change.verb is Verb.REFUSE and name not in {node.name for node in newer}:
            yield Action(Verb.REFUSE, Kind.NODE, name, change.cause, change.hint, changes=change.differences)
    for node in leaving(cluster, observed):
        if node.version and node.version != str(cluster.version):
            cause = f"it leaves while Kafka changes from {node.version} to {cluster.version}"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, "change the version first, then brokers.nodes")


def _occupied(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """What somebody else has put where the environment's own would be."""
    for thing in observed.foreign:
        cause = "it was not made by provision, and has a name that this environment needs"
        yield Action(Verb.REFUSE, Kind.FOREIGN, thing, cause)
    if "" in observed.in_the_way:
        yield Action(Verb.REFUSE, Kind.STORAGE, cluster.name, *observed.in_the_way[""])
    for name in (node.name for node in cluster.nodes if node.name in observed.in_the_way):
        there = observed.node(name)
        if there is None or not there.is_alive:  # while it runs, nothing is made or opened there
            yield Action(Verb.REFUSE, Kind.STORAGE, name, *observed.in_the_way[name])


def _smaller_ensemble(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """Former members, existing or with kept data: the remaining ones may lack acknowledged writes."""
    desired = {node.name for node in cluster.nodes}
    for node in observed.nodes:
        if node.name not in desired and node.role != Role.BROKER and not observed.never_ran(node.name):
            cause = "it is no longer in the file, and an ensemble is not made smaller while it is in use"
            yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, DOWN_FIRST)
    for name in sorted(observed.kept - desired):
        if observed.node(name) or observed.never_ran(name):
            continue
        if Role.parse(name)[0] is not Role.BROKER:
            cause = "it is no longer in the file and its data are kept: a smaller ensemble need not have all of them"
            yield Action(Verb.REFUSE, Kind.NODE, name, cause, _undo_or_remove(cluster, observed))


def _is_newer(version: str, than: KafkaVersion) -> bool:
    return KafkaVersion.parse(version) > than


def _older(before: object, cluster: Cluster) -> str:
    return f"Kafka {before} → {cluster.version}: an older release cannot read what a newer one has written"


def _over_kept_data(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """What is refused while nodes exist is also refused if only their data do."""
    hint = _undo_or_remove(cluster, observed)
    for name, data in sorted(observed.stored.items()):
        if data.written and observed.node(name) is None and (cause := _unusable(data, cluster)):
            yield Action(Verb.REFUSE, Kind.NODE, name, f"{cause} ({data.place})", hint)


def _unusable(data: StoredData, cluster: Cluster) -> str:
    """Why the cluster cannot use what a node left; empty if it can."""
    storage = cluster.storage.directory or cluster.storage.kind
    voters = frozenset(node.id for node in cluster.voters)
    if data.version and data.version > cluster.version:
        return _older(data.version, cluster)
    if data.storage and data.storage != storage:
        return f"storage {data.storage} → {storage}: its data would be left behind"
    if data.voters and data.voters != voters:
        return "the quorum has other voters, and that of a cluster with data is not changed"
    return ""


def _mixed_up(observed: ObservedEnvironment) -> Iterator[Action]:
    """Storages with the data of another cluster or another node: Kafka would not start, or start without topics."""
    for name, cause in strangers(observed.stored, observed.cluster_id):
        yield Action(Verb.REFUSE, Kind.NODE, name, cause, "put its own data back; else `provision down` removes all")


def _lost_ensemble(cluster: Cluster, observed: ObservedEnvironment, details: NodeDetails) -> Iterator[Action]:
    """A majority of the ensemble lost its data while brokers kept theirs: it would start over with a new cluster id."""
    keepers = [node.name for node in cluster.zookeepers or cluster.voters]
    if cluster.storage.kind is not StorageKind.MEMORY:
        hint = _undo_or_remove(cluster, observed) if observed.is_absent else "`provision down` removes the rest"
        for name, cause in lost_members(keepers, observed, _members(cluster, observed, details)):
            yield Action(Verb.REFUSE, Kind.NODE, name, cause, hint)


def lost_members(keepers: Sequence[str], observed: ObservedEnvironment, members: int) -> Iterator[tuple[str, str]]:
    """The members of an ensemble that lost their data, each with the reason, if with them a majority of `members` did.

    Args:
        keepers: the ensemble's nodes.
        observed: what is there, and what the storages contain if a node is to be started.
        members: the size of the ensemble that the data are from.
    """
    brokers = sorted(node.name for node in observed.of_role(Role.BROKER) if node.name not in observed.stored)
    with_data = [name for name in brokers if not observed.never_ran(name)]
    with_data += [name for name, data in observed.stored.items() if data.written and data.role is Role.BROKER]
    lost = [name for name in keepers if _is_lost(observed, name)]
    if not with_data or len(keepers) - len(lost) > members // 2:
        return
    for name in lost:
        where = f" ({observed.stored[name].place})" if name in observed.stored else ""
        kept = listed(with_data)
        yield name, f"its data are gone{where} while {kept} kept theirs: a new ensemble would not know their topics"


def _is_lost(observed: ObservedEnvironment, name: str) -> bool:
    """Whether a member has no data although it must have had some; one that was never started had none."""
    node, data = observed.node(name), observed.stored.get(name)
    if node is None and name not in observed.kept:
        return True
    return data is not None and not data.written and (node is None or node.state is NodeState.EXITED)


def _brokers_left_behind(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """Kept data of brokers that are no longer in the file, unless a removal was cut off once they were empty."""
    if any(node.state is not NodeState.CREATED for node in observed.of_role(Role.BROKER)):
        return  # those that are there say what it holds, before its storage goes (`provision.plan.removal`)
    desired = {node.name for node in cluster.nodes}
    left = [
        name
        for name in sorted(observed.kept - desired, key=lambda name: Role.parse(name)[1])
        if Role.parse(name)[0] is Role.BROKER and observed.node(name) is None and not observed.never_ran(name)
    ]
    for name in left:
        data = observed.stored.get(name)
        place = f" ({data.place})" if data else ""
        cause = f"it is no longer in the file, and its kept data{place} may be the only replicas of some partitions"
        enough = f"--set brokers.nodes={Role.parse(left[-1])[1]}"
        hint = f"`provision up {enough}` first; the next `provision up` moves what it holds and removes it"
        yield Action(Verb.REFUSE, Kind.NODE, name, cause, f"{hint}. Or {_removal(cluster, observed)}")


def _quorum_of_newcomers(cluster: Cluster, observed: ObservedEnvironment) -> Iterator[Action]:
    """A majority of the KRaft voters would be formatted empty while other data were kept, with the same cluster id."""
    without, kept = voters_left_behind(cluster, observed)
    for node in without:
        cause = f"it has no data while {listed(kept)} kept theirs: most voters would begin without the topics"
        yield Action(Verb.REFUSE, Kind.NODE, node.name, cause, _undo_or_remove(cluster, observed))


def _undo_or_remove(cluster: Cluster, observed: ObservedEnvironment) -> str:
    return f"undo the change, or {_removal(cluster, observed)}"


def _removal(cluster: Cluster, observed: ObservedEnvironment) -> str:
    """How to begin anew, without any data."""
    if observed.is_absent:  # the runtime has no record of it, so `down` would find nothing
        return f"delete {cluster.storage.directory}"
    options = " --delete-data" if cluster.storage.directory else ""
    return f"`provision down{options}` removes the rest"


def _members(cluster: Cluster, observed: ObservedEnvironment, details: NodeDetails) -> int:
    """The size of the ensemble according to the nodes' own configuration."""
    told = [members_in(details.files.get(node.name, ())) for node in observed.of_role(Role.ZOOKEEPER)]
    told += [data.members for data in observed.stored.values() if data.written]
    return next((members for members in told if members), len(cluster.zookeepers or cluster.voters))
