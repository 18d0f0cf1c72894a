"""The new placement of existing partitions: another replication factor, leaving brokers, even loads.

Every partition counts as it will be when its ongoing reassignment, if any, has ended (`partition.target`). The
replicas and preferred leaderships (first replicas) that each staying broker has of all topics are counted, decision by
decision. Topics are taken by name, partitions by number; among equal brokers the one with the lowest id is taken.

1. A partition with a declared placement gets exactly that, whatever it names, and no further step touches it.
2. Replicas on brokers that do not stay are left out. Of more than are wanted, first one whose rack another one covers
   is dropped, then one that is not in sync, then the one on the broker with the most replicas; but never the preferred
   leader while it is in sync, nor the last one in sync.
3. Of fewer than are wanted, the next one goes to a rack that the partition does not use yet while there is one, there
   to the broker with the fewest replicas. A broker without a rack is a rack of its own.
4. Those kept stay in their order, before those added. Where the preferred leader is gone, the broker with the fewest
   preferred leaderships leads, of equal ones one that is in sync.
5. To rebalance, a partition that uses fewer racks than it could drops one replica (2) and adds one (3) until it does.
6. To rebalance, a replica goes from the broker with the most to the one with the fewest, or the next two where none
   can, as long as they differ by two or more and the partition then uses no fewer racks; or else by way of a third one,
   which gives one for the one it gets. What copies nothing more comes first, then followers, a share of each topic.
7. To rebalance, preferred leaderships go likewise, within partitions that both brokers have and by way of any number of
   others. This reorders replicas and copies nothing.

Guarantees, without a declared placement: no broker twice; only staying brokers; the wanted replication factor. Without
rebalancing a partition that has its factor on staying brokers is left alone, any other keeps as many of its replicas as
it may, including one in sync if it had one. With rebalancing: as many racks as replicas if there are enough; if no
topic has a declared placement, replicas of two brokers of a rack (without racks: of any two) differ by at most one;
leaderships are as even as the placement of replicas allows. Across racks replicas may be less even than possible, since
step 6 tries at most two moves; and it may move the only in-sync replica, which Kafka keeps until the new one is in
sync. Each step lowers a sum (of unused racks, of squared counts), so it ends; given its own result, `targets` returns
nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise, product

from provision.plan.observed import ObservedBroker, ObservedPartition, ObservedTopic


@dataclass(frozen=True, slots=True)
class Wish:
    """What a topic's partitions should have; None keeps the replication factor of each partition."""

    replication_factor: int | None = None
    replicas: tuple[tuple[int, ...], ...] | None = None  # a placement by partition number, which takes precedence


def targets(
    topics: Sequence[ObservedTopic],
    brokers: Sequence[ObservedBroker],
    wishes: Mapping[str, Wish] = {},
    *,
    rebalance: bool = False,
) -> dict[str, dict[int, tuple[int, ...]]]:
    """The new replicas, preferred leader first, by topic and partition, of only those partitions that must change.

    `topics` are all of the cluster, including internal ones, `brokers` those that stay. A partition that is being
    reassigned is in the result only if its reassignment leads elsewhere: its present replicas do not count.

    Raises:
        ValueError: a topic would have, or keep, more replicas than there are staying brokers.
    """
    cases = list(_cases(topics, wishes, len(brokers)))
    plan = _Plan(brokers, cases)
    plan.fit()
    if rebalance:
        plan.rebalance()
    changed: dict[str, dict[int, tuple[int, ...]]] = {}
    for index, case in enumerate(cases):
        if (new := plan.new_replicas(index)) != case.current:
            changed.setdefault(case.topic, {})[case.partition.number] = new
    return changed


@dataclass(frozen=True, slots=True)
class _Case:
    """A partition and its wanted replicas. `place` is its position within its topic, from 0 to 1."""

    topic: str
    partition: ObservedPartition
    current: tuple[int, ...]
    factor: int
    fixed: tuple[int, ...] | None
    place: float


def _cases(topics: Sequence[ObservedTopic], wishes: Mapping[str, Wish], remaining: int) -> Iterator[_Case]:
    for topic in sorted(topics, key=lambda topic: topic.name):
        wish = wishes.get(topic.name, Wish())
        placement = wish.replicas or ()
        for place, partition in enumerate(sorted(topic.partitions, key=lambda partition: partition.number)):
            current = partition.target
            fixed = placement[partition.number] if partition.number < len(placement) else None
            factor = len(current) if wish.replication_factor is None else wish.replication_factor
            if fixed is None and not min(len(current), 1) <= factor <= remaining:
                verb = "has" if factor == len(current) else "is to have"
                brokers = "1 broker remains" if remaining == 1 else f"{remaining} brokers remain"
                raise ValueError(f"topic {topic.name} {verb} {factor} replica{'s' * (factor != 1)}; {brokers}")
            yield _Case(topic.name, partition, current, factor, fixed, (place + 0.5) / len(topic.partitions))


class _Openings:
    """For each pair of brokers, the partitions in which the first can give something to the second, best first.

    Partitions that no longer can are dropped, so nothing is searched twice; a changed partition must be offered again.
    """

    def __init__(self, can_give: Callable[[int, int, int], bool]) -> None:
        self._can_give = can_give
        self._heaps: defaultdict[tuple[int, int], list[tuple[int, float, int]]] = defaultdict(list)

    def offer(self, giver: int, taker: int, rank: tuple[int, float, int]) -> None:
        heappush(self._heaps[giver, taker], rank)

    def first(self, giver: int, taker: int) -> int | None:
        heap = self._heaps[giver, taker]
        while heap and not self._can_give(heap[0][-1], giver, taker):
            heappop(heap)
        return heap[0][-1] if heap else None


