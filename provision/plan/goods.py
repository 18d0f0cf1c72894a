"""What brokers have of partitions and can give to each other: replicas, and preferred leaderships."""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from math import isclose
from typing import Protocol

from provision.plan.draft import Draft, Row
from provision.plan.ranking import Rack, Ranking

_BISECTIONS = 64  # as exact as a float can be


class Goods(Protocol):
    """What can be evened out. Partitions are known by their index in the draft."""

    numbers: Ranking
    """How much each broker has."""
    longest: int
    """How many brokers may take part when something is passed on."""

    def shares(self) -> dict[int, int]:
        """How much each broker would have of all that there is, if that can be."""

    def givers(self, index: int) -> Row:
        """The brokers that have something of a partition to give."""

    def takers(self, index: int, lacking: Ranking, *, old: bool) -> Iterable[int]:
        """The brokers that may take it, in the order of `lacking`: those that have had it, or any."""

    def group(self, taker: int) -> Hashable:
        """What the broker has in common with those that can take from the same partitions, if they are not there."""

    def groups(self, index: int, giver: int) -> Collection[Hashable]:
        """The groups of those that could take what the broker has of a partition; none if it has nothing."""

    def can_give(self, index: int, giver: int, taker: int) -> bool:
        """Whether the first broker has something of a partition that the second can take."""


class Replicas:
    """The replicas of a draft, which stay in as many racks."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self.numbers = draft, draft.replicas
        self._racks = frozenset(draft.rack_of.values())
        # Of three passed on the third may be of the same partition as the first, which has changed its racks.
        self.longest = 3

    def shares(self) -> dict[int, int]:
        """As even as racks allow, of which each can have, and needs, something of only so many partitions."""
        draft, racks = self._draft, defaultdict[Rack, list[int]](list)
        for broker, rack in draft.rack_of.items():
            racks[rack].append(broker)
        fixed = Counter(draft.rack_of.get(broker) for case in draft.cases for broker in case.fixed or ())
        factors = Counter(draft.cases[index].factor for index in draft.free)
        least = sum(count for factor, count in factors.items() if factor >= len(racks))
        most = sum(count * max(factor - len(racks) + 1, 1) for factor, count in factors.items())
        sizes = {rack: len(brokers) for rack, brokers in racks.items()}
        bounds = {rack: (least + fixed[rack], most + fixed[rack]) for rack in racks}
        left, together = sum(self.numbers[broker] for broker in draft.rack_of), list(draft.rack_of)
        shares: dict[int, int] = {}
        for rack, number in _at_their_bounds(sizes, bounds, left).items():
            shares |= _even(self.numbers, racks[rack], number)
            left -= number
            together = [broker for broker in together if broker not in shares]
        return shares | _even(self.numbers, together, left)

    def givers(self, index: int) -> Row:
        """Those that have a replica."""
        return self._draft.rows[index]

    def takers(self, index: int, lacking: Ranking, *, old: bool) -> Iterable[int]:
        """Old ones are those that have a replica which is not to stay."""
        if not old:
            return lacking
        row, current = self._draft.rows[index], self._draft.cases[index].current
        return _sorted(lacking, (broker for broker in current if broker not in row)) if row != current else ()

    def group(self, taker: int) -> Hashable:
        """Its rack."""
        return self._draft.rack_of[taker]

    def groups(self, index: int, giver: int) -> Collection[Hashable]:
        """The racks of which the partition may use one instead without using fewer."""
        row, rack_of = self._draft.rows[index], self._draft.rack_of
        if giver not in row:
            return ()
        others = [rack_of[broker] for broker in row if broker != giver]
        return self._racks if rack_of[giver] in others else self._racks.difference(others)

    def can_give(self, index: int, giver: int, taker: int) -> bool:
        """If the taker has none, and the partition then uses no fewer racks."""
        row, rack_of = self._draft.rows[index], self._draft.rack_of
        if giver not in row or taker in row:
            return False
        others = [rack_of[broker] for broker in row if broker != giver]
        return rack_of[taker] not in others or rack_of[giver] in others


class Leaderships:
    """The preferred leaderships of a draft, which followers take without anything being copied."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self.numbers, self.longest = draft, draft.leaderships, len(draft.rack_of)

    def shares(self) -> dict[int, int]:
        """As even as can be."""
        brokers = self._draft.rack_of
        return _even(self.numbers, brokers, sum(self.numbers[broker] for broker in brokers))

    def givers(self, index: int) -> Row:
        """The preferred leader."""
        return self._draft.rows[index][:1]

    def takers(self, index: int, lacking: Ranking, *, old: bool) -> Iterable[int]:
        """Followers."""
        current, followers = self._draft.cases[index].current, self._draft.rows[index][1:]
        return _sorted(lacking, (broker for broker in followers if not old or broker in current))

    def group(self, taker: int) -> Hashable:
        """Itself."""
        return taker

    def groups(self, index: int, giver: int) -> Collection[Hashable]:
        """The followers."""
        leader, *followers = self._draft.rows[index]
        return followers if giver == leader else ()

    def can_give(self, index: int, giver: int, taker: int) -> bool:
        """If the taker is a follower."""
        return taker in self.groups(index, giver)


def _sorted(numbers: Ranking, brokers: Iterable[int]) -> list[int]:
    known = (broker for broker in brokers if broker in numbers)
    return sorted(known, key=lambda broker: (numbers[broker], broker))


def _even(numbers: Ranking, brokers: Collection[int], total: int) -> dict[int, int]:
    """The total spread over the brokers; those that have the most have one more where it does not divide evenly."""
    if not brokers:
        return {}
    each, more = divmod(total, len(brokers))
    fewest = len(brokers) - more
    return {broker: each + (place >= fewest) for place, broker in enumerate(_sorted(numbers, brokers))}


def _at_their_bounds(sizes: Mapping[Rack, int], bounds: Mapping[Rack, tuple[int, int]], total: int) -> dict[Rack, int]:
    """The racks that cannot have as many for each broker as all others then have, and how many they have."""

    def number(rack: Rack, level: float) -> float:
        least, most = bounds[rack]
        return min(max(level * sizes[rack], least), most)

    low, high = 0.0, float(total)
    for _ in range(_BISECTIONS):
        level = (low + high) / 2
        if sum(number(rack, level) for rack in sizes) < total:
            low = level
        else:
            high = level
    held = {rack: number(rack, high) for rack in sizes}
    return {rack: round(held[rack]) for rack in sizes if not isclose(held[rack], high * sizes[rack])}
