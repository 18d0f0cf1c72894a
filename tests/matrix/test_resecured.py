"""Another `security` of a running environment, there and back, while records are written to it with acks=all."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.engine import DEFAULT_VERSION, Provision, java, write_environment

pytestmark = [pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME, TOPIC, PARTITIONS = "resecured", "t", 3
PATIENCE_S, ENOUGH = 60.0, 50
PAUSE_S = 0.02
USERS = [{"name": "app"}]
SHAPES: Mapping[str, dict[str, Any]] = {
    "zookeeper": {"kafka": {"mode": "zookeeper"}},
    "combined": {"kafka": {"mode": "kraft"}},
    "dedicated": {"kafka": {"mode": "kraft"}, "controllers": {"nodes": 3}},
}


def cases() -> Iterator[Any]:
    """Each shape as processes; one of them in Docker. The one that every user of KRaft has is in the matrix."""
    process, docker = pytest.mark.process, pytest.mark.engine
    yield pytest.param("process", DEFAULT_VERSION, "zookeeper", "sasl-tls", marks=[process, pytest.mark.soak])
    yield pytest.param("process", DEFAULT_VERSION, "combined", "sasl-tls", marks=[process, pytest.mark.matrix])
    yield pytest.param("process", "4.3.0", "dedicated", "mtls", marks=[process, pytest.mark.soak])
    yield pytest.param("process", "2.8.2", "zookeeper", "sasl-scram", marks=[process, pytest.mark.soak])
    yield pytest.param("docker", DEFAULT_VERSION, "combined", "sasl-tls", marks=[docker, pytest.mark.soak])


@dataclass
class Writer:
    """Writes one record after the other, and asks how to get in whenever it does not get in any more.

    `clients` counts the producers that it took, and `longest_s` is the longest time from one record to the next.
    """

    provision: Provision
    delivery_s: int = 8
    acknowledged: list[bytes] = field(default_factory=list)
    clients: int = 0
    longest_s: float = 0.0
    last_offsets: dict[int, int] = field(default_factory=dict)
    _ends: threading.Event = field(default_factory=threading.Event)

    def options(self) -> dict[str, Any]:
        """What `client-config` says now."""
        for user in ((), ("--user", "app")):
            said = self.provision("client-config", NAME, *user, "--format", "kafka-python")
            if said.code == 0:
                return dict(json.loads(said.out))
        return {}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """In the background."""
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join(timeout=2 * PATIENCE_S)
        assert not thread.is_alive()

    def _write(self) -> None:
        number, last_s = 0, time.monotonic()
        while not self._ends.is_set():
            options = self.options()
            if not options:
                self._ends.wait(1)
                continue
            self.clients += 1
            with suppress(KafkaError), self._producer(options) as producer:
                while not self._ends.is_set():
                    value = f"record {number}".encode()
                    number += 1
                    sent = producer.send(TOPIC, value, partition=number % PARTITIONS)
                    told = sent.get(timeout=self.delivery_s + 2)
                    self.acknowledged.append(value)
                    now_s = time.monotonic()
                    self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s
                    self.last_offsets[told.partition] = told.offset
                    self._ends.wait(PAUSE_S)

    @contextmanager
    def _producer(self, options: Mapping[str, Any]) -> Iterator[KafkaProducer]:
        delivery_ms = 1000 * self.delivery_s
        limits = {"request_timeout_ms": 5000, "delivery_timeout_ms": delivery_ms, "max_block_ms": delivery_ms}
        producer = KafkaProducer(**options, acks="all", linger_ms=0, **limits)
        try:
            yield producer
        finally:
            producer.close(timeout=1)

    def lost(self) -> set[bytes]:
        """What was acknowledged and is not there."""
        partitions = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
        consumer = KafkaConsumer(**self.options(), auto_offset_reset="earliest", group_id=None)
        try:
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            found: set[bytes] = set()
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                records = consumer.poll(timeout_ms=10_000)
                assert records, "the records stop before their end"
                found |= {record.value for some in records.values() for record in some}
            return set(self.acknowledged) - found
        finally:
            consumer.close()


def described(directory: Path, shape: str, security: str | Mapping[str, str], **values: Any) -> str:  # noqa: ANN401 as the file takes them
    """The file of a cluster of three brokers with a topic that survives the loss of one."""
    config = {"min.insync.replicas": 2}
    topic = {"name": TOPIC, "partitions": PARTITIONS, "replication_factor": 3, "config": config}
    sections = {
        "brokers": {"nodes": 3} | ({} if "listeners" in values else {"port": "auto"}),
        "security": security,
        "users": [] if security == "plaintext" else USERS,
        "topics": [topic],
    }
    return write_environment(directory, NAME, json.dumps(sections | SHAPES[shape] | values))


@pytest.mark.parametrize(("runtime", "version", "shape", "security"), cases())
def test_no_acknowledged_record_is_lost_on_the_way_there_and_back(
    tmp_path: Path, runtime: str, version: str, shape: str, security: str
) -> None:
    if runtime == "process":
        java(version)
    provision = Provision(tmp_path / "home", runtime=runtime, version=version)

    def file(profile: str) -> str:
        return described(tmp_path, shape, profile)

    provision.ok("up", file("plaintext"))
    try:
        servers = json.loads(provision.ok("client-config", NAME, "--format", "kafka-python"))["bootstrap_servers"]
        writer = Writer(provision)
        with writer.writing():
            for profile in (security, "plaintext"):
                before = len(writer.acknowledged)
                told = provision.ok_err("up", file(profile), "--yes", "--timeout", "200s")
                assert "broker-1" in told
                assert "nothing to change" in provision.ok_err("plan", file(profile)) + provision.ok(
                    "plan", file(profile)
                )
                assert len(writer.acknowledged) > before + ENOUGH
                assert writer.options()["bootstrap_servers"] == servers
            began_s = time.monotonic()
            provision.ok("restart", NAME, "--rolling")
            assert writer.longest_s < time.monotonic() - began_s
        assert writer.lost() == set()
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.parametrize(
    ("runtime", "version", "shape"),
    [
        pytest.param("process", "4.3.0", "combined", marks=[pytest.mark.process, pytest.mark.matrix]),
        pytest.param("process", "2.8.2", "zookeeper", marks=[pytest.mark.process, pytest.mark.soak]),
        pytest.param("docker", DEFAULT_VERSION, "dedicated", marks=[pytest.mark.engine, pytest.mark.soak]),
    ],
)
def test_a_client_of_a_listener_that_stays_notices_nothing_of_others(
    tmp_path: Path, runtime: str, version: str, shape: str
) -> None:
    """Nodes go over to another one between them, and clients that are known get a listener of their own."""
    if runtime == "process":
        java(version)
    provision = Provision(tmp_path / "home", runtime=runtime, version=version)
    plain, secure = {"plain": {"security": "plaintext"}}, {"secure": {"security": "sasl-tls"}}

    def file(internal: str, listeners: Mapping[str, Any]) -> str:
        security = internal if internal == "plaintext" else {"INTERNAL": internal}
        return described(tmp_path, shape, security, listeners=listeners)

    provision.ok("up", file("plaintext", plain))
    try:
        writer = Writer(provision, delivery_s=60)
        with writer.writing():
            for internal, listeners in (("sasl-tls", plain | secure), ("plaintext", plain)):
                count, environment = len(writer.acknowledged), file(internal, listeners)
                told = provision.ok_err("up", environment, "--yes", "--timeout", "200s")
                assert "broker-1" in told
                assert "nothing to change" in provision.ok_err("plan", environment) + provision.ok("plan", environment)
                assert len(writer.acknowledged) > count + ENOUGH
        assert writer.lost() == set()
        assert writer.clients == 1
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("version", "shape", "security"),
    [
        pytest.param(DEFAULT_VERSION, "combined", "mtls", marks=pytest.mark.matrix),
        pytest.param(DEFAULT_VERSION, "zookeeper", "sasl-tls", marks=pytest.mark.soak),
        pytest.param("4.3.0", "dedicated", "sasl-tls", marks=pytest.mark.soak),
    ],
)
def test_no_acknowledged_record_is_lost_while_certificates_are_rotated(
    tmp_path: Path, version: str, shape: str, security: str
) -> None:
    java(version)
    provision = Provision(tmp_path / "home", runtime="process", version=version)
    file = described(tmp_path, shape, security)
    provision.ok("up", file)
    try:
        writer = Writer(provision)
        with writer.writing():
            for step in ((), ("--finish",)):
                before = len(writer.acknowledged)
                told = provision.ok_err("certs", "rotate", file, *step, "--yes", "--timeout", "200s")
                assert all(f"broker-{number} restarted" in told for number in (1, 2, 3))
                assert len(writer.acknowledged) > before + ENOUGH
        assert writer.lost() == set()
        assert "nothing to change" in provision.ok_err("plan", file) + provision.ok("plan", file)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
