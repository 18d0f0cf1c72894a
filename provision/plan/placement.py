"""The placement of replicas of new partitions."""

from collections import Counter
from collections.abc import Iterable, Sequence

from provision.plan.observed import ObservedBroker, ObservedTopic


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
        self._brokers = sorted(brokers, key=lambda broker: broker.id)
        partitions = [partition for topic in existing for partition in topic.partitions if partition.replicas]
        self._leaderships = Counter(partition.replicas[0] for partition in partitions)
        self._replicas = Counter(broker for partition in partitions for broker in partition.replicas)

    def place(self, partitions: int, replication_factor: int) -> tuple[tuple[int, ...], ...]:
        """The broker ids of each partition's replicas, the preferred leader first.

        Raises:
            ValueError: there are fewer brokers than replicas.
        """
        if replication_factor > len(self._brokers):
            raise ValueError(f"{replication_factor} replicas need as many brokers; there are {len(self._brokers)}")
        return tuple(self._place_one(replication_factor) for _ in range(partitions))

    def _place_one(self, replication_factor: int) -> tuple[int, ...]:
        leader = min(self._brokers, key=lambda b: (self._leaderships[b.id], self._replicas[b.id], b.id))
        self._leaderships[leader.id] += 1
        chosen = [leader]
        while len(chosen) < replication_factor:
            chosen.append(self._next_follower(chosen))
        self._replicas.update(broker.id for broker in chosen)
        return tuple(broker.id for broker in chosen)

    def _next_follower(self, chosen: list[ObservedBroker]) -> ObservedBroker:
        used_racks = {broker.rack for broker in chosen if broker.rack is not None}
        leader_place = self._brokers.index(chosen[0])

        def preference(broker: ObservedBroker) -> tuple[bool, int, int]:
            distance = (self._brokers.index(broker) - leader_place) % len(self._brokers)
            return (broker.rack in used_racks, self._replicas[broker.id], distance)

        return min((broker for broker in self._brokers if broker not in chosen), key=preference)
