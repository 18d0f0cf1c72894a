"""Where the replicas of new partitions go."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.plan.observed import ObservedBroker, ObservedPartition, ObservedTopic
from provision.plan.placement import Placement

RACKS = st.none() | st.sampled_from("abcd")
BROKERS = st.lists(st.tuples(st.integers(0, 1000), RACKS), min_size=1, max_size=12, unique_by=lambda one: one[0]).map(
    lambda pairs: [ObservedBroker(*pair) for pair in pairs]
)
RACKED_BROKERS = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from("abcd")), min_size=1, max_size=12, unique_by=lambda one: one[0]
).map(lambda pairs: [ObservedBroker(*pair) for pair in pairs])
PARTITIONS = st.integers(1, 40)


def brokers_of(racks: str) -> list[ObservedBroker]:
    """One broker a letter, from 1 on; `-` for none."""
    return [ObservedBroker(number, None if rack == "-" else rack) for number, rack in enumerate(racks, start=1)]


def topic_of(*replicas: tuple[int, ...]) -> ObservedTopic:
    return ObservedTopic("there", tuple(ObservedPartition(i, r[0] if r else -1, r, r) for i, r in enumerate(replicas)))


@pytest.mark.parametrize(
    ("racks", "partitions", "replicas", "assignment"),
    [
        ("-", 2, 1, ((1,), (1,))),
        ("--", 3, 1, ((1,), (2,), (1,))),
        ("---", 3, 3, ((1, 2, 3), (2, 3, 1), (3, 1, 2))),
        ("---", 3, 2, ((1, 2), (3, 1), (2, 3))),
        ("aabb", 2, 2, ((1, 3), (2, 4))),
        ("abab", 2, 2, ((1, 2), (3, 4))),
        ("aaab", 2, 2, ((1, 4), (2, 4))),
        ("abc", 3, 3, ((1, 2, 3), (2, 3, 1), (3, 1, 2))),
        ("aa", 1, 2, ((1, 2),)),
        ("---", 0, 3, ()),
    ],
)
def test_small_placements_are_these(
    racks: str, partitions: int, replicas: int, assignment: tuple[tuple[int, ...], ...]
) -> None:
    assert Placement(brokers_of(racks)).place(partitions, replicas) == assignment


@given(BROKERS, PARTITIONS, st.data())
def test_no_partition_has_a_broker_twice_and_each_has_all_its_replicas(
    brokers: list[ObservedBroker], partitions: int, data: st.DataObject
) -> None:
    replicas = data.draw(st.integers(1, len(brokers)))
    assignment = Placement(brokers).place(partitions, replicas)
    assert len(assignment) == partitions
    assert all(len(row) == len(set(row)) == replicas for row in assignment)
    assert {broker for row in assignment for broker in row} <= {broker.id for broker in brokers}


@given(RACKED_BROKERS, PARTITIONS, st.data())
def test_replicas_are_in_as_many_racks_as_there_can_be(
    brokers: list[ObservedBroker], partitions: int, data: st.DataObject
) -> None:
    replicas = data.draw(st.integers(1, len(brokers)))
    rack_of = {broker.id: broker.rack for broker in brokers}
    possible = min(replicas, len(set(rack_of.values())))
    for row in Placement(brokers).place(partitions, replicas):
        assert len({rack_of[broker] for broker in row}) == possible


@given(BROKERS, st.lists(st.tuples(PARTITIONS, st.integers(1, 12)), min_size=1, max_size=4))
def test_on_an_empty_cluster_preferred_leaderships_differ_by_one_at_most(
    brokers: list[ObservedBroker], topics: list[tuple[int, int]]
) -> None:
    placement = Placement(brokers)
    leaders = Counter({broker.id: 0 for broker in brokers})
    for partitions, replicas in topics:
        leaders.update(row[0] for row in placement.place(partitions, min(replicas, len(brokers))))
    assert max(leaders.values()) - min(leaders.values()) <= 1


@given(st.integers(1, 12), PARTITIONS, st.data())
def test_without_racks_replicas_too_are_spread_evenly(count: int, partitions: int, data: st.DataObject) -> None:
    replicas = data.draw(st.integers(1, count))
    assignment = Placement(brokers_of("-" * count)).place(partitions, replicas)
    held = Counter(dict.fromkeys(range(1, count + 1), 0))
    held.update(broker for row in assignment for broker in row)
    assert max(held.values()) - min(held.values()) <= 2


@given(BROKERS, PARTITIONS, st.randoms(use_true_random=False))
def test_the_same_brokers_in_any_order_give_the_same_placement(
    brokers: list[ObservedBroker],
    partitions: int,
    random: Random,
) -> None:
    shuffled = list(brokers)
    random.shuffle(shuffled)
    replicas = min(3, len(brokers))
    assert Placement(brokers).place(partitions, replicas) == Placement(shuffled).place(partitions, replicas)


def test_new_leaderships_go_where_there_are_fewest() -> None:
    existing = [topic_of((1, 2), (1, 2), (2, 1))]
    assert Placement(brokers_of("---"), existing).place(3, 1) == ((3,), (3,), (2,))


def test_of_equal_leaderships_the_broker_with_fewer_replicas_leads() -> None:
    assert Placement(brokers_of("---"), [topic_of((3, 1))]).place(2, 1) == ((2,), (1,))


def test_partitions_without_replicas_and_brokers_that_are_gone_do_no_harm() -> None:
    assert Placement(brokers_of("--"), [topic_of((), (9, 8))]).place(2, 2) == ((1, 2), (2, 1))


def test_further_topics_go_on_where_the_last_one_ended() -> None:
    placement = Placement(brokers_of("---"))
    leaders = [placement.place(1, 1)[0][0] for _ in range(6)]
    assert leaders == [1, 2, 3, 1, 2, 3]
    assert all(one != other for one, other in pairwise(leaders))


def test_more_replicas_than_brokers_are_refused() -> None:
    with pytest.raises(ValueError, match="3 replicas need as many brokers; there are 2"):
        Placement(brokers_of("ab")).place(1, 3)
