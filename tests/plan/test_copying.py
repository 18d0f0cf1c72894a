"""What a reassignment copies, from whom to whom, and how long it takes at most."""

from collections.abc import Mapping

import pytest

from provision.plan.copying import Copy, Traffic, copies, total_bytes
from provision.plan.observed import ObservedPartition, ObservedTopic

Row = tuple[int, ...]
SETTLED = ObservedPartition(0, 1, (1, 2), (1, 2), held_bytes={1: 100, 2: 90})
# It goes from brokers 1 and 2 to 2 and 3, and a fifth has arrived.
MOVING = ObservedPartition(0, 1, (2, 3, 1), (1, 2), (3,), (1,), held_bytes={1: 100, 2: 90, 3: 20})


@pytest.mark.parametrize(
    ("partition", "new", "copied"),
    [
        (SETTLED, {}, []),
        (SETTLED, {0: (2, 1)}, []),
        (SETTLED, {0: (2,)}, []),
        (SETTLED, {0: (3, 2)}, [Copy(1, 3, 100)]),
        (SETTLED, {0: (3, 4, 5)}, [Copy(1, 3, 100), Copy(1, 4, 100), Copy(1, 5, 100)]),
        (SETTLED, {1: (3, 4, 5)}, []),
        (MOVING, {0: (2, 3)}, [Copy(1, 3, 80)]),
        (MOVING, {0: (1, 2)}, []),
        (MOVING, {0: (3, 4)}, [Copy(1, 3, 80), Copy(1, 4, 100)]),
    ],
)
def test_what_is_not_there_yet_comes_from_the_leader(
    partition: ObservedPartition, new: Mapping[int, Row], copied: list[Copy]
) -> None:
    assert list(copies(ObservedTopic("t", (partition,)), new)) == copied


def test_where_nobody_was_asked_for_sizes_nothing_is_copied() -> None:
    assert copies(ObservedTopic("t", (ObservedPartition(0, 1, (1,), (1,)),)), {0: (2,)}) == ()


def test_the_bytes_of_all_copies_are_added() -> None:
    assert total_bytes([Copy(1, 2, 1), Copy(1, 3, 40)]) == 41


@pytest.mark.parametrize(
    ("own", "others", "seconds"),
    [
        ([], [Copy(1, 2, 10)], 0),
        ([Copy(1, 2, 10)], [], 10),
        ([Copy(1, 2, 10), Copy(3, 2, 5)], [], 15),  # broker 2 receives most
        ([Copy(1, 2, 10), Copy(1, 3, 10)], [], 20),  # broker 1 sends most
        ([Copy(1, 2, 10)], [Copy(1, 3, 30)], 40),  # and shares that with what goes on meanwhile
        ([Copy(1, 2, 10)], [Copy(3, 4, 30)], 10),  # but not with what goes on elsewhere
    ],
)
def test_the_busiest_broker_that_takes_part_tells_how_long_it_takes(
    own: list[Copy], others: list[Copy], seconds: float
) -> None:
    assert Traffic([*own, *others], 1).longest_s(own) == seconds
