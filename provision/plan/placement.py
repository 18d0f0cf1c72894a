"""The placement of replicas of new partitions."""

from collections.abc import Iterable, Sequence
from itertools import chain

from provision.plan.observed import ObservedBroker, ObservedTopic
from provision.plan.ranking import Ranking, racks_of


class Placement:
    """Assigns replicas to brokers, evenly and across racks, keeping count of what it has assigned.

    For each partition, in order:

    1. the preferred leader is the broker with the fewest preferred leaderships, then the fewest replicas, then the
       lowest id;
    2. each further replica goes to a rack that the partition has not used yet, as long as there is one, and there to
       the broker with the fewest replicas, then the lowest id after the leader's, in a ring.

    Guarantees: no broker twice in a partition; as many racks as replicas if there are enough; on an empty cluster the
    preferred leaderships of two brokers differ by at most one. The same input gives the same placement.
    """

    def __init__(self, brokers: Sequence[ObservedBroker], existing: Iterable[ObservedTopic] = ()) -> None:
        self._rack_of = racks_of(brokers)
        rows = [partition.replicas for topic in existing for partition in topic.partitions]
        self._leaderships = Ranking.of(self._rack_of, (row[0] for row in rows if row))
        self._replicas = Ranking.of(self._rack_of, (broker for row in rows for broker in row))

    def place(self, partitions: int, replication_factor: int) -> tuple[tuple[int, ...], ...]:
        """The broker ids of each partition's replicas, the preferred leader first.

        Raises:
            ValueError: there are fewer brokers than replicas.
        """
        if replication_factor > len(self._rack_of):
            raise ValueError(f"{replication_factor} replicas need as many brokers; there are {len(self._rack_of)}")
        return tuple(self._place_one(replication_factor) for _ in range(partitions))

    def _place_one(self, replication_factor: int) -> tuple[int, ...]:
        leader = min(self._leaderships.lowest_ones, key=lambda broker: (self._replicas[broker], broker))
        self._leaderships.add(leader, 1)
        chosen = [leader]
        while len(chosen) < replication_factor:
            chosen.append(self._next_follower(chosen))
        for broker in chosen:
            self._replicas.add(broker, 1)
        return tuple(chosen)

    def _next_follower(self, chosen: list[int]) -> int:
        used = {self._rack_of[broker] for broker in chosen}
        elsewhere = (b for b in self._replicas.ascending_after(chosen[0]) if self._rack_of[b] not in used)
        return next(chain(elsewhere, (b for b in self._replicas.ascending_after(chosen[0]) if b not in chosen)))
