"""Data that do not fit: of another cluster, node, version or mode, lost, or never formatted."""

from collections.abc import Iterator

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Cluster, Role, StorageKind, node_with_id
from provision.operations.doctor.facts import Facts, known
from provision.operations.doctor.findings import Finding
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState
from provision.plan.refusals import lost_members
from provision.plan.stored import META_FILE, StoredData, common_cluster_id, strangers

_MISMATCH, _OTHER_NODE, _UNFORMATTED = "cluster-id-mismatch", "node-id-mismatch", "not-formatted"


def _stored(facts: Facts) -> dict[str, StoredData]:
    """What the storages of nodes that do not run contain."""
    return {name: data for name, about in facts.nodes.items() if (data := known(about.stored))}


@check(_MISMATCH, _OTHER_NODE)
def of_another_cluster(facts: Facts) -> Iterator[Finding]:
    """Storages with the data of another cluster or another node."""
    observed, stored = known(facts.observed), _stored(facts)
    if observed is None:
        return
    ours = facts.inside.cluster.cluster_id if facts.inside.cluster else observed.cluster_id
    for name, cause in strangers(stored, ours):
        data = stored[name]
        is_ours = data.cluster_id == (ours or common_cluster_id(stored))
        identity, what = (_OTHER_NODE, "node") if is_ours else (_MISMATCH, "cluster")
        yield Finding(
            identity,
            f"{name} has the data of another {what}",
            evidence=(cause,),
            cause=f"{META_FILE} was edited, or the data were put there from elsewhere",
            file=data.place,
            fix=f"put its own data back; else `provision down {facts.name}` removes all",
            node=name,
        )


@check("ensemble-data-lost")
def ensemble_lost(facts: Facts) -> Iterator[Finding]:
    """The ensemble lost its data while brokers kept theirs: it would begin anew, with another cluster id."""
    observed, stored = known(facts.observed), _stored(facts)
    if observed is None or observed.storage == StorageKind.MEMORY:
        return
    voters = next((data.voters for data in stored.values() if data.voters), frozenset[int]())
    keepers = [node.name for node in observed.of_role(Role.ZOOKEEPER)] or sorted(map(node_with_id, voters))
    for name, cause in lost_members(keepers, observed, len(keepers)):
        yield Finding(
            "ensemble-data-lost",
            f"{name} has lost its data",
            evidence=(cause,),
            cause="its data directory or its volume was emptied",
            file=stored[name].place if name in stored else "",
            fix=f"put its data back from a copy; else `provision down {facts.name}` removes all",
            node=name,
        )


@check(_UNFORMATTED)
def not_formatted(facts: Facts) -> Iterator[Finding]:
    """Storages of nodes in KRaft mode without a cluster's id: their nodes cannot start."""
    observed = known(facts.observed)
    if observed is None or observed.mode != KRAFT:
        return
    for name, data in _stored(facts).items():
        node = observed.node(name)
        if not data.cluster_id and node and node.state is NodeState.EXITED:
            yield Finding(
                _UNFORMATTED,
                f"the storage of {name} is not formatted",
                evidence=(f"{data.place}: no {META_FILE} with a cluster.id",),
                cause=f"its {META_FILE} is gone or damaged" if data.written else "a command was interrupted",
                file=data.place if data.meta else "",
                fix=f"provision start {facts.name} {name}, which formats it with the cluster's id",
                node=name,
            )


@check("kept-data-newer", "kept-data-other-mode", "kept-data-other-voters")
def kept_data(facts: Facts) -> Iterator[Finding]:
    """Data that an earlier `down` left, and that the file's cluster cannot use."""
    cluster, there = facts.cluster, {node.name for node in facts.there}
    if cluster is None:
        return
    for name, data in _stored(facts).items():
        if data.written and name not in there:
            yield from _unusable(facts, cluster, data)


def _unusable(facts: Facts, cluster: Cluster, data: StoredData) -> Iterator[Finding]:
    wanted, voters = cluster.version, frozenset(node.id for node in cluster.voters)
    remove = f"`provision down {facts.name}{' --delete-data' if cluster.storage.directory else ''}` removes the data"
    if data.mode and data.mode != cluster.mode:
        yield Finding(
            "kept-data-other-mode",
            f"the data of {data.node} are those of a cluster in {data.mode} mode, the file says {cluster.mode}",
            evidence=(data.place,),
            cause="kafka.mode was changed while the data were kept",
            file=facts.line_of("kafka", "mode") or facts.line_of("kafka", "version"),
            fix=f"set kafka.mode to {data.mode}; else {remove}",
            node=data.node,
        )
    elif data.version and data.version > wanted:
        yield Finding(
            "kept-data-newer",
            f"the data of {data.node} were last used by Kafka {data.version}, the file says {wanted}",
            evidence=(data.place,),
            cause="an older release cannot read what a newer one has written",
            file=facts.line_of("kafka", "version"),
            fix=f"set kafka.version to {data.version} or later; else {remove}",
            node=data.node,
        )
    elif data.voters and data.voters != voters:
        yield Finding(
            "kept-data-other-voters",
            f"the data of {data.node} are those of a quorum of other voters",
            evidence=(f"{data.place}: {sorted(data.voters)}", f"the file: {sorted(voters)}"),
            cause="the quorum was changed while the data were kept",
            file=facts.line_of("controllers", "nodes") or facts.line_of("brokers", "nodes"),
            fix=f"undo the change; else {remove}",
            node=data.node,
        )
