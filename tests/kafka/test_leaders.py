"""Leaders that are asked whether they serve: each its own partitions, and what it says of them."""

from types import SimpleNamespace

import pytest
from kafka.protocol.consumer import ListOffsetsRequest

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.leaders import missing_for_leaders
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic

NOT_LEADER = 6
ACCESS = Access({1: "127.0.0.1:1", 2: "127.0.0.1:2"})


class Brokers:
    """Instead of `ask`: they serve all that they are asked for, but for what is in `errors`."""

    def __init__(self) -> None:
        self.asked: dict[str, list[tuple[str, int]]] = {}
        self.errors: dict[tuple[str, int], int] = {}
        self.silent = ""

    def ask(self, access: Access, broker: int, request: ListOffsetsRequest, timeout_s: float) -> SimpleNamespace:
        """Answer."""
        assert timeout_s > 0
        address = access.brokers[broker]
        if address == self.silent:
            raise NotAnswering("it does not answer in time")
        self.asked[address] = [(t.name, p.partition_index) for t in request.topics for p in t.partitions]
        return SimpleNamespace(
            topics=[
                SimpleNamespace(
                    name=topic.name,
                    partitions=[
                        SimpleNamespace(
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
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    made = Brokers()
    monkeypatch.setattr("provision.kafka.leaders.ask", made.ask)
    return made


def _topic(name: str, *leaders: int) -> ObservedTopic:
    return ObservedTopic(name, tuple(ObservedPartition(n, leader, (1, 2), (1, 2)) for n, leader in enumerate(leaders)))


CLUSTER = ObservedCluster(
    "id", 1, (ObservedBroker(1, None), ObservedBroker(2, None)), (_topic("orders", 1, 2, 1), _topic("payments", 2))
)


def test_each_leader_is_asked_for_what_it_leads(brokers: Brokers) -> None:
    assert missing_for_leaders(CLUSTER, ACCESS, None) == {}
    assert brokers.asked == {
        "127.0.0.1:1": [("orders", 0), ("orders", 2)],
        "127.0.0.1:2": [("orders", 1), ("payments", 0)],
    }


def test_only_the_topics_that_count_and_the_brokers_that_are_reached_are_asked(brokers: Brokers) -> None:
    assert missing_for_leaders(CLUSTER, ACCESS.without(1), ["orders"]) == {}
    assert brokers.asked == {"127.0.0.1:2": [("orders", 1)]}
    assert missing_for_leaders(CLUSTER, ACCESS, []) == {}


def test_what_a_leader_does_not_serve_is_named(brokers: Brokers) -> None:
    brokers.errors = {("orders", 0): NOT_LEADER, ("orders", 2): NOT_LEADER}
    assert missing_for_leaders(CLUSTER, ACCESS, None) == {
        "broker-1": "it does not serve orders-0 yet, and 1 more",
    }
    brokers.errors = {("payments", 0): NOT_LEADER}
    assert missing_for_leaders(CLUSTER, ACCESS, None) == {"broker-2": "it does not serve payments-0 yet"}


def test_a_leader_that_is_silent_serves_nothing(brokers: Brokers) -> None:
    brokers.silent = ACCESS.brokers[2]
    assert missing_for_leaders(CLUSTER, ACCESS, None) == {"broker-2": "it does not answer in time"}
