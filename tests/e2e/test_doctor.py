"""What `provision doctor` finds in real clusters: nothing in a healthy one, and each failure by its name.

Each test breaks a cluster, which several share, has the failure named, and has it mended.
"""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.engine import SHORT_SESSION, Provision, engine, image, wait_until, write_environment

pytestmark = [pytest.mark.matrix, pytest.mark.row(None)]

SMALL_BROKERS = f"brokers: {{nodes: 2, port: auto, heap: 160m, properties: {SHORT_SESSION}}}\n"
TOPICS = "topics: [{name: t, partitions: 2, replication_factor: 2}]\n"


def examined(provision: Provision, name: str, *options: str) -> dict[str, Any]:
    """What `doctor` says as JSON; it exits with 1 exactly if something is wrong."""
    result = provision("doctor", name, *options, "-o", "json")
    assert result.code in (0, 1), result.err
    said: dict[str, Any] = json.loads(result.out)
    assert result.code == bool(said["findings"]), result.err
    return said


def found(provision: Provision, name: str, failure: str, node: str = "") -> dict[str, Any]:
    """The one finding of that name; it has evidence, a cause, and says what mends it."""
    every = examined(provision, name)["findings"]
    several = [finding for finding in every if finding["id"] == failure and finding["node"] in (None, node or None)]
    assert len(several) == 1, every
    (finding,) = several
    assert finding["evidence"]
    assert finding["cause"]
    assert finding["fix"]
    return dict(finding)


def healthy(provision: Provision, name: str) -> bool:
    return not examined(provision, name)["findings"]


