"""Whether topics are ready, and in particular whether leaders serve their partitions (Kafka protocol, ListOffsets API).

What brokers report about a partition says nothing about its log. KRaft brokers name its leader as soon as they have
read it in the metadata, and a new partition has all its replicas in sync from the start; the leader creates the log a
moment later, with thousands of partitions seconds later. In ZooKeeper mode a leader that could not create the log, for
example because of too many open files, is reported like any other. Until there is a log, the leader rejects writes and
reads as not being the leader. So it is asked.
"""

import importlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial

from provision.cluster.model import Role
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask, ask_side_by_side
from provision.kafka.readiness import BrokerAnswers, first_of, missing_in_metadata
from provision.plan.observed import ObservedCluster

# Brokers from 2.2 on support it, including 4.x.
_VERSION = 5
_CLIENT, _UNCHECKED_EPOCH = -1, -1
_TIMEOUT_S = 5.0

Partition = tuple[str, int]


def missing_for_topics(answers: BrokerAnswers, access: Access, topics: Collection[str] | None) -> dict[str, str]:
    """What the level `topics` lacks, in either mode: node name to reason; empty when it holds.

    Args:
        answers: what the brokers report.
        access: how the leaders are reached, which are asked once there is nothing missing in what is reported.
        topics: the names of those that must be ready; None for whichever exist.
    """
    missing = missing_in_metadata(answers, topics)
    if missing or answers.best is None:
        return missing
    return missing_for_leaders(answers.best, access, None if topics is None else frozenset(topics))


def missing_for_leaders(cluster: ObservedCluster, access: Access, topics: Collection[str] | None) -> dict[str, str]:
    """Leaders that do not serve their partitions yet: node name to reason; empty if all do.

    Args:
        cluster: the leaders.
        access: how the brokers are reached; others are not asked.
        topics: the names of the topics to check; None for all.
    """
    led = defaultdict[int, list[Partition]](list)
    for topic in cluster.topics:
        if topics is None or topic.name in topics:
            for partition in topic.partitions:
                led[partition.leader].append((topic.name, partition.number))
    importlib.import_module("provision.kafka.library")
    answers = ask_side_by_side(
        {broker: partial(_unserved, access, broker, led[broker]) for broker in sorted(led) if broker in access.brokers}
    )
    return {Role.BROKER.node(broker): _reason(answer) for broker, answer in answers.items() if answer}


def _reason(answer: list[Partition] | NotAnswering) -> str:
    if isinstance(answer, NotAnswering):
        return str(answer)
    return first_of([f"it does not serve {name}-{number} yet" for name, number in answer])


def _unserved(access: Access, broker: int, partitions: Sequence[Partition]) -> list[Partition]:
    """The partitions for which the broker does not return an offset as their leader."""
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.consumer.offsets import ListOffsetsRequest, OffsetSpec

    by_topic = defaultdict[str, list[int]](list)
    for name, number in partitions:
        by_topic[name].append(number)
    topic = ListOffsetsRequest.ListOffsetsTopic
    request = ListOffsetsRequest(
        replica_id=_CLIENT,
        isolation_level=0,
        topics=[
            topic(
                name=name,
                partitions=[
                    topic.ListOffsetsPartition(
                        partition_index=number,
                        current_leader_epoch=_UNCHECKED_EPOCH,
                        timestamp=OffsetSpec.EARLIEST,
                    )
                    for number in numbers
                ],
            )
            for name, numbers in by_topic.items()
        ],
        version=_VERSION,
    )
    response = ask(access, broker, request, _TIMEOUT_S)
    return sorted(
        (told.name, partition.partition_index)
        for told in response.topics
        for partition in told.partitions
        if partition.error_code
    )
