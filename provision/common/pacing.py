"""Hand things on at a steady rate."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from provision.common.clocks import running_s
from provision.common.offloading import pause
from provision.errors import UsageError

_WORTH_S = 0.005
T = TypeVar("T")


def paced(
    things: Iterable[T],
    per_s: float,
    *,
    sleep: Callable[[float], None] = pause,
    clock: Callable[[], float] = running_s,
) -> Iterator[T]:
    """The same things, at most so many a second on average, counted from the first.

    Raises:
        UsageError: the rate is none.
    """
    if isinstance(per_s, bool) or not isinstance(per_s, int | float) or not 0 < per_s < math.inf:
        raise UsageError(f"a rate is a number of records a second, more than 0, not {per_s!r}")
    return _paced(things, per_s, sleep, clock)


def _paced(
    things: Iterable[T], per_s: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[T]:
    began = clock()
    for number, thing in enumerate(things):
        early_s = number / per_s - (clock() - began)
        if early_s > _WORTH_S:
            sleep(early_s)
        yield thing
