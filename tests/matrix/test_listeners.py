"""Three protocols on three ports, on real brokers: clients get in at each listener by what `client-config` says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import TopicAuthorizationFailedError

from provision.errors import KafkaRefused
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import NotAnswering
from provision.kafka.metadata import observe_cluster
from tests.engine import Provision, engine, java, write_environment

pytestmark = [pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "doors"
PATIENCE_S, ANSWER_S = 60.0, 20.0
PROTOCOLS = {"plain": "PLAINTEXT", "encrypted": "SSL", "secure": "SASL_SSL"}
LISTENERS: dict[str, Any] = {
    "plain": {"port": "auto", "security": "plaintext"},
    "encrypted": {"port": "auto", "security": "tls"},
    "secure": {"port": "auto", "security": "sasl-tls"},
}


@dataclass(frozen=True)
class Row:
    """A version, how it keeps its metadata, and where it runs."""

    version: str
    mode: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.version}-{self.mode}-{self.runtime}"


SHORT = {Row("3.9.1", "zookeeper", "docker"), Row("4.3.0", "kraft", "process")}
KAFKAS = (("2.8.2", "zookeeper"), ("3.9.1", "zookeeper"), ("3.9.1", "kraft"), ("4.3.0", "kraft"))
ROWS = [
    pytest.param(
        row,
        id=str(row),
        marks=[
            pytest.mark.engine if runtime == "docker" else pytest.mark.process,
            pytest.mark.matrix if row in SHORT else pytest.mark.soak,
        ],
    )
    for runtime in ("process", "docker")
    for version, mode in KAFKAS
    for row in [Row(version, mode, runtime)]
]


@dataclass(frozen=True)
class Doors:
    """A running environment with two brokers, which ask who may do what."""

    row: Row
    provision: Provision
    directory: Path

    def described(self, listeners: dict[str, Any] | None = None) -> str:
        """Its file."""
        described = {
            "kafka": {"mode": self.row.mode},
            "brokers": {"nodes": 2},
            "listeners": listeners or LISTENERS,
            "topics": [{"name": "t", "replication_factor": 2}, {"name": "closed"}],
            "users": [{"name": "app", "allow": ["write topic t", "read topic t", "idempotent-write cluster"]}],
            "acls": [{"principal": "User:ANONYMOUS", "allow": ["read topic t", "write topic t"]}],
        }
        return write_environment(self.directory, NAME, yaml.safe_dump(described, sort_keys=False))

    def given(self, listener: str, form: str, *more: str) -> str:
        """What `client-config` says of a listener."""
        who = ["--user", "app"] if listener == "secure" else []
        return self.provision.ok("client-config", NAME, "--listener", listener, *who, "--format", form, *more)

    def python(self, listener: str) -> dict[str, Any]:
        """The keyword arguments of a Python client."""
        found: dict[str, Any] = json.loads(self.given(listener, "kafka-python"))
        return found

    def end(self) -> int:
        """How many records the one partition of the topic has."""
        options = self.python("plain")
        consumer = KafkaConsumer(**options, group_id=None)
        partition = TopicPartition("t", 0)
        found = int(consumer.end_offsets([partition])[partition])
        consumer.close()
        return found

    def read(self, listener: str, count: int) -> list[bytes | None]:
        """The first records of the topic."""
        limit_ms = int(PATIENCE_S * 1000)
        options = self.python(listener)
        consumer = KafkaConsumer("t", auto_offset_reset="earliest", consumer_timeout_ms=limit_ms, **options)
        found = [next(consumer).value for _ in range(count)]
        consumer.close()
        return found


@pytest.fixture(scope="module", params=ROWS)
def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    row: Row = request.param
    if row.runtime == "process":
        java(row.version)
    else:
        engine()
    directory = tmp_path_factory.mktemp("doors")
    provision = Provision(directory / "home", runtime=row.runtime, version=row.version)
    made = Doors(row, provision, directory)
    provision.ok("up", made.described())
    try:
        yield made
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
    assert list((provision.home / "secrets").iterdir()) == []


def test_clients_get_in_at_each_listener(doors: Doors) -> None:
    before = doors.end()
    for listener, protocol in PROTOCOLS.items():
        options = doors.python(listener)
        assert options["security_protocol"] == protocol
        assert len(options["bootstrap_servers"]) == 2
        producer = KafkaProducer(**options, acks="all", enable_idempotence=False)
        producer.send("t", listener.encode()).get(timeout=PATIENCE_S)
        with pytest.raises(TopicAuthorizationFailedError):
            producer.send("closed", b"no").get(timeout=PATIENCE_S)
        producer.close()
    for listener in PROTOCOLS:
        assert doors.read(listener, before + 3)[-3:] == [one.encode() for one in PROTOCOLS]
        client = AdminClient(json.loads(doors.given(listener, "librdkafka")))
        assert "t" in client.list_topics(timeout=PATIENCE_S).topics


def test_the_programs_own_commands_and_tools_get_in(doors: Doors) -> None:
    doors.provision.ok("wait", NAME, "--until", "roundtrip")
    shown = json.loads(doors.provision.ok("status", NAME, "-o", "json"))
    assert shown["ready"]
    assert [one["name"] for one in shown["listeners"]] == ["PLAIN", "ENCRYPTED", "SECURE"]
    endpoints = {one["node"]: one for one in json.loads(doors.provision.ok("endpoints", NAME, "-o", "json"))}
    tables = doors.provision.ok("status", NAME), doors.provision.ok("endpoints", NAME)
    for number, one in enumerate(shown["listeners"]):
        own = [endpoints[node]["listeners"][number]["endpoint"] for node in ("broker-1", "broker-2")]
        assert one["bootstrap_servers"] == ",".join(own)
        assert one["bootstrap_servers"] in doors.provision.ok("env", NAME, "--listener", one["name"].lower())
        assert all(f"{one['name']} " in table for table in tables)
    for one in shown["listeners"]:
        doors.provision.ok("produce", NAME, "t", "--listener", one["name"], stdin="by hand\n")
    doors.provision.ok("produce", NAME, "t", "--listener", "secure", "--user", "app", stdin="by hand\n")
    assert "closed" in doors.provision.ok("tool", NAME, "kafka-topics", "--", "--list").split()
    assert doors.provision.ok("tool", NAME, "kafka-topics", "--user", "app", "--", "--list").split() == ["t"]
    assert "nothing to change" in doors.provision.ok("plan", doors.described())


def test_no_listener_lets_somebody_in_by_what_belongs_to_another(doors: Doors) -> None:
    at = {listener: doors.python(listener)["bootstrap_servers"][0] for listener in PROTOCOLS}
    ca = doors.python("encrypted")["ssl_cafile"]
    for listener, protocol in (
        ("plain", "SSL"),
        ("encrypted", "PLAINTEXT"),
        ("secure", "PLAINTEXT"),
        ("secure", "SSL"),
    ):
        with pytest.raises(NotAnswering):
            observe_cluster(Access({1: at[listener]}, protocol, ca=ca), 1, ANSWER_S)
    wrong = Credentials("PLAIN", "app", "wrong")
    with pytest.raises(KafkaRefused, match="does not let app in"):
        observe_cluster(Access({1: at["secure"]}, "SASL_SSL", wrong, ca), 1, ANSWER_S)


def test_a_listener_comes_and_goes_while_brokers_are_replaced_one_at_a_time(doors: Doors) -> None:
    before = {name: doors.python(name)["bootstrap_servers"] for name in PROTOCOLS}
    records = doors.end()
    doors.provision.ok("up", doors.described(LISTENERS | {"mutual": {"security": "mtls"}}), "--yes")
    mutual = json.loads(
        doors.provision.ok("client-config", NAME, "--listener", "mutual", "--user", "app", "--format", "kafka-python")
    )
    producer = KafkaProducer(**mutual, acks="all", enable_idempotence=False)
    producer.send("t", b"mutual").get(timeout=PATIENCE_S)
    producer.close()
    assert {name: doors.python(name)["bootstrap_servers"] for name in PROTOCOLS} == before
    doors.provision.ok("up", doors.described(), "--yes")
    result = doors.provision("client-config", NAME, "--listener", "mutual", "--user", "app")
    assert (result.code, "it has PLAIN, ENCRYPTED, SECURE" in result.err) == (64, True)
    assert doors.end() == records + 1
    assert doors.read("plain", records + 1)[-1] == b"mutual"
    other = doors.provision("up", doors.described({"elsewhere": {"security": "sasl-tls"}}), "--yes")
    assert other.code == 4
    assert "no listener for this machine stays as it is" in other.err


BY_LISTENER = """
kafka: {mode: kraft}
brokers: {nodes: 2, port: auto}
security: {HOST: sasl-tls, INTERNAL: plaintext, CONTROLLER: mtls}
topics: [{name: t, replication_factor: 2}]
users: [{name: app}]
"""


@pytest.mark.matrix
@pytest.mark.process
def test_nodes_talk_to_each_other_as_the_file_says(tmp_path: Path) -> None:
    java("3.9.1")
    provision = Provision(tmp_path / "home", runtime="process", version="3.9.1")
    file = write_environment(tmp_path, f"{NAME}-inside", BY_LISTENER)
    provision.ok("up", file, "--until", "roundtrip")
    try:
        told = provision.ok("client-config", f"{NAME}-inside", "--user", "app", "--format", "kafka-python")
        options = json.loads(told)
        producer = KafkaProducer(**options, acks="all", enable_idempotence=False)
        producer.send("t", b"one").get(timeout=PATIENCE_S)
        producer.close()
        inside = json.loads(provision.ok("client-config", f"{NAME}-inside", "--inside", "--format", "kafka-python"))
        assert inside["security_protocol"] == "PLAINTEXT"
        assert not {*inside["bootstrap_servers"]} & {*options["bootstrap_servers"]}
        assert provision.ok("tool", f"{NAME}-inside", "kafka-topics", "--", "--list").split() == ["t"]
    finally:
        provision.ok("down", f"{NAME}-inside")
    assert provision.traces(f"{NAME}-inside") == []
