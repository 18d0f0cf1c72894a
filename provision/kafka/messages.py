"""Write and read records, and check that a cluster does both (a round trip)."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from provision.cluster.model import Topic
from provision.common.patience import Patience
from provision.errors import NotReady, ProvisionError
from provision.kafka.access import Access
from provision.kafka.admin import connected
from provision.kafka.connection import REQUEST_TIMEOUT_S, NotAnswering
from provision.kafka.connection import consumer as connected_consumer
from provision.kafka.connection import producer as connected_producer
from provision.kafka.metadata import observe_cluster
from provision.plan.placement import Placement
from provision.plan.topic_changes import PlacedTopic

_ACKNOWLEDGE_S = 30.0
_POLL_MS = 200
# ZooKeeper notices a dead broker after zookeeper.session.timeout.ms (18 s); then a new leader has to be elected.
_FAILOVER_S = 60.0
_RETRY_PAUSE_S = 0.5
_GONE_PAUSE_S = 0.1
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: `key` and `value` as written, None if absent."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def produce(access: Access, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
    """Write records (key, value) in order, each acknowledged by all in-sync replicas; returns how many.

    Raises:
        Unavailable: no broker answers.
        ProvisionError: a record was not acknowledged; the message has the number acknowledged before it.
    """
    written = 0
    producer = connected_producer(access, acks="all", linger_ms=5)
    try:
        pending = []
        for key, value in records:
            pending.append(producer.send(topic, value=value, key=key))
            if len(pending) >= 1000:  # noqa: PLR2004 bounds what is held in memory
                written += _acknowledge(pending)
        written += _acknowledge(pending)
    except KafkaError as error:
        raise ProvisionError(
            f"{topic} did not take a record; {written} were acknowledged before", why=str(error)
        ) from error
    finally:
        producer.close(timeout=5)
    return written


def _acknowledge(pending: list) -> int:  # type: ignore[type-arg]  # the library's futures
    count = len(pending)
    for future in pending:
        future.get(timeout=_ACKNOWLEDGE_S)
    pending.clear()
    return count


def consume(
    access: Access, topic: str, *, from_beginning: bool, limit: int | None, idle_s: float | None
) -> Iterator[Record]:
    """Read a topic without a consumer group, all partitions.

    Args:
        access: how the cluster is reached.
        topic: must exist.
        from_beginning: from the first retained record, else only new ones.
        limit: stop after this many records.
        idle_s: stop after this long without records; None waits forever.
    """
    consumer = connected_consumer(access, group_id=None, enable_auto_commit=False)
    try:
        partitions = _patiently(lambda: consumer.partitions_for_topic(topic))
        if not partitions:
            raise ProvisionError(f"there is no topic {topic}", hint="`provision topics list` shows those there are")
        assigned = [TopicPartition(topic, number) for number in sorted(partitions)]
        consumer.assign(assigned)
        if from_beginning:
            consumer.seek_to_beginning(*assigned)
        else:
            consumer.seek_to_end(*assigned)
        yield from _poll(consumer, limit, idle_s)
    except KafkaError as error:
        raise ProvisionError(f"reading {topic} failed", why=str(error)) from error
    finally:
        consumer.close()


def _poll(consumer: KafkaConsumer, limit: int | None, idle_s: float | None) -> Iterator[Record]:
    read, quiet = 0, Patience(float("inf") if idle_s is None else idle_s)
    while not quiet.is_over:
        for batch in _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)).values():
            for record in batch:
                if limit is not None and read >= limit:
                    return
                read, quiet = read + 1, quiet.renewed()
                yield Record(record.topic, record.partition, record.offset, record.key, record.value)
        if limit is not None and read >= limit:
            return


def _patiently(ask: Callable[[], _Answer]) -> _Answer:
    """Retry transient failures: a leader that just died is replaced when its session expires."""
    patience = Patience(_FAILOVER_S)
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or not patience.pause(_RETRY_PAUSE_S):
                raise


def roundtrip(access: Access, timeout_s: float) -> None:
    """Write a record to every broker and read it back, through a temporary topic.

    Raises:
        NotReady: a record could not be read back within `timeout_s`.
        ProvisionError: the topic could not be created or removed, or a record was not acknowledged.
    """
    try:
        cluster = observe_cluster(access, next(iter(access.brokers)))
    except NotAnswering as reason:
        raise NotReady("a broker does not answer", why=str(reason)) from reason
    replication_factor = min(3, len(cluster.brokers))
    topic = Topic(f"provision-roundtrip-{uuid.uuid4().hex[:8]}", len(cluster.brokers), replication_factor, {})
    placed = PlacedTopic(topic, Placement(cluster.brokers).place(topic.partitions, replication_factor))
    with connected(access, min(timeout_s, REQUEST_TIMEOUT_S)) as admin:
        if failures := admin.topics.create([placed]).failures:
            raise ProvisionError("the topic for a round trip could not be made", why=failures[topic.name])
        try:
            _write_and_read(access, topic, timeout_s)
        finally:
            left = admin.topics.delete([topic.name])
        if left:
            raise ProvisionError(f"the topic {topic.name} could not be removed", why=left[topic.name])
    # In KRaft mode, brokers learn of the deletion a moment later.
    patience = Patience(min(timeout_s, REQUEST_TIMEOUT_S))
    while any(_knows(access, broker, topic.name) for broker in access.brokers) and patience.pause(_GONE_PAUSE_S):
        pass


def _knows(access: Access, broker: int, topic: str) -> bool:
    try:
        return observe_cluster(access, broker).topic(topic) is not None
    except NotAnswering:
        return False


def _write_and_read(access: Access, topic: Topic, timeout_s: float) -> None:
    sent = {str(number).encode() for number in range(topic.partitions)}
    producer = connected_producer(access, acks="all")
    try:
        for number in range(topic.partitions):
            producer.send(topic.name, value=str(number).encode(), partition=number).get(timeout=timeout_s)
    except KafkaError as error:
        raise NotReady("a record was not acknowledged", why=str(error)) from error
    finally:
        producer.close(timeout=5)
    records = consume(access, topic.name, from_beginning=True, limit=topic.partitions, idle_s=timeout_s)
    came_back = {record.value for record in records}
    if missing := sent - came_back:
        partitions = ", ".join(sorted(value.decode() for value in missing))
        raise NotReady("a record did not come back", why=f"of partition {partitions}")
