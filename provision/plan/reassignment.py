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
6. To rebalance, what a broker has beyond its share of the replicas goes directly to those that lack most of theirs,
   where the partition then uses no fewer racks. Shares are as even as racks allow. What is still uneven then is passed
   on, also by way of a third broker, which gives one for the one it gets (`evening.py`).
7. To rebalance, preferred leaderships go likewise, within partitions that both brokers have and by way of any number of
   others. This reorders replicas and copies nothing.

Guarantees, without a declared placement: no broker twice; only staying brokers; the wanted replication factor. Without
rebalancing a partition that has its factor on staying brokers is left alone, any other keeps as many of its replicas as
it may, including one in sync if it had one. With rebalancing: as many racks as replicas if there are enough; if no
topic has a declared placement, replicas of two brokers of a rack (without racks: of any two) differ by at most one;
leaderships are as even as the placement of replicas allows. Across racks replicas may be less even than possible, since
step 6 tries at most two moves; and it may move the only in-sync replica, which Kafka keeps until the new one is in
sync. Nothing is planned ahead over several partitions, which may cost a copy or two more than would be needed. Each
step lowers a sum (of unused racks, of squared counts), so it ends; given its own result, `targets` returns nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from provision.plan.draft import Case, Draft, Row
from provision.plan.evening import even_out
from provision.plan.goods import Leaderships, Replicas
from provision.plan.observed import ObservedBroker, ObservedTopic


class Wish(Struct, frozen=True):
    """What a topic's partitions should have; None keeps the replication factor of each partition."""

    replication_factor: int | None = None
    replicas: tuple[Row, ...] | None = None  # a placement by partition number, which takes precedence


def targets(
    topics: Sequence[ObservedTopic],
    brokers: Sequence[ObservedBroker],
    wishes: Mapping[str, Wish] = {},
    *,
    rebalance: bool = False,
) -> dict[str, dict[int, Row]]:
    """The new replicas, preferred leader first, by topic and partition, of only those partitions that must change.

    `topics` are all of the cluster, including internal ones, `brokers` those that stay. A partition that is being
    reassigned is in the result only if its reassignment leads elsewhere: its present replicas do not count.

    Raises:
        ValueError: a topic would have, or keep, more replicas than there are staying brokers.
    """
    cases = list(_cases(topics, wishes, len(brokers)))
    draft = Draft(brokers, cases)
    for index in draft.free:
        _fit(draft, index, cases[index].factor)
    if rebalance:
        _use_more_racks(draft)
        even_out(Replicas(draft), draft)
        even_out(Leaderships(draft), draft)
    changed: dict[str, dict[int, Row]] = {}
    for index, case in enumerate(cases):
        if (new := draft.new_replicas(index)) != case.current:
            changed.setdefault(case.topic, {})[case.partition.number] = new
    return changed


def _cases(topics: Sequence[ObservedTopic], wishes: Mapping[str, Wish], remaining: int) -> Iterator[Case]:
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
            yield Case(topic.name, partition, current, factor, fixed, (place + 0.5) / len(topic.partitions))


def _fit(draft: Draft, index: int, factor: int) -> None:
    """Give a partition so many replicas, on staying brokers."""
    row, in_sync = draft.rows[index], draft.cases[index].partition.in_sync
    chosen = [broker for broker in row if broker in draft.rack_of]
    if len(chosen) == len(row) == factor:
        return
    while len(chosen) > factor:
        chosen.remove(_to_drop(draft, chosen, row[0], in_sync))
    while len(chosen) < factor:
        chosen.append(_to_add(draft, chosen))
    if chosen and row[:1] != tuple(chosen[:1]):
        leader = min(chosen, key=lambda broker: (draft.leaderships[broker], broker not in in_sync, broker))
        chosen = [leader, *(broker for broker in chosen if broker != leader)]
    draft.assign(index, tuple(chosen))


def _to_drop(draft: Draft, chosen: Sequence[int], leader: int, in_sync: Row) -> int:
    racks = Counter(draft.rack_of[broker] for broker in chosen)
    good = [broker for broker in chosen if broker in in_sync]
    needed = [leader] if leader in good else good  # where that is one; so of two that share a rack one may go
    return min(
        (broker for broker in chosen if [broker] != needed),
        key=lambda broker: (racks[draft.rack_of[broker]] == 1, broker in in_sync, -draft.replicas[broker], broker),
    )


def _to_add(draft: Draft, chosen: Sequence[int]) -> int:
    used = {draft.rack_of[broker] for broker in chosen}
    elsewhere = (broker for broker in draft.replicas if draft.rack_of[broker] not in used)
    return next(chain(elsewhere, (broker for broker in draft.replicas if broker not in chosen)))


def _use_more_racks(draft: Draft) -> None:
    racks = len(set(draft.rack_of.values()))
    for index in draft.free:
        factor = draft.cases[index].factor
        # While this is true, two replicas share a rack and another rack has none, so each round gains one.
        while len({draft.rack_of[broker] for broker in draft.rows[index]}) < min(factor, racks):
            _fit(draft, index, factor - 1)
            _fit(draft, index, factor)
