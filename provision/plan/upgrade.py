"""The first of the two steps of a new Kafka version in ZooKeeper mode. Pure.

Source: Kafka documentation, "Upgrading": new software first, speaking the old protocol between brokers; the new
protocol when every broker runs the new software.
"""

import dataclasses
import sys

from provision.cluster.catalogue import KafkaVersion
from provision.cluster.model import Cluster, Node, Role
from provision.plan.observed import NodeState, ObservedEnvironment

PROTOCOL = "inter.broker.protocol.version"


def interim_of(cluster: Cluster, observed: ObservedEnvironment) -> Cluster | None:
    """The cluster as it is to be while brokers of an older release still run; None where one step is enough.

    One step is enough for a patch release, when no broker runs that could be left behind, and where the file itself
    keeps to a protocol that all of them speak.
    """
    running = [
        KafkaVersion.parse(node.version)
        for node in observed.of_role(Role.BROKER)
        if node.version and node.state is NodeState.RUNNING
    ]
    oldest = min(running, default=cluster.version)
    if (oldest.major, oldest.minor) >= (cluster.version.major, cluster.version.minor):
        return None
    said = [_release(node.properties[PROTOCOL]) for node in cluster.brokers if PROTOCOL in node.properties]
    spoken_by_all = len(said) == len(cluster.brokers) and max(said) <= (oldest.major, oldest.minor)
    if cluster.mode != "zookeeper" or spoken_by_all:
        return None
    return dataclasses.replace(cluster, nodes=tuple(_speaking(node, oldest) for node in cluster.nodes))


def _release(protocol: str) -> tuple[int, ...]:
    """The 3.8 of `3.8-IV0`; what is no release is newer than any, so that it waits for the second step."""
    numbers = protocol.partition("-")[0].split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else (sys.maxsize,)


def _speaking(node: Node, release: KafkaVersion) -> Node:
    if node.role is not Role.BROKER:
        return node
    properties = {**node.properties, PROTOCOL: f"{release.major}.{release.minor}"}
    return dataclasses.replace(node, properties=dict(sorted(properties.items())))
