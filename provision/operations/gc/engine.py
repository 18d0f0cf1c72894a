"""What killed commands leave in a runtime, beside environments."""

from collections.abc import Iterator

from provision.events import Listener
from provision.operations.gc.leftover import Leftover, Situation
from provision.runtime.base import Remnant


def remnants(situation: Situation) -> Iterator[Leftover]:
    """Containers of tools, and locks, whose commands were killed."""
    for runtime in situation.answering:
        for remnant in runtime.remnants():

            def remove(_tell: Listener, remnant: Remnant = remnant) -> bool:
                return remnant.remove()

            yield Leftover(remnant.what, remnant.name, remnant.why, remove, remnant.made_s)
