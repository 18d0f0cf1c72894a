"""A roll that waits for a quorum ends at once when a node has exited, and not when time is up."""

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.protocol.admin import DescribeQuorumRequest, DescribeQuorumResponse

from provision.apply.rolling import Roller
from provision.cluster.model import Node, Role
from provision.common.patience import Patience
from provision.errors import NodeFailed, NotReady
from provision.events import silent
from provision.plan.actions import Verb
from provision.runtime.fake import FakeRuntime
from tests.kafka.scripted import ScriptedBroker, listening
from tests.plan.world import cluster_of, files_of

NOW_MS = 9000


class Describing(FakeRuntime):
    """Its brokers answer at one address, and tell the voters' times; without any they know no quorum yet."""

    def __init__(self) -> None:
        super().__init__()
        self.broker: ScriptedBroker
        self.caught_up_ms: dict[int, int] = {}

    def endpoint_of(self, node: Node) -> str | None:
        """Where the quorum is described."""
        return self.broker.address if node.role is Role.BROKER else None

    def describe(self, _request: Any) -> Any:  # noqa: ANN401 the library's classes
        """As a broker has it from the active controller."""
        topic: Any = DescribeQuorumResponse.TopicData
        partition = topic.PartitionData
        voters = [
            partition.ReplicaState(
                replica_id=voter, log_end_offset=1, last_fetch_timestamp=NOW_MS, last_caught_up_timestamp=caught_up
            )
            for voter, caught_up in self.caught_up_ms.items()
        ]
        told = partition(
            partition_index=0, error_code=0, leader_id=max(self.caught_up_ms, default=-1), leader_epoch=1,
            high_watermark=1, current_voters=voters, observers=[],
        )  # fmt: skip
        return DescribeQuorumResponse(error_code=0, topics=[topic(topic_name="__cluster_metadata", partitions=[told])])


@pytest.fixture
def runtime() -> Iterator[Describing]:
    """Three dedicated controllers and two brokers, all of which run."""
    cluster = cluster_of(kafka={"version": "4.3.0", "mode": "kraft"}, controllers={"nodes": 3})
    made = Describing()
    with listening(DescribeQuorumRequest, made.describe) as made.broker:
        for node in cluster.nodes:
            made.create_node(cluster, node, files_of(cluster, node.name))
            made.start_node("orders", node.name)
        yield made


def test_a_voter_that_has_exited_is_not_waited_for_before_another_goes_down(runtime: Describing) -> None:
    runtime.exit_node("orders", "controller-3", 137)
    taken_down: list[str] = []
    roller = Roller(runtime, "orders", 0, Patience(60.0), silent)
    with pytest.raises(NodeFailed, match="controller-3 exited with code 137"):
        roller.step("controller-1", Verb.RESTART, lambda _step: taken_down.append("controller-1"))
    assert taken_down == []


def test_a_voter_that_exits_when_it_was_started_again_is_not_waited_for(runtime: Describing) -> None:
    runtime.caught_up_ms = dict.fromkeys((1001, 1002, 1003), NOW_MS)
    roller = Roller(runtime, "orders", 0, Patience(60.0), silent)
    with pytest.raises(NodeFailed, match="controller-1 exited with code 1"):
        roller.step("controller-1", Verb.RESTART, lambda _step: runtime.exit_node("orders", "controller-1", 1))
    assert runtime.broker.asked


@pytest.mark.parametrize(
    ("caught_up_ms", "why"),
    [
        ({1001: NOW_MS, 1002: 1000, 1003: NOW_MS}, "controller 1002 has not caught up"),
        ({1001: 0, 1002: -1, 1003: NOW_MS}, "controller 1001, 1002 has not caught up"),
        ({}, "no broker can describe the quorum"),
    ],
)
def test_a_voter_that_lags_is_waited_for_until_time_is_up(
    runtime: Describing, caught_up_ms: dict[int, int], why: str
) -> None:
    runtime.caught_up_ms = caught_up_ms
    taken_down: list[str] = []
    roller = Roller(runtime, "orders", 0, Patience(0.01), silent)
    with pytest.raises(NotReady, match=r"controller-1 cannot be taken down within 0\.01 s") as raised:
        roller.step("controller-1", Verb.RESTART, lambda _step: taken_down.append("controller-1"))
    assert raised.value.why == why
    assert taken_down == []
