"""What was removed, replaced or locked by hand, as processes: the commands tell what is there, and `down` ends it all.

Each row of the table is tried with the program's own command lines. A process that idles stands for each JVM.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from provision.cli.run import run
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.errors import PartlyApplied, Refused
from provision.home.place import Home
from provision.runtime.process.layout import environment_directory, local_layout, memory_root
from provision.runtime.process.places import Places
from provision.runtime.process.runtime import ProcessRuntime
from provision.spec.model import EnvironmentSpec
from tests.engine import NO_ENGINE
from tests.runtime.test_lost_nodes import NAME, NODES, running
from tests.users import NOBODY, needs_root

__all__ = ["running"]  # the fixture

LOST, RUNNING = "lost", "running"
Change = Callable[[Home], object]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that every user can reach, as pytest's own directories cannot."""
    with tempfile.TemporaryDirectory(prefix="provision-by-hand-") as place:
        home = Home.at(Path(place, "home"))
        monkeypatch.setenv("PROVISION_HOME", str(home.directory))
        monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
        yield home


def _env(home: Home) -> Path:
    return environment_directory(home, NAME)


def _node(home: Home) -> Path:
    return _env(home) / "broker-2"


def _data(home: Home) -> Path:
    return memory_root(home) / NAME


def _gone(place: Path) -> Path:
    shutil.rmtree(place)
    return place


def _as_file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("not a directory any more")


def _as_link(place: Path, target: Path | None) -> None:
    if target is None:
        shutil.rmtree(place)
    else:
        place.rename(target)
    place.symlink_to(target or "nowhere")


def _as_directory(place: Path) -> None:
    place.unlink()
    (place / "inside").mkdir(parents=True)


# What is done by hand, and which nodes have lost their files then.
TABLE: dict[str, tuple[Change, tuple[str, ...]]] = {
    "a node's directory is a file": (lambda home: _as_file(_node(home)), ("broker-2",)),
    "a node's directory is a link to nothing": (lambda home: _as_link(_node(home), None), ("broker-2",)),
    "a node's directory is moved behind a link": (lambda home: _as_link(_node(home), home.directory / "moved"), ()),
    "the environment's directory is a file": (lambda home: _as_file(_env(home)), NODES),
    "the directory of all environments is a file": (lambda home: _as_file(home.environments), NODES),
    "the home is a file": (lambda home: _as_file(home.directory), NODES),
    "the configuration is gone": (lambda home: shutil.rmtree(_node(home) / "config"), ()),
    "the configuration is a file": (lambda home: _as_file(_node(home) / "config"), ()),
    "the logs are gone": (lambda home: shutil.rmtree(_node(home) / "log"), ()),
    "the logs are a file": (lambda home: _as_file(_node(home) / "log"), ()),
    "the native libraries are gone": (lambda home: shutil.rmtree(_node(home) / "tmp"), ()),
    "the data in memory are gone": (lambda home: shutil.rmtree(_data(home)), ()),
    "a node's data in memory are a file": (lambda home: _as_file(_data(home) / "broker-2"), ()),
    "all of it is gone": (lambda home: (_gone(_env(home)), _gone(_data(home))), NODES),
    "the environment's note is a directory": (lambda home: _as_directory(_env(home) / "environment.json"), ()),
    "a node's note is a directory": (lambda home: _as_directory(_node(home) / "node.json"), ()),
    "a process' note is a directory": (lambda home: _as_directory(_node(home) / "process.json"), ()),
}
# The others are tried with `make test-matrix`: each takes a second.
ALWAYS = ("a node's directory is a file", "the environment's directory is a file", "all of it is gone")
LOCKED: dict[str, Callable[[Home], Path]] = {
    "the home": lambda home: home.directory,
    "all environments": lambda home: home.environments,
    "the environment": _env,
    "a node": _node,
    "a configuration": lambda home: _node(home) / "config",
    "the logs": lambda home: _node(home) / "log",
    "a note": lambda home: _node(home) / "node.json",
    "the memory": memory_root,
    "the environment's memory": _data,
    "a node's memory": lambda home: _data(home) / "broker-2",
    "a node's data": lambda home: _data(home) / "broker-2" / "data",
}


