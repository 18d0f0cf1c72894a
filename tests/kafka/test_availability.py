"""Whether a broker may go down: the rule as a table, and what it guarantees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.kafka.availability import blockers
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic

Row = tuple[int, ...]
BROKERS = tuple(ObservedBroker(number, None) for number in (1, 2, 3, 4))


def cluster(*partitions: ObservedPartition, name: str = "t") -> ObservedCluster:
    return ObservedCluster("id", 1, BROKERS, (ObservedTopic(name, partitions),))


@pytest.mark.parametrize(
    ("replicas", "in_sync", "minimum", "broker", "may"),
    [
        pytest.param((1, 2, 3), (1, 2, 3), 2, 1, True, id="one to spare"),
        pytest.param((1, 2, 3), (1, 2, 3), 1, 1, True, id="two to spare"),
        pytest.param((1, 2, 3), (1, 2), 2, 1, False, id="just as many as needed, and its is one"),
        pytest.param((1, 2, 3), (1, 2), 2, 3, True, id="just as many as needed, and its is none"),
        pytest.param((1, 2, 3), (1,), 2, 1, False, id="fewer than needed, and its is one"),
        pytest.param((1, 2, 3), (1,), 2, 3, False, id="fewer than needed, and its would be one again"),
        pytest.param((1, 2, 3), (1,), 2, 4, True, id="not its business"),
        pytest.param((1, 2, 3), (1,), 1, 1, False, id="the last one in sync"),
        pytest.param((1, 2, 3), (1,), 1, 2, True, id="one that lags"),
        pytest.param((1, 2), (1, 2), 2, 1, True, id="never one to spare"),
        pytest.param((1, 2), (1,), 2, 1, True, id="never one to spare, and one lags"),
        pytest.param((1, 2), (1, 2), 3, 1, True, id="more demanded than there are"),
        pytest.param((1,), (1,), 1, 1, True, id="one replica"),
        pytest.param((1,), (), 1, 1, True, id="one replica, offline"),
        pytest.param((1, 2), (1, 2), 1, 1, True, id="two, of which one is enough"),
        pytest.param((1, 2), (1,), 1, 1, False, id="two, of which only its is in sync"),
        pytest.param((1, 2), (), 1, 1, False, id="none in sync"),
    ],
)
def test_the_rule(replicas: Row, in_sync: Row, minimum: int, broker: int, *, may: bool) -> None:
    there = cluster(ObservedPartition(0, in_sync[0] if in_sync else -1, replicas, in_sync))
    assert (blockers(there, {"t": minimum}, broker) == ()) is may


@pytest.mark.parametrize(
    ("in_sync", "broker", "may"),
    [
        pytest.param((1, 2), 1, True, id="two settled ones are enough for one"),
        pytest.param((1,), 1, False, id="the last settled one in sync"),
        pytest.param((1, 2), 3, True, id="one that is just coming"),
    ],
)
def test_replicas_that_are_just_coming_neither_help_nor_hinder(in_sync: Row, broker: int, *, may: bool) -> None:
    there = cluster(ObservedPartition(0, 1, (1, 2, 3, 4), in_sync, adding=(3, 4)))
    assert (blockers(there, {"t": 1}, broker) == ()) is may


def test_without_a_known_minimum_one_replica_in_sync_is_enough() -> None:
    there = cluster(ObservedPartition(0, 1, (1, 2), (1, 2)))
    assert blockers(there, {}, 1) == ()
    assert blockers(cluster(ObservedPartition(0, 1, (1, 2), (1,))), {}, 1) != ()


def test_each_partition_that_hinders_is_named_with_what_it_has_and_needs() -> None:
    partitions = (
        ObservedPartition(0, 1, (1, 2, 3), (1, 2)),
        ObservedPartition(1, 1, (1, 2, 3), (1, 2, 3)),
        ObservedPartition(2, 3, (1, 2, 3), (3,)),
    )
    assert blockers(cluster(*partitions, name="orders"), {"orders": 2}, 1) == (
        "orders-0 has 2 in-sync replicas and needs 2",
        "orders-2 has 1 in-sync replica and needs 2",
    )


def test_every_topic_has_its_own_minimum_and_internal_ones_count_too() -> None:
    lagging = ObservedPartition(0, 1, (1, 2, 3), (1, 2))
    topics = (ObservedTopic("a", (lagging,)), ObservedTopic("__b", (lagging,), internal=True))
    there = ObservedCluster("id", 1, BROKERS, topics)
    assert blockers(there, {"a": 1, "__b": 1}, 1) == ()
    assert blockers(there, {"a": 1, "__b": 2}, 1) == ("__b-0 has 2 in-sync replicas and needs 2",)


@given(st.sets(st.integers(1, 4), min_size=1), st.sets(st.integers(1, 4)), st.integers(1, 4), st.integers(1, 4))
def test_who_may_go_leaves_enough_in_sync_wherever_there_is_one_to_spare(
    replicas: set[int], in_sync: set[int], minimum: int, broker: int
) -> None:
    in_sync &= replicas
    there = cluster(ObservedPartition(0, 1, tuple(sorted(replicas)), tuple(sorted(in_sync))))
    if blockers(there, {"t": minimum}, broker) == () and broker in replicas and len(replicas) > minimum:
        assert len(in_sync - {broker}) >= minimum
