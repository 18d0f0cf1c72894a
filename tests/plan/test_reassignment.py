"""Where the replicas of partitions that are there already are to go."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.common.values import replace
from provision.plan.observed import ObservedBroker, ObservedPartition, ObservedTopic
from provision.plan.reassignment import Wish, targets

Row = tuple[int, ...]
Rows = tuple[Row, ...]


def brokers_of(racks: str) -> list[ObservedBroker]:
    """One broker a letter, from 1 on; `-` for one without a rack, a blank for one that is not there."""
    named = [(number, rack) for number, rack in enumerate(racks, start=1) if rack != " "]
    return [ObservedBroker(number, None if rack == "-" else rack) for number, rack in named]


def partition_of(number: int, row: Row, in_sync: Row | None = None, old: Row | None = None) -> ObservedPartition:
    """Has, or goes from `old` to, the replicas of the row."""
    before = row if old is None else old
    adding = tuple(broker for broker in row if broker not in before)
    removing = tuple(broker for broker in before if broker not in row)
    there = before if in_sync is None else in_sync
    return ObservedPartition(number, there[0] if there else -1, (*row, *removing), there, adding, removing)


def topic_of(*rows: Row, name: str = "t", in_sync: Row | None = None) -> ObservedTopic:
    return ObservedTopic(name, tuple(partition_of(number, row, in_sync) for number, row in enumerate(rows)))


def rows_after(
    topics: Sequence[ObservedTopic], changed: Mapping[str, Mapping[int, Row]]
) -> dict[tuple[str, int], tuple[ObservedPartition, Row]]:
    """Each partition with what it is to have, changed or not."""
    return {
        (topic.name, partition.number): (partition, changed.get(topic.name, {}).get(partition.number, partition.target))
        for topic in topics
        for partition in topic.partitions
    }


def counts_of(brokers: Sequence[ObservedBroker], rows: Sequence[Row]) -> Counter[int]:
    counts = Counter({broker.id: 0 for broker in brokers})
    counts.update(broker for row in rows for broker in row)
    return counts


def differ(counts: Sequence[int]) -> int:
    return max(counts, default=0) - min(counts, default=0)


@pytest.mark.parametrize(
    ("racks", "wish", "rows", "changed"),
    [
        pytest.param("---", Wish(), ((1, 2), (3, 1)), {}, id="nothing wished"),
        pytest.param("-----", Wish(), ((1, 2, 3),) * 4, {}, id="uneven, but nobody asked"),
        pytest.param("aab", Wish(), ((1, 2),), {}, id="one rack, but nobody asked"),
        pytest.param("abc", Wish(3), ((1,), (2,), (3,)), {0: (1, 2, 3), 1: (2, 1, 3), 2: (3, 1, 2)}, id="1 to 3"),
        pytest.param("abc", Wish(1), ((1, 2, 3), (2, 1, 3), (3, 1, 2)), {0: (1,), 1: (2,), 2: (3,)}, id="3 to 1"),
        pytest.param("aabb", Wish(2), ((1,), (2,), (3,)), {0: (1, 4), 1: (2, 3), 2: (3, 1)}, id="in the other rack"),
        pytest.param("aabb", Wish(2), ((1, 2, 3),), {0: (1, 3)}, id="one that shares a rack is dropped"),
        pytest.param("---", Wish(2), ((1, 2, 3), (1, 3)), {0: (1, 2)}, id="the most loaded is dropped"),
        pytest.param("---", Wish(2), ((1, 2), (2,), ()), {1: (2, 3), 2: (3, 1)}, id="only those without enough"),
        pytest.param("-- ", Wish(), ((3, 1), (3, 2), (1, 3)), {0: (2, 1), 1: (2, 1), 2: (1, 2)}, id="3 leaves"),
        pytest.param("-- ", Wish(1), ((1, 3), (3, 2), (3,)), {0: (1,), 1: (2,), 2: (1,)}, id="3 leaves, 2 to 1"),
        pytest.param("-- ", Wish(), ((3,),) * 4, {0: (1,), 1: (2,), 2: (1,), 3: (2,)}, id="its leaderships are shared"),
        pytest.param("---", Wish(1, ((3, 1), (2, 3))), ((1, 2), (2, 3), (3, 1)), {0: (3, 1), 2: (3,)}, id="explicit"),
        pytest.param("-- ", Wish(replicas=((3, 9),)), ((3, 2),), {0: (3, 9)}, id="explicit, whatever it names"),
        pytest.param("-", Wish(replicas=((2, 1),)), ((1, 2),), {0: (2, 1)}, id="explicit, no more than an order"),
    ],
)
def test_what_a_topic_gets(racks: str, wish: Wish, rows: Rows, changed: dict[int, Row]) -> None:
    topic = topic_of(*rows)
    assert targets([topic], brokers_of(racks), {"t": wish}).get("t", {}) == changed


@pytest.mark.parametrize(
    ("racks", "row", "in_sync", "factor", "kept"),
    [
        ("---", (1, 2, 3), (1, 3), 2, (1, 3)),
        ("---", (1, 2, 3), (1, 2), 2, (1, 2)),
        ("---", (1, 2, 3), (2,), 1, (2,)),
        ("---", (1, 2, 3), (2, 3), 2, (2, 3)),
        ("---", (1, 2, 3), (), 1, (3,)),
        ("aab", (1, 2, 3), (2, 3), 2, (2, 3)),
        ("aab", (1, 2, 3), (1, 2), 2, (1, 3)),
        ("aab", (3, 1, 2), (1,), 2, (3, 1)),
        (" ab", (1, 2, 3), (1, 3), 1, (3,)),
    ],
)
def test_which_replicas_are_kept(racks: str, row: Row, in_sync: Row, factor: int, kept: Row) -> None:
    assert targets([topic_of(row, in_sync=in_sync)], brokers_of(racks), {"t": Wish(factor)}) == {"t": {0: kept}}


def test_of_brokers_that_lead_equally_one_in_sync_leads_instead_of_one_that_left() -> None:
    assert targets([topic_of((9, 1, 2), in_sync=(2,))], brokers_of("---")) == {"t": {0: (2, 1, 3)}}


def test_brokers_that_join_get_their_share_without_more_copies_than_that() -> None:
    topic = topic_of(*[(1, 2, 3), (2, 3, 1), (3, 1, 2)] * 5)
    changed = targets([topic], brokers_of("-----"), rebalance=True)
    rows = [row for _, row in rows_after([topic], changed).values()]
    assert set(counts_of(brokers_of("-----"), rows).values()) == {9}
    assert set(Counter(row[0] for row in rows).values()) == {3}
    copies = sum(len(set(row) - set(topic.partitions[number].target)) for number, row in changed["t"].items())
    assert copies == 18


def test_each_topic_gives_a_share_to_brokers_that_join() -> None:
    topics = [topic_of(*[(1,), (2,)] * 3, name=name) for name in ("a", "b", "c")]
    changed = targets(topics, brokers_of("----"), rebalance=True)
    assert [len(changed[name]) for name in ("a", "b", "c")] == [4, 2, 2]


@pytest.mark.parametrize("rebalance", [False, True])
def test_brokers_that_leave_leave_even_loads(rebalance: bool) -> None:
    topic = topic_of(*[tuple((first + further) % 5 + 1 for further in range(3)) for first in range(5)] * 6)
    rows = [row for _, row in rows_after([topic], targets([topic], brokers_of("---"), rebalance=rebalance)).values()]
    assert set(counts_of(brokers_of("---"), rows).values()) == {30}
    assert set(Counter(row[0] for row in rows).values()) == {10}


@pytest.mark.parametrize(
    ("racks", "rows", "changed"),
    [
        pytest.param("---", ((1, 2), (2, 3), (3, 1)), {}, id="even"),
        pytest.param("--", ((1, 2), (1, 2)), {0: (2, 1)}, id="leaderships only"),
        pytest.param("--", ((1,), (1,), (1,), (2,)), {0: (2,)}, id="replicas"),
        pytest.param("aab", ((1, 2), (2, 3)), {0: (1, 3)}, id="racks"),
        pytest.param("aaabc", ((1, 2, 3),), {0: (1, 4, 5)}, id="racks, two replicas"),
        pytest.param("abb", ((1, 2), (2, 1), (3, 1), (1, 3)), {}, id="as far as racks allow"),
        pytest.param("aabb", ((1, 3),) * 4, {0: (4, 2), 1: (2, 4), 2: (3, 1)}, id="within racks"),
        pytest.param("aabb", ((1, 2, 3), (2, 1, 3)), {1: (2, 3, 4)}, id="between racks that are used anyway"),
        pytest.param("---", ((1, 2), (2, 1)), {1: (2, 3)}, id="a follower rather than a leader"),
        pytest.param("---", ((1, 2, 3), (1, 2, 3), (2, 3, 1)), {0: (3, 1, 2)}, id="the others keep their order"),
    ],
)
def test_what_is_rebalanced(racks: str, rows: Rows, changed: dict[int, Row]) -> None:
    assert targets([topic_of(*rows)], brokers_of(racks), rebalance=True).get("t", {}) == changed


def test_rather_than_another_a_replica_that_is_new_anyway_goes_elsewhere() -> None:
    """When m gets a replica on 1, broker 3 still has those that z drops."""
    topics = [topic_of((2, 1), name="a"), topic_of((2,), name="m"), topic_of((4, 3), (4, 3), name="z")]
    changed = targets(topics, brokers_of("----"), {"m": Wish(2), "z": Wish(1)}, rebalance=True)
    assert changed == {"a": {0: (1, 2)}, "m": {0: (2, 3)}, "z": {0: (4,), 1: (4,)}}


def test_a_replica_is_passed_on_by_way_of_another_broker() -> None:
    """1 has three replicas and 2 one, but the only one that 1 may give is of a partition that 2 has."""
    fixed = topic_of((1,), (1,), name="fixed")
    free = topic_of((1, 2), (4, 3), (4, 3))
    changed = targets([fixed, free], brokers_of("----"), {"fixed": Wish(replicas=((1,), (1,)))}, rebalance=True)
    assert changed == {"t": {0: (3, 2), 1: (2, 4)}}


def test_a_leadership_is_passed_on_by_way_of_another_broker() -> None:
    """1 leads three times and 3 once, but they share no partition, and for their racks no replica can move."""
    fixed = topic_of((3,), name="fixed")
    free = topic_of((1, 2), (1, 2), (1, 2), (2, 3), (2, 3))
    changed = targets([fixed, free], brokers_of("aba"), {"fixed": Wish(replicas=((3,),))}, rebalance=True)
    assert changed == {"t": {0: (2, 1), 3: (3, 2)}}


def test_what_others_have_counts() -> None:
    others = topic_of((1, 2), (2, 1), name="others")
    assert targets([others, topic_of((1,))], brokers_of("---"), {"t": Wish(2)}) == {"t": {0: (1, 3)}}


def test_what_is_fixed_counts_wherever_it_is_and_is_not_rebalanced() -> None:
    fixed = topic_of((3,), (3,), (3,), name="z")
    wishes = {"z": Wish(replicas=((1,), (1,), (1,)))}
    changed = targets([topic_of((1,), (1,)), fixed], brokers_of("---"), wishes, rebalance=True)
    assert changed == {"t": {0: (2,), 1: (3,)}, "z": {0: (1,), 1: (1,), 2: (1,)}}


@pytest.mark.parametrize(
    ("old", "row", "wish", "changed"),
    [
        ((1, 2), (2, 3), Wish(2), {}),
        ((1, 2), (2, 3), Wish(replicas=((2, 3),)), {}),
        ((1, 2), (2, 3), Wish(replicas=((1, 2),)), {"t": {0: (1, 2)}}),
        ((1, 2), (2, 3), Wish(1), {"t": {0: (2,)}}),
        ((1, 2), (1,), Wish(2), {"t": {0: (1, 2)}}),
        ((1, 2), (2, 9), Wish(), {"t": {0: (2, 1)}}),
    ],
)
def test_a_partition_that_is_being_reassigned_counts_as_what_it_will_be(
    old: Row, row: Row, wish: Wish, changed: dict[str, dict[int, Row]]
) -> None:
    topic = ObservedTopic("t", (partition_of(0, row, old=old),))
    assert topic.partitions[0].moves
    assert topic.partitions[0].target == row
    assert targets([topic], brokers_of("---"), {"t": wish}) == changed


@pytest.mark.parametrize(
    ("racks", "wish", "row", "message"),
    [
        ("ab", Wish(), (1, 2, 3), "topic orders has 3 replicas; 2 brokers remain"),
        ("ab", Wish(3), (1, 2, 3), "topic orders has 3 replicas; 2 brokers remain"),
        ("abc", Wish(4), (1, 2, 3), "topic orders is to have 4 replicas; 3 brokers remain"),
        ("a", Wish(2, ()), (1,), "topic orders is to have 2 replicas; 1 broker remains"),
        ("", Wish(), (1,), "topic orders has 1 replica; 0 brokers remain"),
        ("a", Wish(0), (1,), "topic orders is to have 0 replicas; 1 broker remains"),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_topic(racks: str, wish: Wish, row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        targets([topic_of(row, name="orders")], brokers_of(racks), {"orders": wish})


def test_an_explicit_placement_is_not_refused() -> None:
    assert targets([topic_of((1, 2))], brokers_of("a"), {"t": Wish(3, ((1,),))}) == {"t": {0: (1,)}}


@pytest.mark.parametrize("rebalance", [False, True])
def test_nothing_is_done_where_there_is_nothing(rebalance: bool) -> None:
    assert targets([], [], rebalance=rebalance) == {}
    assert targets([topic_of(), topic_of((), name="empty")], brokers_of("ab"), rebalance=rebalance) == {}
    assert targets([], brokers_of("ab"), {"gone": Wish(9)}, rebalance=rebalance) == {}


@dataclass(frozen=True, slots=True)
class Cluster:
    """What `targets` is given, and of each partition what it has to come to."""

    topics: tuple[ObservedTopic, ...]
    brokers: tuple[ObservedBroker, ...]
    wishes: dict[str, Wish]

    @property
    def racks(self) -> dict[int, str | int]:
        """By broker; of one that has none its id, so that it is one of its own."""
        return {broker.id: broker.id if broker.rack is None else broker.rack for broker in self.brokers}

    def fixed(self, name: str, number: int) -> Row | None:
        """The explicit wish."""
        replicas = self.wishes.get(name, Wish()).replicas or ()
        return replicas[number] if number < len(replicas) else None

    def factor(self, name: str, partition: ObservedPartition) -> int:
        """The wanted one."""
        wished = self.wishes.get(name, Wish()).replication_factor
        return len(partition.target) if wished is None else wished

    def free(self, changed: Mapping[str, Mapping[int, Row]]) -> Iterator[tuple[ObservedPartition, int, Row]]:
        """Each partition without an explicit wish: as it is, its wanted factor, what it is to have."""
        for (name, number), (partition, row) in rows_after(self.topics, changed).items():
            if self.fixed(name, number) is None:
                yield partition, self.factor(name, partition), row

    def after(self, changed: Mapping[str, Mapping[int, Row]], *, running: bool) -> "Cluster":
        """Once, or while, the changes are carried out."""

        def one(name: str, partition: ObservedPartition) -> ObservedPartition:
            row = changed.get(name, {}).get(partition.number, partition.target)
            in_sync = tuple(broker for broker in partition.in_sync if running or broker in row)
            return partition_of(partition.number, row, in_sync, partition.target if running else None)

        topics = (
            replace(topic, partitions=tuple(one(topic.name, each) for each in topic.partitions))
            for topic in self.topics
        )
        return replace(self, topics=tuple(topics))


@st.composite
def clusters(draw: st.DrawFn, racks: str = "abc-", factor: int | None = None, explicit: bool = True) -> Cluster:
    """Clusters of up to six brokers that stay and three that leave, with partitions in all states."""
    stay = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
    known = stay + draw(st.lists(st.integers(10, 12), max_size=3, unique=True))
    letters = st.sampled_from(racks).map(lambda rack: None if rack == "-" else rack)
    highest = min(len(stay), 4)

    def row(count: int, among: list[int]) -> Row:
        return tuple(draw(st.permutations(among))[:count])

    def partition(number: int) -> ObservedPartition:
        new = row(min(factor or draw(st.integers(1, highest)), len(stay)), known)
        old = row(draw(st.integers(1, len(known))), known) if draw(st.booleans()) else new
        return partition_of(number, new, row(draw(st.integers(0, len(old))), list(old)), old)

    def wish() -> Wish:
        wished = draw(st.none() | st.integers(1, highest)) if factor is None else None
        if explicit and draw(st.integers(0, 3)) == 0:
            return Wish(
                wished, tuple(row(draw(st.integers(1, highest)), known) for _ in range(draw(st.integers(0, 5))))
            )
        return Wish(wished)

    names = draw(st.lists(st.sampled_from("tuvw"), unique=True))
    return Cluster(
        tuple(ObservedTopic(name, tuple(map(partition, range(draw(st.integers(0, 8)))))) for name in names),
        tuple(ObservedBroker(broker, draw(letters)) for broker in stay),
        {name: wish() for name in names if draw(st.booleans())},
    )


@st.composite
def crowds(draw: st.DrawFn) -> Cluster:
    """Clusters whose replicas are all on the first few of their brokers."""
    brokers = brokers_of(draw(st.text("abcd-", min_size=4, max_size=8)))
    among = draw(st.permutations(range(1, draw(st.integers(2, 4)) + 1)))
    row = st.integers(1, len(among)).map(lambda factor: tuple(among[:factor]))
    return Cluster((topic_of(*draw(st.lists(row, max_size=25))),), tuple(brokers), {})


def planned(cluster: Cluster, *, rebalance: bool) -> dict[str, dict[int, Row]]:
    return targets(cluster.topics, cluster.brokers, cluster.wishes, rebalance=rebalance)


@given(clusters(), st.booleans())
def test_each_partition_has_its_factor_on_different_brokers_that_stay(cluster: Cluster, rebalance: bool) -> None:
    for _, factor, row in cluster.free(planned(cluster, rebalance=rebalance)):
        assert len(row) == len(set(row)) == factor
        assert set(row) <= cluster.racks.keys()


@given(clusters(), st.booleans())
def test_explicit_placements_are_met(cluster: Cluster, rebalance: bool) -> None:
    for (name, number), (_, row) in rows_after(cluster.topics, planned(cluster, rebalance=rebalance)).items():
        assert cluster.fixed(name, number) in {None, row}


@given(clusters(), st.booleans())
def test_only_what_changes_is_named(cluster: Cluster, rebalance: bool) -> None:
    changed = planned(cluster, rebalance=rebalance)
    assert all(changed.values())
    for (name, number), (partition, row) in rows_after(cluster.topics, changed).items():
        assert (row != partition.target) == (number in changed.get(name, {}))


@given(clusters(), st.booleans(), st.booleans(), st.booleans())
def test_nothing_remains_to_be_done(cluster: Cluster, rebalance: bool, running: bool, again: bool) -> None:
    """Neither once nor while the changes are carried out; nor to do less than was done."""
    after = cluster.after(planned(cluster, rebalance=rebalance), running=running)
    assert planned(after, rebalance=rebalance and again) == {}


@given(clusters() | crowds(), st.booleans(), st.randoms(use_true_random=False))
def test_the_same_cluster_in_any_order_gives_the_same(cluster: Cluster, rebalance: bool, random: Random) -> None:
    def shuffled(topic: ObservedTopic) -> ObservedTopic:
        return replace(topic, partitions=tuple(random.sample(topic.partitions, len(topic.partitions))))

    other = replace(
        cluster,
        topics=tuple(map(shuffled, random.sample(cluster.topics, len(cluster.topics)))),
        brokers=tuple(random.sample(cluster.brokers, len(cluster.brokers))),
    )
    assert planned(other, rebalance=rebalance) == planned(cluster, rebalance=rebalance)


@given(clusters())
def test_without_rebalancing_no_more_than_needed_changes(cluster: Cluster) -> None:
    for partition, factor, row in cluster.free(planned(cluster, rebalance=False)):
        staying = [broker for broker in partition.target if broker in cluster.racks]
        assert row == partition.target or len(staying) != len(partition.target) or len(staying) != factor
        kept = [broker for broker in row if broker in staying]
        assert len(kept) == min(factor, len(staying))
        followers = [broker for broker in staying if broker in row[1:]]
        assert [broker for broker in row[1:] if broker in staying] == followers
        leader = partition.target[0]
        if leader in staying and (leader in partition.in_sync or len(staying) <= factor):
            assert row[0] == leader


@given(clusters())
def test_without_rebalancing_a_replica_in_sync_is_kept_if_there_is_one(cluster: Cluster) -> None:
    for partition, _, row in cluster.free(planned(cluster, rebalance=False)):
        in_sync = set(partition.in_sync) & set(partition.target) & cluster.racks.keys()
        assert not in_sync or in_sync & set(row)


@given(clusters())
def test_what_is_added_and_dropped_uses_as_many_racks_as_it_can(cluster: Cluster) -> None:
    for partition, factor, row in cluster.free(planned(cluster, rebalance=False)):
        staying = [broker for broker in partition.target if broker in cluster.racks]
        racks = len({cluster.racks[broker] for broker in staying})
        possible = min(racks + max(factor - len(staying), 0), factor, len(set(cluster.racks.values())))
        assert len({cluster.racks[broker] for broker in row}) == possible


@given(clusters())
def test_rebalanced_partitions_use_as_many_racks_as_there_can_be(cluster: Cluster) -> None:
    possible = len(set(cluster.racks.values()))
    for _, factor, row in cluster.free(planned(cluster, rebalance=True)):
        assert len({cluster.racks[broker] for broker in row}) == min(factor, possible)


@given(clusters(explicit=False))
def test_rebalanced_brokers_of_a_rack_have_as_many_replicas_but_for_one(cluster: Cluster) -> None:
    counts = counts_of(cluster.brokers, [row for _, _, row in cluster.free(planned(cluster, rebalance=True))])
    for rack in set(cluster.racks.values()):
        assert differ([counts[broker] for broker in cluster.racks if cluster.racks[broker] == rack]) <= 1


@given(clusters(racks="-", explicit=False))
def test_rebalanced_brokers_without_racks_have_as_many_replicas_but_for_one(cluster: Cluster) -> None:
    counts = counts_of(cluster.brokers, [row for _, _, row in cluster.free(planned(cluster, rebalance=True))])
    assert differ(list(counts.values())) <= 1


@given(crowds())
def test_also_of_many_moves_nothing_remains_to_be_done(cluster: Cluster) -> None:
    after = cluster.after(planned(cluster, rebalance=True), running=False)
    assert planned(after, rebalance=True) == {}


@given(clusters() | crowds())
def test_rebalancing_does_not_reorder_followers(cluster: Cluster) -> None:
    for partition, _, row in cluster.free(planned(cluster, rebalance=True)):
        had = [broker for broker in row[1:] if broker in partition.target]
        assert had == sorted(had, key=partition.target.index)
        assert not set(row[1 + len(had) :]) & set(partition.target)


@given(clusters() | crowds())
def test_no_further_move_makes_replicas_more_even(cluster: Cluster) -> None:
    changed = planned(cluster, rebalance=True)
    counts = counts_of(cluster.brokers, [row for _, row in rows_after(cluster.topics, changed).values()])
    for _, _, row in cluster.free(changed):
        racks = len({cluster.racks[broker] for broker in row})
        for giver, taker in product(row, cluster.racks.keys() - row):
            if counts[giver] - counts[taker] > 1:
                moved = {cluster.racks[broker] for broker in row if broker != giver} | {cluster.racks[taker]}
                assert len(moved) < racks


@given(st.integers(1, 4).flatmap(lambda factor: clusters(racks="-", factor=factor, explicit=False)))
def test_rebalanced_leaderships_without_racks_differ_by_one_at_most_where_all_have_the_same_factor(
    cluster: Cluster,
) -> None:
    leaders = [row[:1] for _, _, row in cluster.free(planned(cluster, rebalance=True))]
    assert differ(list(counts_of(cluster.brokers, leaders).values())) <= 1


@given(clusters() | crowds())
def test_rebalanced_leaderships_are_as_even_as_any_order_of_the_replicas_makes_them(cluster: Cluster) -> None:
    """Leaderships could be more even only if one could be passed on, broker by broker, to one that has two fewer."""
    changed = planned(cluster, rebalance=True)
    leaders = Counter(row[0] for _, row in rows_after(cluster.topics, changed).values())
    passes = {(row[0], follower) for _, _, row in cluster.free(changed) for follower in row[1:]}
    for via, giver, taker in product(cluster.racks, repeat=3):  # closes the relation over via, the outermost
        if (giver, via) in passes and (via, taker) in passes:
            passes.add((giver, taker))
    assert all(leaders[giver] - leaders[taker] <= 1 for giver, taker in passes)


@given(
    st.lists(st.permutations(range(1, 5)).map(lambda ids: tuple(ids[:2])), max_size=7),
    st.sampled_from(["----", "aabb", "aaab"]),
)
def test_no_other_order_of_replicas_has_a_smaller_spread(rows: list[Row], racks: str) -> None:
    topic = topic_of(*rows)
    result = [row for _, row in rows_after([topic], targets([topic], brokers_of(racks), rebalance=True)).values()]
    ids = range(1, 5)
    spreads = [differ([leaders.count(broker) for broker in ids]) for leaders in product(*result)]
    assert differ([[row[0] for row in result].count(broker) for broker in ids]) == min(spreads)
