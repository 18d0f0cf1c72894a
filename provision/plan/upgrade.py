"""The stages of a new Kafka version. Pure.

Source: Kafka documentation, "Upgrading": first the new software with the old inter-broker protocol; then the new
protocol, once every broker runs the new software.
"""

import sys

from provision.catalogue.versions import ZOOKEEPER, KafkaVersion
from provision.cluster.model import Cluster, Node, Role
from provision.common.values import replace
from provision.plan.observed import ObservedEnvironment
from provision.plan.phases import Stage

PROTOCOL = "inter.broker.protocol.version"
SOFTWARE_PHASE, PROTOCOL_PHASE = "software", "protocol"


def stages_of(cluster: Cluster, observed: ObservedEnvironment) -> tuple[Stage, ...]:
    """The stages of an update, `cluster` being the last: two for a newer release in ZooKeeper mode, else one.

    One suffices for a patch release, if no broker is running, and if the file itself sets a protocol that all brokers
    support.
    """
    running = [
        KafkaVersion.parse(node.version) for node in observed.of_role(Role.BROKER) if node.version and node.is_alive
    ]
    oldest = min(running, default=cluster.version)
    newer = (cluster.version.major, cluster.version.minor) > (oldest.major, oldest.minor)
    if not newer or cluster.mode != ZOOKEEPER or _is_spoken_by_all(cluster, oldest):
        return (Stage(cluster),)
    still_speaking = replace(cluster, nodes=tuple(_speaking(node, oldest) for node in cluster.nodes))
    return (
        Stage(still_speaking, SOFTWARE_PHASE),
        Stage(cluster, PROTOCOL_PHASE, f"every broker runs {cluster.version} then"),
    )


def _is_spoken_by_all(cluster: Cluster, oldest: KafkaVersion) -> bool:
    """Whether the file sets a protocol on every broker that the oldest running release supports."""
    said = [_release(node.properties[PROTOCOL]) for node in cluster.brokers if PROTOCOL in node.properties]
    return len(said) == len(cluster.brokers) and max(said) <= (oldest.major, oldest.minor)


def _release(protocol: str) -> tuple[int, ...]:
    """The 3.8 of `3.8-IV0`; anything else counts as newer than any release, and so waits for the second phase."""
    numbers = protocol.partition("-")[0].split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else (sys.maxsize,)


def _speaking(node: Node, release: KafkaVersion) -> Node:
    if node.role is not Role.BROKER:
        return node
    properties = {**node.properties, PROTOCOL: f"{release.major}.{release.minor}"}
    return replace(node, properties=dict(sorted(properties.items())))
