"""Read records."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from provision.common.patience import Patience
from provision.common.records import Record
from provision.errors import ProvisionError
from provision.kafka.access import Access
from provision.kafka.connection import consumer as connected_consumer
from provision.kafka.readiness import is_gone
from provision.kafka.translation import as_provision_error

_MOST_BYTES = 2**31 - 1
# How often to look whether the topic is still there, while nothing is read.
_LOOK_S = 2.0
_POLL_MS = 200
# ZooKeeper notices a dead broker after zookeeper.session.timeout.ms (18 s); then a new leader has to be elected.
_FAILOVER_S = 60.0
_RETRY_PAUSE_S = 0.5
_Answer = TypeVar("_Answer")


def consume(
    access: Access,
    topic: str,
    *,
    from_beginning: bool,
    limit: int | None,
    idle_s: float | None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Record]:
    """Read a topic without a consumer group, all partitions; records may have any size.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        from_beginning: from the first retained record, else only new ones.
        limit: stop after this many records.
        idle_s: stop after this long without records; None waits forever.
        check: called several times a second, and raises to stop.

    Raises:
        Unavailable: no broker answers, or a package that decompresses the records is missing.
        ProvisionError: there is no such topic, or not any more.
    """
    options: dict[str, object] = {
        "group_id": None,
        "enable_auto_commit": False,
        # Where records are deleted while they are read, those that are left are not skipped.
        "auto_offset_reset": "earliest" if from_beginning else "latest",
        # A broker returns at least one batch, whatever its size.
        "receive_message_max_bytes": _MOST_BYTES,
    }
    consumer = connected_consumer(access, **options)
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
        yield from _poll(consumer, limit, idle_s, check, lambda: is_gone(access, topic))
    except KafkaError as error:
        raise as_provision_error(f"reading {topic}", error) from error
    finally:
        consumer.close()


def _poll(
    consumer: KafkaConsumer,
    limit: int | None,
    idle_s: float | None,
    check: Callable[[], None],
    gone: Callable[[], bool],
) -> Iterator[Record]:
    read, quiet, unlooked = 0, Patience(float("inf") if idle_s is None else idle_s), Patience(_LOOK_S)
    while not quiet.is_over:
        check()
        for batch in _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)).values():
            for record in batch:
                if limit is not None and read >= limit:
                    return
                read, quiet, unlooked = read + 1, quiet.renewed(), unlooked.renewed()
                yield _as_read(record)
        if limit is not None and read >= limit:
            return
        if unlooked.is_over:
            if gone():
                topics = sorted({partition.topic for partition in consumer.assignment()})
                raise ProvisionError(f"there is no topic {', '.join(topics)} any more", why="it was deleted meanwhile")
            unlooked = unlooked.renewed()


def _as_read(record: Any) -> Record:  # noqa: ANN401 the library's record
    headers = tuple((name, value) for name, value in record.headers)
    return Record(record.topic, record.partition, record.offset, record.key, record.value, headers, record.timestamp)


def _patiently(ask: Callable[[], _Answer]) -> _Answer:
    """Retry transient failures: a leader that just died is replaced when its session expires."""
    patience = Patience(_FAILOVER_S)
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or not patience.pause(_RETRY_PAUSE_S):
                raise
