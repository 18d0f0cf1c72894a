"""Read records."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from provision.common.patience import Patience
from provision.common.records import Isolation, Record
from provision.errors import ProvisionError, Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import consumer as connected_consumer
from provision.kafka.insisting import Answer, patiently
from provision.kafka.readiness import is_gone, no_topic
from provision.kafka.translation import as_provision_error

_MOST_BYTES = 2**31 - 1
# How often to look whether the topic is still there, while nothing is read.
_LOOK_S = 2.0
_POLL_MS = 200
_ENDS_MS = 2000
# ZooKeeper notices a dead broker after zookeeper.session.timeout.ms (18 s); then a new leader has to be elected.
_FAILOVER_S = 60.0
_RETRY_PAUSE_S = 0.5


class ReadOptions(Struct, frozen=True):
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
    access: Access, topic: str, options: ReadOptions, check: Callable[[], None] = lambda: None, *, cluster: str
) -> Iterator[Record]:
    """Read a topic without a consumer group, all partitions; records may have any size.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        options: what is read, and until when.
        check: called several times a second, and raises to stop.
        cluster: what errors call the cluster.

    Raises:
        Unavailable: no broker answers, the end that is wanted is not reached in time, or a package that decompresses
            the records is missing.
        UsageError: there is no such topic.
        ProvisionError: it is not there any more.
    """
    # Where records are deleted while they are read, those that are left are not skipped.
    reset = "earliest" if options.from_beginning else "latest"
    consumer = _reader(access, isolation_level=options.isolation, auto_offset_reset=reset)
    try:
        partitions = _patiently(lambda: consumer.partitions_for_topic(topic))
        if not partitions:
            raise no_topic(cluster, [topic])
        assigned = [TopicPartition(topic, number) for number in sorted(partitions)]
        consumer.assign(assigned)
        if options.from_beginning:
            consumer.seek_to_beginning(*assigned)
        else:
            consumer.seek_to_end(*assigned)
        watch = _Watch(check, lambda: is_gone(access, topic))
        ends = _Ends.asked(consumer, assigned, cluster, watch, options.idle_s) if options.to_end else None
        yield from _poll(consumer, options, ends, watch)
    except KafkaError as error:
        raise as_provision_error(f"reading {topic}", error) from error
    finally:
        # At the end of the interpreter, where what was read in part is left, the library's thread has ended, and its
        # `close` would wait for it for ever.
        if not sys.is_finalizing():
            consumer.close()


def is_read(access: Access, positions: Mapping[tuple[str, int], int], patience_s: float, *, cluster: str) -> bool:
    """Whether no committed record is left, in each partition from its position on.

    What ends a transaction takes an offset too, and so do the records of an aborted one: so it is not enough to compare
    positions with the ends of partitions. `cluster` is what errors call the cluster.

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
        ends = _Ends.asked(consumer, list(assigned), cluster)
        while not ends.are_reached:
            if _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)) or patience.is_over:
                return False
    except KafkaError as error:
        raise as_provision_error("reading what a group has left", error) from error
    else:
        return True
    finally:
        consumer.close()


def _reader(access: Access, **options: object) -> KafkaConsumer:
    """A consumer without a group, to which a broker returns at least one batch, whatever its size."""
    return connected_consumer(
        access, group_id=None, enable_auto_commit=False, receive_message_max_bytes=_MOST_BYTES, **options
    )


class _Watch:
    """What ends a reading from outside: whoever reads wants no more, or the topic is gone."""

    def __init__(self, check: Callable[[], None] = lambda: None, gone: Callable[[], bool] = lambda: False) -> None:
        self._check, self._gone = check, gone
        self._unlooked = Patience(_LOOK_S)

    def require_wanted(self, consumer: KafkaConsumer) -> None:
        """Raise if it is to end; whether the topic is gone is asked now and then, while nothing comes."""
        self._check()
        if not self._unlooked.is_over:
            return
        if self._gone():
            topics = sorted({partition.topic for partition in consumer.assignment()})
            raise ProvisionError(f"there is no topic {', '.join(topics)} any more", why="it was deleted meanwhile")
        self.progress()

    def progress(self) -> None:
        """Something has come: the topic is there."""
        self._unlooked = self._unlooked.renewed()


class _Ends:
    """Where partitions ended when the reading began; what was aborted or deleted before that is passed over."""

    def __init__(self, consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        self._consumer, self._ends, self._left = consumer, ends, dict(ends)

    @classmethod
    def asked(
        cls,
        consumer: KafkaConsumer,
        partitions: Sequence[TopicPartition],
        cluster: str,
        watch: _Watch | None = None,
        timeout_s: float | None = None,
    ) -> "_Ends":
        """Ask for them; the library knows none of a partition without a leader, and says so in several ways.

        Raises:
            Unavailable: a partition has had no leader all the time.
        """
        patience, watch = Patience(_FAILOVER_S if timeout_s is None else min(timeout_s, _FAILOVER_S)), watch or _Watch()
        while True:
            try:
                return cls(consumer, consumer.end_offsets(partitions, timeout_ms=_ENDS_MS))
            except (KeyError, KafkaError) as error:
                watch.require_wanted(consumer)
                if isinstance(error, KafkaError) and not error.retriable:
                    raise
                if not patience.pause(_RETRY_PAUSE_S):
                    topic = partitions[0].topic
                    what = f"the ends of the partitions of {topic} are not known"
                    why = "partitions without a leader, or brokers that do not answer"
                    hint = f"`provision topics describe {cluster} {topic}`"
                    raise Unavailable(what, why=why, hint=hint) from error

    @property
    def are_reached(self) -> bool:
        """Whether nothing is left before them. What is reached is not fetched any more."""
        while self._left:
            place = next(iter(self._left))
            try:
                position = self._consumer.position(place, timeout_ms=_POLL_MS)
            except KafkaError as error:
                if not error.retriable:
                    raise
                return False
            if position is None or position < self._left[place]:
                return False
            self._consumer.pause(place)
            del self._left[place]
        return True

    def include(self, record: Any) -> bool:  # noqa: ANN401 the library's record
        """Whether it was there when the reading began."""
        return bool(record.offset < self._ends[TopicPartition(record.topic, record.partition)])


def _poll(consumer: KafkaConsumer, options: ReadOptions, ends: _Ends | None, watch: _Watch) -> Iterator[Record]:
    idle_s, limit = options.idle_s, options.limit
    read, quiet = 0, Patience(float("inf") if idle_s is None else idle_s)
    while not (ends and ends.are_reached):
        if quiet.is_over:
            if ends:
                raise Unavailable(f"the end is not reached: no record has arrived for {quiet.given}")
            return
        watch.require_wanted(consumer)
        for batch in _patiently(lambda: consumer.poll(timeout_ms=_POLL_MS)).values():
            for record in batch:
                if limit is not None and read >= limit:
                    return
                if ends and not ends.include(record):
                    continue
                read, quiet = read + 1, quiet.renewed()
                watch.progress()
                yield _as_read(record)
        if limit is not None and read >= limit:
            return


def _as_read(record: Any) -> Record:  # noqa: ANN401 the library's record
    headers = tuple((name, value) for name, value in record.headers)
    return Record(record.topic, record.partition, record.offset, record.key, record.value, headers, record.timestamp)


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again: a leader that just died is replaced when its session expires."""
    return patiently(ask, Patience(_FAILOVER_S), _RETRY_PAUSE_S)
