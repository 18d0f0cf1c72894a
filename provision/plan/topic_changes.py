"""The changes of a topic: the subjects of its actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.cluster.model import Topic
from provision.spec.record_files import RecordFile

TOPIC, THROTTLE = "topic", "throttle"
"""The kinds of the actions."""


@dataclass(frozen=True, slots=True)
class PlacedTopic:
    """A topic with its replicas: `assignment[partition]` is the broker ids, the preferred leader first."""

    topic: Topic
    assignment: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """The records to write to a topic with so many partitions, and how many there are."""

    file: RecordFile
    partitions: int
    records: int

    def shown(self) -> dict[str, Any]:
        """The file and the number of its records."""
        return {"file": self.file.path, "records": self.records}


@dataclass(frozen=True, slots=True)
class Growth:
    """More partitions: the total `count`, and the replicas of the new ones, in the order of their numbers."""

    count: int
    assignment: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """Settings of a topic: those to set and those to remove."""

    values: Mapping[str, str]
    reset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reassignment:
    """New replicas by partition. `bytes_to_move` is an estimate from the sizes on disk."""

    replicas: Mapping[int, tuple[int, ...]]
    bytes_to_move: int = 0

    def shown(self) -> dict[str, Any]:
        """The replicas by partition, the preferred leader first, and the bytes."""
        replicas = {str(number): list(to) for number, to in sorted(self.replicas.items())}
        return {"replicas": replicas, "bytes": self.bytes_to_move}
