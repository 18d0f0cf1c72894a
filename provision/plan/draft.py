"""The replicas of all partitions as planned so far, and what each staying broker has of them."""

from collections.abc import Sequence

from msgspec import Struct

from provision.plan.observed import ObservedBroker, ObservedPartition
from provision.plan.ranking import Ranking, racks_of

Row = tuple[int, ...]
"""The brokers of a partition, its preferred leader first."""
Rank = tuple[int, float, int]
"""How readily a broker gives a partition, the lowest first: what it costs, its place in its topic, its index."""


class Case(Struct, frozen=True):
    """A partition and its wanted replicas. `place` is its position within its topic, from 0 to 1."""

    topic: str
    partition: ObservedPartition
    current: Row
    factor: int
    fixed: Row | None
    place: float


class Draft:
    """The planned replicas. Partitions are known by their index in `cases`; the `free` ones may be changed."""

    def __init__(self, brokers: Sequence[ObservedBroker], cases: Sequence[Case]) -> None:
        self.cases = cases
        self.rack_of = racks_of(brokers)
        self.rows = [case.current if case.fixed is None else case.fixed for case in cases]
        self.free = [index for index, case in enumerate(cases) if case.fixed is None]
        self.replicas = Ranking.of(self.rack_of, (broker for row in self.rows for broker in row))
        self.leaderships = Ranking.of(self.rack_of, (row[0] for row in self.rows if row))

    def assign(self, index: int, row: Row) -> None:
        """Plan these replicas."""
        before, self.rows[index] = self.rows[index], row
        for ranking, old, new in ((self.replicas, before, row), (self.leaderships, before[:1], row[:1])):
            for broker in old:
                if broker not in new:
                    ranking.add(broker, -1)
            for broker in new:
                if broker not in old:
                    ranking.add(broker, 1)

    def swap(self, index: int, one: int, other: int) -> None:
        """Let two brokers, of which one may have no replica, take the place of each other."""
        swapped = {one: other, other: one}
        self.assign(index, tuple(swapped.get(broker, broker) for broker in self.rows[index]))

    def rank(self, index: int, giver: int) -> Rank:
        """How readily a broker gives a partition: rather what it does not have yet, and rather as a follower.

        By place in the topic, or else the topics whose names come first would move as a whole.
        """
        case = self.cases[index]
        return 2 * (giver in case.current) + (giver == self.rows[index][0]), case.place, index

    def new_replicas(self, index: int) -> Row:
        """The planned replicas, without incidental changes of order that have no effect."""
        case, row = self.cases[index], self.rows[index]
        if case.fixed is not None or row == case.current:
            return row
        kept = [broker for broker in case.current if broker in row]
        return tuple(dict.fromkeys((*row[:1], *kept, *row)))
