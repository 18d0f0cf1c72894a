"""Archives of classes: trained by `provision warm`, used by `up`, of no consequence but speed, and removed."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engine import Provision, engine, image, java, write_environment

pytestmark = pytest.mark.row("apart")

JARS = Path.home() / ".cache" / "provision" / "kafka"
ZOOKEEPER = "zookeeper: {port: auto}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
DEDICATED = "controllers: {nodes: 1}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"


def _processes(home: Path, version: str) -> Provision:
    """Processes with a cache of their own, which has only the jars."""
    java(version)
    cache = home / "cache"
    (cache / "kafka").mkdir(parents=True)
    program = Provision(home / "home", "process", version, environment={"PROVISION_CACHE": str(cache)})
    program.ok("fetch", version)
    return program


def _mapped(program: Provision, name: str, node: str) -> bool:
    """Whether a node's JVM has an archive of the cache in its memory."""
    note = json.loads((program.home / "environments" / name / node / "process.json").read_text())
    archives = program.environment["PROVISION_CACHE"] + "/archives/"
    return any(region.path.startswith(archives) for region in psutil.Process(note["pid"]).memory_maps())


@pytest.mark.process
@pytest.mark.parametrize(
    ("version", "text", "kinds", "nodes"),
    [
        pytest.param(
            *("3.9.1", ZOOKEEPER, ["zookeeper", "zookeeper-broker"], ["zookeeper-1", "broker-1"]),
            id="zookeeper",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            *("4.1.0", DEDICATED, ["controller", "broker"], ["controller-1", "broker-1"]),
            id="dedicated",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            *("4.1.0", "brokers: {port: auto}\ntopics: [{name: t}]\n", ["combined"], ["broker-1"]),
            id="combined",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_processes_start_with_trained_archives_and_a_second_up_is_empty(
    tmp_path: Path, version: str, text: str, kinds: list[str], nodes: list[str]
) -> None:
    program = _processes(tmp_path, version)
    env = write_environment(tmp_path, "warmed", text)
    settings = ("--set", "runtime=process", "--set", f"kafka.version={version}")
    made = json.loads(program.ok("warm", env, *settings, "-o", "json"))
    assert [(one["kind"], one["made"]) for one in made] == [(kind, True) for kind in kinds]
    assert program.ok("list") == ""  # nothing is left of the training
    again = json.loads(program.ok("warm", env, *settings, "-o", "json"))
    assert [one["made"] for one in again] == [False] * len(kinds)

    first = program("up", env)
    assert first.code == 0, first.err
    assert "without its archive" not in first.err
    for node in nodes:
        assert _mapped(program, "warmed", node)
        log = (program.home / "environments" / "warmed" / node / "log" / "cds.log").read_text()
        assert "Mapped static" in log  # the JVM's own words
        assert "mismatch" not in log
    assert "nothing to change" in program.ok_err("up", env)

    for archive in Path(program.environment["PROVISION_CACHE"]).glob("archives/*.jsa"):
        archive.unlink()
    assert "nothing to change" in program.ok_err("up", env)
    program.ok("stop", env)
    program.ok("start", env)
    assert not any(_mapped(program, "warmed", node) for node in nodes)
    program.ok("down", env)
    assert program.traces("warmed") == []


@pytest.mark.soak
@pytest.mark.process
def test_an_archive_that_a_jvm_refuses_costs_a_notice_and_is_replaced(tmp_path: Path) -> None:
    program = _processes(tmp_path, "3.9.1")
    env = write_environment(tmp_path, "refused", "kafka: {mode: kraft}\nbrokers: {port: auto}\n")
    settings = ("--set", "runtime=process")
    program.ok("warm", env, *settings)
    (archive,) = (tmp_path / "cache" / "archives").glob("*.jsa")
    before = archive.stat()
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(range(256)) * 16
    archive.chmod(0o600)
    archive.write_bytes(bytes(content))
    note = json.loads(archive.with_suffix(".json").read_text())
    note["mtime_ns"] = archive.stat().st_mtime_ns  # as if the disk had lost a sector, which nobody notices
    archive.with_suffix(".json").write_text(json.dumps(note))
    assert archive.stat().st_size == before.st_size

    told = program.ok_err("up", env)
    assert "broker-1 started without its archive: Checksum verification failed." in told
    assert "`provision warm refused` makes a new one" in told
    assert [one["made"] for one in json.loads(program.ok("warm", env, *settings, "-o", "json"))] == [True]
    program.ok("down", env)
    assert "without its archive" not in program.ok_err("up", env)
    assert _mapped(program, "refused", "broker-1")
    removed = program.ok_err("down", "--all", "--caches", "--yes")
    assert "removed from the caches: Kafka's jars (3.9.1) and 1 archive" in removed
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def docker_program(tmp_path: Path) -> Iterator[Provision]:
    """Containers, and no archive before or after that was not there."""
    image("3.9.1")
    before = _volumes()
    program = Provision(tmp_path / "home", "docker", "3.9.1", environment={"PROVISION_CACHE": str(tmp_path / "cache")})
    yield program
    for name in _volumes() - before:
        engine().api.remove_volume(name)


def _volumes() -> frozenset[str]:
    found = engine().api.volumes(filters={"label": "provision.archive"})["Volumes"] or ()
    return frozenset(volume["Name"] for volume in found)


@pytest.mark.matrix
@pytest.mark.engine
def test_containers_start_with_trained_archives_and_a_second_up_is_empty(
    docker_program: Provision, tmp_path: Path
) -> None:
    program, before = docker_program, _volumes()
    env = write_environment(tmp_path, "warmed-in-docker", ZOOKEEPER)
    settings = ("--set", "runtime=docker", "--set", f"kafka.image={image('3.9.1')}", "--set", "kafka.version=3.9.1")
    made = json.loads(program.ok("warm", env, *settings, "-o", "json"))
    assert [one["kind"] for one in made] == ["zookeeper", "zookeeper-broker"]
    assert [one["made"] for one in json.loads(program.ok("warm", env, *settings, "-o", "json"))] == [False, False]
    first = program("up", env)
    assert first.code == 0, first.err
    assert "without its archive" not in first.err
    api = engine().api
    for node in ("zookeeper-1", "broker-1"):
        details = api.inspect_container(f"warmed-in-docker-{node}")
        (mount,) = [one for one in details["Mounts"] if one["Destination"] == "/var/lib/provision-archive"]
        assert not mount["RW"]
        maps = api.exec_create(details["Id"], ["cat", "/proc/1/maps"])
        assert b"/var/lib/provision-archive/archive.jsa" in api.exec_start(maps["Id"])
    assert "nothing to change" in program.ok_err("up", env)
    program.ok("down", env)
    assert program.traces("warmed-in-docker") == []
    assert _volumes() >= before | {one["place"].removeprefix("volume ") for one in made}
