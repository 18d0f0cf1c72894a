"""Hand things on at a steady rate."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_WORTH_S = 0.005
T = TypeVar("T")


def paced(
    things: Iterable[T],
    per_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """The same things, at most so many a second on average, counted from the first."""
    began = clock()
    for number, thing in enumerate(things):
        early_s = number / per_s - (clock() - began)
        if early_s > _WORTH_S:
            sleep(early_s)
        yield thing
