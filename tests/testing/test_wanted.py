"""What tests ask for, and the records they write down."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.common.records import NewRecord
from provision.environment import Environment
from provision.errors import UsageError
from provision.kafka.access import Access, Credentials
from provision.testing import Kafka, Wanted
from provision.testing.clients import config_of
from provision.testing.topic import new_record


@pytest.mark.parametrize(
    ("content", "record"),
    [
        ("a", NewRecord(b"a")),
        (b"a", NewRecord(b"a")),
        (NewRecord(None, b"k"), NewRecord(None, b"k")),
        ({"value": "a"}, NewRecord(b"a")),
        ({"key": "k", "value": None}, NewRecord(None, b"k")),
        ({"key": b"k", "value": "ä", "partition": 2}, NewRecord("ä".encode(), b"k", (), 2)),
        ({"value": "a", "headers": {"h": "1", "i": b"2"}}, NewRecord(b"a", None, (("h", b"1"), ("i", b"2")))),
        ({"value": "a", "headers": [("h", "1"), ("h", "2")]}, NewRecord(b"a", None, (("h", b"1"), ("h", b"2")))),
        ({"value": "a", "timestamp": 5}, NewRecord(b"a", None, (), None, 5)),
        ({"value": "a", "timestamp_ms": 5}, NewRecord(b"a", None, (), None, 5)),
    ],
)
def test_a_record_is_written_down_in_many_ways(content: Any, record: NewRecord) -> None:  # noqa: ANN401 any of them
    assert new_record(content) == record


@pytest.mark.parametrize(("content", "told"), [(5, "not int"), ({"valeu": "a"}, "no valeu"), ({1: "a"}, "no 1")])
def test_what_is_no_record_is_told(content: Any, told: str) -> None:  # noqa: ANN401 anything
    with pytest.raises(TypeError, match=told):
        new_record(content)


def test_the_same_environment_has_the_same_key(tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("name: one\n")
    before = Wanted(file)
    key = before.key
    assert Wanted(file).key == key
    others = [
        Wanted(),
        Wanted(values={"brokers": {"nodes": 3}}),
        Wanted(file, overrides=("brokers.nodes=3",)),
        Wanted(tmp_path / "other.yaml"),
    ]
    assert len({key, *(other.key for other in others)}) == len(others) + 1
    file.write_text("name: other\n")
    assert Wanted(file).key != key


@pytest.mark.parametrize(
    ("wanted", "name", "brokers"),
    [
        (lambda _file: Wanted(), "tests", 1),
        (lambda _file: Wanted(overrides=("brokers.nodes=3",)), "tests", 3),
        (lambda _file: Wanted(values={"name": "mine", "brokers": {"nodes": 2, "port": "auto"}}), "mine", 2),
        (Wanted, "of-the-file", 2),
        (lambda file: Wanted(file, overrides=("brokers.nodes=5",)), "of-the-file", 5),
    ],
)
def test_it_is_resolved_under_the_name_of_the_run(
    tmp_path: Path, wanted: Callable[[Path], Wanted], name: str, brokers: int
) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("name: of-the-file\nbrokers: {nodes: 2, port: auto}\n")
    asked = wanted(file)
    assert asked.stem == name
    with closing(asked.named("named-so")) as environment:
        cluster = environment.validate()
    assert (cluster.name, len(cluster.brokers)) == ("named-so", brokers)


SECURED = Access({1: "one:9092", 2: "two:9092"}, "SASL_SSL", Credentials("PLAIN", "alice", "secret"), "/etc/ca.pem")


@pytest.mark.parametrize(
    ("client", "access", "expected"),
    [
        ("kafka-python", Access.at("one:9092,two:9092"), {"bootstrap_servers": "one:9092,two:9092"}),
        ("aiokafka", Access.at("one:9092"), {"bootstrap_servers": "one:9092"}),
        ("librdkafka", Access.at("one:9092,two:9092"), {"bootstrap.servers": "one:9092,two:9092"}),
        ("confluent-kafka", Access.at("one:9092"), {"bootstrap.servers": "one:9092"}),
        (
            "librdkafka",
            SECURED,
            {
                "bootstrap.servers": "one:9092,two:9092",
                "security.protocol": "SASL_SSL",
                "ssl.ca.location": "/etc/ca.pem",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "alice",
                "sasl.password": "secret",
            },
        ),
        (
            "kafka-python",
            SECURED,
            {
                "bootstrap_servers": "one:9092,two:9092",
                "security_protocol": "SASL_SSL",
                "ssl_cafile": "/etc/ca.pem",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "alice",
                "sasl_plain_password": "secret",
            },
        ),
    ],
)
def test_each_client_is_told_what_it_takes(client: str, access: Access, expected: dict[str, str]) -> None:
    assert config_of(access, client) == expected


def test_an_unknown_client_is_told_and_options_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka.__new__(Kafka)
    cluster = SimpleNamespace(access=Access.at("127.0.0.1:9092"))
    kafka.environment = Environment(name="shop")
    monkeypatch.setattr(kafka.environment, "cluster", lambda: cluster)
    config = kafka.client_config("librdkafka", acks="all")
    assert config == {"bootstrap.servers": "127.0.0.1:9092", "acks": "all"}
    with pytest.raises(UsageError, match="kafkacat") as told:
        kafka.client_config("kafkacat")
    assert told.value.hint == "known: kafka-python, aiokafka, librdkafka, confluent-kafka"
