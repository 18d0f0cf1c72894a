"""The readiness levels; `readiness` defines what each one requires."""

from enum import IntEnum


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
