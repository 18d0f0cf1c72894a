"""The changes of a topic: the subjects of its actions."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from provision.cluster.model import Topic
from provision.spec.record_files import RecordFile

TOPIC, THROTTLE = "topic", "throttle"
"""The kinds of the actions."""


class PlacedTopic(Struct, frozen=True):
    """A topic with its replicas: `assignment[partition]` is the broker ids, the preferred leader first."""

    topic: Topic
    assignment: tuple[tuple[int, ...], ...]


class Filling(Struct, frozen=True):
    """The records to write to a topic with so many partitions, and how many there are."""

    file: RecordFile
    partitions: int
    records: int

    def shown(self) -> dict[str, Any]:
        """The file and the number of its records."""
        return {"file": self.file.path, "records": self.records}


class Growth(Struct, frozen=True):
    """More partitions: the total `count`, and the replicas of the new ones, in the order of their numbers."""

    count: int
    assignment: tuple[tuple[int, ...], ...]


class TopicSettings(Struct, frozen=True):
    """Settings of a topic: those to set and those to remove."""

    values: Mapping[str, str]
    reset: tuple[str, ...] = ()


class Reassignment(Struct, frozen=True):
    """New replicas by partition. `bytes_to_move` is an estimate from the sizes on disk."""

    replicas: Mapping[int, tuple[int, ...]]
    bytes_to_move: int = 0

    def shown(self) -> dict[str, Any]:
        """The replicas by partition, the preferred leader first, and the bytes."""
        replicas = {str(number): list(to) for number, to in sorted(self.replicas.items())}
        return {"replicas": replicas, "bytes": self.bytes_to_move}
