"""A swarm of three engines: what the runtime's contract promises, and one file from `up` to `down`."""

import json
import os
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer

from provision.runtime.docker import containers as spec
from tests.contract import test_runtime as contract
from tests.contract.test_runtime import (  # noqa: F401 collected here too, for this runtime alone
    test_a_node_starts_runs_stops_and_starts_again,
    test_a_node_that_was_replaced_has_its_new_files_and_mark_and_its_storage,
    test_a_tool_writes_to_the_callers_streams,
    test_an_environment_is_held_by_one_command_at_a_time,
    test_files_are_updated_for_the_next_start_and_the_node_runs_on,
    test_storages_are_formatted_and_formatting_can_be_repeated,
    test_what_an_environment_knows_of_itself_is_no_trace_of_it_and_goes_with_the_last,
)
from tests.engine import Provision, image, wait_until
from tests.swarm import MANAGEMENT_PORTS, Lab

pytestmark = [pytest.mark.engine, pytest.mark.matrix, pytest.mark.row("swarm")]

cluster, files, kraft, hold = contract.cluster, contract.files, contract.kraft, contract.hold
FILE = """
name: fleet
runtime: swarm
kafka: {mode: kraft}
controllers: {nodes: 3}
brokers: {nodes: 3, port: 9092}
security: sasl-tls
users: [{name: app}]
topic_defaults: {partitions: 6, replication_factor: 3, config: {min.insync.replicas: 2}}
topics: [{name: orders}]
"""

QUIET = """
name: fleet
runtime: swarm
kafka: {mode: kraft}
brokers: {nodes: 2}
topics: [{name: orders, partitions: 2, replication_factor: 2}]
"""


