"""The state of the KRaft quorum (DescribeQuorum, KIP-595): a broker is asked, the active controller answers."""

import importlib
from collections.abc import Mapping
from functools import partial

from msgspec import Struct

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask, ask_side_by_side

_TOPIC, _PARTITION = "__cluster_metadata", 0
# A voter must have fetched within this time; Strimzi applies the same limit before it restarts another one.
CAUGHT_UP_MS = 2000
# The active controller holds a fetch without news for half a second, and records its time again when it answers, even
# if the voter has gone away by then.
PARKED_FETCH_MS = 1000


class Quorum(Struct, frozen=True):
    """The active controller's id, and when each voter last fetched and was last caught up, by that controller's clock.

    Times are in milliseconds, -1 for never.
    """

    leader: int
    fetched_ms: Mapping[int, int]
    caught_up_ms: Mapping[int, int]

    @property
    def now_ms(self) -> int:
        """The latest time recorded by the active controller: all comparisons use only its clock."""
        return max(self.fetched_ms.values(), default=-1)

    @property
    def voters(self) -> frozenset[int]:
        """The ids of all voters."""
        return frozenset(self.caught_up_ms)

    def lacking(self) -> tuple[int, ...]:
        """The voters that have not caught up."""
        return tuple(
            voter
            for voter, caught_up in sorted(self.caught_up_ms.items())
            if voter != self.leader and self.now_ms - caught_up > CAUGHT_UP_MS
        )

    @property
    def caught_up(self) -> frozenset[int]:
        """The voters that have caught up, the leader among them."""
        return self.voters.difference(self.lacking())

    def heard_of(self, voter: int, since_ms: int) -> bool:
        """Whether the voter leads, or has fetched after that time; always true for a node that is not a voter."""
        return voter == self.leader or self.fetched_ms.get(voter, since_ms + 1) > since_ms


def describe_quorum(access: Access, broker: int, timeout_s: float = 2.0) -> Quorum | None:
    """The quorum, asked through one broker; None while there is no answer."""
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.cluster import DescribeQuorumRequest

    topic = DescribeQuorumRequest.TopicData
    partition = topic.PartitionData(partition_index=_PARTITION)
    request = DescribeQuorumRequest(topics=[topic(topic_name=_TOPIC, partitions=[partition])], version=1)
    try:
        response = ask(access, broker, request, timeout_s)
    except NotAnswering:
        return None
    if response.error_code:
        return None
    found = response.topics[0].partitions[0]
    if found.error_code or found.leader_id < 0:
        return None
    return Quorum(
        found.leader_id,
        fetched_ms={voter.replica_id: voter.last_fetch_timestamp for voter in found.current_voters},
        caught_up_ms={voter.replica_id: voter.last_caught_up_timestamp for voter in found.current_voters},
    )


def ask_for_quorum(access: Access) -> Quorum | None:
    """The quorum, from a broker that can describe it; all are asked at once, so that silent ones hold up little."""
    importlib.import_module("provision.kafka.library")
    importlib.import_module("kafka.protocol.admin.cluster")
    answers = ask_side_by_side({broker: partial(describe_quorum, access, broker) for broker in access.brokers})
    return next((answer for answer in answers.values() if isinstance(answer, Quorum)), None)
