"""What `provision doctor` finds in real clusters: nothing in a healthy one, and each failure by its name.

Each test breaks a cluster, which several share, has the failure named, and has it mended.
"""

import contextlib
import io
import json
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from provision.common.values import replace
from tests.engine import SHORT_SESSION, Provision, engine, image, wait_until, write_environment
from tests.matrix.doctoring import OF_BUSY_MACHINE

pytestmark = [pytest.mark.matrix, pytest.mark.row("doctor")]

FILES = {
    "zookeeper": "kafka: {mode: zookeeper}\nzookeeper: {port: auto}\n"
    f"brokers: {{nodes: 2, port: auto, heap: 160m, properties: {SHORT_SESSION}}}\n",
    "kraft": "kafka: {mode: kraft}\nbrokers: {nodes: 2, port: auto, heap: 160m}\n",
}
TOPICS = "topics: [{name: t, partitions: 2, replication_factor: 2}]\n"
MODES = {"docker": "zookeeper", "process": "kraft"}
CALM_S = 60
OTHER_MODES = {"docker": "kraft", "process": "zookeeper"}


def examined(provision: Provision, name: str, *options: str) -> dict[str, Any]:
    """What `doctor` says as JSON; it exits with 1 exactly if something is wrong."""
    result = provision("doctor", name, *options, "-o", "json")
    assert result.code in (0, 1), result.err
    said: dict[str, Any] = json.loads(result.out)
    assert result.code == bool(said["findings"]), result.err
    return said


def found(provision: Provision, name: str, failure: str, node: str = "") -> dict[str, Any]:
    """The one finding of that name, once the cluster knows it; it has evidence, a cause, and says what mends it."""
    every: list[dict[str, Any]] = []

    def is_found() -> bool:
        every[:] = examined(provision, name)["findings"]
        return any(finding["id"] == failure and finding["node"] in (None, node or None) for finding in every)

    assert wait_until(is_found, 60), json.dumps(every, indent=1)
    (finding,) = [one for one in every if one["id"] == failure and one["node"] in (None, node or None)]
    assert finding["evidence"]
    assert finding["cause"]
    assert finding["fix"]
    return dict(finding)


def require_well(provision: Provision, name: str) -> dict[str, Any]:
    """What `doctor` says as soon as it finds nothing: on a busy machine nodes answer slowly for a while."""
    said: dict[str, Any] = {}

    def is_well() -> bool:
        said.update(examined(provision, name))
        return not said["findings"]

    assert wait_until(is_well, CALM_S), json.dumps(said["findings"], indent=1)
    return said


def require_mended(provision: Provision, name: str) -> None:
    """Nothing is wrong any more once `--fix` has been asked for, which is done once."""
    left = {finding["id"] for finding in examined(provision, name, "--fix", "--yes")["findings"]}
    assert left <= OF_BUSY_MACHINE
    require_well(provision, name)


