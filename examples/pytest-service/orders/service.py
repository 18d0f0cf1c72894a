"""The service: reads orders, and writes totals and rejections in transactions."""

import json
from dataclasses import dataclass

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata


@dataclass(frozen=True)
class Topics:
    """The names of the topics: orders, totals by customer (compacted), and orders that are not valid."""

    orders: str
    totals: str
    rejected: str


class Service:
    """Processes orders; `close` it at the end.

    Args:
        servers: the bootstrap servers.
        topics: where it reads and writes.
        group: its consumer group; services of one group share the work.
    """

    def __init__(self, servers: str, topics: Topics, group: str) -> None:
        self._topics, self._group = topics, group
        self.totals = self._known_totals(servers)
        self._consumer = KafkaConsumer(
            topics.orders,
            bootstrap_servers=servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self._producer = KafkaProducer(bootstrap_servers=servers, transactional_id=f"{group}-service", acks="all")
        self._producer.init_transactions()

    def process(self, timeout_s: float = 1.0) -> int:
        """Process the orders that arrive within that time, all of them in one transaction; returns how many."""
        batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        records = [record for batch in batches.values() for record in batch]
        if not records:
            return 0
        totals = dict(self.totals)
        self._producer.begin_transaction()
        try:
            for record in records:
                self._process(record, totals)
            offsets = {
                TopicPartition(record.topic, record.partition): OffsetAndMetadata(record.offset + 1, "", -1)
                for record in records
            }
            self._producer.send_offsets_to_transaction(offsets, self._group)
            self._producer.commit_transaction()
        except BaseException:
            self._producer.abort_transaction()
            raise
        self.totals = totals
        return len(records)

    def _process(self, record, totals: dict[str, int]) -> None:
        try:
            order = json.loads(record.value)
            customer, amount = str(order["customer"]), int(order["amount"])
        except (ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}".encode()
            self._producer.send(self._topics.rejected, record.value, headers=[("reason", reason)])
            return
        totals[customer] = totals.get(customer, 0) + amount
        self._producer.send(self._topics.totals, str(totals[customer]).encode(), key=customer.encode())

    def close(self) -> None:
        """Leave the group and close the connections."""
        self._consumer.close()
        self._producer.close()

    def _known_totals(self, servers: str) -> dict[str, int]:
        """The totals so far, from the compacted topic."""
        consumer = KafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False)
        try:
            partitions = [
                TopicPartition(self._topics.totals, number)
                for number in consumer.partitions_for_topic(self._topics.totals) or ()
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends, totals = consumer.end_offsets(partitions), {}
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for batch in consumer.poll(timeout_ms=200).values():
                    totals |= {record.key.decode(): int(record.value) for record in batch}
            return totals
        finally:
            consumer.close()