class _Plan:
    """The replicas of all partitions as planned so far, and what each broker has of them."""

    def __init__(self, brokers: Sequence[ObservedBroker], cases: Sequence[_Case]) -> None:
        self._cases = cases
        self._rack_of: dict[int, str | int] = {  # a number is never equal to the name of a rack
            broker.id: broker.id if broker.rack is None else broker.rack
            for broker in sorted(brokers, key=lambda broker: broker.id)
        }
        self._replicas: Counter[int] = Counter()
        self._leaderships: Counter[int] = Counter()
        self._rows: list[tuple[int, ...]] = [()] * len(cases)
        for index, case in enumerate(cases):
            self._assign(index, case.current if case.fixed is None else case.fixed)
        self._free = [index for index, case in enumerate(cases) if case.fixed is None]

    def new_replicas(self, index: int) -> tuple[int, ...]:
        """The planned replicas, without incidental changes of order that have no effect."""
        case, row = self._cases[index], self._rows[index]
        if case.fixed is not None:
            return row
        kept = [broker for broker in case.current if broker in row]
        return tuple(dict.fromkeys((*row[:1], *kept, *row)))

    def fit(self) -> None:
        for index in self._free:
            self._fit_one(index, self._cases[index].factor)

    def rebalance(self) -> None:
        racks = len(set(self._rack_of.values()))
        for index in self._free:
            factor = self._cases[index].factor
            # While this is true, two replicas share a rack and another rack has none, so each round gains one.
            while len({self._rack_of[broker] for broker in self._rows[index]}) < min(factor, racks):
                self._fit_one(index, factor - 1)
                self._fit_one(index, factor)
        self._even_out(self._replicas, self._can_move)
        self._even_out(self._leaderships, self._can_lead)

    def _assign(self, index: int, row: tuple[int, ...]) -> None:
        before, self._rows[index] = self._rows[index], row
        self._replicas.subtract(before)
        self._replicas.update(row)
        self._leaderships.subtract(before[:1])
        self._leaderships.update(row[:1])

    def _fit_one(self, index: int, factor: int) -> None:
        row, in_sync = self._rows[index], self._cases[index].partition.in_sync
        chosen = [broker for broker in row if broker in self._rack_of]
        while len(chosen) > factor:
            chosen.remove(self._to_drop(chosen, row[0], in_sync))
        while len(chosen) < factor:
            chosen.append(self._to_add(chosen))
        if chosen and row[:1] != tuple(chosen[:1]):
            leader = min(chosen, key=lambda broker: (self._leaderships[broker], broker not in in_sync, broker))
            chosen = [leader, *(broker for broker in chosen if broker != leader)]
        self._assign(index, tuple(chosen))

    def _to_drop(self, chosen: list[int], leader: int, in_sync: tuple[int, ...]) -> int:
        racks = Counter(self._rack_of[broker] for broker in chosen)
        good = [broker for broker in chosen if broker in in_sync]
        needed = [leader] if leader in good else good  # where that is one; so of two that share a rack one may go
        return min(
            (broker for broker in chosen if [broker] != needed),
            key=lambda broker: (racks[self._rack_of[broker]] == 1, broker in in_sync, -self._replicas[broker], broker),
        )

    def _to_add(self, chosen: list[int]) -> int:
        used, others = {self._rack_of[broker] for broker in chosen}, self._rack_of.keys() - chosen
        return min(others, key=lambda broker: (self._rack_of[broker] in used, self._replicas[broker], broker))

    def _can_move(self, index: int, giver: int, taker: int) -> bool:
        row = self._rows[index]
        if giver not in row or taker in row:
            return False
        others = {self._rack_of[broker] for broker in row if broker != giver}
        return self._rack_of[taker] not in others or self._rack_of[giver] in others

    def _can_lead(self, index: int, giver: int, taker: int) -> bool:
        return giver == self._rows[index][0] and taker in self._rows[index][1:]

    def _even_out(self, counts: Counter[int], can_give: Callable[[int, int, int], bool]) -> None:
        openings = _Openings(can_give)

        def offer(index: int) -> None:
            case, row = self._cases[index], self._rows[index]
            for giver, taker in product(row, self._rack_of):
                if can_give(index, giver, taker):
                    cost = 2 * ((giver in case.current) - (taker in case.current)) + (giver == row[0])
                    # By place in the topic, or else the topics whose names come first would move as a whole.
                    openings.offer(giver, taker, (cost, case.place, index))

        for index in self._free:
            offer(index)
        # Of three replicas passed on the third may be of the same partition as the first, which has changed its racks.
        longest = len(self._rack_of) if counts is self._leaderships else 3
        while path := self._next_path(openings, counts, longest):
            for giver, taker in pairwise(path):
                if (opening := openings.first(giver, taker)) is not None:
                    swap = {giver: taker, taker: giver}
                    self._assign(opening, tuple(swap.get(broker, broker) for broker in self._rows[opening]))
                    offer(opening)

    def _next_path(self, openings: _Openings, counts: Counter[int], longest: int) -> list[int]:
        for giver in sorted(self._rack_of, key=lambda broker: (-counts[broker], broker)):
            paths, reached, ends = {giver: [giver]}, [giver], []
            for via in reached:  # grows on the way: breadth first, so each broker is reached by a shortest path
                if len(paths[via]) >= longest:
                    break
                for taker in self._rack_of:
                    if taker not in paths and openings.first(via, taker) is not None:
                        paths[taker] = [*paths[via], taker]
                        reached.append(taker)
                        if counts[giver] - counts[taker] > 1:  # with a difference of one they would only swap
                            ends.append(taker)
                            longest = len(paths[taker])
            if ends:
                return paths[min(ends, key=lambda broker: (counts[broker], broker))]
        return []
