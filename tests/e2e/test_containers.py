"""What containers may do, where they are reached, and that every codec works within those limits."""

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import SHORT_SESSION, Provision, engine, image, write_environment

pytestmark = [pytest.mark.engine, pytest.mark.row("apart")]

CODECS = ("gzip", "snappy", "lz4", "zstd")
FILE = f"zookeeper: {{port: auto}}\nbrokers: {{nodes: 2, port: auto, properties: {SHORT_SESSION}}}\n"


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Only on an engine."""
    engine()
    return Provision(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def running(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    env = write_environment(tmp_path_factory.mktemp("files"), "confined", FILE)
    provision.ok("up", env)
    yield env
    provision.ok("down", env)


def test_containers_are_confined(running: str) -> None:
    names = ["confined-broker-1", "confined-broker-2", "confined-zookeeper-1"]
    for name in names:
        details = engine().api.inspect_container(name)
        host = details["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["ReadonlyRootfs"] is True
        assert host["PidsLimit"] > 0
        assert host["Memory"] > 0
        assert host["Privileged"] is False
        assert details["Config"]["User"] == "1000:1000"
        assert {mount["Type"] for mount in details["Mounts"]} == {"volume"}
        assert [mount["Name"] for mount in details["Mounts"] if mount["RW"]] == [name]
        shared = [mount["Name"] for mount in details["Mounts"] if not mount["RW"]]
        assert all(one.startswith("provision-archive-") for one in shared)  # if some were trained on this engine
        bindings = [binding for bound in host["PortBindings"].values() for binding in bound]
        assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
        assert details["Config"]["Labels"]["provision.environment"] == "confined"
        assert details["Path"].endswith("java")


def test_containers_listen_on_what_the_documents_say_and_only_members_of_the_network_reach_it(running: str) -> None:
    api = engine().api
    for node, expected in (("broker-1", {9092, 19092}), ("zookeeper-1", {2181})):
        name = f"confined-{node}"
        assert _listening(name) == expected
        address = api.inspect_container(name)["NetworkSettings"]["Networks"]["confined"]["IPAddress"]
        for port in expected:
            assert _reaches("confined", address, port, within_s=20)
            assert not _reaches("bridge", address, port)


def _listening(container: str) -> set[int]:
    """The TCP ports on which a container listens, apart from the engine's name server, which has a loopback address."""
    api = engine().api
    execution = api.exec_create(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"])
    rows = [line.split() for line in api.exec_start(execution["Id"]).decode().splitlines()]
    listening = [row[1].rpartition(":") for row in rows if row[3] == _LISTEN]
    return {int(port, 16) for address, _, port in listening if not address.endswith(_LOOPBACK)}


# In /proc/net/tcp: the state of a socket that listens, and the last byte of 127.0.0.11, in the order of the machine.
_LISTEN, _LOOPBACK = "0A", "00007F"


def _reaches(network: str, address: str, port: int, within_s: int = 2) -> bool:
    """Whether a container in that network can open a connection."""
    connect = f"timeout {within_s} bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
    api = engine().api
    host = api.create_host_config(network_mode=network)
    container = api.create_container(image(), entrypoint=["sh", "-c"], command=[connect], host_config=host)["Id"]
    try:
        api.start(container)
        return bool(api.wait(container, timeout=60)["StatusCode"] == 0)
    finally:
        api.remove_container(container, force=True, v=True)


@pytest.mark.matrix
def test_every_codec_works_in_broker_and_tool(provision: Provision, running: str) -> None:
    endpoints = json.loads(provision.ok("endpoints", running, "-o", "json"))
    inside = next(row["inside"] for row in endpoints if row["node"] == "broker-1")
    server = ("--bootstrap-server", inside)
    # The broker compresses records that arrive uncompressed, so that its own native libraries are used.
    for codec in CODECS:
        topic = ("--topic", codec)
        provision.ok("topics", "create", running, codec, "--config", f"compression.type={codec}", "-r", "2")
        provision.ok("produce", running, codec, stdin=f"to be compressed with {codec}\n")
        provision.ok(
            "tool", running, "kafka-console-producer", "--", *server, *topic, "--compression-codec", codec,
            stdin=f"by a tool with {codec}\n",
        )  # fmt: skip
    read = provision.ok(
        "tool", running, "kafka-console-consumer", "--", *server, "--include", "|".join(CODECS), "--from-beginning",
        "--max-messages", str(2 * len(CODECS)), "--timeout-ms", "120000",
    )  # fmt: skip
    assert sorted(read.splitlines()) == sorted(
        f"{text} with {codec}" for codec in CODECS for text in ("to be compressed", "by a tool")
    )


@pytest.mark.matrix
def test_up_mends_an_environment_whose_network_was_pruned(provision: Provision, running: str) -> None:
    provision.ok("topics", "create", running, "kept", "-r", "2")
    provision.ok("produce", running, "kept", stdin="from before\n")
    provision.ok("stop", running)
    engine().api.remove_network("confined")  # as `docker network prune` does, while nobody uses it
    refused = provision("start", running)
    assert refused.code == 1
    assert "the network confined is gone\nhint: `provision up confined`" in refused.err
    provision.ok("up", running)
    assert provision.ok("consume", running, "kept", "--from-beginning", "-n", "1") == "from before\n"
    assert json.loads(provision.ok("plan", running, "-o", "json"))["actions"] == []


@pytest.mark.matrix
def test_running_nodes_join_the_network_that_they_lost(provision: Provision, running: str) -> None:
    api = engine().api
    nodes = [row["name"] for row in json.loads(provision.ok("status", running, "-o", "json"))["nodes"]]
    provision.ok("topics", "create", running, "lost", "-r", "2")
    provision.ok("produce", running, "lost", stdin="from before\n")
    started = [api.inspect_container(f"confined-{node}")["State"]["StartedAt"] for node in nodes]
    for node in nodes:
        api.disconnect_container_from_network(f"confined-{node}", "confined", force=True)
    api.remove_network("confined")
    planned = json.loads(provision.ok("plan", running, "-o", "json"))["actions"]
    assert [(action["verb"], action["resource"]) for action in planned] == [
        ("create", "network confined"),
        *(("join", node) for node in sorted(nodes, key=lambda node: not node.startswith("zookeeper"))),
    ]
    provision.ok("up", running)
    assert [api.inspect_container(f"confined-{node}")["State"]["StartedAt"] for node in nodes] == started
    assert provision.ok("consume", running, "lost", "--from-beginning", "-n", "1") == "from before\n"

    api.disconnect_container_from_network("confined-broker-1", "confined", force=True)
    api.disconnect_container_from_network("confined-broker-2", "confined", force=True)
    api.connect_container_to_network("confined-broker-2", "confined")  # at an address that the engine chooses
    planned = json.loads(provision.ok("plan", running, "-o", "json"))["actions"]
    assert [action["verb"] for action in planned] == ["join", "join"]
    assert "it has the address" in planned[1]["cause"]
    provision.ok("up", running)
    assert json.loads(provision.ok("plan", running, "-o", "json"))["actions"] == []
    assert provision.ok("consume", running, "lost", "--from-beginning", "-n", "1") == "from before\n"


@pytest.mark.matrix
def test_an_engine_that_shares_no_files_is_enough(provision: Provision, tmp_path: Path) -> None:
    with _forwarded_engine() as address:
        remote = Provision(provision.home, environment={"DOCKER_HOST": address}, started=provision.started)
        env = write_environment(tmp_path, "remote", "brokers: {port: auto}\ntopics: [{name: t}]\n")
        remote.ok("up", env)
        for name in ("remote-broker-1", "remote-zookeeper-1"):
            mounts = engine().api.inspect_container(name)["Mounts"]
            assert {mount["Type"] for mount in mounts} == {"volume"}
        remote.ok("produce", env, "t", stdin="from afar\n")
        tool = remote.ok("tool", env, "kafka-topics", "--", "--bootstrap-server", "remote-broker-1:9092", "--list")
        assert tool == "t\n"
        refused = remote("up", env, "--set", "storage=./data", "--set", "name=remote-dir")
        assert refused.code == 69
        assert "a storage directory needs an engine on this machine" in refused.err
        remote.ok("down", env)
    assert provision.traces("remote") == provision.traces("remote-dir") == []


@contextlib.contextmanager
def _forwarded_engine() -> Iterator[str]:
    """The engine's socket behind a TCP port of the loopback, as a remote engine's would be."""
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = threading.Event()
        thread = threading.Thread(target=_forward, args=(server, path, stopped))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join(timeout=10)


def _forward(server: socket.socket, path: str, stopped: threading.Event) -> None:
    peers: dict[socket.socket, socket.socket] = {}
    while not stopped.is_set():
        for ready in select.select([server, *peers], [], [], 0.1)[0]:
            if ready is server:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(path)
                peers |= {near: far, far: near}
                continue
            if ready not in peers:
                continue
            data = b""
            with contextlib.suppress(OSError):
                data = ready.recv(65536)
            if data:
                with contextlib.suppress(OSError):
                    peers[ready].sendall(data)
                continue
            peer = peers.pop(ready)
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_WR)  # the other direction may still have something to say
            if peer not in peers:
                ready.close()
                peer.close()
    for peer in peers:
        peer.close()
