"""What the doctor says about brokers in ZooKeeper mode that are away, slowed down or set by hand, made for real.

The tests follow one another on one cluster, and each leaves it healthy.
"""

import json
from collections.abc import Iterator, Mapping

import pytest
from kafka import KafkaAdminClient, TopicPartition

from provision.cluster.model import Role
from provision.home.place import Home
from provision.kafka.access import Access
from provision.kafka.quotas import alter_quotas
from provision.kafka.settings import SettingsAdmin
from provision.runtime.process.runtime import ProcessRuntime
from tests.engine import wait_until
from tests.matrix.doctoring import Patient, away, healthy, rewritten

pytestmark = [pytest.mark.matrix, pytest.mark.process, pytest.mark.row("doctor-replication")]

FILE = """\
zookeeper: {nodes: 3, port: auto}
brokers:
  nodes: 3
  port: auto
  properties:
    zookeeper.session.timeout.ms: 6000
    controlled.shutdown.retry.backoff.ms: 500
  overrides: {2: {properties: {zookeeper.session.timeout.ms: 30000}}}
topics:
  - {name: alone, replicas: [[1], [2], [3]]}
  - name: t
    partitions: 6
    replication_factor: 3
    config:
      min.insync.replicas: 2
runtime: process
"""


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A cluster in ZooKeeper mode that is well."""
    with healthy(tmp_path_factory.mktemp("replication"), "known-replication", FILE) as patient:
        yield patient


def test_a_cluster_that_has_just_come_up_has_nothing(ill: Patient) -> None:
    assert ill.findings() == []


def test_nor_has_one_that_is_restarted_one_node_at_a_time(ill: Patient) -> None:
    restart = ill.provision.start("restart", ill.env, "--rolling")
    looks = 0
    while restart.poll() is None:
        assert {one["id"] for one in ill.look()} <= {"change-running"}
        looks += 1
    _, err = restart.communicate()
    assert restart.returncode == 0, err
    assert looks > 2
    assert ill.findings() == []


def test_settings_that_were_made_by_hand(ill: Patient) -> None:
    with ill.admin() as admin:
        _set(admin, "broker", "1", {"num.io.threads": "5", "leader.replication.throttled.rate": "1000"})
        _set(admin, "topic", "t", {"leader.replication.throttled.replicas": "*"})
    _of_all(ill, "--add-config", "log.retention.ms=1000000,num.network.threads=2")
    found = ill.found()
    assert sorted(found) == ["dynamic-default", "dynamic-setting", "stale-throttle"]
    (default,) = found["dynamic-default"]["evidence"]  # of the other, the brokers' files say the same
    assert default.startswith("log.retention.ms=1000000, without it ")
    assert found["dynamic-setting"]["evidence"] == ["num.io.threads=5, in its file 4"]
    assert found["stale-throttle"]["evidence"] == [
        "broker 1: leader.replication.throttled.rate=1000",
        "topic t: leader.replication.throttled.replicas=*",
    ]
    assert sorted(ill.found("--fix", "--yes")) == ["dynamic-default", "dynamic-setting"]
    _of_all(ill, "--delete-config", "log.retention.ms,num.network.threads")
    ill.provision.ok("up", ill.env, "--yes")
    assert ill.findings() == []


LARGE = f"{'x' * 100_000}\n"


def _of_all(ill: Patient, option: str, settings: str) -> None:
    """What Kafka's own tool changes for all brokers."""
    ill.provision.ok(
        "tool",
        ill.env,
        "kafka-configs",
        "--",
        "--alter",
        "--entity-type",
        "brokers",
        "--entity-default",
        option,
        settings,
    )


def _throttle(ill: Patient, topic: str, *brokers: str, to: str | None = "1") -> None:
    """Hold down what those brokers give away of a topic (bytes/s), or, with None, no longer; it is in force then."""
    seen = {broker: _times_configured(ill, broker) for broker in brokers}
    with ill.admin() as admin:
        _set(admin, "topic", topic, {"leader.replication.throttled.replicas": None if to is None else "*"})
        for broker in brokers:
            _set(admin, "broker", broker, {"leader.replication.throttled.rate": to})
    for broker, times in seen.items():
        assert wait_until(lambda broker=broker, times=times: _times_configured(ill, broker) > times)  # type: ignore[misc]


def _times_configured(ill: Patient, broker: str) -> int:
    """How often a broker has taken over dynamic settings of its own, which comes after those of the topic."""
    node = Role.BROKER.node(int(broker))
    log = (ill.directory / node / "log" / f"{node}.log").read_text(errors="replace")
    return log.count(f"Processing override for entityPath: brokers/{broker} ")


def _set(admin: KafkaAdminClient, kind: str, name: str, settings: Mapping[str, str | None]) -> None:
    """Also by a broker that has just come back, whose session of ZooKeeper has ended."""
    assert SettingsAdmin(admin).alter({(kind, name): settings}) == {}


def _refuses_nothing(access: Access) -> None:
    """Its session of ZooKeeper has ended, and the first change that it is asked for fails."""
    for limit in (1000.0, None):
        assert alter_quotas(access, {(("user", "somebody"),): {"producer_byte_rate": limit}}) == {}


