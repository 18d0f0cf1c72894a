"""What the producer that knows proxies has in common with librdkafka's: callbacks, limits and errors."""

from collections.abc import Callable
from typing import Any

import pytest

from provision.kafka import proxied_writing
from provision.kafka.access import Access
from provision.kafka.proxied_writing import ProxiedProducer

import provision.kafka.library  # isort: skip # noqa: F401 the library first
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError  # isort: skip
from kafka.future import Future  # isort: skip

OPTIONS = {
    "batch.size": 1000,
    "compression.type": "none",
    "delivery.timeout.ms": 30_000,
    "linger.ms": 5,
    "message.max.bytes": 2**20,
    "request.timeout.ms": 25_000,
}


class _Library:
    """Its producer, which sends nothing until it is told what becomes of it."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.sent: list[Future] = []
        self.refuses: Exception | None = None
        self.closed_after: float | None = None

    def send(self, *_record: object) -> Future:
        if self.refuses:
            raise self.refuses
        self.sent.append(Future())
        return self.sent[-1]

    def flush(self, _timeout: float) -> None:
        for future in self.sent:
            if not future.is_done:
                raise KafkaTimeoutError("not all were acknowledged")

    def close(self, timeout: float) -> None:
        self.closed_after = timeout


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> _Library:
    made = _Library()

    def opened(_access: Access, **options: object) -> _Library:
        made.options = options
        return made

    monkeypatch.setattr(proxied_writing, "producer", opened)
    return made


def _noting(seen: list[tuple[str, Any]], record: str) -> Callable[[Any, None], None]:
    return lambda error, _: seen.append((record, error and (error.code(), error.name())))


def test_it_calls_back_when_it_is_served_with_librdkafkas_errors(library: _Library) -> None:
    writer, seen = ProxiedProducer(Access({}), OPTIONS), list[tuple[str, Any]]()
    for record in ("a", "b", "c"):
        writer.produce("t", record.encode(), None, on_delivery=_noting(seen, record))
    library.sent[0].success(None)
    library.sent[1].failure(NotEnoughReplicasError("two are missing"))
    library.sent[2].failure(KafkaTimeoutError("too late"))
    assert seen == []
    writer.poll(0)
    assert seen == [("a", None), ("b", (19, "NOT_ENOUGH_REPLICAS")), ("c", (-185, "_TIMED_OUT"))]
    writer.flush(1.0)
    del writer
    assert library.closed_after is not None


def test_as_many_are_on_their_way_as_may_be(library: _Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied_writing, "_MOST_RECORDS", 3)
    monkeypatch.setattr(proxied_writing, "_MOST_BYTES", 100)
    writer, seen = ProxiedProducer(Access({}), OPTIONS), list[tuple[str, Any]]()
    writer.produce("t", b"x" * 200, None, on_delivery=_noting(seen, "one that is larger than all may be"))
    with pytest.raises(BufferError):
        writer.produce("t", b"x", None, on_delivery=_noting(seen, "b"))
    library.sent[0].success(None)
    writer.poll(0)
    for _ in range(3):
        writer.produce("t", b"x", None, on_delivery=_noting(seen, "b"))
    with pytest.raises(BufferError):
        writer.produce("t", b"x", None, on_delivery=_noting(seen, "b"))
    writer.flush(0.1)  # nothing is acknowledged: it does not raise
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("refuses", "name"),
    [
        (ValueError("Unrecognized partition 7 for topic t"), "_UNKNOWN_PARTITION"),
        (ValueError("Need at least one: key or value"), "_INVALID_ARG"),
        (MessageSizeTooLargeError("too large"), "MSG_SIZE_TOO_LARGE"),
        (KafkaTimeoutError("no metadata"), "_TIMED_OUT"),
    ],
)
def test_what_it_does_not_send_has_librdkafkas_errors(library: _Library, refuses: Exception, name: str) -> None:
    from confluent_kafka import KafkaException

    library.refuses = refuses
    writer = ProxiedProducer(Access({}), OPTIONS)
    with pytest.raises(KafkaException) as caught:
        writer.produce("t", None, None, on_delivery=_noting([], ""))
    assert caught.value.args[0].name() == name
    assert str(refuses) in caught.value.args[0].str()


@pytest.mark.parametrize(("options", "in_flight"), [({"enable.idempotence": True}, 5), ({"max.in.flight": 1}, 1)])
def test_records_stay_in_order(library: _Library, options: dict[str, Any], in_flight: int) -> None:
    ProxiedProducer(Access({}), OPTIONS | options)
    assert library.options["acks"] == "all"
    assert library.options["enable_idempotence"] is ("enable.idempotence" in options)
    assert library.options["max_in_flight_requests_per_connection"] == in_flight
    assert library.options["compression_type"] is None
