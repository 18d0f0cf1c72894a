"""A swarm of three engines: what the runtime's contract promises, and one file from `up` to `down`."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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
from tests.matrix.fleet import NAME, Fleet
from tests.swarm import Lab

pytestmark = [pytest.mark.engine, pytest.mark.matrix, pytest.mark.row("swarm")]

cluster, files, kraft, hold = contract.cluster, contract.files, contract.kraft, contract.hold
QUIET = """
name: quiet
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
    run("down", "quiet")
    assert wait_until(lambda: not swarm.traces("quiet")), swarm.traces("quiet")


@contextmanager
def drained(swarm: Lab, name: str) -> Iterator[Callable[[], None]]:
    """An engine that Docker drains, until the test ends that or is over."""

    def be(availability: str) -> None:
        api: Any = swarm.hosts[0].client.api
        (node,) = (one for one in api.nodes() if one["Description"]["Hostname"] == name)
        api.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Availability": availability})

    be("drain")
    try:
        yield lambda: be("active")
    finally:
        be("active")


def test_without_published_ports_the_brokers_are_reached_in_their_network_alone(
    swarm: Lab, provision: Provision, tmp_path: Path
) -> None:
    file = tmp_path / "quiet.yaml"
    file.write_text(f"{QUIET}swarm: {{publish: none, encrypted: false, engines: {swarm.engines}}}\n")
    settings = ("--set", f"kafka.image={image()}")
    listening = [host.listening for host in swarm.hosts]
    told = provision.ok_err("up", str(file), "--timeout", "240s", *settings)
    assert "quiet is ready (topics)" in told
    assert "quiet-broker-2:19092" in told
    again = provision("plan", str(file), "--detailed-exitcode", *settings)
    assert (again.code, again.out) == (0, "quiet: nothing to change\n"), again.err
    provision.ok("produce", "quiet", "orders", stdin="one\ntwo\n")
    assert sorted(provision.ok("consume", "quiet", "orders", "--from-beginning", "-n", "2").split()) == ["one", "two"]
    assert "orders" in provision.ok("topics", "list", "quiet")
    assert "orders" in provision.ok("tool", "quiet", "kafka-topics", "--", "--list").split()
    assert [host.listening for host in swarm.hosts] == listening
    assert not _connecting(swarm)
    with provision.start("consume", "quiet", "orders") as reading:
        # Killed before it has started it, the command leaves it to `gc`.
        connected = wait_until(lambda: "running" in _connecting(swarm))
        reading.kill()
    assert connected
    assert wait_until(lambda: not _connecting(swarm))  # what a killed command has started ends with it
    with drained(swarm, "engine-b"):
        assert wait_until(lambda: "it waits: engine engine-b is drained" in provision("status", "quiet").out)
        provision.ok("down", "quiet")
        assert wait_until(lambda: not swarm.traces("quiet")), swarm.traces("quiet")


def _connecting(swarm: Lab) -> list[str]:
    """The states of the containers that connect commands to the network."""
    listed = swarm.hosts[0].client.api.containers(all=True, filters={"label": f"{spec.ROLE}={spec.TOOL_ROLE}"})
    return [one["State"] for one in listed]


def test_a_file_becomes_a_cluster_over_three_engines_and_its_second_plan_is_empty(swarm: Lab, fleet: Fleet) -> None:
    assert f"{NAME} is ready (topics)" in fleet.told
    for number, host in enumerate(swarm.hosts):
        assert f"{host.address}:{9092 + number}" in fleet.told
        names = [one["Names"][0] for one in host.client.api.containers()]
        assert sorted(name.split(".")[0].rpartition("-")[0] for name in names) == ["/fleet-broker", "/fleet-controller"]
    fleet.require_nothing_to_do()
    _require_private(swarm)
    assert "Kafka Server started" in fleet.provision.ok("logs", NAME, "broker-2")
    assert "orders" in fleet.provision.ok("tool", NAME, "kafka-topics", "--", "--list").split()


def test_a_rolling_change_that_is_killed_twice_goes_on_with_the_next_up_and_nothing_is_lost(fleet: Fleet) -> None:
    fleet.wanted["brokers.properties.num.io.threads"] = "16"
    with fleet.writing() as written:
        down = fleet.is_killed(": changing its configuration")  # a broker is stopped
        between = fleet.is_killed(" restarted (")
        assert fleet.goes_on(written)
        told = fleet.up()
        assert fleet.goes_on(written)
    assert " restarted (" not in down
    assert between.count(" restarted (") == 1
    rolled = {line.split()[0] for line in [*between.splitlines(), *told.splitlines()] if " restarted (" in line}
    assert rolled | {_stopped(down)} == {"broker-1", "broker-2", "broker-3"}
    assert "num.io.threads" not in fleet.plan().out
    fleet.require_nothing_to_do()


def _stopped(told: str) -> str:
    """The node that a command has stopped."""
    (line,) = (line for line in told.splitlines() if line.endswith(": stopping"))
    return line.partition(":")[0]


def test_an_engine_that_docker_drains_is_waited_for_and_its_nodes_come_back_with_it(swarm: Lab, fleet: Fleet) -> None:
    """Docker ends all that runs there at once; the others go on."""
    with fleet.writing() as written, drained(swarm, "engine-b") as end:
        assert wait_until(lambda: fleet.status().count("it waits: engine engine-b is drained") == 2)
        assert fleet.goes_on(written)
        planned = fleet.plan()  # without all brokers, it is not known what is inside
        told = "engine engine-b is drained: nothing is done with broker-2, controller-2"
        assert (planned.code, told in planned.err) == (69, True), planned.err
        left = fleet.provision("up", *fleet.file, "--yes", "--timeout", "60s")
        assert (left.code, "waits for its engine" in left.err) == (1, True), left.err
        refused = fleet.provision("start", NAME, "broker-2")
        assert (refused.code, "engine engine-b is drained" in refused.err) == (69, True), refused.err
        assert fleet.goes_on(written)
        end()
        told = fleet.up()
        assert "broker-2 started" in told, told
        assert fleet.goes_on(written)
    assert fleet.is_spread()
    fleet.require_nothing_to_do()


def test_an_engine_may_go_and_come_back_and_without_a_leader_nothing_is_changed(swarm: Lab, fleet: Fleet) -> None:
    with fleet.writing() as written:
        second = swarm.hosts[1]
        second.stop(kill=True)
        assert wait_until(lambda: "it waits: engine engine-b" in fleet.status())
        assert fleet.status().count("it waits: engine engine-b") == 2  # its controller and its broker; no other is down
        assert fleet.goes_on(written)  # two of three replicas are enough
        left = fleet.provision("up", *fleet.file, "--yes")
        assert left.code == 1
        assert "waits for its engine" in left.err
        second.start(swarm.name_server)
        second.wait()
        assert wait_until(lambda: "it waits" not in fleet.status())
        assert "broker-2 started" in fleet.up()
    with swarm.frozen("engine-b", "engine-c"):
        assert wait_until(
            lambda: fleet.provision("status", NAME).code == 69
        )  # the leader notices it after some seconds
        for arguments in (("status", NAME), ("up", *fleet.file)):
            refused = fleet.provision(*arguments)
            assert (refused.code, "the swarm has no leader" in refused.err) == (69, True), refused.err
    assert wait_until(lambda: fleet.status().count("running") == 6)


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
