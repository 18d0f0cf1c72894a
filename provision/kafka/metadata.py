"""The whole cluster as one broker reports it (Kafka protocol, Metadata API)."""

from typing import Any

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic

# Brokers from 2.4 on support it, including 4.x.
_VERSION = 9
_UNKNOWN_TOPIC = 3


def observe_cluster(access: Access, broker: int, timeout_s: float = 5.0, *, topics: bool = True) -> ObservedCluster:
    """Ask one broker for brokers and topics; the topics come without configuration.

    Without `topics` only for the brokers: with thousands of partitions, that is a far shorter answer.

    Raises:
        NotAnswering: it does not answer (yet).
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.metadata import MetadataRequest

    request = MetadataRequest(topics=None if topics else [], allow_auto_topic_creation=False, version=_VERSION)
    response = ask(access, broker, request, timeout_s)
    return ObservedCluster(
        cluster_id=response.cluster_id or "",
        controller=response.controller_id,
        brokers=tuple(
            ObservedBroker(known.node_id, known.rack, _address(known.host, known.port))
            for known in sorted(response.brokers, key=lambda known: known.node_id)
        ),
        topics=tuple(
            sorted((_topic(topic) for topic in response.topics if not topic.error_code), key=lambda topic: topic.name)
        ),
    )


def observe_topic(access: Access, broker: int, name: str, timeout_s: float = 5.0) -> ObservedTopic | None:
    """Ask one broker for one topic, which is never created by that; None if it knows of none.

    Raises:
        NotAnswering: it does not answer (yet), or has just started and does not know the cluster.
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.metadata import MetadataRequest

    topics = [MetadataRequest.MetadataRequestTopic(name=name)]
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=False, version=_VERSION)
    response = ask(access, broker, request, timeout_s)
    if not response.brokers or response.controller_id < 0:
        raise NotAnswering("it does not know the cluster yet")
    (topic,) = response.topics
    return None if topic.error_code == _UNKNOWN_TOPIC else _topic(topic)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _topic(topic: Any) -> ObservedTopic:  # noqa: ANN401 the library's response class
    partitions = (
        ObservedPartition(
            number=partition.partition_index,
            leader=partition.leader_id,
            replicas=tuple(partition.replica_nodes),
            in_sync=tuple(partition.isr_nodes),
        )
        for partition in topic.partitions
    )
    return ObservedTopic(
        name=topic.name,
        partitions=tuple(sorted(partitions, key=lambda partition: partition.number)),
        internal=topic.is_internal,
    )
