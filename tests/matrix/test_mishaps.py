"""What happens to real nodes: `status` and `doctor` name it, and `up` brings all back, or says what to do before.

No record is lost that was acknowledged. The tests of the doctor have many more failures; here is what a user goes
through with each of those that are to be expected.
"""

import contextlib
import json
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine import DEFAULT_VERSION, Provision, engine, image, java, wait_until, write_environment
from tests.matrix.doctoring import Patient, up
from tests.matrix.test_doctor_volumes import CONFIG, read, write

pytestmark = [pytest.mark.soak, pytest.mark.row("mishaps")]

FILE = """\
runtime: {runtime}
kafka: {{version: {version}, mode: {mode}{image}}}
zookeeper: {{nodes: {zookeepers}, port: auto}}
brokers: {{nodes: {brokers}, port: auto, heap: 160m, memory: 640m, properties: {{{session}.session.timeout.ms: 6000}}}}
topics: [{{name: t, partitions: 4, replication_factor: {brokers}, config: {{min.insync.replicas: 1}}}}]
"""
RECORDS = [f"record {number}" for number in range(300)]
_log = logging.getLogger(__name__)


@pytest.fixture(
    scope="module",
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)],
)
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        engine()
    else:
        java(DEFAULT_VERSION)
    return str(request.param)


def patient(directory: Path, runtime: str, name: str, mode: str, further: str = "") -> Patient:
    """One that is to come up."""
    many = mode == "zookeeper"
    text = FILE.format(
        runtime=runtime,
        version=DEFAULT_VERSION,
        mode=mode,
        image=f", image: {image()}" if runtime == "docker" else "",
        zookeepers=3 if many else 1,
        brokers=2 if many else 1,
        session="zookeeper" if many else "broker",
    )
    if not many:
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("zookeeper:"))
    env = write_environment(directory, name, text + further)
    return Patient(Provision(directory / "home", runtime, as_written=True), env)


def fill(well: Patient) -> None:
    """Have the records acknowledged."""
    well.provision.ok("produce", well.env, "t", stdin="".join(f"{record}\n" for record in RECORDS))


def has_all(well: Patient) -> None:
    """It is whole: no node is missing, nothing is left to do, nothing is found, and every record is there."""
    shown = json.loads(well.provision.ok("status", well.env, "-o", "json"))
    assert shown["ready"], shown
    assert {node["state"] for node in shown["nodes"]} == {"running"}
    assert well.provision("plan", well.env, "--detailed-exitcode").code == 0
    found: list[object] = []

    def is_well() -> bool:
        found[:] = well.findings()
        return not found

    assert wait_until(is_well), found
    read = well.provision.ok("consume", well.env, "t", "--from-beginning", "--to-end").splitlines()
    assert sorted(read) == sorted(RECORDS)


def looked_at(ill: Patient, identity: str) -> str:
    """What `status` says, once `doctor` finds that."""
    found = ill.found_once(identity)
    result = ill.provision("status", ill.env)
    assert result.code == 0, result.err
    said = result.err + result.out
    _log.info("%s\n%s", said, json.dumps(found, indent=1))
    return said


# -- a cluster that has more than it needs ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, runtime: str) -> Iterator[Patient]:
    """Three ZooKeepers and two brokers with records, which each test leaves as it finds them."""
    made = patient(tmp_path_factory.mktemp("cluster"), runtime, f"mishaps-{runtime}", "zookeeper")
    with up(made):
        fill(made)
        has_all(made)
        yield made


def kill_one(ill: Patient) -> None:
    ill.provision.kill(ill.name, "broker-2")


def kill_the_quorum(ill: Patient) -> None:
    ill.provision.kill(ill.name, "zookeeper-1")
    ill.provision.kill(ill.name, "zookeeper-3")


def pause(ill: Patient) -> None:
    ill.provision.pause(ill.name, "broker-2")


def freeze(ill: Patient) -> None:
    engine().api.kill(f"{ill.name}-broker-2", "SIGSTOP")


def edit(ill: Patient, before: bytes, after: bytes, node: str = "broker-2", name: str = "server.properties") -> None:
    container = f"{ill.name}-{node}"
    if ill.provision.runtime == "docker":
        content = read(container, CONFIG, name)
        assert before in content
        write(container, CONFIG, name, content.replace(before, after, 1))
        return
    file = ill.directory / node / "config" / name
    assert before in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(before, after, 1))