def _states(home: Home, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What `list` and `status` show."""
    capsys.readouterr()
    assert run(["list"]) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(NAME)]
    assert row[1] == "process"
    assert "3 of 3" in " ".join(row)
    assert run(["status", NAME, "-o", "json"]) == 0
    return {node["name"]: node["state"] for node in json.loads(capsys.readouterr().out)["nodes"]}


def _taken_down(home: Home, processes: dict[str, psutil.Process], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["down", NAME]) == 0
    assert f"{NAME} is removed" in capsys.readouterr().err
    assert not any(process.is_running() for process in processes.values())
    assert run(["status", NAME]) == 64
    assert run(["list"]) == 0
    assert NAME not in capsys.readouterr().out
    assert not memory_root(home).exists()
    assert not _env(home).is_dir()


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=() if what in ALWAYS else pytest.mark.matrix) for what in TABLE],
)
def test_the_commands_tell_what_is_there_and_down_ends_it(
    home: Home, running: dict[str, psutil.Process], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    change, lost = TABLE[what]
    change(home)
    assert _states(home, capsys) == {node: LOST if node in lost else RUNNING for node in NODES}
    _taken_down(home, running, capsys)


@contextmanager
def _as_nobody(place: Path) -> Iterator[None]:
    """Act as a user for whom permissions count, with a home of their own. All that is needed is loaded before."""
    os.chown(place, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@needs_root
@pytest.mark.parametrize(
    ("what", "mode"),
    [
        *((what, 0o000) for what in ("the environment", "a node")),
        *(pytest.param(what, mode, marks=pytest.mark.matrix) for mode in (0o000, 0o500) for what in LOCKED),
    ],
)
def test_what_its_user_may_not_enter_or_change_any_more_is_opened_again(
    request: pytest.FixtureRequest,
    home: Home,
    capsys: pytest.CaptureFixture[str],
    what: str,
    mode: int,
) -> None:
    run(["status", NAME])  # loads what is needed: a user of the machine may not read everything that root has
    with _as_nobody(home.directory.parent):
        processes = request.getfixturevalue("running")
        try:
            LOCKED[what](home).chmod(mode)
            assert _states(home, capsys) == dict.fromkeys(NODES, RUNNING)
            _taken_down(home, processes, capsys)
        finally:
            for process in filter(psutil.Process.is_running, processes.values()):
                process.kill()


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(place))


def _link_to_a_directory(place: Path) -> None:
    target = Path(tempfile.mkdtemp(dir=Path(os.environ["PROVISION_HOME"]).parent))
    (target / "records").write_text("kept")
    place.symlink_to(target)


# What somebody has put into an environment's directories that is none of its nodes' directories.
PUT: dict[str, Callable[[Path], object]] = {
    "a file": lambda place: place.write_text("x"),
    "a pipe": _fifo,
    "a socket": _socket,
    "a link": lambda place: place.symlink_to("nowhere"),
    "a link to a directory": _link_to_a_directory,
}
CALLED = ("broker-2", "zookeeper-1", "controller-9", "notes.txt")


def _made(home: Home) -> None:
    """An environment whose nodes never ran."""
    runtime = ProcessRuntime(home)
    spec = EnvironmentSpec.model_validate({"name": NAME, "storage": "memory"})
    cluster = resolve(spec, local_layout(spec, "/", home), {"zookeeper-1": 30361, "broker-1": 30362}, "/")
    for node in cluster.nodes:
        if node.name == "broker-1":
            runtime.create_storage(cluster, node)
            runtime.create_node(cluster, node, [file for file in render(cluster) if file.node == node.name])


@pytest.mark.parametrize("into", [_env, _data], ids=["home", "memory"])
@pytest.mark.parametrize(
    ("what", "called"), [*((what, "broker-2") for what in PUT), *(("a file", called) for called in CALLED[1:])]
)
def test_down_removes_what_somebody_has_put_beside_the_nodes(
    home: Home, capsys: pytest.CaptureFixture[str], what: str, called: str, into: Callable[[Home], Path]
) -> None:
    _made(home)
    PUT[what](into(home) / called)
    kept = list(home.directory.parent.glob("*/records"))
    assert bool(kept) is (what == "a link to a directory")
    assert run(["down", NAME]) == 0
    assert f"{NAME} is removed" in capsys.readouterr().err
    assert not os.path.lexists(_env(home))
    assert not os.path.lexists(memory_root(home))
    assert all(file.read_text() == "kept" for file in kept)
    assert run(["list"]) == 0
    assert NAME not in capsys.readouterr().out


@pytest.mark.parametrize("into", [_env, _data], ids=["home", "memory"])
@pytest.mark.parametrize("called", ["mine", "broker-1.bak", "about.json", "data"])
def test_down_names_the_directories_that_it_leaves_to_whoever_made_them(
    home: Home, capsys: pytest.CaptureFixture[str], called: str, into: Callable[[Home], Path]
) -> None:
    _made(home)
    place = into(home) / called
    place.mkdir()
    (place / "records").write_text("kept")
    for _ in range(2):
        assert run(["down", NAME]) == PartlyApplied.exit_code
        told = " ".join(capsys.readouterr().err.split())
        assert f"{place} is left" in told
        assert f"`provision down {NAME}`" in told
    assert not ProcessRuntime(home).observe(NAME).is_absent  # else another runtime would be asked to remove it
    assert (place / "records").read_text() == "kept"
    assert list(_env(home).parent.rglob("node.json")) == []
    shutil.rmtree(place)
    assert not ProcessRuntime(home).observe(NAME).is_absent
    assert run(["down", NAME]) == 0
    assert run(["list"]) == 0
    assert NAME not in capsys.readouterr().out
    assert not memory_root(home).exists()


def test_what_cannot_be_looked_at_does_not_hide_the_others(
    home: Home,
    running: dict[str, psutil.Process],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Places, "environments", lambda _: ("linked", NAME))
    (home.environments / "linked").symlink_to(_env(home))
    assert run(["list", "-o", "json"]) == Refused.exit_code
    told = capsys.readouterr()
    assert [row["name"] for row in json.loads(told.out)] == [NAME]
    assert "linked is a link" in told.err
