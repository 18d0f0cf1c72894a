"""Write records, with librdkafka: it compresses and sends in threads of its own, which Python's clients cannot.

Source: librdkafka's CONFIGURATION.md. What it does not do by itself: it sends batches that are larger than the topic
takes, creates topics that it is asked to write to, and counts nothing.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import ClusterAuthorizationFailedError, KafkaTimeoutError, for_code
from kafka.protocol.producer import InitProducerIdRequest

from provision.common.counts import counted
from provision.common.interrupts import telling_where_it_stands
from provision.common.patience import Patience
from provision.common.records import CODECS, Codec, NewRecord
from provision.errors import ProvisionError, UsageError
from provision.kafka.access import Access
from provision.kafka.connection import RECONNECT_MS, ask_any
from provision.kafka.readiness import is_gone, no_topic
from provision.kafka.unwritten import Sent, Settings, settings_of, unacknowledged, unwritten
from provision.spec.units import size_text

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_MIB = 1024 * 1024
_MOST_BYTES = 900 * _MIB  # librdkafka takes messages of up to 1,000,000,000 bytes, with what is sent along with them
_LEAST_BYTES = 1000  # the smallest limits that librdkafka can be given
_OVERHEAD_BYTES = 64 * 1024
_BATCH_BYTES = 1_000_000
_QUEUE_KIB = 128 * 1024
_ACKNOWLEDGE_S, _REQUEST_S, _CLOSE_S = 30.0, 25.0, 5.0
# How often to look whether the topic is still there, while nothing is acknowledged.
_LOOK_S, _POLL_S, _TELL_S = 2.0, 0.1, 0.25
_PROPAGATION_MS = 3_600_000  # the most that it can be
_ASK_S = 0.25  # librdkafka asks once a second which broker leads now
_POLL_EVERY = 500
_PRODUCER_ID_VERSION = 1
_LOCAL_TIMEOUTS = frozenset({"_MSG_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"})
# librdkafka would write to standard error; what matters comes back with the records.
_log = logging.getLogger("provision.kafka.librdkafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False


def produce(  # noqa: PLR0913 how it is written, and what is told of it
    access: Access,
    topic: str,
    records: Iterable[NewRecord],
    *,
    cluster: str,
    largest_bytes: int | None = _MIB,
    compression: Codec = "none",
    told: Callable[[int], None] = lambda _acknowledged: None,
) -> int:
    """Write records in order, each acknowledged by all in-sync replicas; returns how many.

    Args:
        access: how the cluster is reached.
        topic: must exist; it is never created.
        records: what is written.
        cluster: what errors call the cluster.
        largest_bytes: the size of the largest record that is sent; None for what the topic takes. What Kafka takes is
            decided by Kafka.
        compression: the codec of the batches; "none" leaves that to the topic, too.
        told: called with the number of acknowledged records, from time to time.

    Raises:
        UsageError: there is no such topic or codec, or the limit is none.
        Unavailable: no broker answers.
        ProvisionError, Interrupted: a record was not acknowledged, or `records` raised it; has the number of records
            that were. What else `records` raises has it, too, as a note.
    """
    _require_possible(largest_bytes, compression)
    with telling_where_it_stands(lambda: _acknowledged(0)):
        limits, exactly_once = settings_of(access, topic), _may_write_exactly_once(access)
    if largest_bytes is None:
        largest_bytes = min(_MOST_BYTES, int(limits.get("max.message.bytes", (str(_MIB), ""))[0]) + _MIB)
    unsaid = Patience(_TELL_S)
    writer = _Writer(access, topic, largest_bytes, _options(access, limits, largest_bytes, compression) | exactly_once)
    with telling_where_it_stands(writer.standing):
        try:
            writer.connect(cluster)
            for record in records:
                writer.write(record)
                if writer.sent % _POLL_EVERY and not unsaid.is_over:
                    continue
                writer.serve()
                if unsaid.is_over:
                    told(writer.acknowledged)
                    unsaid = unsaid.renewed()
            writer.finish(told)
        except BaseException as error:
            writer.count()
            if not isinstance(error, ProvisionError | KeyboardInterrupt):
                error.add_note(writer.standing())
            raise
        finally:
            writer.close()
    return writer.acknowledged


def _require_possible(largest_bytes: Any, compression: Any) -> None:  # noqa: ANN401 what programs give
    if largest_bytes is not None:
        if isinstance(largest_bytes, bool) or not isinstance(largest_bytes, int):
            raise UsageError(f"the limit for a record is a whole number of bytes, not {largest_bytes!r}")
        if not 0 < largest_bytes <= _MOST_BYTES:
            raise UsageError(f"the limit for a record must be at most {size_text(_MOST_BYTES)}, and more than nothing")
    if compression not in CODECS:
        raise UsageError(f"a codec is {', '.join(CODECS[:-1])} or {CODECS[-1]}, not {compression!r}")


def _options(access: Access, limits: Settings, largest_bytes: int, compression: Codec) -> dict[str, Any]:
    """The configuration of librdkafka."""
    smallest = min((int(value) for value, _ in limits.values()), default=_BATCH_BYTES)
    message_bytes = max(_LEAST_BYTES, largest_bytes) + _OVERHEAD_BYTES
    return {
        **access.librdkafka_options(),
        "acks": "all",
        "allow.auto.create.topics": False,
        "batch.size": max(min(_BATCH_BYTES, smallest), 1),
        "compression.type": compression,
        "delivery.timeout.ms": int(_ACKNOWLEDGE_S * 1000),
        "linger.ms": 5,
        "message.max.bytes": message_bytes,
        "partitioner": "murmur2_random",  # as in Kafka's own clients
        "queue.buffering.max.kbytes": max(_QUEUE_KIB, 2 * message_bytes // 1024),
        "reconnect.backoff.max.ms": RECONNECT_MS,
        "request.timeout.ms": int(_REQUEST_S * 1000),
        # A broker that has just come back may not know the topic yet. Whether it is gone is asked of all of them.
        "topic.metadata.propagation.max.ms": _PROPAGATION_MS,
        "logger": _log,
    }


def _producer(access: Access, options: dict[str, Any]) -> Any:  # noqa: ANN401 either library's class
    if access.proxy:
        from provision.kafka.proxied_writing import ProxiedProducer

        return ProxiedProducer(access, options)
    from confluent_kafka import Producer

    return Producer(options)


def _acknowledged(count: int) -> str:
    return f"{counted('record', count)} {'was' if count == 1 else 'were'} acknowledged"


class _Writer:
    """Sends records, and keeps count of those that are acknowledged."""

    def __init__(self, access: Access, topic: str, largest_bytes: int, options: dict[str, Any]) -> None:
        from confluent_kafka import KafkaException

        self._refused = KafkaException
        self._access, self._topic, self._largest_bytes = access, topic, largest_bytes
        self._producer = _producer(access, options)
        self._failed: list[tuple[Sent, KafkaError]] = []
        self._lost = 0
        self.sent = self.acknowledged = 0

    @property
    def _pending(self) -> int:
        return self.sent - self.acknowledged - self._lost

    def standing(self) -> str:
        """How many records were acknowledged, and of how many that is not known."""
        unknown = f"; {self._pending} more may be written, too" if self._pending else ""
        return f"{_acknowledged(self.acknowledged)}{unknown}"

    def connect(self, cluster: str) -> None:
        """Wait for a first answer; if none comes, the first record tells why.

        Without it, librdkafka would look for a broker that gives it a producer's id too early, and once more only half
        a second later. One answer may come before it looks, so there are two.

        Raises:
            UsageError: there is no such topic.
        """
        for _ in range(2):
            try:
                known = self._producer.list_topics(self._topic, timeout=_LOOK_S).topics[self._topic]
            except self._refused:
                return
        if known.error is not None and is_gone(self._access, self._topic):
            raise no_topic(cluster, [self._topic])

    def write(self, record: NewRecord) -> None:
        """Send a record; those sent before are acknowledged meanwhile."""
        value, key = record.value, record.key
        size_bytes = len(value or b"") + len(key or b"") if not record.headers else record.size_bytes
        if size_bytes > self._largest_bytes:
            raise self._too_large_to_send(size_bytes)
        others: dict[str, Any] = {}  # what is not said must not be given
        if record.headers:
            others["headers"] = list(record.headers)
        if record.partition is not None:
            others["partition"] = record.partition
        if record.timestamp_ms is not None:
            others["timestamp"] = record.timestamp_ms
        sent = Sent(self.sent + 1, size_bytes, key is not None, record.timestamp_ms)
        ended = partial(self._ended, sent)
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=ended, **others)
            except BufferError:  # as many are on their way as may be
                self._wait()
            except self._refused as refused:
                raise unwritten(self._access, self._topic, [(sent, refused.args[0])]) from refused
            else:
                break
        self.sent = sent.number

    def _ended(self, sent: Sent, error: "KafkaError | None", _message: "Message") -> None:
        """What librdkafka calls for each record, when it is served."""
        if error is None:
            self.acknowledged += 1
        else:
            if not _may_be_written(error):
                self._lost += 1
            self._failed.append((sent, error))

    def serve(self) -> None:
        """Take note of what has been acknowledged.

        Raises:
            ProvisionError: a record was not.
        """
        self._producer.poll(0)
        self._raise()

    def _wait(self) -> None:
        """Until something is acknowledged; other leaders, and a topic that is deleted meanwhile, are noticed."""
        before, patience = self.acknowledged, Patience(_ACKNOWLEDGE_S + _CLOSE_S)
        unasked, unlooked = Patience(_ASK_S), Patience(_LOOK_S)
        while self.acknowledged == before and self._pending:
            self._producer.poll(_POLL_S)
            self._raise()
            if unasked.is_over:
                self._ask_who_leads()
                unasked = unasked.renewed()
            if unlooked.is_over:
                self._require_topic()
                unlooked = unlooked.renewed()
            if patience.is_over:
                nothing = KafkaTimeoutError("nothing is acknowledged")
                raise unacknowledged(self.acknowledged + 1, self._topic, nothing)

    def _ask_who_leads(self) -> None:
        with suppress(self._refused):  # nobody has answered in time; it is asked again
            self._producer.list_topics(self._topic, timeout=_ASK_S)

    def finish(self, told: Callable[[int], None]) -> None:
        """Wait until every record is acknowledged."""
        while self._pending:
            self._wait()
            told(self.acknowledged)

    def count(self) -> None:
        """After a failure: what is acknowledged all the same, and of what that is not known."""
        self._producer.flush(_CLOSE_S)

    def close(self) -> None:
        """Give up what is not sent yet: who closes has counted it."""
        if self._pending:
            self._producer.purge()
        del self._producer  # which closes its connections, also if an error keeps this object

    def _raise(self) -> None:
        if self._failed:
            self._require_topic()
            raise unwritten(self._access, self._topic, self._failed)

    def _require_topic(self) -> None:
        if is_gone(self._access, self._topic):
            raise ProvisionError(f"there is no topic {self._topic} any more", why="it was deleted meanwhile")

    def _too_large_to_send(self, size_bytes: int) -> ProvisionError:
        return ProvisionError(
            f"record {self.sent + 1} is too large to be sent: {size_text(size_bytes)}",
            why=f"the limit of this client is {size_text(self._largest_bytes)}",
            hint=f"raise it: --max-record-size {_roomy(size_bytes)}",
        )


def _may_be_written(error: "KafkaError") -> bool:
    return error.name() in _LOCAL_TIMEOUTS or (error.code() > 0 and for_code(error.code()).retriable)


def _may_write_exactly_once(access: Access) -> dict[str, object]:
    """The options for it: before Kafka 3.0, the permission to write to a topic is not enough (KIP-679).

    Without it, records stay in order, but one whose acknowledgement is lost may be written twice.
    """

    def request() -> Any:  # noqa: ANN401 the library's classes
        return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000, version=_PRODUCER_ID_VERSION)

    answer = ask_any(access, request, "asking for a producer's id")
    denied = answer.error_code == ClusterAuthorizationFailedError.errno
    return {"max.in.flight": 1} if denied else {"enable.idempotence": True}


def _roomy(size_bytes: int) -> str:
    """A size in whole MiB that has room for a record and what is sent along with it."""
    return f"{size_bytes // _MIB + 1}m"
