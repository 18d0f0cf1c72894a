"""Leaders that are asked whether they serve: each its own partitions, and what it says of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse

from provision.kafka.access import Access
from provision.kafka.leaders import missing_for_leaders
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic
from tests.kafka.scripted import listening

NOT_LEADER = 6


class Brokers:
    """Brokers 1 and 2, which listen: they serve all that they are asked for, but for what is in `errors`."""

    def __init__(self, stack: ExitStack) -> None:
        self.asked: dict[int, list[tuple[str, int]]] = {}
        self.errors: dict[tuple[str, int], int] = {}
        self.silent = 0
        self.access = Access(
            {
                broker: stack.enter_context(listening(ListOffsetsRequest, partial(self._answer, broker))).address
                for broker in (1, 2)
            }
        )

    def _answer(self, broker: int, request: Any) -> Any:  # noqa: ANN401 the library's classes
        if broker == self.silent:
            return None
        self.asked[broker] = [(t.name, p.partition_index) for t in request.topics for p in t.partitions]
        kind: Any = ListOffsetsResponse.ListOffsetsTopicResponse
        return ListOffsetsResponse(
            topics=[
                kind(
                    name=topic.name,
                    partitions=[
                        kind.ListOffsetsPartitionResponse(
                            partition_index=partition.partition_index,
                            error_code=self.errors.get((topic.name, partition.partition_index), 0),
                        )
                        for partition in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    with ExitStack() as stack:
        yield Brokers(stack)


def _topic(name: str, *leaders: int) -> ObservedTopic:
    return ObservedTopic(name, tuple(ObservedPartition(n, leader, (1, 2), (1, 2)) for n, leader in enumerate(leaders)))


CLUSTER = ObservedCluster(
    "id", 1, (ObservedBroker(1, None), ObservedBroker(2, None)), (_topic("orders", 1, 2, 1), _topic("payments", 2))
)


def test_each_leader_is_asked_for_what_it_leads(brokers: Brokers) -> None:
    assert missing_for_leaders(CLUSTER, brokers.access, None) == {}
    assert brokers.asked == {1: [("orders", 0), ("orders", 2)], 2: [("orders", 1), ("payments", 0)]}


def test_only_the_topics_that_count_and_the_brokers_that_are_reached_are_asked(brokers: Brokers) -> None:
    assert missing_for_leaders(CLUSTER, brokers.access.without(1), ["orders"]) == {}
    assert brokers.asked == {2: [("orders", 1)]}
    brokers.asked.clear()
    assert missing_for_leaders(CLUSTER, brokers.access, []) == {}
    assert brokers.asked == {}


def test_what_a_leader_does_not_serve_is_named(brokers: Brokers) -> None:
    brokers.errors = {("orders", 0): NOT_LEADER, ("orders", 2): NOT_LEADER}
    assert missing_for_leaders(CLUSTER, brokers.access, None) == {
        "broker-1": "it does not serve orders-0 yet, and 1 more",
    }
    brokers.errors = {("payments", 0): NOT_LEADER}
    assert missing_for_leaders(CLUSTER, brokers.access, None) == {"broker-2": "it does not serve payments-0 yet"}


def test_a_leader_that_is_silent_serves_nothing(brokers: Brokers) -> None:
    brokers.silent = 2
    assert missing_for_leaders(CLUSTER, brokers.access, None) == {"broker-2": "it closes the connection"}
    nobody = brokers.access.to({**brokers.access.brokers, 1: "127.0.0.1:1"})
    assert missing_for_leaders(CLUSTER, nobody, ["orders"])["broker-1"] == "it does not listen yet"