@pytest.fixture(params=["swarm"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    yield from contract.made_runtime(request, tmp_path, monkeypatch)


@pytest.fixture
def provision(swarm: Lab, tmp_path: Path) -> Iterator[Provision]:
    """The command line, which talks to the first engine of the swarm."""
    first = swarm.hosts[0]
    run = Provision(tmp_path / "home", "swarm", environment={"DOCKER_HOST": first.docker_host}, own_image=False)
    yield run
    run("down", "fleet")
    assert wait_until(lambda: not swarm.traces("fleet")), swarm.traces("fleet")


def test_a_file_becomes_a_cluster_over_three_engines_and_goes_without_a_trace(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(f"{FILE}swarm: {{encrypted: false, engines: {swarm.engines}}}\n")
    settings = ("--set", f"kafka.image={image()}")
    told = provision.ok_err("up", str(file), "--timeout", "240s", *settings)
    assert "fleet is ready (topics)" in told
    for number, host in enumerate(swarm.hosts):
        assert f"{host.address}:{9092 + number}" in told
        names = [one["Names"][0] for one in host.client.api.containers()]
        assert sorted(name.split(".")[0].rpartition("-")[0] for name in names) == ["/fleet-broker", "/fleet-controller"]
    again = provision("plan", str(file), "--detailed-exitcode", *settings)
    assert (again.code, again.out) == (0, "fleet: nothing to change\n"), again.err
    _require_private(swarm)
    assert "Kafka Server started" in provision.ok("logs", "fleet", "broker-2")
    with writing(provision) as written:
        assert wait_until(lambda: len(written) > 10)
        rolled = provision.ok_err("up", str(file), "--yes", *settings, "--set", "brokers.properties.num.io.threads=16")
    assert "broker-3 restarted" in rolled
    assert written <= read_all(provision, len(written))
    assert "orders" in provision.ok("tool", "fleet", "kafka-topics", "--", "--list").split()
    provision.ok("down", "fleet")
    assert wait_until(lambda: not swarm.traces("fleet")), swarm.traces("fleet")


def test_an_engine_may_go_and_come_back_and_without_a_leader_nothing_is_changed(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(f"{FILE}swarm: {{encrypted: false, engines: {swarm.engines}}}\n")
    settings = ("--set", f"kafka.image={image()}")
    provision.ok("up", str(file), "--timeout", "240s", *settings)
    with writing(provision) as written:
        assert wait_until(lambda: len(written) > 100)
        second = swarm.hosts[1]
        second.stop(kill=True)
        assert wait_until(lambda: "it waits: engine engine-b" in provision("status", "fleet").out)
        status = provision("status", "fleet").out
        assert status.count("it waits: engine engine-b") == 2  # its controller and its broker; no other one is down
        before = len(written)
        assert wait_until(lambda: len(written) > before + 100)  # two of three replicas are enough
        left = provision("up", str(file), "--yes", *settings)
        assert left.code == 1
        assert "waits for its engine" in left.err
        second.start(swarm.name_server)
        second.wait()
        assert wait_until(lambda: "it waits" not in provision("status", "fleet").out)
        assert "broker-2 started" in provision.ok_err("up", str(file), "--yes", *settings)
    assert written <= read_all(provision, len(written))
    with swarm.frozen("engine-b", "engine-c"):
        assert wait_until(lambda: provision("status", "fleet").code == 69)  # the leader notices it after some seconds
        for arguments in (("status", "fleet"), ("up", str(file), *settings)):
            refused = provision(*arguments)
            assert (refused.code, "the swarm has no leader" in refused.err) == (69, True), refused.err
    assert wait_until(lambda: provision("status", "fleet").out.count("running") == 6)


def test_without_published_ports_the_brokers_are_reached_in_their_network_alone(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(f"{QUIET}swarm: {{publish: none, encrypted: false, engines: {swarm.engines}}}\n")
    settings = ("--set", f"kafka.image={image()}")
    told = provision.ok_err("up", str(file), "--timeout", "240s", *settings)
    assert "fleet is ready (topics)" in told
    assert "fleet-broker-2:19092" in told
    again = provision("plan", str(file), "--detailed-exitcode", *settings)
    assert (again.code, again.out) == (0, "fleet: nothing to change\n"), again.err
    provision.ok("produce", "fleet", "orders", stdin="one\ntwo\n")
    assert sorted(provision.ok("consume", "fleet", "orders", "--from-beginning", "-n", "2").split()) == ["one", "two"]
    assert "orders" in provision.ok("topics", "list", "fleet")
    assert "orders" in provision.ok("tool", "fleet", "kafka-topics", "--", "--list").split()
    assert {host.listening for host in swarm.hosts} == {MANAGEMENT_PORTS}
    assert not _connecting(swarm)
    with provision.start("consume", "fleet", "orders") as reading:
        # Killed before it has started it, the command leaves it to `gc`.
        connected = wait_until(lambda: "running" in _connecting(swarm))
        reading.kill()
    assert connected
    assert wait_until(lambda: not _connecting(swarm))  # what a killed command has started ends with it


def _connecting(swarm: Lab) -> list[str]:
    """The states of the containers that connect commands to the network."""
    listed = swarm.hosts[0].client.api.containers(all=True, filters={"label": f"{spec.ROLE}={spec.TOOL_ROLE}"})
    return [one["State"] for one in listed]


def _require_private(swarm: Lab) -> None:
    """That secret files are for the node's account alone, and that no list of the swarm has anything of them."""
    broker = swarm.of("fleet-broker-1")
    told: Any = broker.exec_run(
        ["sh", "-c", "stat -c '%a %u %n' /etc/provision/*; cat /etc/provision/secrets.properties"]
    )
    lines = told.output.decode().splitlines()
    assert {"400 1000 /etc/provision/secrets.properties", "400 1000 /etc/provision/ca.pem"} <= set(lines)
    assert "444 1000 /etc/provision/server.properties" in lines
    (password,) = (line.partition("=")[2] for line in lines if line.startswith("password.provision="))
    api = swarm.hosts[0].client.api
    listed = [api.services(), api.tasks(), api.configs(), api.secrets(), api.networks()]
    contents = [b64decode(config["Spec"]["Data"]).decode(errors="replace") for config in api.configs()]
    assert len(password) > 10
    assert password not in f"{listed}{contents}"


def _settings(provision: Provision) -> dict[str, Any]:
    """What a client outside of the swarm needs."""
    told = provision.ok("client-config", "fleet", "--user", "app", "--format", "librdkafka")
    return dict(json.loads(told))


@contextmanager
def writing(provision: Provision) -> Iterator[set[bytes]]:
    """Write records all the time; what was acknowledged by all in-sync replicas is in the set."""
    producer = Producer({**_settings(provision), "acks": "all", "enable.idempotence": True})
    written: set[bytes] = set()
    ended = threading.Event()

    def note(error: KafkaError | None, message: Message) -> None:
        if error is None:
            written.add(message.value() or b"")

    def write() -> None:
        number = 0
        while not ended.wait(0.01):
            producer.produce("orders", str(number).encode(), on_delivery=note)
            producer.poll(0)
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join()
        assert producer.flush(60) == 0


def read_all(provision: Provision, count: int) -> set[bytes]:
    """The records of the topic, from its beginning until there are so many."""
    group = f"test-{os.getpid()}-{count}"
    consumer = Consumer({**_settings(provision), "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    seen: set[bytes] = set()

    def all_are_read() -> bool:
        message = consumer.poll(1.0)
        while message is not None:
            if not message.error():
                seen.add(message.value() or b"")
            message = consumer.poll(0.1)
        return len(seen) >= count

    try:
        wait_until(all_are_read)
    finally:
        consumer.close()
    return seen
