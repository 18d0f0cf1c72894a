"""Brokers in the order of how much each has."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from provision.plan.ranking import Ranking

NUMBERS = st.dictionaries(st.integers(0, 9), st.integers(-3, 3))
CHANGES = st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 3)))


@given(NUMBERS, CHANGES, st.integers(0, 9))
def test_the_order_is_kept_while_numbers_change(
    numbers: Mapping[int, int], changes: list[tuple[int, int]], after: int
) -> None:
    ranking, expected = Ranking(numbers), dict(numbers)
    for broker, change in changes:
        ranking.add(broker, change)
        if broker in expected:
            expected[broker] += change
    assert {broker: ranking[broker] for broker in ranking} == expected
    assert list(ranking) == sorted(expected, key=lambda broker: (expected[broker], broker))
    assert ranking.descending == sorted(expected, key=lambda broker: (-expected[broker], broker))
    assert ranking.lowest == min(expected.values(), default=0)
    assert ranking.lowest_ones == [broker for broker in ranking if expected[broker] == ranking.lowest]
    assert list(ranking.ascending_after(after)) == sorted(
        expected, key=lambda broker: (expected[broker], (broker - after - 1) % 100)
    )
