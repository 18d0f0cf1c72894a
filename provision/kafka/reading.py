"""Read records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from provision.common.patience import Patience
from provision.common.records import Isolation, Record
from provision.errors import ProvisionError
from provision.kafka.access import Access
from provision.kafka.connection import consumer as connected_consumer
from provision.kafka.connection import without_pause
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
Ends = Mapping[TopicPartition, int]
"""By partition: the offset before which is what is read."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What of a topic is read, and until when.

    Attributes:
        from_beginning: from the first retained record, else only new ones.
        limit: stop after this many records.
        idle_s: stop after this long without records; None waits forever.
        to_end: stop at the end of each partition, as it is when the reading begins.
        isolation: with `read_committed`, nothing is read of aborted transactions, nor past the start of an open one.
    """

    from_beginning: bool = True
    limit: int | None = None
    idle_s: float | None = None
    isolation: Isolation = "read_uncommitted"
    to_end: bool = False


def consume(
    access: Access, topic: str, options: ReadOptions, check: Callable[[], None] = lambda: None
) -> Iterator[Record]:
    """Read a topic without a consumer group, all partitions; records may have any size.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        options: what is read, and until when.
        check: called several times a second, and raises to stop.

    Raises:
        Unavailable: no broker answers, or a package that decompresses the records is missing.
        ProvisionError: there is no such topic, or not any more.
    """
    # Where records are deleted while they are read, those that are left are not skipped.
    reset = "earliest" if options.from_beginning else "latest"
    consumer = _reader(access, isolation_level=options.isolation, auto_offset_reset=reset)
    try:
        with without_pause(consumer):
            partitions = _patiently(lambda: consumer.partitions_for_topic(topic))
        if not partitions:
            raise ProvisionError(f"there is no topic {topic}", hint="`provision topics list` shows those there are")
        assigned = [TopicPartition(topic, number) for number in sorted(partitions)]
        consumer.assign(assigned)
        if options.from_beginning:
            consumer.seek_to_beginning(*assigned)
        else:
            consumer.seek_to_end(*assigned)
        ends = _patiently(lambda: consumer.end_offsets(assigned)) if options.to_end else {}
        yield from _poll(consumer, options, ends, check, lambda: is_gone(access, topic))
    except KafkaError as error:
        raise as_provision_error(f"reading {topic}", error) from error
    finally:
        consumer.close()


def is_read(access: Access, positions: Mapping[tuple[str, int], int], patience_s: float) -> bool:
    """Whether no committed record is left, in each partition from its position on.

    What ends a transaction takes an offset too, and so do the records of an aborted one: so it is not enough to compare
    positions with the ends of partitions.

    Raises:
        Unavailable: no broker answers.
    """
    consumer = _reader(access, isolation_level="read_committed", auto_offset_reset="earliest")
    patience = Patience(patience_s)
    try:
        assigned = {TopicPartition(*place): offset for place, offset in positions.items()}
        consumer.assign(list(assigned))
        for place, offset in assigned.items():
            consumer.seek(place, offset)
        with without_pause(consumer):
            ends = consumer.end_offsets(list(assigned))
        while not _has_reached(consumer, ends):
            if _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)) or patience.is_over:
                return False
    except KafkaError as error:
        raise as_provision_error("reading what a group has left", error) from error
    else:
        return True
    finally:
        consumer.close()


def _has_reached(consumer: KafkaConsumer, ends: Ends) -> bool:
    """Whether nothing is left before those offsets; records that were aborted or deleted are passed over, too."""
    positions = (
        (_patiently(partial(consumer.position, place, timeout_ms=_POLL_MS)), end) for place, end in ends.items()
    )
    return all(position is not None and position >= end for position, end in positions)


def _reader(access: Access, **options: object) -> KafkaConsumer:
    """A consumer without a group, to which a broker returns at least one batch, whatever its size."""
    return connected_consumer(
        access, group_id=None, enable_auto_commit=False, receive_message_max_bytes=_MOST_BYTES, **options
    )


def _poll(
    consumer: KafkaConsumer,
    options: ReadOptions,
    ends: Ends,
    check: Callable[[], None],
    gone: Callable[[], bool],
) -> Iterator[Record]:
    idle_s, limit = options.idle_s, options.limit
    read, quiet, unlooked = 0, Patience(float("inf") if idle_s is None else idle_s), Patience(_LOOK_S)
    while not quiet.is_over and not (options.to_end and _has_reached(consumer, ends)):
        check()
        for batch in _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)).values():
            for record in batch:
                if limit is not None and read >= limit:
                    return
                if record.offset >= ends.get(TopicPartition(record.topic, record.partition), record.offset + 1):
                    continue
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
