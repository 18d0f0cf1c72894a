"""The nodes of an environment, and what they report about themselves: observed before anything is planned."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cluster.model import Cluster, RenderedFile, Role, StorageKind
from provision.common.values import replace
from provision.errors import Unavailable
from provision.kafka.readiness import ask_brokers
from provision.observe.files import files_of
from provision.observe.health import with_halted
from provision.observe.leaders import active_controller, ensemble_leader
from provision.observe.reach import access_to
from provision.plan.changes import BROKER_FILE, NEVER_DYNAMIC
from provision.plan.differences import Difference, differences
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import Runtime
from provision.runtime.directories import data_of, in_the_way, kept_files, nodes_with_data, require_usable, stored_in

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

_READERS = 8


def observe_nodes(cluster: Cluster, runtime: Runtime) -> ObservedEnvironment:
    """What the runtime has, plus what is in the user's directory: data that `down` left, or something in the way."""
    observed = with_halted(runtime.observe(cluster.name, [node.name for node in cluster.nodes]), runtime)
    if cluster.storage.kind is not StorageKind.DIRECTORY:
        return with_stored(observed, runtime)
    storage = Path(cluster.storage.directory)
    left = nodes_with_data(storage, cluster.name)
    blocked = {**observed.in_the_way, **dict(_in_the_way(cluster))}
    observed = with_stored(replace(observed, orphaned_data=left, in_the_way=blocked), runtime)
    orphans = [stored_in(data_of(storage, n), n, kept_files(storage, n)) for n in left - observed.storages]
    return replace(observed, stored={**observed.stored, **{data.node: data for data in orphans if data}})


def _in_the_way(cluster: Cluster) -> Iterator[tuple[str, tuple[str, str]]]:
    """The nodes whose part of the user's directory cannot be used: why, and what to do."""
    storage = Path(cluster.storage.directory)
    for node in cluster.nodes:
        if found := in_the_way(partial(require_usable, storage, node.name, cluster.name)):
            yield node.name, found


def with_stored(observed: ObservedEnvironment, runtime: Runtime) -> ObservedEnvironment:
    """The environment with what its storages contain, unless every node that has one is running."""
    if observed.kept <= _running(observed):
        return observed
    return _with_stored_of(observed, runtime, observed.storages)


def with_stored_of_stopped(observed: ObservedEnvironment, runtime: Runtime) -> ObservedEnvironment:
    """The same without those of running nodes, where the others and the quorum's members are known without them."""
    if observed.cluster_id:  # with ZooKeeper, the ensemble's data say it
        read = _with_stored_of(observed, runtime, observed.storages - _running(observed))
        if any(data.voters for data in read.stored.values()):
            return read
    return with_stored(observed, runtime)


def _running(observed: ObservedEnvironment) -> frozenset[str]:
    return frozenset(node.name for node in observed.nodes if node.state is NodeState.RUNNING)


def _with_stored_of(observed: ObservedEnvironment, runtime: Runtime, nodes: Collection[str]) -> ObservedEnvironment:
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        read = pool.map(partial(runtime.read_storage, observed.name), sorted(nodes))
        return replace(observed, stored={data.node: data for data in read if data})


def observe_details(
    cluster: Cluster, files: Sequence[RenderedFile], observed: ObservedEnvironment, runtime: Runtime
) -> NodeDetails:
    """Ask the nodes what is needed to classify their changes.

    Args:
        cluster: the desired cluster.
        files: the files that its nodes get next.
        observed: what the runtime has.
        runtime: where the nodes run.
    """
    # The runtime's fingerprints date from the nodes' creation: what was changed or edited since, only files tell.
    read = [node.name for node in cluster.nodes if observed.node(node.name)]
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        old = dict(zip(read, pool.map(partial(files_of, runtime, cluster.name), read), strict=True))
    changes = {name: differences(old[name], [file for file in files if file.node == name]) for name in read}
    asked = _ask_brokers(observed, changes)
    ensemble_changes = any(Role.parse(name)[0] is Role.ZOOKEEPER and changes[name] for name in read)
    leader = ensemble_leader(runtime, observed) if ensemble_changes else ""
    return replace(asked, files=old, ensemble_leader=leader)


def _ask_brokers(observed: ObservedEnvironment, changes: Mapping[str, Sequence[Difference]]) -> NodeDetails:
    running = [node for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
    access = access_to(observed)
    answers = ask_brokers(access, topics=False)
    if answers.best is None:
        return NodeDetails()
    from provision.kafka.admin import connected
    from provision.kafka.brokers import dynamic_overrides, updatable

    registered = {broker.id for broker in answers.best.brokers}
    answering = [node for node in running if node.number in answers.clusters and node.number in registered]
    try:
        with connected(access) as admin:
            entries = admin.brokers.settings([node.number for node in answering])
            dynamic = {
                node.name: _taken(admin, node, changes.get(node.name, ()), updatable(entries[node.number]))
                for node in answering
            }
    except Unavailable:  # a broker is just stopping or starting: dynamic changes then become restarts
        return NodeDetails(controller=active_controller(observed, answers.best))
    settings = {node.name: dynamic_overrides(entries[node.number]) for node in answering}
    controller = active_controller(observed, answers.best)
    return NodeDetails(dynamic=dynamic, settings=settings, controller=controller)


def _taken(
    admin: "Admin", node: ObservedNode, changes: Sequence[Difference], updatable: frozenset[str]
) -> frozenset[str]:
    """The changed keys that the broker declares as dynamically updatable, if it accepts the new values.

    It is not asked about other listeners, which a restart opens.
    """
    if any(change.key in NEVER_DYNAMIC for change in changes):
        return frozenset()
    values = {
        change.key: str(change.after)
        for change in changes
        if change.file == BROKER_FILE and change.after is not None and change.key in updatable
    }
    return frozenset(values) if values and admin.brokers.takes(node.number, values) else frozenset()
