"""How much a reassignment copies between brokers, and how long that may take. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provision.plan.observed import ObservedTopic


@dataclass(frozen=True, slots=True)
class Copy:
    """The bytes of a partition that one broker has to fetch from its leader."""

    source: int
    target: int
    bytes: int


def copies(topic: ObservedTopic, new: Mapping[int, Sequence[int]]) -> tuple[Copy, ...]:
    """What has to be copied until the partitions have the `new` replicas.

    For an ongoing reassignment, that is what is still missing.
    """
    found = []
    for partition in topic.partitions:
        for broker in new.get(partition.number, ()):
            lacking = partition.size_bytes - partition.held_bytes.get(broker, 0)
            if partition.is_new_on(broker) and lacking > 0:
                found.append(Copy(partition.leader, broker, lacking))
    return tuple(found)


def total_bytes(moved: Iterable[Copy]) -> int:
    """The total size to copy."""
    return sum(copy.bytes for copy in moved)


def longest_s(own: Sequence[Copy], together: Iterable[Copy], bytes_per_s: int) -> float:
    """The seconds after which `own` are done at the latest, while all of `together` run at the same time.

    Each broker sends and receives `bytes_per_s` in total, so the busiest broker involved determines the time.
    """
    sent: Counter[int] = Counter()
    received: Counter[int] = Counter()
    for copy in together:
        sent[copy.source] += copy.bytes
        received[copy.target] += copy.bytes
    return max((max(sent[copy.source], received[copy.target]) for copy in own), default=0) / bytes_per_s
