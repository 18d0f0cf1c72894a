"""Settings of brokers, and where partitions are, through a scripted client: requests and answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import InvalidReplicationFactorError, KafkaError, NodeNotReadyError

from provision.errors import Unavailable
from provision.kafka.brokers import BrokerAdmin, dynamic_overrides, updatable
from provision.kafka.partitions import PartitionAdmin
from provision.kafka.settings import SettingsAdmin
from provision.plan.actions import BrokerSettings
from provision.plan.observed import Move


def entry(value: str | None, source: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"value": value, "config_source": source, "read_only": read_only}


ENTRIES = {
    "num.io.threads": entry("8", "DYNAMIC_BROKER_CONFIG"),
    "log.retention.ms": entry("1", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
    "ssl.key.password": entry(None, "DYNAMIC_BROKER_CONFIG"),
    "background.threads": entry("9", "STATIC_BROKER_CONFIG"),
    "broker.id": entry("1", "STATIC_BROKER_CONFIG", read_only=True),
}


def test_what_kafka_declares_as_read_only_is_not_updatable() -> None:
    assert updatable(ENTRIES) == ENTRIES.keys() - {"broker.id"}


def test_only_what_is_set_on_the_broker_itself_and_shown_is_beside_its_file() -> None:
    assert dynamic_overrides(ENTRIES) == {"num.io.threads": "8"}


class Client:
    """Answers as it was told, and remembers what it was asked."""

    def __init__(self, *, reasons: Mapping[str, str] = {}, moving: Mapping[Any, Any] = {}) -> None:
        self.reasons, self.moves = reasons, moving
        self.asked: list[Any] = []
        self.refused: type[KafkaError] | None = None
        self.broken: KafkaError | None = None

    def alter_configs(self, resources: Sequence[Any], **options: Any) -> dict[str, dict[str, str]]:  # noqa: ANN401
        """As the library tells it."""
        self.asked += [(one.resource_type.name, one.name, one.configs, options["validate_only"]) for one in resources]
        return {"broker": {one.name: self.reasons.get(one.name, "OK") for one in resources}}

    def describe_configs(self, resources: Sequence[Any], **_options: object) -> dict[str, dict[str, Any]]:
        """The same for each."""
        self.asked.append([one.name for one in resources])
        return {"broker": {one.name: ENTRIES for one in resources}}

    def list_partition_reassignments(self) -> Mapping[Any, Any]:
        """Those it was told."""
        if self.broken:
            raise self.broken
        return self.moves

    def alter_partition_reassignments(self, wanted: Mapping[Any, Any], timeout_ms: int) -> dict[Any, Any]:
        """All are taken, or none."""
        assert timeout_ms == 1000
        self.asked.append(wanted)
        return dict.fromkeys(wanted, self.refused)

    def elect_leaders(self, kind: int, partitions: Mapping[str, list[int]], **options: object) -> None:
        """Whatever comes of it."""
        assert options == {"timeout_ms": 1000, "raise_errors": False}
        self.asked.append((kind, partitions))

    def describe_log_dirs(self, *, brokers: Sequence[int]) -> list[dict[str, Any]]:
        """Two directories each."""

        def directory(size: int) -> dict[str, Any]:
            partition = {"partition_index": 0, "partition_size": size}
            return {"topics": [{"name": f"t{size}", "partitions": [partition]}]}

        return [{"broker": broker, "log_dirs": [directory(1), directory(2)]} for broker in brokers]


def brokers_of(client: Client) -> BrokerAdmin:
    return BrokerAdmin(SettingsAdmin(client))


def partitions_of(client: Client) -> PartitionAdmin:
    return PartitionAdmin(client, 1000)


def test_brokers_are_described_by_their_numbers() -> None:
    client = Client()
    assert brokers_of(client).settings([2, 1]) == {1: ENTRIES, 2: ENTRIES}
    assert client.asked == [["1", "2"]]
    assert brokers_of(client).settings([]) == {}


def test_a_broker_is_asked_whether_it_would_take_values_and_nothing_is_changed() -> None:
    client = Client(reasons={"2": "Cannot update these configs dynamically: Set(num.io.threads)"})
    assert brokers_of(client).takes(1, {"num.io.threads": "8"})
    assert not brokers_of(client).takes(2, {"num.io.threads": "8"})
    assert client.asked == [("BROKER", number, {"num.io.threads": ("SET", "8")}, True) for number in ("1", "2")]


def test_settings_of_a_broker_are_set_and_taken_back_in_one_request() -> None:
    client = Client(reasons={"2": "no"})
    assert brokers_of(client).configure(BrokerSettings(1, {"a": "1"}, ("b",))) == ""
    assert brokers_of(client).configure(BrokerSettings(2, {"a": "1"})) == "no"
    assert client.asked[0] == ("BROKER", "1", {"a": ("SET", "1"), "b": ("DELETE", None)}, False)


def test_partitions_that_move_tell_what_is_added_and_removed() -> None:
    moving = {
        TopicPartition("t", 1): {"replicas": [3, 2, 1], "adding_replicas": [3], "removing_replicas": [1]},
        TopicPartition("other", 0): {"replicas": [1], "adding_replicas": [], "removing_replicas": []},
    }
    assert partitions_of(Client(moving=moving)).moves() == {
        ("t", 1): Move((3, 2, 1), (3,), (1,)),
        ("other", 0): Move((1,), (), ()),
    }
    assert partitions_of(Client()).moves() == {}


def test_a_reassignment_names_every_partition_and_its_failures_by_topic() -> None:
    client = Client()
    assert partitions_of(client).reassign({"t": {0: (1, 2), 3: (2,)}}) == {}
    assert client.asked == [{TopicPartition("t", 0): [1, 2], TopicPartition("t", 3): [2]}]
    client.refused = InvalidReplicationFactorError
    assert partitions_of(client).reassign({"t": {0: (9,)}}) == {"t": "partition 0: InvalidReplicationFactorError"}


def test_a_reassignment_is_asked_for_in_batches() -> None:
    client = Client()
    partitions_of(client).reassign({"t": dict.fromkeys(range(2500), (1,))})
    assert [len(batch) for batch in client.asked] == [1000, 1000, 500]


def test_preferred_leaders_are_elected_by_topic() -> None:
    client = Client()
    partitions_of(client).elect_preferred_leaders({"t": {3, 1}})
    assert client.asked == [(0, {"t": [1, 3]})]


def test_sizes_are_by_partition_and_broker() -> None:
    assert partitions_of(Client()).sizes([2, 1]) == {("t1", 0): {1: 1, 2: 1}, ("t2", 0): {1: 2, 2: 2}}


def test_a_cluster_that_does_not_answer_is_told_as_such() -> None:
    client = Client()
    client.broken = NodeNotReadyError("not yet")
    with pytest.raises(Unavailable, match="looking for reassignments: the brokers do not answer"):
        partitions_of(client).moves()
