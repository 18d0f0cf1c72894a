"""What the KRaft quorum says of itself (DescribeQuorum, KIP-595): a broker is asked, the active controller answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask

_TOPIC, _PARTITION = "__cluster_metadata", 0
# A voter that fetched within this time, as Strimzi asks it before it takes another one down.
CAUGHT_UP_MS = 2000
# The active controller keeps a fetch with no news for half a second, and notes it once more when it answers, though
# whoever asked may be gone by then.
PARKED_FETCH_MS = 1000


@dataclass(frozen=True, slots=True)
class Quorum:
    """The active controller's id; and when each voter last asked it for more, and had all, by that controller's clock.

    Times are milliseconds, -1 where there was none.
    """

    leader: int
    fetched_ms: Mapping[int, int]
    caught_up_ms: Mapping[int, int]

    @property
    def now_ms(self) -> int:
        """The latest time that the active controller has noted: all comparisons are by its clock alone."""
        return max(self.fetched_ms.values(), default=-1)

    def lacking(self) -> tuple[int, ...]:
        """The voters that have not caught up."""
        return tuple(
            voter
            for voter, caught_up in sorted(self.caught_up_ms.items())
            if voter != self.leader and self.now_ms - caught_up > CAUGHT_UP_MS
        )

    def heard_of(self, voter: int, since_ms: int) -> bool:
        """Whether the voter leads, or has asked for more after that time; whoever has no vote need not."""
        return voter == self.leader or self.fetched_ms.get(voter, since_ms + 1) > since_ms


def describe_quorum(access: Access, broker: int, timeout_s: float = 2.0) -> Quorum | None:
    """The quorum as the active controller describes it to one broker; None while there is no answer."""
    import kafka  # noqa: F401 the package first
    from kafka.protocol.admin import DescribeQuorumRequest

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
    """The answer of the first of the brokers that has one."""
    return next(filter(None, map(partial(describe_quorum, access), access.brokers)), None)
