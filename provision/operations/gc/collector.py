"""Find what is left over, and remove it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from provision.errors import Busy, ProvisionError
from provision.events import Listener, Notice, silent
from provision.operations.gc.kinds import KINDS
from provision.operations.gc.leftover import Kind, Leftover, Situation, Storages
from provision.runtime import Runtimes

_AHEAD_S = 3600.0
"""What is younger than nothing by more was made by a wrong clock, such as that of a test: it is as old as can be."""


class Outcome(Struct, frozen=True):
    """What became of a leftover: whether it is removed, or why it is not (`error`; empty if it was in use again)."""

    leftover: Leftover
    removed: bool
    error: ProvisionError | None = None


@dataclass(slots=True)
class Collector:
    """Looks for leftovers in a home, and in the runtimes that answer.

    Args:
        runtimes: where to look, and the home.
        older_than_s: leave alone what is younger than this, in seconds.
        jobs_ended: the owners (CI jobs) that have ended.
        tell: receives the events.
        kinds: what to look for.
    """

    runtimes: Runtimes
    older_than_s: float = 0.0
    jobs_ended: frozenset[str] = frozenset()
    tell: Listener = silent
    kinds: tuple[Kind, ...] = field(default=KINDS)
    _with_data: set[Storages] = field(default_factory=set, init=False)

    def find(self) -> tuple[Leftover, ...]:
        """What is left over now, each thing once; nothing is changed."""
        situation = Situation(self.runtimes, self.jobs_ended, tell=self.tell, with_data=self._with_data)
        found: dict[tuple[str, str], Leftover] = {}
        for kind in self.kinds:
            try:
                for leftover in kind.find(situation):
                    age_s = None if leftover.since_s is None else situation.now_s - leftover.since_s
                    if age_s is None or age_s < -_AHEAD_S or age_s >= max(kind.grace_s, self.older_than_s):
                        key = (
                            ("environment", leftover.environment)
                            if leftover.environment
                            else (kind.name, leftover.name)
                        )
                        found.setdefault(key, leftover)
            except ProvisionError as error:  # the other kinds are looked for all the same
                self.tell(Notice(f"not everything can be looked at ({kind.name}): {error}"))
        return tuple(found.values())

    def sizes(self, leftovers: Iterable[Leftover]) -> dict[Leftover, int]:
        """How many bytes the data of the environments among them have, where that is known."""
        sizes = Situation(self.runtimes).sizes
        return {one: sizes[one.environment] for one in leftovers if one.environment in sizes}

    def remove(self, leftovers: Iterable[Leftover]) -> tuple[Outcome, ...]:
        """Remove them; whatever fails, the others are removed too. What is in use again is left alone."""
        return tuple(map(self._remove, leftovers))

    def _remove(self, leftover: Leftover) -> Outcome:
        try:
            return Outcome(leftover, leftover.remove(self.tell))
        except Busy as reason:
            self.tell(Notice(f"{leftover.name} is left: {reason.what}"))
            return Outcome(leftover, removed=False)
        except ProvisionError as error:
            return Outcome(leftover, removed=False, error=error)
