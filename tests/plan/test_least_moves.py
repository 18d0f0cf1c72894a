"""Rebalancing beside all placements that a small cluster can have."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st

from provision.plan.observed import ObservedBroker
from provision.plan.ranking import racks_of
from provision.plan.reassignment import targets
from tests.plan.test_reassignment import Row, brokers_of, counts_of, topic_of

Rows = tuple[Row, ...]


@st.composite
def small_clusters(draw: st.DrawFn, leaving: int = 2) -> tuple[list[ObservedBroker], Rows]:
    """Up to five brokers and four partitions, of which some may be on brokers that leave."""
    brokers = brokers_of(draw(st.text("abc-", min_size=3, max_size=5)))
    known = [*range(1, len(brokers) + 1), *range(7, 7 + draw(st.integers(0, leaving)))]
    among = draw(st.sampled_from([known, known[: len(brokers) - 1]]))  # or the last one is new
    factors = st.integers(1, min(3, len(among)))
    row = factors.flatmap(lambda factor: st.permutations(among).map(lambda ids: tuple(ids[:factor])))
    return brokers, tuple(draw(st.lists(row, min_size=1, max_size=4)))


def racks_used(brokers: Sequence[ObservedBroker], row: Row) -> int:
    racks = racks_of(brokers)
    return len({racks[broker] for broker in row if broker in racks})


def widest(brokers: Sequence[ObservedBroker], factor: int) -> list[Row]:
    """All sets of so many brokers that use as many racks as any."""
    rows = list(combinations([broker.id for broker in brokers], factor))
    most = max(racks_used(brokers, row) for row in rows)
    return [row for row in rows if racks_used(brokers, row) == most]


def unevenness(brokers: Sequence[ObservedBroker], rows: Sequence[Row]) -> int:
    return sum(count * count for count in counts_of(brokers, rows).values())


def copies(before: Sequence[Row], after: Sequence[Row]) -> int:
    return sum(len(set(new) - set(old)) for old, new in zip(before, after, strict=True))


def rebalanced(brokers: Sequence[ObservedBroker], rows: Rows) -> list[Row]:
    changed = targets([topic_of(*rows)], brokers, rebalance=True).get("t", {})
    return [changed.get(number, row) for number, row in enumerate(rows)]


def all_placements(brokers: Sequence[ObservedBroker], rows: Rows) -> Iterator[tuple[Row, ...]]:
    return product(*(widest(brokers, len(row)) for row in rows))


def fewest_copies_of_the_most_even(brokers: Sequence[ObservedBroker], rows: Rows) -> tuple[int, int]:
    return min((unevenness(brokers, other), copies(rows, other)) for other in all_placements(brokers, rows))


@given(small_clusters())
def test_no_placement_is_more_even_and_hardly_one_has_fewer_copies(cluster: tuple[list[ObservedBroker], Rows]) -> None:
    brokers, rows = cluster
    result = rebalanced(brokers, rows)
    least_uneven, fewest = fewest_copies_of_the_most_even(brokers, rows)
    assert all(tuple(sorted(row)) in widest(brokers, len(row)) for row in result)
    assert unevenness(brokers, result) == least_uneven
    assert copies(rows, result) <= fewest + 2


@given(small_clusters(leaving=0))
def test_where_all_racks_are_used_and_no_broker_leaves_one_copy_fewer_would_do_at_best(
    cluster: tuple[list[ObservedBroker], Rows],
) -> None:
    brokers, some = cluster
    rows = tuple(row for row in some if tuple(sorted(row)) in widest(brokers, len(row)))
    result = rebalanced(brokers, rows)
    least_uneven, fewest = fewest_copies_of_the_most_even(brokers, rows)
    assert unevenness(brokers, result) == least_uneven
    assert copies(rows, result) <= fewest + 1
