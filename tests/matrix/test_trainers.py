"""Archives trained in the background after `up`, by a process that belongs to the environment and leaves nothing."""

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from provision.home.place import Home
from provision.home.trainers import Trainer, throwaway
from tests.engine import NO_ENGINE, Provision, engine, engine_traces, image, java, wait_until, write_environment

pytestmark = [pytest.mark.row("apart"), pytest.mark.matrix]

NAME = "trained-behind"
KRAFT = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
TRAINED_S = 600  # on a busy machine, behind everything else
_IDLE = Path(__file__).with_name("idle_machine.py")


@dataclass(frozen=True)
class OnIdleMachine(Provision):
    """The program on a machine with nothing else to do."""

    image: str = ""

    def arguments(self, *arguments: str) -> list[str]:
        """The whole command."""
        software = ["--set", f"kafka.image={self.image}"] if self.image and arguments[0] == "up" else []
        return [sys.executable, str(_IDLE), *super().arguments(*arguments)[3:], *software]

    @property
    def cache(self) -> Path:
        """Where archives are."""
        return Path(self.environment["PROVISION_CACHE"])

    @property
    def throwaway(self) -> str:
        """The environment that is there only for the training."""
        return throwaway(self.home.resolve())

    def trainer(self) -> Trainer | None:
        """What trains for the environment."""
        return Home.at(self.home).trainers.running(NAME)

    def processes(self) -> list[int]:
        """All processes that are told the home or are below it."""
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
                if str(self.home) in line or process.environ().get("PROVISION_HOME") == str(self.home):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def nothing_is_left(self) -> bool:
        """Neither of the environment nor of the training; archives that are whole may stay."""
        files = [*self.cache.rglob("*.new"), *(self.home / "trainers").glob("*")]
        return not [*files, *self.processes(), *self.traces(NAME), *self.traces(self.throwaway)]


def _image_with_its_own_archive() -> str:
    """An image of its own, for which nobody has trained, and whose JVM is told to use an archive that it brings."""
    api, name = engine().api, f"{image('3.9.1')}-with-archive"
    container = api.create_container(image("3.9.1"), ["true"])["Id"]
    try:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("kafka.jsa"))
        api.put_archive(container, "/opt/kafka", archive.getvalue())
        repository, _, tag = name.rpartition(":")
        variables = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
        changes = [f"ENV {one}=-XX:SharedArchiveFile=/opt/kafka/kafka.jsa" for one in variables]
        api.commit(container, repository=repository, tag=tag, changes=changes)
    finally:
        api.remove_container(container, force=True, v=True)
    return name


@pytest.fixture(
    params=[pytest.param("process", marks=pytest.mark.process), pytest.param("docker", marks=pytest.mark.engine)]
)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnIdleMachine]:
    cache, own, before = tmp_path / "cache", "", frozenset[str]()
    if request.param == "process":
        java("3.9.1")
        shutil.copytree(Path.home() / ".cache" / "provision" / "kafka" / "3.9.1", cache / "kafka" / "3.9.1")
    else:
        own, before = _image_with_its_own_archive(), _volumes()
    variables = {"PROVISION_CACHE": str(cache), **(NO_ENGINE if request.param == "process" else {})}
    program = OnIdleMachine(tmp_path / "home", request.param, "3.9.1", environment=variables, image=own)
    yield program
    program("down", NAME)
    if request.param == "docker":
        for name in _volumes() - before:
            engine().api.remove_volume(name)
        engine().api.remove_image(own)


def _volumes() -> frozenset[str]:
    found = engine().api.volumes(filters={"label": "provision.archive"})["Volumes"] or ()
    return frozenset(volume["Name"] for volume in found)


def _is_training(program: OnIdleMachine) -> bool:
    if program.runtime == "docker":
        return any(trace.startswith("container") for trace in engine_traces(program.throwaway))
    return (program.home / "environments" / program.throwaway / "broker-1" / "process.json").exists()


