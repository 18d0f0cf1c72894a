"""Processes whose files were removed are found by their mark: seen, not mistaken for something else, and ended."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.common.patience import Patience
from provision.errors import NodeFailed, Refused
from provision.events import silent
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.operations.life import start
from provision.operations.remove import down
from provision.operations.status import status, wait_for
from provision.plan.observed import NodeState
from provision.runtime.process import processes
from provision.runtime.process.layout import environment_directory, local_layout, memory_root
from provision.runtime.process.places import Places
from provision.runtime.process.runtime import ProcessRuntime
from provision.spec.model import EnvironmentSpec
from tests.users import NOBODY, needs_root

NAME = "lost-and-found"
NODES = ("broker-1", "broker-2", "zookeeper-1")
RUNS = ("sh", "-c", "while :; do sleep 1; done", "sh")
# It runs until its standard input is closed, and shows whatever arguments it is given.
IDLE = ("sh", "-c", "read line", "sh")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def running(home: Home) -> Iterator[dict[str, psutil.Process]]:
    """An environment of three running nodes, each a process that stands for a JVM."""
    runtime = ProcessRuntime(home)
    spec = EnvironmentSpec.model_validate({"name": NAME, "storage": "memory", "brokers": {"nodes": 2}})
    ports = {node: 30361 + number for number, node in enumerate(NODES)}
    cluster = resolve(spec, local_layout(spec, "/", home), ports, "/")
    files = render(cluster)
    found = {}
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in files if file.node == node.name])
        directory = environment_directory(home, NAME) / node.name
        processes.start([*RUNS, processes.mark(directory)], directory, directory / "log" / "console.log")
        process = processes.find(directory)
        assert process is not None
        found[node.name] = process
    yield found
    for name in NODES:
        processes.kill(environment_directory(home, NAME) / name)
    shutil.rmtree(memory_root(home), ignore_errors=True)


def _environment(home: Home) -> Path:
    return environment_directory(home, NAME)


def _all(home: Home) -> set[str]:
    shutil.rmtree(_environment(home))
    return set(NODES)


def _home(home: Home) -> set[str]:
    shutil.rmtree(home.directory)
    return set(NODES)


def _environments(home: Home) -> set[str]:
    shutil.rmtree(home.environments)
    return set(NODES)


def _one_node(home: Home) -> set[str]:
    shutil.rmtree(_environment(home) / "broker-2")
    return {"broker-2"}


def _note_of_node(home: Home) -> set[str]:
    (_environment(home) / "broker-2" / "node.json").unlink()
    return {"broker-2"}


def _notes_of_processes(home: Home) -> set[str]:
    for note in _environment(home).glob("*/process.json"):
        note.unlink()
    return set()


def _note_of_environment(home: Home) -> set[str]:
    (_environment(home) / "environment.json").unlink()
    return set()


def _moved(home: Home) -> set[str]:
    _environment(home).rename(home.directory / "elsewhere")
    return set(NODES)


LOSSES = [_all, _home, _environments, _one_node, _note_of_node, _notes_of_processes, _note_of_environment, _moved]


@pytest.mark.parametrize("lose", LOSSES)
def test_what_lost_its_files_is_seen_and_ended(
    home: Home, running: dict[str, psutil.Process], lose: Callable[[Home], set[str]]
) -> None:
    lost = lose(home)
    runtime = ProcessRuntime(home)
    assert runtime.environments() == (NAME,)
    observed = runtime.observe(NAME)
    assert {node.name: node.state for node in observed.nodes} == {
        node: NodeState.LOST if node in lost else NodeState.RUNNING for node in NODES
    }
    assert down(runtime, NAME, home) > 0
    assert not any(process.is_running() for process in running.values())
    assert runtime.observe(NAME).is_absent
    assert runtime.environments() == ()
    assert not memory_root(home).exists()


@pytest.mark.parametrize("keep_data", [True, False])
def test_down_that_keeps_data_ends_them_too(home: Home, running: dict[str, psutil.Process], keep_data: bool) -> None:
    _one_node(home)
    runtime = ProcessRuntime(home)
    down(runtime, NAME, home, keep_data=keep_data)
    assert not any(process.is_running() for process in running.values())
    assert runtime.observe(NAME).nodes == ()
    down(runtime, NAME, home)
    assert runtime.observe(NAME).is_absent


def test_a_lost_node_is_told_stopped_and_never_started_twice(home: Home, running: dict[str, psutil.Process]) -> None:
    _one_node(home)
    runtime = ProcessRuntime(home)
    assert status(runtime, NAME).missing["broker-2"] == "it runs, but its directory is gone"
    with pytest.raises(Refused, match="broker-2 cannot be started"):
        start(runtime, NAME, (), Patience(1.0))
    with pytest.raises(NodeFailed, match="broker-2 runs, but its directory is gone"):
        wait_for(runtime, NAME, Level.PROCESS, None, Patience(60.0), silent)
    runtime.stop_node(NAME, "broker-2", patience_s=5.0)
    assert not running["broker-2"].is_running()
    assert running["broker-1"].is_running()
    observed = runtime.observe(NAME)
    assert observed.node("broker-2") is None


@needs_root
def test_a_process_of_another_user_is_never_taken_for_a_node(home: Home) -> None:
    runtime = ProcessRuntime(home)
    directory = Places(home).make(NAME, "broker-1")
    marks = [processes.mark(directory), processes.tool_mark(directory.parent)]
    with subprocess.Popen([*IDLE, *marks], stdin=subprocess.PIPE, user=NOBODY) as stranger:
        assert processes.find(directory) is None
        assert [node.name for node in runtime.observe(NAME).nodes] == []
        processes.kill(directory)
        processes.kill_tools(directory.parent)
        down(runtime, NAME, home)
        assert runtime.environments() == ()
        assert stranger.poll() is None
        stranger.kill()


@needs_root
def test_a_note_that_names_another_users_process_is_not_believed(home: Home) -> None:
    directory = Places(home).make(NAME, "broker-1")
    with subprocess.Popen([*IDLE, processes.mark(directory)], stdin=subprocess.PIPE, user=NOBODY) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        (directory / "process.json").write_text(json.dumps({"pid": stranger.pid, "created": created}))
        assert processes.find(directory) is None
        processes.stop(directory, patience_s=0.0)
        assert stranger.poll() is None
        stranger.kill()
