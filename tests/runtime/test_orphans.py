"""A node is an orphan only if its directory was deleted for certain: what merely cannot be seen is left alone."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from provision.errors import Unavailable
from provision.home.place import Home
from provision.operations.gc.collector import Collector
from provision.operations.gc.environments import homeless
from provision.operations.gc.leftover import Kind, Leftover
from provision.runtime.process import processes
from provision.runtime.process.layout import environment_directory
from provision.runtime.process.places import Places
from provision.runtime.process.runtime import ProcessRuntime
from tests.runtimes import FakeRuntimes

pytestmark = [
    pytest.mark.process,
    pytest.mark.row(None),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says that a directory was deleted"),
]

NAME = f"orphaned-{secrets.token_hex(4)}"
SLEEP = "import time; time.sleep(120)"
HOME_GONE = (Kind("home gone", homeless),)


@pytest.fixture
def lost(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "lost")


@pytest.fixture
def nodes(lost: Home) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The running nodes of an environment of that home."""
    started = [_start(lost, node) for node in ("broker-1", "zookeeper-1")]
    yield started
    for child in started:
        child.kill()
        child.wait()


def _start(home: Home, node: str) -> subprocess.Popen[bytes]:
    directory = environment_directory(home, NAME) / node
    directory.mkdir(parents=True, mode=0o700)
    for place in (home.directory, home.environments, directory.parent):
        place.chmod(0o700)
    return subprocess.Popen([sys.executable, "-c", SLEEP, processes.mark(directory)], cwd=directory)


def _collector(home: Path) -> Collector:
    there: dict[str, Any] = {"docker": Unavailable("none"), "process": ProcessRuntime(Home.at(home))}
    return Collector(FakeRuntimes(home, there), kinds=HOME_GONE)


def _found(looking: Collector) -> list[Leftover]:
    """Its finds, without the orphans of other tests on this machine."""
    return [one for one in looking.find() if one.name == NAME]


def _delete_home(home: Home) -> None:
    shutil.rmtree(home.directory)


def _delete_environment(home: Home) -> None:
    shutil.rmtree(environment_directory(home, NAME))


def _move(home: Home) -> None:
    home.directory.rename(home.directory.with_name("moved"))


def _name_deceptively(home: Home) -> None:
    environment = environment_directory(home, NAME)
    for node in list(environment.iterdir()):
        node.rename(home.directory.with_name(f"{node.name} (deleted)"))
    shutil.rmtree(home.directory)


def _delete_one(home: Home) -> None:
    """As seen of a home that is gone for one node only."""
    (environment_directory(home, NAME) / "zookeeper-1").rename(home.directory.with_name("zookeeper-1"))
    shutil.rmtree(home.directory)


def _readings(monkeypatch: pytest.MonkeyPatch, nodes: list[subprocess.Popen[bytes]], part: str, told: str) -> None:
    """Let Linux say something else of the nodes, as it does of processes in other places."""
    real, theirs = os.readlink, {f"/proc/{node.pid}/{part}" for node in nodes}
    monkeypatch.setattr(os, "readlink", lambda path: told if str(path) in theirs else real(path))


@pytest.mark.parametrize("delete", [_delete_home, _delete_environment])
def test_what_was_deleted_under_its_nodes_is_found_and_removed(
    nodes: list[subprocess.Popen[bytes]], lost: Home, tmp_path: Path, delete: Callable[[Home], None]
) -> None:
    delete(lost)
    looking = _collector(tmp_path / "other" if delete is _delete_home else lost.directory)
    (found,) = _found(looking)
    assert (found.kind, found.name) == ("home gone", NAME)
    (outcome,) = looking.remove([found])
    assert (outcome.removed, outcome.error) == (True, None)
    assert all(node.wait(10) is not None for node in nodes)
    assert _found(looking) == []


@pytest.mark.parametrize("hide", [_move, _name_deceptively, _delete_one])
@pytest.mark.parametrize("where", ["lost", "other"])
def test_what_is_only_elsewhere_is_left_alone(
    nodes: list[subprocess.Popen[bytes]], lost: Home, tmp_path: Path, hide: Callable[[Home], None], where: str
) -> None:
    hide(lost)
    assert _found(_collector(tmp_path / where)) == []
    assert all(node.poll() is None for node in nodes)


@pytest.mark.parametrize("where", ["lost", "other"])
@pytest.mark.parametrize(
    "reading",
    [("ns/mnt", "mnt:[1]"), ("cwd", "/its/own/home/broker-1"), ("cwd", "(unreachable)/broker-1"), ("cwd", "broker-1")],
    ids=["mounts of its own", "a path of its own", "another root", "unmounted"],
)
def test_nodes_whose_home_cannot_be_seen_are_left_alone(
    nodes: list[subprocess.Popen[bytes]],
    lost: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reading: tuple[str, str],
    where: str,
) -> None:
    shutil.rmtree(lost.directory)
    _readings(monkeypatch, nodes, *reading)
    assert _found(_collector(tmp_path / where)) == []
    assert NAME not in {name for _, name in Places(Home.at(tmp_path / where)).orphans()}


def test_what_has_come_back_meanwhile_is_left_alone(
    nodes: list[subprocess.Popen[bytes]], lost: Home, tmp_path: Path
) -> None:
    shutil.rmtree(lost.directory)
    looking = _collector(tmp_path / "other")
    (found,) = _found(looking)
    lost.directory.mkdir(mode=0o700)
    (outcome,) = looking.remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    assert all(psutil.pid_exists(node.pid) and node.poll() is None for node in nodes)