def test_a_broker_that_is_stopped(ill: Patient) -> None:
    ill.provision.ok("stop", ill.env, "broker-3")
    with ill.admin() as admin:
        _set(admin, "topic", "t", {"min.insync.replicas": "3"})
    found = ill.found_once("under-replicated")  # until then, it may be just being restarted
    assert sorted(found) == ["min-isr-not-met", "no-leader", "node-stopped", "under-replicated"]
    lacking = found["under-replicated"]
    assert lacking["title"] == "6 of the 7 partitions on broker-3 are not in sync there"
    assert lacking["cause"] == "broker-3 is stopped"
    assert lacking["fix"] == f"provision start {ill.name} broker-3"
    assert "t-0: replicas" in lacking["evidence"][0]
    assert found["no-leader"]["evidence"] == ["alone-2: replicas 3; in sync 3"]
    assert found["no-leader"]["cause"] == "broker-3 is stopped"
    writes = found["min-isr-not-met"]
    assert writes["title"] == "nobody can write with acks=all to 6 partitions of t"
    assert writes["evidence"][0] == "min.insync.replicas=3"
    assert writes["cause"] == "broker-3 is stopped"
    assert writes["file"] == f"{ill.env}:{1 + FILE.splitlines().index('      min.insync.replicas: 2')}"
    with ill.admin() as admin:
        _set(admin, "topic", "t", {"min.insync.replicas": "2"})


def test_a_broker_that_is_not_let_catch_up(ill: Patient) -> None:
    """The one that the test before has left stopped."""
    _throttle(ill, "t", "1", "2")
    ill.provision.ok("produce", ill.env, "t", stdin=LARGE * 600)
    ill.provision("start", ill.env, "broker-3", "--timeout", "5s")
    found = ill.found_once("under-replicated")
    assert sorted(found) == ["stale-throttle", "under-replicated"]
    assert found["under-replicated"]["cause"] == "the replication of broker-3 is throttled to 1 B/s"
    assert ill.findings("--fix", "--yes") == []


def test_a_reassignment_that_does_not_end(ill: Patient) -> None:
    ill.provision.ok("produce", ill.env, "alone", stdin=LARGE * 300)
    _throttle(ill, "alone", "1")
    with ill.admin() as admin:
        at = TopicPartition("alone", 0)
        assert admin.alter_partition_reassignments({at: [3]}) == {at: None}
    found = ill.found()
    assert list(found) == ["reassignment-hangs"]
    assert found["reassignment-hangs"]["cause"] == "the replication of broker-3 is throttled to 1 B/s"
    assert found["reassignment-hangs"]["evidence"][0].startswith("alone-0: 1 → 3; ")
    ill.process("broker-3").suspend()
    found = ill.found_once("under-replicated")
    assert found["reassignment-hangs"]["cause"] == found["under-replicated"]["cause"] == "broker-3 is paused"
    assert "paused-node" in found
    ill.process("broker-3").resume()
    _refuses_nothing(Access({3: ill.servers()[2]}))
    _throttle(ill, "alone", "1", to=None)
    ill.provision.ok("up", ill.env, "--yes")  # as the file has its replicas
    assert ill.findings() == []


def test_a_broker_that_is_still_registered(ill: Patient) -> None:
    ill.kill("broker-2")
    ProcessRuntime(Home.at(ill.provision.home)).start_node(ill.name, "broker-2")
    assert wait_until(lambda: not ill.runs("broker-2"))
    found = ill.found_once("node-exists")
    assert found["node-exists"]["title"].startswith("broker-2 exited: its former self is still registered")
    assert "NodeExists" in str(found["node-exists"]["evidence"])
    assert ill.findings("--fix", "--yes") == []


def test_an_ensemble_without_a_majority(ill: Patient) -> None:
    ill.kill("zookeeper-1", "zookeeper-3")
    lost = ill.found_once("zookeeper-quorum-lost")["zookeeper-quorum-lost"]
    assert lost["title"] == "ZooKeeper has no majority: 0 of 3 members serve, 2 are needed"
    assert lost["evidence"] == [
        "zookeeper-1: it has exited",
        "zookeeper-3: it has exited",
        "zookeeper-2: it runs, and is not part of a quorum",
    ]
    assert lost["fix"] == f"provision start {ill.name} zookeeper-1 zookeeper-3"
    assert ill.findings("--fix", "--yes") == []
    ill.kill("zookeeper-2", "zookeeper-3")
    assert not json.loads(ill.provision.ok("status", ill.env, "-o", "json"))["ready"]
    assert json.loads(ill.provision.ok("up", ill.env, "-o", "json"))["ready"]
    assert ill.findings() == []


def test_data_of_another_cluster_and_of_none(ill: Patient) -> None:
    ill.provision.ok("stop", ill.env)
    assert ill.findings() == []  # that is no failure
    meta = ill.directory / "broker-2" / "data" / "meta.properties"
    identity = next(one for one in meta.read_text().splitlines() if one.startswith("cluster.id="))
    with rewritten(meta, identity.encode(), b"cluster.id=AAAAAAAAAAAAAAAAAAAAAA"):
        other = ill.only()
        assert (other["id"], other["file"]) == ("cluster-id-mismatch", str(meta))
        assert "its data are of cluster AAAAAAAAAAAAAAAAAAAAAA" in other["evidence"][0]
    with rewritten(meta, b"broker.id=2", b"broker.id=3"):
        assert ill.ids() == ["node-id-mismatch"]
    with away(ill.directory / "zookeeper-1" / "data"), away(ill.directory / "zookeeper-2" / "data"):
        lost = ill.findings()
        assert [one["id"] for one in lost] == ["ensemble-data-lost"] * 2
        assert "its data are gone" in lost[0]["evidence"][0]
    assert ill.findings() == []
    ill.provision.ok("start", ill.env)
    assert ill.findings() == []
