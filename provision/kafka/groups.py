"""Consumer groups: which there are, who is in them, how far they are, and their removal."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.structs import TopicPartition
from msgspec import Struct

from provision.common.patience import Patience
from provision.kafka.insisting import patiently
from provision.kafka.translation import translated

# Of KIP-79, for the first and the next offset; the library's names for them load its clients.
_EARLIEST, _LATEST = -2, -1
_LOADING_S, _PAUSE_S = 10.0, 0.1
_GONE = ("OK", "GroupIdNotFoundError")

Place = tuple[str, int]
"""A topic and the number of a partition."""


class Group(Struct, frozen=True):
    """A consumer group: `state` is Kafka's word (`Stable`, `Empty`, …), `members` the client ids of its consumers."""

    name: str
    state: str
    members: tuple[str, ...]


class GroupAdmin:
    """The consumer groups of a cluster."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 the library's client
        self._client = client

    def names(self) -> tuple[str, ...]:
        """The names of all groups, sorted; a broker that is still loading some of them is asked again."""
        with translated("listing consumer groups"):
            groups = patiently(self._client.list_groups, Patience(_LOADING_S), _PAUSE_S)
        return tuple(sorted(group["group_id"] for group in groups))

    def describe(self, names: Sequence[str]) -> tuple[Group, ...]:
        """The named groups; one that does not exist is `Dead`, and has no members."""
        if not names:
            return ()
        with translated("reading consumer groups"):
            described = self._client.describe_groups(list(names))
        return tuple(
            Group(name, group["group_state"], tuple(sorted(member["client_id"] for member in group["members"])))
            for name, group in sorted(described.items())
        )

    def standing(self, group: str, partitions: Collection[Place]) -> dict[Place, tuple[int, int]]:
        """The offset that the group goes on with, and how many there are from that on, by partition.

        Without a commit, that is the first one.
        """
        asked = [TopicPartition(*place) for place in partitions]
        # A group that does not exist has no coordinator, at first not even a topic for its offsets.
        exists = bool(asked) and group in self.names()
        with translated(f"reading the offsets of {group}"):
            committed = self._client.list_group_offsets({group: asked})[group] if exists else {}
            first = self._client.list_partition_offsets(dict.fromkeys(asked, _EARLIEST)) if asked else {}
            last = self._client.list_partition_offsets(dict.fromkeys(asked, _LATEST)) if asked else {}
        positions = {place: _position(committed, place, first[place].offset) for place in asked}
        return {
            (place.topic, place.partition): (position, max(0, last[place].offset - position))
            for place, position in positions.items()
        }

    def delete(self, names: Sequence[str]) -> dict[str, str]:
        """Delete groups without members; returns those that could not be deleted, with Kafka's reasons."""
        if not names:
            return {}
        with translated("deleting consumer groups"):
            answers = self._client.delete_groups(list(names))
        return {name: answer for name, answer in answers.items() if answer not in _GONE}


def _position(committed: Mapping[TopicPartition, Any], place: TopicPartition, first: int) -> int:
    offset = committed[place].offset if place in committed else -1
    return offset if offset >= 0 else first
