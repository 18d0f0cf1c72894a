"""What a living environment says of itself, beyond what its runtime knows: asked before anything is planned."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cluster.catalogue import KRAFT
from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, RenderedFile, Role, StorageKind, Topic
from provision.errors import Unavailable
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import ask_brokers, missing_for_agreement, missing_for_brokers
from provision.plan.changes import BROKER_FILE
from provision.plan.differences import Difference, differences
from provision.plan.observed import (
    Living,
    NodeState,
    ObservedCluster,
    ObservedEnvironment,
    ObservedNode,
    ObservedPartition,
    ObservedTopic,
)
from provision.runtime.base import Runtime
from provision.runtime.directories import nodes_with_data
from provision.waiting import ensemble_modes

if TYPE_CHECKING:
    from provision.kafka.admin import Admin
    from provision.kafka.settings import Entries

ADMIN_TIMEOUT_S = 30.0
_READERS = 8
_TRIES, _PAUSE_S = 3, 0.3  # a busy broker may let one question pass


def admin_of(bootstrap_servers: str) -> "AbstractContextManager[Admin]":
    """A connection for changes; its library is loaded only where one is needed."""
    from provision.kafka.admin import connected

    return connected(bootstrap_servers, ADMIN_TIMEOUT_S)


# -- nodes ------------------------------------------------------------------------------------------------------------


def observe_nodes(cluster: Cluster, runtime: Runtime) -> ObservedEnvironment:
    """What the runtime has, and what `down` left in the user's directory: a runtime that forgot it cannot tell."""
    observed = runtime.observe(cluster.name, [node.name for node in cluster.nodes])
    if cluster.storage.kind is not StorageKind.DIRECTORY:
        return observed
    left = nodes_with_data(Path(cluster.storage.directory), cluster.name)
    return dataclasses.replace(observed, left_data=left)


def observe_living(
    cluster: Cluster, files: Sequence[RenderedFile], observed: ObservedEnvironment, runtime: Runtime
) -> Living:
    """Ask the nodes what their changes would mean.

    Args:
        cluster: what must be.
        files: the files that its nodes are to have next.
        observed: what the runtime has.
        runtime: where they are.
    """
    # A broker's fingerprint is that of its making; settings that it took while it ran are in its files alone.
    read = [
        there.name
        for node in cluster.nodes
        if (there := observed.node(node.name))
        and (node.role is Role.BROKER or there.config_hash != config_hash(node.name, tuple(files)))
    ]
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        old = dict(zip(read, pool.map(partial(runtime.read_files, cluster.name), read), strict=True))
    changes = {name: differences(old[name], [file for file in files if file.node == name]) for name in read}
    asked = _ask_brokers(observed, changes)
    ensemble_changes = any(name.startswith(Role.ZOOKEEPER) and changes[name] for name in read)
    leader = _ensemble_leader(runtime, observed) if ensemble_changes else ""
    return dataclasses.replace(asked, files=old, ensemble_leader=leader)


def _ask_brokers(observed: ObservedEnvironment, changes: Mapping[str, Sequence[Difference]]) -> Living:
    from provision.kafka.brokers import set_beside_file, updatable

    running = [node for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
    answers = ask_brokers({node.number: node.endpoint for node in running if node.endpoint}, topics=False)
    if answers.best is None:
        return Living()
    registered = {broker.id for broker in answers.best.brokers}
    answering = [node for node in running if node.number in answers.clusters and node.number in registered]
    try:
        with admin_of(observed.bootstrap_servers) as admin:
            entries = admin.brokers.settings([node.number for node in answering])
            dynamic = {
                node.name: _taken(admin, node, changes.get(node.name, ()), updatable(entries[node.number]))
                for node in answering
            }
    except Unavailable:  # one is just going or coming: what would be dynamic is then a restart
        return Living(controller=active_controller(observed, answers.best))
    settings = {node.name: set_beside_file(entries[node.number]) for node in answering}
    controller = active_controller(observed, answers.best)
    return Living(dynamic=dynamic, settings=settings, controller=controller)


def active_controller(observed: ObservedEnvironment, cluster: ObservedCluster) -> int:
    """The active controller's id, -1 while there is none. Brokers of KRaft name any broker in its place (KIP-590)."""
    if observed.mode != KRAFT:
        return cluster.controller
    quorum = ask_for_quorum(observed.broker_endpoints.values())
    return quorum.leader if quorum else -1


def _taken(
    admin: "Admin", node: ObservedNode, changes: Sequence[Difference], updatable: frozenset[str]
) -> frozenset[str]:
    """The changed keys that the broker declares as updatable while it runs, if it agrees to their new values."""
    values = {
        change.key: str(change.after)
        for change in changes
        if change.file == BROKER_FILE and change.after is not None and change.key in updatable
    }
    return frozenset(values) if values and admin.brokers.takes(node.number, values) else frozenset()


def _ensemble_leader(runtime: Runtime, observed: ObservedEnvironment) -> str:
    modes = ensemble_modes(runtime, observed) if len(observed.of_role(Role.ZOOKEEPER)) > 1 else {}
    return next((name for name, mode in modes.items() if mode == "leader"), "")


# -- what is inside Kafka ---------------------------------------------------------------------------------------------


def observe_kafka(endpoints: Mapping[int, str], topics: Sequence[Topic]) -> ObservedCluster | None:
    """What the brokers say, the named topics with what is set on them; None while not all of them answer."""
    from provision.kafka.brokers import DELETE_TOPICS

    if _ask_all(endpoints, topics=False) is None:  # the client for changes would be patient with them
        return None
    declared = {topic.name for topic in topics}
    with admin_of(",".join(endpoints.values())) as admin:
        # The moves first: a partition that has arrived when its replicas are asked for has no others any more.
        moves = admin.partitions.moves()
        if (there := _ask_all(endpoints)) is None:
            return None
        there = there.with_moves(moves)
        settled = admin.topics.with_settings([topic for topic in there.topics if topic.name in declared])
        entries = admin.brokers.settings([there.brokers[0].id])[there.brokers[0].id]
    known = {topic.name: topic for topic in settled}
    return dataclasses.replace(
        there,
        topics=tuple(known.get(topic.name, topic) for topic in there.topics),
        deletes_topics=_is_true(entries, DELETE_TOPICS),
    )


def _ask_all(endpoints: Mapping[int, str], *, topics: bool = True) -> ObservedCluster | None:
    """What the brokers say when all of them answer and agree; None while they do not."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        answers = ask_brokers(endpoints, topics=topics)
        there = answers.best
        if there is not None and not missing_for_brokers(answers) and not missing_for_agreement(answers):
            return there
    return None


def _is_true(entries: "Entries", key: str) -> bool:
    return key not in entries or entries[key]["value"] == "true"


def with_sizes(there: ObservedCluster, endpoints: Mapping[int, str]) -> ObservedCluster:
    """The cluster with what each broker has of each partition on disk."""
    with admin_of(",".join(endpoints.values())) as admin:
        sizes = admin.partitions.sizes(endpoints)

    def sized(topic: ObservedTopic, partition: ObservedPartition) -> ObservedPartition:
        return dataclasses.replace(partition, held_bytes=sizes.get((topic.name, partition.number), {}))

    topics = tuple(
        dataclasses.replace(topic, partitions=tuple(sized(topic, partition) for partition in topic.partitions))
        for topic in there.topics
    )
    return dataclasses.replace(there, topics=topics)