def _uses_archive(program: OnIdleMachine) -> bool:
    """Whether the broker has an archive of ours in its memory."""
    if program.runtime == "docker":
        maps = engine().api.exec_create(f"{NAME}-broker-1", ["cat", "/proc/1/maps"])
        return b"/var/lib/provision-archive/archive.jsa" in engine().api.exec_start(maps["Id"])
    note = json.loads((program.home / "environments" / NAME / "broker-1" / "process.json").read_text())
    return any(
        one.path.startswith(str(program.cache)) and one.path.endswith(".jsa")
        for one in psutil.Process(note["pid"]).memory_maps()
    )


def test_what_a_first_up_lacks_is_trained_once_and_down_leaves_the_archive_alone(
    program: OnIdleMachine, tmp_path: Path
) -> None:
    env = write_environment(tmp_path, NAME, KRAFT)
    assert "archives for faster starts are trained in the background" in program.ok_err("up", env)
    assert program.trainer() is not None
    assert f"{NAME}: pid " in program.ok_err("status", env)
    assert "trains archives in the background since" in program.ok("gc", "--dry-run")
    assert "nothing to change" in program.ok_err("up", env)
    assert wait_until(lambda: program.trainer() is None, TRAINED_S)
    assert wait_until(lambda: not (program.home / "trainers").exists())
    assert program.traces(program.throwaway) == []
    assert "trained in the background" not in program.ok_err("up", env)
    program.ok("down", env)
    assert wait_until(program.nothing_is_left)
    again = program.ok_err("up", env)
    assert "trained in the background" not in again
    assert "without its archive" not in again
    assert _uses_archive(program)
    program.ok("down", env)


@pytest.mark.parametrize("when", ["waiting", "training"])
def test_down_ends_it_with_all_that_it_has_made(program: OnIdleMachine, tmp_path: Path, when: str) -> None:
    env = write_environment(tmp_path, NAME, KRAFT)
    program.ok("up", env)
    if when == "training":
        assert wait_until(lambda: _is_training(program))
    program.ok("down", env)
    assert program.nothing_is_left()


@pytest.mark.process
def test_the_end_of_its_home_ends_it(tmp_path: Path) -> None:
    java("3.9.1")
    cache = tmp_path / "cache"
    shutil.copytree(Path.home() / ".cache" / "provision" / "kafka" / "3.9.1", cache / "kafka" / "3.9.1")
    variables = {"PROVISION_CACHE": str(cache), **NO_ENGINE}
    program = OnIdleMachine(tmp_path / "home", "process", "3.9.1", environment=variables)
    env = write_environment(tmp_path, NAME, KRAFT)
    program.ok("up", env)
    assert wait_until(lambda: _is_training(program))
    nodes = psutil.Process(
        json.loads((program.home / "environments" / NAME / "broker-1" / "process.json").read_text())["pid"]
    )
    for _ in range(100):  # what runs there goes on writing
        shutil.rmtree(program.home, ignore_errors=True)
        if not program.home.exists():
            break
    assert wait_until(lambda: set(program.processes()) <= {nodes.pid})  # without its directory, a broker ends, too
    program.ok("gc", "--yes")
    assert wait_until(lambda: program.processes() == [])


def test_what_is_killed_while_it_trains_is_removed_by_gc(program: OnIdleMachine, tmp_path: Path) -> None:
    env = write_environment(tmp_path, NAME, KRAFT)
    program.ok("up", env)
    assert wait_until(lambda: _is_training(program))
    if program.runtime == "docker":
        assert wait_until(lambda: f"container {program.throwaway}-broker-1" in engine_traces(program.throwaway))
        limits = engine().api.inspect_container(f"{program.throwaway}-broker-1")["HostConfig"]
        assert limits["NanoCpus"] >= 10**9  # a quarter of the processors, and at least one
    trainer = program.trainer()
    assert trainer
    psutil.Process(trainer.process.pid).kill()
    assert wait_until(lambda: bool(trainer.process.is_over))
    assert "killed training" in program.ok("gc", "--dry-run")
    program.ok("gc", "--yes")
    assert program.traces(program.throwaway) == []
    assert program.ok("gc", "--dry-run") == ""
    program.ok("down", env)
    assert program.nothing_is_left()
