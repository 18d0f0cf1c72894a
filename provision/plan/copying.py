"""What a reassignment copies between brokers, and how long that may take. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provision.plan.observed import ObservedTopic


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes that one broker has to get of a partition, from the broker that leads it."""

    source: int
    target: int
    bytes: int


def copies(topic: ObservedTopic, new: Mapping[int, Sequence[int]]) -> tuple[Copy, ...]:
    """What is copied until the partitions have the `new` replicas.

    Of a reassignment that is under way it is what has not arrived yet.
    """
    found = []
    for partition in topic.partitions:
        for broker in new.get(partition.number, ()):
            lacking = partition.size_bytes - partition.held_bytes.get(broker, 0)
            if partition.is_new_on(broker) and lacking > 0:
                found.append(Copy(partition.leader, broker, lacking))
    return tuple(found)


def total_bytes(moved: Iterable[Copy]) -> int:
    """How much is copied in all."""
    return sum(copy.bytes for copy in moved)


def longest_s(own: Sequence[Copy], together: Iterable[Copy], bytes_per_s: int) -> float:
    """The seconds until `own` are done at the latest, while all of `together` go on at the same time.

    Each broker sends, and receives, `bytes_per_s` for all of them: so it is the time of the busiest that takes part.
    """
    sent: Counter[int] = Counter()
    received: Counter[int] = Counter()
    for copy in together:
        sent[copy.source] += copy.bytes
        received[copy.target] += copy.bytes
    return max((max(sent[copy.source], received[copy.target]) for copy in own), default=0) / bytes_per_s
