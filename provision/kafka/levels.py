"""The readiness levels; `readiness` defines what each one requires."""

from enum import IntEnum

from provision.errors import UsageError


class Level(IntEnum):
    """How ready a cluster is, in ascending order."""

    NONE = 0
    PROCESS = 1
    QUORUM = 2
    BROKERS = 3
    TOPICS = 4
    ROUNDTRIP = 5

    def __str__(self) -> str:
        return self.name.lower()


def required(until: object) -> Level:
    """The level that is to be reached.

    Raises:
        UsageError: it is none.
    """
    if isinstance(until, Level):
        return until
    names = ", ".join(level.name for level in Level)
    raise UsageError(f"a readiness level is one of provision.Level, not {until!r}", hint=f"there are {names}")
