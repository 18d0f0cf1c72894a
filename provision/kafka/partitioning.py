"""Where records go by their keys, as Kafka's own clients decide it."""

import provision.kafka.library  # noqa: F401 the library first
from kafka.partitioner.default import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, in a topic with so many."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