@pytest.fixture(scope="module", params=["zookeeper", "kraft"])
def cluster(request: pytest.FixtureRequest, provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a healthy cluster, which every test leaves healthy."""
    name = f"doctor-{provision.runtime}-{request.param}"
    zookeeper = "zookeeper: {port: auto}\n" if request.param == "zookeeper" else ""
    text = f"kafka: {{mode: {request.param}}}\n{zookeeper}{SMALL_BROKERS}{TOPICS}"
    env = write_environment(tmp_path_factory.mktemp("environments"), name, text)
    provision.ok("up", env)
    return env


@pytest.fixture
def name(cluster: str) -> str:
    return Path(cluster).stem


# -- on both runtimes -------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_healthy_cluster(provision: Provision, cluster: str) -> None:
    said = examined(provision, cluster)
    assert said["findings"] == []
    assert said["reachability"]
    assert [row for row in said["reachability"] if row["answers"] != row["expected"]] == []
    askers = {row["from"] for row in said["reachability"]}
    assert len(askers) == (3 if provision.runtime == "docker" else 1)


def test_a_paused_node(provision: Provision, name: str) -> None:
    provision.pause(name, "broker-2")
    assert found(provision, name, "paused-node", "broker-2")["fix"] == f"provision start {name} broker-2"
    assert examined(provision, name, "--fix", "--yes")["findings"] == []


def test_a_killed_and_a_stopped_node(provision: Provision, name: str) -> None:
    provision.kill(name, "broker-2")
    killed = found(provision, name, "node-killed", "broker-2")
    assert "SIGKILL" in killed["cause"]
    provision.ok("start", name)
    provision.ok("stop", name, "broker-2")
    assert found(provision, name, "node-stopped", "broker-2")["severity"] == "warning"
    assert examined(provision, name, "--fix", "--yes")["findings"] == []


def test_a_taken_port(provision: Provision, name: str) -> None:
    port = int(endpoint(provision, name, "broker-2").rpartition(":")[2])
    provision.ok("stop", name, "broker-2")
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port}" in found(provision, name, "port-taken", "broker-2")["evidence"][0]
    provision.ok("start", name)
    assert healthy(provision, name)


def test_an_advertised_listener_that_nobody_reaches(provision: Provision, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    inside = f"INTERNAL://{name}-broker-2:9092," if provision.runtime == "docker" else ""
    wrong = f"advertised.listeners=[{inside}HOST://127.0.0.1:{port}]"
    configure = ("kafka-configs", "--", "--alter", "--entity-type", "brokers", "--entity-name", "2")
    provision.ok("tool", name, *configure, "--add-config", wrong)
    try:
        finding = found(provision, name, "unreachable-listener", "broker-2")
        assert f"127.0.0.1:{port}" in finding["title"]
        assert "refused" in finding["evidence"][0]
    finally:
        provision.ok("tool", name, *configure, "--delete-config", "advertised.listeners")
    assert wait_until(lambda: healthy(provision, name), 30)


def endpoint(provision: Provision, name: str, node: str) -> str:
    nodes = json.loads(provision.ok("endpoints", name, "-o", "json"))
    return next(str(one["endpoint"]) for one in nodes if one["node"] == node)


# -- containers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def docker_cluster(provision: Provision, name: str) -> str:
    if provision.runtime != "docker":
        pytest.skip("it is about containers")
    return name


def test_a_frozen_jvm(provision: Provision, docker_cluster: str) -> None:
    engine().api.kill(f"{docker_cluster}-broker-2", "SIGSTOP")
    found(provision, docker_cluster, "frozen-node", "broker-2")
    assert examined(provision, docker_cluster, "--fix", "--yes")["findings"] == []


def test_a_lost_network_and_a_wrong_address(provision: Provision, docker_cluster: str) -> None:
    name, broker, api = docker_cluster, f"{docker_cluster}-broker-2", engine().api
    own = api.inspect_container(broker)["NetworkSettings"]["Networks"][name]["IPAddress"]
    api.disconnect_container_from_network(broker, name)
    found(provision, name, "network-lost", "broker-2")
    other = f"{own.rpartition('.')[0]}.{int(own.rpartition('.')[2]) + 40}"
    api.connect_container_to_network(broker, name, ipv4_address=other)
    assert other in found(provision, name, "wrong-address", "broker-2")["evidence"][0]
    assert examined(provision, name, "--fix", "--yes")["findings"] == []


def test_a_node_of_another_environment_in_the_network(provision: Provision, docker_cluster: str) -> None:
    name, api = docker_cluster, engine().api
    labels = {"provision.environment": "doctor-other", "provision.role": "tool"}
    stranger = api.create_container(image(), entrypoint=["sleep", "60"], labels=labels, name="doctor-other-guest")
    try:
        api.start(stranger["Id"])
        api.connect_container_to_network(stranger["Id"], name)
        finding = found(provision, name, "foreign-container")
        assert finding["fix"] == f"docker network disconnect {name} doctor-other-guest"
    finally:
        api.remove_container(stranger["Id"], force=True)
    assert healthy(provision, name)


def test_a_full_shared_memory(provision: Provision, docker_cluster: str) -> None:
    run_inside(f"{docker_cluster}-broker-2", "dd if=/dev/zero of=/dev/shm/full bs=1M; true")
    found(provision, docker_cluster, "shared-memory-full", "broker-2")
    run_inside(f"{docker_cluster}-broker-2", "rm /dev/shm/full")
    assert healthy(provision, docker_cluster)


def test_a_container_that_is_gone_and_a_volume_that_is_lost(provision: Provision, cluster: str) -> None:
    name = Path(cluster).stem
    if provision.runtime != "docker":
        pytest.skip("it is about containers")
    engine().api.remove_container(f"{name}-broker-2", force=True)
    found(provision, name, "node-gone", "broker-2")
    engine().api.remove_volume(f"{name}-broker-2")
    found(provision, name, "volume-lost", "broker-2")
    provision.ok("down", cluster)
    provision.ok("up", cluster)


def run_inside(container: str, command: str) -> None:
    api = engine().api
    api.exec_start(api.exec_create(container, ["sh", "-c", command])["Id"])
