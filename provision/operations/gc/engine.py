"""What is left in a runtime, beside environments: by killed commands, and of images and jars that are gone."""

from collections.abc import Iterator

from provision.events import Listener
from provision.operations.changes import give_up_killed
from provision.operations.gc.leftover import Leftover, Situation
from provision.runtime.archives import Left
from provision.runtime.base import Remnant, Runtime


def remnants(situation: Situation) -> Iterator[Leftover]:
    """Containers of tools, and locks, whose commands were killed."""
    for runtime in situation.answering:
        for remnant in runtime.remnants():

            def remove(tell: Listener, runtime: Runtime = runtime, remnant: Remnant = remnant) -> bool:
                return remnant.remove() if remnant.remove else give_up_killed(runtime, remnant, tell)

            yield Leftover(remnant.what, remnant.name, remnant.why, remove, remnant.made_s)


def archives(situation: Situation) -> Iterator[Leftover]:
    """Archives of loaded classes whose image, Java or jars are gone."""
    for runtime in situation.answering:
        for left in runtime.archives.left() if runtime.archives else ():

            def remove(_tell: Listener, left: Left = left) -> bool:
                return left.remove()

            yield Leftover("archive", left.place, left.why, remove, left.made_s)
