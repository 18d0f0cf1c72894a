"""The placement of partitions: reassignments, sizes on disk, and preferred leaders."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.structs import TopicPartition

from provision.kafka.insisting import Refusal, insist
from provision.kafka.translation import translated
from provision.plan.observed import Move

Replicas = Mapping[str, Mapping[int, tuple[int, ...]]]
"""Broker ids by topic and partition."""

_PARTITIONS_PER_REQUEST = 1000
_PREFERRED = 0
_LATEST = -1


class PartitionAdmin:
    """The partitions of a cluster."""

    def __init__(self, client: Any, timeout_ms: int) -> None:  # noqa: ANN401 the library's client, or a fake one
        self._client, self._timeout_ms = client, timeout_ms

    def moves(self) -> dict[tuple[str, int], Move]:
        """The ongoing reassignments, by topic and partition."""
        with translated("looking for reassignments"):
            found = self._client.list_partition_reassignments()
        return {
            (at.topic, at.partition): Move(
                tuple(move["replicas"]), tuple(move["adding_replicas"]), tuple(move["removing_replicas"])
            )
            for at, move in found.items()
        }

    def end_offsets(self, topic: str, partitions: int) -> tuple[int, ...]:
        """The offset that the next record gets, by partition."""
        asked = [TopicPartition(topic, number) for number in range(partitions)]
        with translated(f"reading the offsets of {topic}"):
            found = self._client.list_partition_offsets(dict.fromkeys(asked, _LATEST))
        return tuple(found[at].offset for at in asked)

    def sizes(self, brokers: Collection[int]) -> dict[tuple[str, int], dict[int, int]]:
        """Bytes on disk by partition and broker."""
        with translated("asking for the sizes of partitions"):
            answers = self._client.describe_log_dirs(brokers=sorted(brokers))
        sizes: dict[tuple[str, int], dict[int, int]] = {}
        for answer in answers:
            for directory in answer["log_dirs"]:
                for topic in directory["topics"]:
                    for partition in topic["partitions"]:
                        at = (topic["name"], partition["partition_index"])
                        sizes.setdefault(at, {})[answer["broker"]] = partition["partition_size"]
        return sizes

    def reassign(self, replicas: Replicas) -> dict[str, str]:
        """Start to reassign partitions; returns the topics that Kafka rejected, with its reasons."""
        wanted = {
            TopicPartition(topic, number): list(brokers)
            for topic, partitions in replicas.items()
            for number, brokers in partitions.items()
        }

        def send(left: Sequence[TopicPartition], _: int) -> dict[TopicPartition, Refusal]:
            with translated("reassigning partitions"):
                answer = self._client.alter_partition_reassignments(
                    {at: wanted[at] for at in left}, timeout_ms=self._timeout_ms
                )
            return {at: Refusal(error.errno) for at, error in answer.items() if error is not None}

        every, failed = list(wanted), dict[str, str]()
        for start in range(0, len(every), _PARTITIONS_PER_REQUEST):
            refused = insist(send, every[start : start + _PARTITIONS_PER_REQUEST])
            failed |= {at.topic: f"partition {at.partition}: {reason}" for at, reason in refused.items()}
        return failed

    def elect_preferred_leaders(self, partitions: Mapping[str, Collection[int]]) -> None:
        """Elect the preferred leader of each partition. If that fails now, Kafka does it on its own later."""
        with translated("electing preferred leaders"):
            self._client.elect_leaders(
                _PREFERRED,
                {topic: sorted(numbers) for topic, numbers in partitions.items()},
                timeout_ms=self._timeout_ms,
                raise_errors=False,
            )
