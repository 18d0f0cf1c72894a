"""Write records through a proxy: with kafka-python's producer, because librdkafka knows none.

It is much slower. It is used like librdkafka's producer, as far as `kafka/writing.py` does that, with the same errors.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import KafkaError as LibraryError
from kafka.errors import KafkaTimeoutError

from provision.kafka.access import Access
from provision.kafka.connection import producer

_MOST_RECORDS, _MOST_BYTES = 20_000, 64 * 1024**2
"""How many may be on their way."""
_BLOCK_MS = 30_000

Delivered = Callable[[Any, None], None]


class ProxiedProducer:
    """Sends in a thread of its own, and calls back when it is served."""

    def __init__(self, access: Access, options: dict[str, Any]) -> None:
        from confluent_kafka import KafkaError, KafkaException

        self._error_class, self._refused = KafkaError, KafkaException
        self._ended: SimpleQueue[tuple[Delivered, int, Any]] = SimpleQueue()
        self._pending = self._pending_bytes = 0
        exactly_once = bool(options.get("enable.idempotence"))
        codec = options["compression.type"]
        self._producer = producer(
            access,
            acks="all",
            enable_idempotence=exactly_once,
            max_in_flight_requests_per_connection=5 if exactly_once else 1,
            batch_size=options["batch.size"],
            compression_type=None if codec == "none" else codec,
            delivery_timeout_ms=options["delivery.timeout.ms"],
            linger_ms=options["linger.ms"],
            max_block_ms=_BLOCK_MS,
            max_request_size=options["message.max.bytes"],
            request_timeout_ms=options["request.timeout.ms"],
        )

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ANN401, ARG002 as librdkafka's
        """What is known of a topic: nothing."""
        return SimpleNamespace(topics={topic: SimpleNamespace(error="not asked")})

    def produce(  # noqa: PLR0913 as librdkafka's
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        on_delivery: Delivered,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Send a record.

        Raises:
            BufferError: as many are on their way as may be.
            KafkaException: it cannot be sent.
        """
        size = len(value or b"") + len(key or b"")
        if self._pending >= _MOST_RECORDS or (self._pending and self._pending_bytes + size > _MOST_BYTES):
            raise BufferError
        try:
            future = self._producer.send(topic, value, key, headers, partition, timestamp)
        except ValueError as error:
            code = "_UNKNOWN_PARTITION" if "Unrecognized partition" in str(error) else "_INVALID_ARG"
            raise self._refused(self._error_class(getattr(self._error_class, code), str(error))) from error
        except LibraryError as error:
            raise self._refused(self._error_of(error)) from error
        self._pending, self._pending_bytes = self._pending + 1, self._pending_bytes + size
        future.add_callback(lambda _: self._ended.put((on_delivery, size, None)))
        future.add_errback(partial(self._failed, on_delivery, size))

    def _failed(self, on_delivery: Delivered, size: int, error: Exception) -> None:
        self._ended.put((on_delivery, size, self._error_of(error)))

    def _error_of(self, error: Exception) -> Any:  # noqa: ANN401 librdkafka's class
        code = getattr(error, "errno", None) or 0
        text = str(error) or type(error).__name__
        return self._error_class(code if code > 0 else self._error_class._TIMED_OUT, text)  # noqa: SLF001 its name for it

    def poll(self, timeout: float) -> None:
        """Call back for what has ended, after at most so many seconds if nothing has."""
        wait = timeout > 0
        with suppress(Empty):
            while True:
                on_delivery, size, error = self._ended.get(block=wait, timeout=timeout if wait else None)
                self._pending, self._pending_bytes, wait = self._pending - 1, self._pending_bytes - size, False
                on_delivery(error, None)

    def flush(self, timeout: float) -> None:
        """Wait until everything has ended, and call back."""
        with suppress(KafkaTimeoutError):
            self._producer.flush(timeout)
        self.poll(0)

    def purge(self) -> None:
        """Give up what is on its way."""
        self._producer._sender.force_close()  # noqa: SLF001 `close` waits for it

    def __del__(self) -> None:
        """Close its connections, as librdkafka's does."""
        if opened := getattr(self, "_producer", None):
            with suppress(LibraryError):
                opened.close(timeout=1)
