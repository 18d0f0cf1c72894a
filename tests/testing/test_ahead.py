"""Environments that are started for later tests while others run: by whom, which, and what becomes of a failure."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from provision import ProvisionError, Unavailable
from provision.home.place import Home
from provision.home.runs import directory_of, make_directory
from provision.testing import Pool, Wanted, ahead
from provision.testing.ahead import Ahead
from provision.testing.pool import AlreadyFailed
from tests.engine import wait_until
from tests.testing.test_plugin import Project, counts, project  # noqa: F401 the fixture
from tests.testing.test_pool import WANTED, World, world  # noqa: F401 the fixture

MUCH = 1024**4
NOWHERE = Wanted(values={"runtime": "docker"})


def said(wanted: Wanted) -> dict[str, Any]:
    """What the process is told, after the way through its standard input."""
    told: dict[str, Any] = json.loads(
        json.dumps({"run": "run", "controller": os.getpid(), "wanted": wanted.description})
    )
    return told


# -- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_file", [False, True], ids=["values", "a file"])
def test_the_test_finds_what_was_started(world: World, tmp_path: Path, *, as_file: bool) -> None:  # noqa: F811
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\n")
    overrides = ("brokers.nodes=3",)
    wanted = Wanted(file, overrides=overrides) if as_file else Wanted(values=WANTED.values, overrides=overrides)
    assert ahead.start(said(wanted), lambda: MUCH)
    pool = Pool("run", os.getpid())
    assert world.ups == [pool.environment(wanted).name]
    pool.remove()
    assert world.up == set()
    assert world.notes == []


def test_without_the_memory_it_is_left_to_the_test(world: World) -> None:  # noqa: F811
    needed = sum(node.memory_bytes for node in WANTED.named("any").validate().nodes)
    assert not ahead.start(said(WANTED), lambda: needed - 1)
    assert world.ups == []
    assert ahead.start(said(WANTED), lambda: needed)


def test_a_failure_is_told_by_who_asks_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    world.fails = Unavailable("no engine", why="none", hint="start one")
    pool = Pool("run", os.getpid())
    with monkeypatch.context() as patched:  # what is loaded later has the real one
        patched.setattr(subprocess, "Popen", lambda *_, **__: _Ended())
        assert pool.start_ahead(WANTED)
    assert not ahead.start(said(WANTED), lambda: MUCH)
    with pytest.raises(ProvisionError, match="no engine") as told:
        pool.environment(WANTED)
    assert type(told.value) is ProvisionError
    assert (told.value.why, told.value.hint) == ("none", "start one")
    with pytest.raises(AlreadyFailed):
        pool.environment(WANTED)
    assert len(world.ups) == 1


class _Ended:
    """A process that has ended before it was told anything."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        self.stdin = os.fdopen(writing, "w")

    def poll(self) -> int:
        """It has ended."""
        return 1


# -- who starts it ----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    return tmp_path / "home"


def test_it_is_a_process_of_its_own(home: Path) -> None:
    pool = Pool("run", os.getpid())
    assert pool.start_ahead(NOWHERE)
    assert wait_until(lambda: not pool.is_starting_ahead, 60)
    note = directory_of(home, "run") / f"{NOWHERE.key}.json"
    assert "no Docker engine answers" in json.loads(note.read_text())["what"]
    with pytest.raises(ProvisionError, match="no Docker engine answers"):
        pool.environment(NOWHERE)


def test_at_the_end_it_ends(home: Path) -> None:
    directory = make_directory(home, "run", os.getpid())
    pool = Pool("run", os.getpid())
    with FileLock(directory / f"{NOWHERE.key}.lock"):  # it waits for that
        assert pool.start_ahead(NOWHERE)
        was_busy = pool.is_starting_ahead
        pool.remove()
    assert (was_busy, pool.is_starting_ahead) == (True, False)
    assert not directory.exists()


@pytest.mark.parametrize("value", [Path("/data"), {1: {"heap": "64m"}}, (1, 2)], ids=["path", "numbers", "tuple"])
def test_what_is_no_plain_data_is_left_to_the_test(home: Path, value: object) -> None:
    starting = Ahead(Home.at(home), "run", os.getpid())
    assert not starting.begin("key", Wanted(values={"vars": value}).description)
    assert not starting.is_busy
    assert not starting.is_untold("key")


# -- which ------------------------------------------------------------------------------------------------------------

SHOW = """
from provision.testing.marks import asked_later

def pytest_collection_finish(session):
    print([asked_later(item, {"kafka"}) for item in session.items])
"""
TESTS = """
import pytest

def test_first(kafka): pass

@pytest.mark.kafka(brokers=3)
def test_three(kafka): pass

@pytest.mark.kafka(brokers=3, version=None, check=False)
def test_three_again(kafka): pass

@pytest.mark.kafka(brokers=7)
def test_that_takes_none(): pass

@pytest.mark.skip
@pytest.mark.kafka(brokers=5)
def test_skipped(kafka): pass

@pytest.mark.skipif("1 + 1 == 2")
@pytest.mark.kafka(brokers=5)
def test_skipped_perhaps(kafka): pass

@pytest.mark.kafka(partitions=3)
def test_wrong(kafka): pass

class TestReplaced:
    @pytest.fixture
    def kafka(self): return object()

    @pytest.mark.kafka(brokers=9)
    def test_of_its_own(self, kafka): pass

class TestBuiltOn:
    @pytest.fixture
    def kafka(self, kafka): return kafka

    @pytest.mark.kafka(brokers=2)
    def test_built_on(self, kafka): pass

@pytest.mark.kafka(version="4.3.0", mode="kraft")
class TestLast:
    @pytest.mark.kafka(version="3.9.1")
    def test_last(self, kafka): pass
"""


def test_later_tests_that_run_for_sure_are_counted(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=TESTS, conftest__py=SHOW)
    code, out = project.run("--collect-only", "-q")
    assert code == 0, out
    three, two, last = {"brokers": 3}, {"brokers": 2}, {"version": "3.9.1", "mode": "kraft"}
    later = [[three, two, last], [three, two, last], *[[two, last]] * 6, [last], []]
    assert str(later) in out


def test_tests_with_values_of_their_own_are_not_counted(project: Project) -> None:  # noqa: F811
    values = "import pytest\n@pytest.fixture(scope='session')\ndef kafka_environment_values(): return {}\n"
    project.write(conftest__py=SHOW, test_a__py="def test_a(kafka): pass\n")
    (project.directory / "other").mkdir()
    (project.directory / "other" / "conftest.py").write_text(values)
    (project.directory / "other" / "test_b.py").write_text("def test_b(kafka): pass\ndef test_c(kafka): pass\n")
    code, out = project.run("--collect-only", "-q")
    assert code == 0, out
    assert str([[{}], [], []]) in out or str([[], [{}], []]) in out


REAL = """
import pytest, psutil, time

def test_first(kafka):
    mark = f"-Dprovision.node={kafka.environment.home.directory}"
    end = time.monotonic() + 90
    while sum(any(mark in a for a in p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])) < 3:
        assert time.monotonic() < end
        time.sleep(0.1)

@pytest.mark.kafka(brokers=2)
def test_second(kafka):
    assert len(kafka.bootstrap_servers.split(",")) == 2
"""


@pytest.mark.process
@pytest.mark.matrix
@pytest.mark.row("apart")
def test_the_next_cluster_starts_while_the_first_test_runs(project: Project) -> None:  # noqa: F811
    project.write(test_it__py=REAL)
    code, out = project.run("-p", "no:xdist")
    assert code == 0, out
    assert counts(out)["passed"] == 2
    assert project.is_clean
