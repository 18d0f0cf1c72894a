"""How much a reassignment copies between brokers, and how long that may take. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from provision.plan.observed import ObservedTopic


class Copy(Struct, frozen=True):
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


class Traffic:
    """What each broker sends and receives while all of the copies run at the same time.

    It sends and receives `bytes_per_s` in total, so the busiest broker involved determines the time.
    """

    def __init__(self, together: Iterable[Copy], bytes_per_s: int) -> None:
        self._sent, self._received, self._bytes_per_s = Counter[int](), Counter[int](), bytes_per_s
        for copy in together:
            self._sent[copy.source] += copy.bytes
            self._received[copy.target] += copy.bytes

    def longest_s(self, own: Iterable[Copy]) -> float:
        """The seconds after which some of the copies are done at the latest."""
        busiest = (max(self._sent[copy.source], self._received[copy.target]) for copy in own)
        return max(busiest, default=0) / self._bytes_per_s