@pytest.fixture(scope="module")
def cluster(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a healthy cluster, which every test leaves healthy."""
    return started(provision, MODES[provision.runtime], tmp_path_factory.mktemp("environments"))


def started(provision: Provision, mode: str, directory: Path) -> str:
    env = write_environment(directory, f"doctor-{provision.runtime}-{mode}", FILES[mode] + TOPICS)
    provision.ok("up", env)
    return env


@pytest.fixture
def name(cluster: str) -> str:
    return Path(cluster).stem


# -- on both runtimes -------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_healthy_cluster(provision: Provision, cluster: str) -> None:
    require_healthy(provision, cluster)


def test_nothing_is_wrong_with_one_in_the_other_mode(provision: Provision, tmp_path: Path) -> None:
    env = started(provision, OTHER_MODES[provision.runtime], tmp_path)
    require_healthy(provision, env)
    provision.ok("down", env)


def require_healthy(provision: Provision, env: str) -> None:
    said = require_well(provision, env)
    assert said["reachability"]
    assert [row for row in said["reachability"] if row["answers"] != row["expected"]] == []
    askers = {row["from"] for row in said["reachability"]}
    assert len(askers) == (3 if provision.runtime == "docker" else 1)


def test_a_paused_node(provision: Provision, name: str) -> None:
    provision.pause(name, "broker-2")
    assert found(provision, name, "paused-node", "broker-2")["fix"] == f"provision start {name} broker-2"
    require_mended(provision, name)


def test_a_killed_and_a_stopped_node(provision: Provision, name: str) -> None:
    provision.kill(name, "broker-2")
    killed = found(provision, name, "node-killed", "broker-2")
    assert "SIGKILL" in killed["cause"]
    provision.ok("start", name)
    provision.ok("stop", name, "broker-2")
    assert found(provision, name, "node-stopped", "broker-2")["severity"] == "warning"
    require_mended(provision, name)


def test_a_taken_port(provision: Provision, name: str) -> None:
    port = int(endpoint(provision, name, "broker-2").rpartition(":")[2])
    provision.ok("stop", name, "broker-2")
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port}" in found(provision, name, "port-taken", "broker-2")["evidence"][0]
    provision.ok("start", name)
    require_well(provision, name)


def test_an_advertised_listener_that_nobody_reaches(provision: Provision, name: str) -> None:
    only(provision, "docker")  # in KRaft mode no broker takes this while it runs
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    wrong = f"advertised.listeners=[INTERNAL://{name}-broker-2:9092,HOST://127.0.0.1:{port}]"
    configure = ("kafka-configs", "--", "--alter", "--entity-type", "brokers", "--entity-name", "2")
    provision.ok("tool", name, *configure, "--add-config", wrong)
    try:
        finding = found(provision, name, "unreachable-listener", "broker-2")
        assert f"127.0.0.1:{port}" in finding["title"]
        assert "refused" in finding["evidence"][0]
    finally:
        provision.ok("tool", name, *configure, "--delete-config", "advertised.listeners")
    require_well(provision, name)


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
    require_mended(provision, docker_cluster)


def test_a_lost_network_and_a_wrong_address(provision: Provision, docker_cluster: str) -> None:
    name, broker, api = docker_cluster, f"{docker_cluster}-broker-2", engine().api
    own = api.inspect_container(broker)["NetworkSettings"]["Networks"][name]["IPAddress"]
    api.disconnect_container_from_network(broker, name)
    found(provision, name, "network-lost", "broker-2")
    other = f"{own.rpartition('.')[0]}.{int(own.rpartition('.')[2]) + 40}"
    api.connect_container_to_network(broker, name, ipv4_address=other)
    assert other in found(provision, name, "wrong-address", "broker-2")["evidence"][0]
    require_mended(provision, name)


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
        api.remove_container(stranger["Id"], force=True, v=True)
    require_well(provision, name)


def test_a_full_shared_memory(provision: Provision, docker_cluster: str) -> None:
    run_inside(f"{docker_cluster}-broker-2", "dd if=/dev/zero of=/dev/shm/full bs=1M; true")
    found(provision, docker_cluster, "shared-memory-full", "broker-2")
    run_inside(f"{docker_cluster}-broker-2", "rm /dev/shm/full")
    require_well(provision, docker_cluster)


def test_a_container_that_is_gone_and_a_volume_that_is_lost(provision: Provision, cluster: str) -> None:
    name = Path(cluster).stem
    if provision.runtime != "docker":
        pytest.skip("it is about containers")
    engine().api.remove_container(f"{name}-broker-2", force=True, v=True)
    found(provision, name, "node-gone", "broker-2")
    engine().api.remove_volume(f"{name}-broker-2")
    found(provision, name, "volume-lost", "broker-2")
    provision.ok("down", cluster)
    provision.ok("up", cluster)


def run_inside(container: str, command: str) -> None:
    api = engine().api
    api.exec_start(api.exec_create(container, ["sh", "-c", command])["Id"])


# -- single nodes that are broken for good ----------------------------------------------------------------------------

ONE = "kafka: {mode: kraft}\nbrokers:\n  port: auto\n  heap: 128m\n  memory: 512m\ntopics: [{name: t, partitions: 4}]\n"


@pytest.fixture
def alone(provision: Provision, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The file of a cluster with one broker, which is removed after the test."""
    part = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")[:24].strip("-")
    env = write_environment(tmp_path, f"doctor-{provision.runtime}-{part}", ONE)
    yield env
    provision.ok("down", env, "--delete-data")


def broker_of(provision: Provision, env: str) -> psutil.Process:
    (process,) = provision._processes(Path(env).stem, "broker-1")  # noqa: SLF001 what a test may look at
    return process


def only(provision: Provision, runtime: str) -> None:
    if provision.runtime != runtime:
        pytest.skip(f"it is about {runtime}")


def test_limits_of_files_and_threads(provision: Provision, alone: str) -> None:
    only(provision, "process")
    provision.ok("up", alone)
    broker = broker_of(provision, alone)
    files, threads = broker.rlimit(psutil.RLIMIT_NOFILE), broker.rlimit(psutil.RLIMIT_NPROC)
    # Nearly used, with room for what the broker opens meanwhile, for it ends without.
    broker.rlimit(psutil.RLIMIT_NOFILE, (int(broker.num_fds() / 0.96), files[1]))
    broker.rlimit(psutil.RLIMIT_NPROC, (int(broker.num_threads() / 0.96), threads[1]))
    assert "open files are in use" in found(provision, alone, "too-few-open-files", "broker-1")["evidence"][0]
    assert "threads are in use" in found(provision, alone, "too-few-threads", "broker-1")["evidence"][0]
    broker.rlimit(psutil.RLIMIT_NOFILE, files)
    broker.rlimit(psutil.RLIMIT_NPROC, threads)
    require_well(provision, alone)


def test_a_full_disk_and_one_that_is_read_only(provision: Provision, alone: str, tmp_path: Path) -> None:
    only(provision, "process")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("only root mounts a small disk")
    file = Path(alone)
    file.write_text(f"{ONE}storage: {small}/data\n")
    try:
        provision.ok("up", alone)
        require_well(provision, alone)
        provision.ok("stop", alone)  # what is open for writing keeps a disk from becoming read-only
        subprocess.run(["/bin/mount", "-o", "remount,ro", small], check=True)
        finding = found(provision, alone, "read-only-data-directory", "broker-1")
        assert finding["file"] == f"{alone}:7"
        subprocess.run(["/bin/mount", "-o", "remount,rw", small], check=True)
        provision.ok("start", alone)
        with contextlib.suppress(OSError), (small / "full").open("wb") as full:
            full.write(b"x" * 16 * 1024**2)
        assert found(provision, alone, "disk-full", "broker-1")["file"] == f"{alone}:7"
        provision("produce", alone, "t", stdin=f"{'x' * 1000}\n" * 2000)
        assert wait_until(lambda: not provision._processes(file.stem, "broker-1"))  # noqa: SLF001 see above
        dead = {finding["id"] for finding in examined(provision, alone)["findings"]}
        assert dead & {"disk-full", "sigbus"}
        (small / "full").unlink()
        assert json.loads(provision.ok("up", alone, "-o", "json"))["ready"]
        provision.ok("down", alone, "--delete-data")
    finally:
        provision("down", alone, "--delete-data")
        subprocess.run(["/bin/umount", small], check=True)


def test_a_crash_by_sigbus(provision: Provision, alone: str) -> None:
    only(provision, "process")
    provision.ok("up", alone)
    broker = broker_of(provision, alone)
    broker.send_signal(signal.SIGBUS)
    assert wait_until(lambda: not broker.is_running())
    finding = found(provision, alone, "sigbus", "broker-1")
    assert any("SIGBUS" in line for line in finding["evidence"]), finding


def test_a_directory_that_is_removed_while_its_node_runs(provision: Provision, alone: str) -> None:
    only(provision, "process")
    provision.ok("up", alone)
    provision.pause(Path(alone).stem, "broker-1")  # else it may notice and end
    shutil.rmtree(provision.home / "environments" / Path(alone).stem / "broker-1")
    assert "--keep-data" in found(provision, alone, "directory-lost", "broker-1")["fix"]


def test_out_of_memory(provision: Provision, alone: str) -> None:
    """The kernel kills it: its heap, touched as a whole, is more than its limit."""
    only(provision, "docker")
    provision.ok("up", alone)
    container = f"{Path(alone).stem}-broker-1"
    engine().api.stop(container)
    engine().api.update_container(container, mem_limit="60m", memswap_limit="60m")
    engine().api.start(container)
    assert engine().api.wait(container, timeout=60)["StatusCode"] == 137
    finding = found(provision, alone, "out-of-memory", "broker-1")
    assert finding["file"] == f"{alone}:5"
    assert "exit code 137" in finding["evidence"][0]


def test_a_missing_image(provision: Provision, alone: str) -> None:
    only(provision, "docker")
    api, own = engine().api, "doctor-own/kafka:3.9.1"
    api.tag(image(), "doctor-own/kafka", "3.9.1")
    replace(provision, own_image=False).ok("up", alone, "--set", f"kafka.image={own}")
    api.remove_image(own)
    assert own in found(provision, alone, "image-missing")["title"]


def test_a_java_for_another_processor(provision: Provision, alone: str) -> None:
    only(provision, "docker")
    api, own = engine().api, "doctor-arm/kafka:3.9.1"
    base = api.create_container(image(), entrypoint=["true"])["Id"]
    try:
        api.put_archive(base, "/", tar_of("other/java", b"\x7fELF\x02\x01\x01" + bytes(57), 0o755))
        api.commit(base, "doctor-arm/kafka", "3.9.1", changes=["ENV PATH=/other:/usr/bin:/bin"])
    finally:
        api.remove_container(base, force=True, v=True)
    try:
        settings = ("--set", f"kafka.image={own}", "--set", "kafka.mode=zookeeper")  # nothing is formatted with it
        result = replace(provision, own_image=False)("up", alone, "--retain", *settings)
        assert result.code == 1, result.err
        found(provision, alone, "wrong-architecture", "broker-1")
        provision.ok("down", alone)
    finally:
        api.remove_image(own, force=True)


def tar_of(name: str, content: bytes, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), mode
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