def set_another_value(ill: Patient) -> None:
    edit(ill, b"broker.id=2", b"queued.max.requests=77\nbroker.id=2")


def write_latin_1(ill: Patient) -> None:
    edit(ill, b"broker.id=2", b"# caf\xe9\nbroker.id=2")


def set_another_time(ill: Patient) -> None:
    edit(ill, b"tickTime=", b"tickTime=1", "zookeeper-2", "zookeeper.properties")


def remove_with_data(ill: Patient) -> None:
    ill.provision.lose(ill.name, "broker-2")


def remove_the_network(ill: Patient) -> None:
    for container in engine().api.containers(filters={"label": f"provision.environment={ill.name}"}):
        engine().api.disconnect_container_from_network(container["Id"], ill.name, force=True)
    engine().api.remove_network(ill.name)


def remove_its_directory(ill: Patient) -> None:
    ill.provision.kill(ill.name, "broker-2")
    shutil.rmtree(ill.directory / "broker-2")


@dataclass(frozen=True, slots=True)
class Mishap:
    """What is done to a cluster, the finding that names it, and what `status` says, as a pattern."""

    happens: Callable[[Patient], None]
    finding: str
    told: str
    only: str = ""


MISHAPS = {
    "a node is killed": Mishap(kill_one, "node-killed", r"broker-2 +exited"),
    "the quorum is lost": Mishap(
        kill_the_quorum, "zookeeper-quorum-lost", r"zookeeper-1 +exited(.|\n)*zookeeper-3 +exited"
    ),
    "a node is stopped by a signal": Mishap(pause, "paused-node", r"broker-2 +paused"),
    "a JVM is stopped by a signal": Mishap(freeze, "frozen-node", r"broker-2 +(paused|frozen)", "docker"),
    "a file is edited": Mishap(set_another_value, "file-edited", r"files of broker-2 are not as `up` has written them"),
    "a file is no text": Mishap(write_latin_1, "file-not-text", r"files of broker-2 are not as `up` has written them"),
    "a file of the ensemble is edited": Mishap(
        set_another_time, "file-edited", r"files of zookeeper-2 are not as `up`"
    ),
    "a node is removed with its data": Mishap(remove_with_data, "volume-lost", r"broker-2 +gone", "docker"),
    "the network is removed": Mishap(remove_the_network, "network-lost", r"not ready", "docker"),
    "a directory is removed": Mishap(remove_its_directory, "volume-lost", r"broker-2 +gone", "process"),
}


@pytest.mark.parametrize("what", MISHAPS)
def test_it_is_named_and_up_brings_all_back(cluster: Patient, what: str) -> None:
    mishap = MISHAPS[what]
    if mishap.only not in ("", cluster.provision.runtime):
        pytest.skip(f"it is about {mishap.only}")
    mishap.happens(cluster)
    said = looked_at(cluster, mishap.finding)
    assert re.search(mishap.told, said), said
    assert json.loads(cluster.provision.ok("up", cluster.env, "--yes", "-o", "json"))["ready"]
    has_all(cluster)


def test_files_that_a_rolling_change_writes_are_not_told_as_edited(cluster: Patient) -> None:
    """One change with restarts, and one that brokers take while they run."""
    seen = 0
    for change in ("queued.max.requests=600", "log.retention.ms=600000"):
        with cluster.provision.start("up", cluster.env, "--yes", "--set", f"brokers.properties.{change}") as running:
            while running.poll() is None:
                nodes = json.loads(cluster.provision.ok("status", cluster.env, "-o", "json"))["nodes"]
                assert [node["name"] for node in nodes if node["edited"]] == []
                seen += 1
            out, err = running.communicate()
        assert running.returncode == 0, f"{out}{err}"
    assert seen > 1
    assert json.loads(cluster.provision.ok("up", cluster.env, "--yes", "-o", "json"))["ready"]
    has_all(cluster)


def test_a_home_that_is_removed_takes_nothing_with_it_from_an_engine(cluster: Patient) -> None:
    if cluster.provision.runtime != "docker":
        pytest.skip("processes live in it")
    shutil.rmtree(cluster.provision.home)
    has_all(cluster)
    assert "nothing to change" in cluster.provision.ok_err("up", cluster.env)


