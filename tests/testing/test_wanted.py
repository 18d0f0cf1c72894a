"""What tests ask for, and the records they write down."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.catalogue.versions import DEFAULT_VERSION
from provision.common.records import NewRecord
from provision.environment import Environment
from provision.errors import InvalidEnvironment, UsageError
from provision.kafka.access import Access, Credentials
from provision.runtime.directories import MARKER
from provision.testing import Kafka, Wanted
from provision.testing.clients import config_of
from provision.testing.content import new_record, new_records
from provision.testing.pool import DEFAULT


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
        ({"value": "a", "headers": {"h": None}}, NewRecord(b"a", None, (("h", None),))),
        ({"value": "a", "headers": [("h", "1"), ("h", "2")]}, NewRecord(b"a", None, (("h", b"1"), ("h", b"2")))),
        ({"value": "a", "timestamp": 5}, NewRecord(b"a", None, (), None, 5)),
        ({"value": "a", "timestamp_ms": 5}, NewRecord(b"a", None, (), None, 5)),
    ],
)
def test_a_record_is_written_down_in_many_ways(content: Any, record: NewRecord) -> None:  # noqa: ANN401 any of them
    assert new_record(content) == record


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (5, "is text, bytes or a mapping, not int 5"),
        (None, "is text, bytes or a mapping, not NoneType None"),
        ({"valeu": "a"}, "has no valeu: a record has key"),
        ({1: "a"}, "has no 1: a record has key"),
        ({}, "needs a value; None is a tombstone"),
        ({"key": "k"}, "needs a value; None is a tombstone"),
        ({"value": 5}, ": value is text, bytes or None, not int 5"),
        ({"value": "a", "key": 3}, ": key is text, bytes or None, not int 3"),
        ({"value": "a", "headers": "zz"}, ": headers are a mapping, or a list of pairs, not str 'zz'"),
        ({"value": "a", "headers": ["ab"]}, ": headers are a mapping, or a list of pairs, not list"),
        ({"value": "a", "headers": 0}, ": headers are a mapping, or a list of pairs, not int 0"),
        ({"value": "a", "headers": {"h": 1}}, ": headers: h is text, bytes or None, not int 1"),
        ({"value": "a", "headers": [(1, "v")]}, ": headers: a name is text, not int 1"),
        ({"value": "a", "partition": "0"}, ": partition is a whole number from 0, not str '0'"),
        ({"value": "a", "partition": True}, ": partition is a whole number from 0, not bool True"),
        ({"value": "a", "partition": -1}, ": partition is a whole number from 0, not -1"),
        ({"value": "a", "timestamp": "now"}, ": timestamp is in milliseconds since 1970, not str 'now'"),
        ({"value": "a", "timestamp_ms": -1}, ": timestamp_ms is in milliseconds since 1970, not -1"),
        ({"value": "a", "timestamp": 0}, ": timestamp is in milliseconds since 1970, not 0"),
        (NewRecord(b"a", timestamp_ms=-7), ": timestamp_ms is in milliseconds since 1970, not -7"),
        ({"value": "a", "timestamp": 5, "timestamp_ms": 5}, "has both timestamp and timestamp_ms"),
        ("a\ud800", r": value has \ud800, which is half of a character"),
        ({"value": "a", "key": "\udc80"}, r": key has \udc80, which is half of a character"),
        ({"value": "a", "headers": {"h": "\ud800"}}, r": headers: h has \ud800, which is half of a character"),
        ({"value": "a", "headers": {"\ud800": "h"}}, r": headers: a name has \ud800, which is half of a character"),
    ],
)
def test_what_is_no_record_is_told_with_its_place(content: Any, told: str) -> None:  # noqa: ANN401 anything
    with pytest.raises((TypeError, ValueError), match=re.escape(f"records[1]{told if told[0] == ':' else ' ' + told}")):
        new_records(["fine", content])


@pytest.mark.parametrize("several", ["abc", b"abc", {"value": "a"}, NewRecord(b"a"), 5, None])
def test_a_single_record_in_place_of_several_is_told(several: Any) -> None:  # noqa: ANN401 anything
    with pytest.raises(TypeError, match=r"records are several.*write \[record\] for a single one"):
        new_records(several)


def test_a_path_stays_one_and_what_is_read_once_is_read_once() -> None:
    assert new_records(Path("orders.jsonl")) == Path("orders.jsonl")
    assert new_records(text for text in "ab") == [NewRecord(b"a"), NewRecord(b"b")]


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
        Wanted(values={"brokers": "wrong"}),
    ]
    assert len({key, *(other.key for other in others)}) == len(others) + 1
    file.write_text("name: other\n")
    assert Wanted(file).key == key  # it gets a name of its own
    file.write_text("name: other\nstorage: memory\n")
    assert Wanted(file).key != key


def test_data_of_another_environment_change_no_key(tmp_path: Path) -> None:
    """Data that a cluster of tests has left there are found again by the same key."""
    wanted = Wanted(values={"storage": str(tmp_path)})
    before = wanted.key
    (tmp_path / "broker-1").mkdir()
    (tmp_path / "broker-1" / MARKER).write_text("another\n")
    assert Wanted(values=wanted.values).key == before
    with pytest.raises(InvalidEnvironment, match="has data of another"):
        wanted.named("one").validate()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Wanted(), Wanted(overrides=("brokers.nodes=1",))),
        (Wanted(), Wanted(overrides=("kafka.mode=kraft", f"kafka.version={DEFAULT_VERSION}"))),
        (Wanted(), Wanted(values=DEFAULT)),
        (Wanted(overrides=("brokers.nodes=2", "kafka.mode=kraft")), Wanted(overrides=("brokers.nodes=2",))),
        (Wanted(values={"name": "one", "runtime": "process"}), Wanted(values={"name": "two", "runtime": "process"})),
    ],
)
def test_what_means_the_same_is_the_same_environment(one: Wanted, other: Wanted) -> None:
    assert one.key == other.key


def test_other_processes_have_the_same_key() -> None:
    program = "from provision.testing import Wanted\nprint(Wanted(overrides=('brokers.nodes=3',)).key)"
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in "12"
    }
    assert keys == {Wanted(overrides=("brokers.nodes=3",)).key}


def test_a_name_that_no_environment_can_have_is_told_and_never_used() -> None:
    wanted = Wanted(values={"name": "Bad Name", **DEFAULT})
    assert wanted.stem == "tests"
    with pytest.raises(InvalidEnvironment, match="Bad Name"):
        wanted.named("tests-1")


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
    environment = Environment(name="shop")
    monkeypatch.setattr(kafka, "_client", environment, raising=False)
    asked: list[tuple[str, str]] = []

    def cluster_as(user: str, listener: str) -> object:
        asked.append((user, listener))
        return cluster

    monkeypatch.setattr(environment, "cluster", cluster_as)
    config = kafka.client_config("librdkafka", acks="all")
    assert config == {"bootstrap.servers": "127.0.0.1:9092", "acks": "all"}
    kafka.client_config(user="ada", listener="secure")
    assert asked == [("", ""), ("ada", "secure")]
    with pytest.raises(UsageError, match="kafkacat") as told:
        kafka.client_config("kafkacat")
    assert told.value.hint == "known: kafka-python, aiokafka, librdkafka, confluent-kafka"
