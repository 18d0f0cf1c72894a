"""Even out what brokers have of partitions: replicas, or preferred leaderships.

1. What a broker has beyond its share goes directly to those that lack most of theirs. The partitions of a broker are
   gone through once, so that a large cluster takes no longer than its partitions are many.
2. What is uneven then, because something stood in the way, goes from the broker with the most to the one with the
   fewest, or the next two where none can, as long as they differ by two or more; or else along a shortest path by way
   of others, each of which gives one for the one it gets.

In both steps, what copies nothing more comes first, then followers, then a share of each topic. Each lowers the sum of
the squared numbers, so it ends.
"""

from bisect import bisect_left
from collections.abc import Collection, Hashable
from itertools import pairwise, product

from provision.plan.draft import Draft, Rank
from provision.plan.goods import Goods
from provision.plan.ranking import Ranking


def even_out(goods: Goods, draft: Draft) -> None:
    """Even out the goods of those partitions of the draft that may be changed."""
    _share_out(goods, draft)
    _Passing(goods, draft).pass_on()


def _share_out(goods: Goods, draft: Draft) -> None:
    lacking = Ranking({broker: goods.numbers[broker] - share for broker, share in goods.shares().items()})
    held: dict[int, list[int]] = {broker: [] for broker in lacking.descending if lacking[broker] > 0}
    for index in draft.free:
        for giver in goods.givers(index):
            if giver in held:
                held[giver].append(index)
    for giver, indexes in held.items():
        ranked = sorted(draft.rank(index, giver) for index in indexes)
        for old, (*_, index) in product((True, False), ranked):
            if lacking[giver] <= 0:
                break
            taker = _one_that_lacks(goods, index, giver, lacking, old=old)
            if taker is not None:
                draft.swap(index, giver, taker)
                lacking.add(giver, -1)
                lacking.add(taker, 1)


def _one_that_lacks(goods: Goods, index: int, giver: int, lacking: Ranking, *, old: bool) -> int | None:
    """Of the brokers that can take it and have at least two fewer than the giver, the one that lacks most."""
    groups: Collection[Hashable] | None = None
    for taker in goods.takers(index, lacking, old=old):
        if lacking[taker] >= 0:
            break
        groups = goods.groups(index, giver) if groups is None else groups
        is_fewer = goods.numbers[giver] - goods.numbers[taker] > 1
        if is_fewer and goods.group(taker) in groups and goods.can_give(index, giver, taker):
            return taker
    return None


class _Passing:
    def __init__(self, goods: Goods, draft: Draft) -> None:
        self._goods, self._draft, self._numbers = goods, draft, goods.numbers
        self._offers: dict[int, _Offers] = {broker: _Offers(goods, draft, broker) for broker in goods.numbers}
        for index in draft.free:
            for giver in goods.givers(index):
                self._offers[giver].add(index)

    def pass_on(self) -> None:
        """Let each broker give until it cannot, and begin again as long as anything changes."""
        moved = True
        while moved:
            moved, stuck = False, set[int]()
            while path := self._next_path(stuck):
                moved = True
                for giver, taker in pairwise(path):
                    if (index := self._offers[giver].first(taker)) is not None:
                        self._draft.swap(index, giver, taker)
                        for broker in self._goods.givers(index):
                            self._offers[broker].add(index)

    def _next_path(self, stuck: set[int]) -> list[int]:
        """From the broker with the most that can give. Those that cannot become stuck until all others are."""
        for giver in self._numbers.descending:
            if giver not in stuck:
                if path := self._shortest_path(giver):
                    return path
                stuck.add(giver)
        return []

    def _shortest_path(self, giver: int) -> list[int]:
        most, longest = self._numbers[giver] - 2, self._goods.longest  # with one fewer they would only swap
        if self._numbers.lowest > most:
            return []
        paths, reached, ends = {giver: [giver]}, [giver], []
        for via in reached:  # grows on the way: breadth first, so each broker is reached by a shortest path
            if len(paths[via]) >= longest:
                break
            for taker in self._numbers:
                is_end = self._numbers[taker] <= most
                if not is_end and len(paths[via]) + 1 == longest:
                    break
                if taker not in paths and self._offers[via].first(taker) is not None:
                    paths[taker] = [*paths[via], taker]
                    reached.append(taker)
                    if is_end:
                        ends.append(taker)
                        longest = len(paths[taker])
        return paths[min(ends, key=lambda broker: (self._numbers[broker], broker))] if ends else []


class _Offers:
    """The partitions of which a broker has something to give, in the order in which it gives.

    They are ordered when that is first asked. Those of which it has nothing any more stay, and are passed over.
    """

    def __init__(self, goods: Goods, draft: Draft, giver: int) -> None:
        self._goods, self._draft, self._giver = goods, draft, giver
        self._indexes: list[int] = []
        self._ranked: list[Rank] | None = None
        self._starts: dict[Hashable, int] = {}  # nothing suits the group before that place, or at all if it is not here

    def add(self, index: int) -> None:
        """Offer a partition that is new here, or has changed."""
        if self._ranked is None:
            self._indexes.append(index)
            return
        rank = self._draft.rank(index, self._giver)
        at = bisect_left(self._ranked, rank)
        if self._ranked[at : at + 1] != [rank]:
            self._ranked.insert(at, rank)
        for group in self._goods.groups(index, self._giver):
            self._starts[group] = min(at, self._starts.get(group, at))

    def first(self, taker: int) -> int | None:
        """The first of which the taker can get something."""
        ranked, group = self._in_order(), self._goods.group(taker)
        if (start := self._starts.get(group)) is None:
            return None
        while start < len(ranked) and group not in self._goods.groups(ranked[start][-1], self._giver):
            start += 1
        self._starts[group] = start
        places, can_give = range(start, len(ranked)), self._goods.can_give
        return next((ranked[at][-1] for at in places if can_give(ranked[at][-1], self._giver, taker)), None)

    def _in_order(self) -> list[Rank]:
        if self._ranked is None:
            self._ranked = sorted({self._draft.rank(index, self._giver) for index in self._indexes})
            unseen = {self._goods.group(broker) for broker in self._goods.numbers}
            for at, (*_, index) in enumerate(self._ranked):
                if not unseen:
                    break
                for group in unseen.intersection(self._goods.groups(index, self._giver)):
                    self._starts[group] = at
                    unseen.discard(group)
        return self._ranked
