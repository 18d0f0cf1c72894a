"""Write and read records."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError

from provision.common.interrupts import telling_where_it_stands
from provision.common.patience import Patience
from provision.errors import KafkaRefused, ProvisionError, UsageError
from provision.kafka.access import Access
from provision.kafka.admin import connected
from provision.kafka.connection import consumer as connected_consumer
from provision.kafka.connection import producer as connected_producer
from provision.kafka.readiness import is_gone
from provision.kafka.records import NewRecord, Record
from provision.kafka.translation import as_provision_error
from provision.spec.units import size_text

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

_MIB = 1024 * 1024
_MOST_BYTES = 2**31 - 1
_ACKNOWLEDGE_S, _REQUEST_S, _CLOSE_S = 30.0, 25.0, 5.0
# How often to look whether the topic is still there, while nothing is acknowledged or read.
_LOOK_S = 2.0
_POLL_MS = 200
_PENDING = 1000
# ZooKeeper notices a dead broker after zookeeper.session.timeout.ms (18 s); then a new leader has to be elected.
_FAILOVER_S = 60.0
_RETRY_PAUSE_S = 0.5
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_Answer = TypeVar("_Answer")


# -- write ------------------------------------------------------------------------------------------------------------


def produce(
    access: Access,
    topic: str,
    records: Iterable[NewRecord],
    *,
    largest_bytes: int = _MIB,
) -> int:
    """Write records in order, each acknowledged by all in-sync replicas; returns how many.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        records: what is written.
        largest_bytes: the size of the largest record that is sent; what Kafka takes is decided by Kafka.

    Raises:
        Unavailable: no broker answers.
        ProvisionError, Interrupted: a record was not acknowledged, or `records` raised it; has the number of records
            that were.
    """
    if not 0 < largest_bytes <= _MOST_BYTES:
        raise UsageError("the limit for a record must be less than 2g, the most that Kafka can take")
    options: dict[str, object] = {
        "acks": "all",
        "linger_ms": 5,
        "max_request_size": largest_bytes,
        "max_block_ms": int(_LOOK_S * 1000),
        "request_timeout_ms": int(_REQUEST_S * 1000),
        "delivery_timeout_ms": int(_ACKNOWLEDGE_S * 1000),
    }
    with telling_where_it_stands(lambda: _acknowledged(0)):
        producer = connected_producer(access, **options)
    writer = _Writer(access, topic, producer, largest_bytes)
    try:
        with telling_where_it_stands(writer.standing):
            try:
                for record in records:
                    writer.write(record)
                writer.finish()
            except (ProvisionError, KeyboardInterrupt):
                writer.count()
                raise
    finally:
        _close(producer)
    return writer.acknowledged


def _acknowledged(count: int) -> str:
    return f"{count} {'record was' if count == 1 else 'records were'} acknowledged"


def _close(producer: KafkaProducer) -> None:
    """Close a producer; what it still has to send then is told by the error at hand."""
    try:
        producer.close(timeout=_CLOSE_S)
    except KafkaError:  # it gives up before it has ended its thread, and would try it again when it is collected
        producer._sender.force_close()  # noqa: SLF001 there is no other way
        with suppress(KafkaError):
            producer.close(timeout=_CLOSE_S)


@dataclass(slots=True)
class _Sent:
    number: int
    size_bytes: int
    future: "FutureRecordMetadata"


class _Writer:
    """Sends records, and keeps count of those that are acknowledged."""

    def __init__(self, access: Access, topic: str, producer: KafkaProducer, largest_bytes: int) -> None:
        self._access, self._topic, self._producer, self._largest_bytes = access, topic, producer, largest_bytes
        self._pending = deque[_Sent]()
        self._number = 0
        self.acknowledged = 0

    def standing(self) -> str:
        """How many records were acknowledged, and of how many that is not known."""
        unknown = f"; {len(self._pending)} more may be written, too" if self._pending else ""
        return f"{_acknowledged(self.acknowledged)}{unknown}"

    def write(self, record: NewRecord) -> None:
        """Send a record; those sent before are acknowledged meanwhile."""
        self._number += 1
        self._pending.append(_Sent(self._number, record.size_bytes, self._send(record)))
        while self._pending and (self._pending[0].future.is_done or len(self._pending) > _PENDING):
            self._settle()

    def finish(self) -> None:
        """Wait until every record is acknowledged."""
        while self._pending:
            self._settle()

    def count(self) -> None:
        """After a failure: what is acknowledged all the same, and of what that is not known."""
        patience = Patience(_CLOSE_S)
        unknown = deque[_Sent]()
        for sent in self._pending:
            try:
                sent.future.get(timeout=patience.left_s)
                self.acknowledged += 1
            except KafkaError as error:  # the failure at hand is told
                if error.retriable:
                    unknown.append(sent)
        self._pending = unknown

    def _send(self, record: NewRecord) -> "FutureRecordMetadata":
        patience = Patience(_ACKNOWLEDGE_S)
        while True:
            try:
                sent: FutureRecordMetadata = self._producer.send(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                )
            except MessageSizeTooLargeError as error:
                raise self._too_large_to_send(record.size_bytes) from error
            except (KafkaTimeoutError, ValueError) as error:  # no partition of the topic is known
                self._require_topic()
                if not patience.pause(_RETRY_PAUSE_S):
                    raise self._failure(self._number, error) from error
            except KafkaError as error:
                raise self._failure(self._number, error) from error
            else:
                return sent

    def _settle(self) -> None:
        """Wait until the first of the pending records is acknowledged."""
        sent, patience = self._pending[0], Patience(_ACKNOWLEDGE_S + _LOOK_S)
        while True:
            try:
                sent.future.get(timeout=_LOOK_S)
            except KafkaError as error:
                self._require_topic()
                if sent.future.is_done or patience.is_over:
                    raise self._refusal(sent, error) from error
            else:
                break
        self._pending.popleft()
        self.acknowledged += 1

    def _require_topic(self) -> None:
        if is_gone(self._access, self._topic):
            raise ProvisionError(f"there is no topic {self._topic} any more", why="it was deleted meanwhile")

    def _too_large_to_send(self, size_bytes: int) -> ProvisionError:
        return ProvisionError(
            f"record {self._number} is too large to be sent: {size_text(size_bytes)}",
            why=f"the limit of this client is {size_text(self._largest_bytes)}",
            hint=f"raise it: --max-record-size {_roomy(size_bytes)}",
        )

    def _refusal(self, sent: _Sent, error: KafkaError) -> ProvisionError:
        if not isinstance(error, _TOO_LARGE):
            return self._failure(sent.number, error)
        what = f"{self._topic} does not take record {sent.number}, which is too large: {size_text(sent.size_bytes)}"
        key = "max.message.bytes" if isinstance(error, MessageSizeTooLargeError) else "segment.bytes"
        return KafkaRefused(what, why=_limit(self._access, self._topic, key), hint=f"raise {key} of the topic")

    def _failure(self, number: int, error: Exception) -> ProvisionError:
        return as_provision_error(f"writing record {number} to {self._topic}", error)


def _limit(access: Access, topic: str, key: str) -> str:
    """The topic's limit for a record, and where it is set."""
    try:
        with connected(access) as admin:
            entry = admin.settings.describe("topic", [topic], [key])[topic][key]
    except (ProvisionError, KeyError):  # without permission to read it
        return f"it is more than its {key}"
    origin = {
        "DYNAMIC_TOPIC_CONFIG": "set on the topic",
        "DEFAULT_CONFIG": "Kafka's default",
    }.get(entry["config_source"], "set on the brokers for all topics")
    return f"its {key} is {entry['value']} ({origin})"


def _roomy(size_bytes: int) -> str:
    """A size in whole MiB that has room for a record and what is sent along with it."""
    return f"{size_bytes // _MIB + 1}m"


# -- read -------------------------------------------------------------------------------------------------------------


def consume(
    access: Access, topic: str, *, from_beginning: bool, limit: int | None, idle_s: float | None
) -> Iterator[Record]:
    """Read a topic without a consumer group, all partitions; records may have any size.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        from_beginning: from the first retained record, else only new ones.
        limit: stop after this many records.
        idle_s: stop after this long without records; None waits forever.

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
        yield from _poll(consumer, limit, idle_s, lambda: is_gone(access, topic))
    except KafkaError as error:
        raise as_provision_error(f"reading {topic}", error) from error
    finally:
        consumer.close()


def _poll(
    consumer: KafkaConsumer, limit: int | None, idle_s: float | None, gone: Callable[[], bool]
) -> Iterator[Record]:
    read, quiet, unlooked = 0, Patience(float("inf") if idle_s is None else idle_s), Patience(_LOOK_S)
    while not quiet.is_over:
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