def test_a_home_that_is_removed_under_processes_is_told_with_what_to_do(tmp_path: Path, runtime: str) -> None:
    if runtime != "process":
        pytest.skip("an engine keeps what it has")
    ill = patient(tmp_path, runtime, "mishaps-home", "kraft")
    with up(ill):
        broker = ill.process("broker-1")
        broker.suspend()  # else it ends by itself, once it sees that its directory is gone
        shutil.rmtree(ill.provision.home)
        assert re.search(r"broker-1 +lost", looked_at(ill, "directory-lost"))
        refused = ill.provision("up", ill.env)
        assert refused.code == 4, refused
        assert "its directory is gone" in refused.err
        assert "provision down" in refused.err
        ill.provision.ok("down", ill.env)
        assert not ill.runs("broker-1")
        assert json.loads(ill.provision.ok("up", ill.env, "-o", "json"))["ready"]


# -- a broker alone, with a disk of its own ---------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    place = tmp_path / "disk"
    place.mkdir()
    place.chmod(0o777)
    if subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", place], check=False).returncode:
        pytest.skip("only root mounts a small disk")
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", place], check=True)


@pytest.fixture
def alone(tmp_path: Path, runtime: str, disk: Path) -> Iterator[Patient]:
    """A broker with records whose data are on that disk."""
    made = patient(tmp_path, runtime, f"mishaps-disk-{runtime}", "kraft", f"storage: {disk}/data\n")
    with up(made):
        fill(made)
        yield made
    made.provision.ok("down", made.env, "--delete-data")


def is_not_recovered(ill: Patient, said: str) -> None:
    """`up` tells why, and what to do."""
    result = ill.provision("up", ill.env, "--timeout", "60s")
    _log.info("%s", result)
    assert result.code == 1, result.err
    assert re.search(said, result.err), result.err
    assert "Traceback" not in result.err


def test_a_disk_that_is_full(alone: Patient, disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "full").open("wb") as full:
        full.write(b"x" * 16 * 1024**2)
    alone.provision("produce", alone.env, "t", stdin=f"{'x' * 1000}\n" * 2000)
    assert wait_until(lambda: "exited" in alone.provision.ok("status", alone.env, "-o", "json"))
    said = looked_at(alone, "disk-full")
    assert re.search("disk is full|disk or /dev/shm is full", said), said
    is_not_recovered(alone, "disk is full|disk or /dev/shm is full")
    (disk / "full").unlink()
    assert json.loads(alone.provision.ok("up", alone.env, "-o", "json"))["ready"]
    read = alone.provision.ok("consume", alone.env, "t", "--from-beginning", "--to-end").splitlines()
    assert set(RECORDS) <= set(read)


def test_a_disk_that_is_read_only(alone: Patient, disk: Path) -> None:
    alone.provision.ok("stop", alone.env)  # what is open for writing keeps a disk from becoming read-only
    subprocess.run(["/bin/mount", "-o", "remount,ro", disk], check=True)
    assert alone.provision("start", alone.env).code == 1
    said = looked_at(alone, "read-only-data-directory")
    assert re.search("read-only", said, re.IGNORECASE), said
    is_not_recovered(alone, "(?i)read-only")
    subprocess.run(["/bin/mount", "-o", "remount,rw", disk], check=True)
    assert json.loads(alone.provision.ok("up", alone.env, "-o", "json"))["ready"]
    has_all(alone)


def test_a_limit_of_memory_that_is_too_low(tmp_path: Path, runtime: str) -> None:
    if runtime != "docker":
        pytest.skip("processes have none")
    ill = patient(tmp_path, runtime, "mishaps-memory", "kraft")
    with up(ill):
        fill(ill)
        container = f"{ill.name}-broker-1"
        engine().api.stop(container)
        engine().api.update_container(container, mem_limit="60m", memswap_limit="60m")
        engine().api.start(container)
        assert engine().api.wait(container, timeout=60)["StatusCode"] == 137
        said = looked_at(ill, "out-of-memory")
        assert re.search("137|memory", said), said
        is_not_recovered(ill, "memory")
        file = Path(ill.env)
        file.write_text(file.read_text().replace("memory: 640m", "memory: 720m"))
        assert json.loads(ill.provision.ok("up", ill.env, "--yes", "-o", "json"))["ready"]
        has_all(ill)
