"""What the processes of a run agree on: who starts an environment, which are kept, and when a note of one goes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision import Environment, Level, ProvisionError, Unavailable
from provision.home import runs
from provision.testing import Pool, Wanted
from provision.testing.pool import AlreadyFailed

WANTED = Wanted(values={"runtime": "process"})


class World:
    """Environments that come up and go without any node."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.up, self.ups, self.downs = home, set[str](), list[str](), list[str]()
        self.fails: BaseException | None = None
        monkeypatch.setenv("PROVISION_HOME", str(home))
        monkeypatch.setattr(Environment, "up", lambda environment, *_, **__: self._start(environment.name))
        monkeypatch.setattr(Environment, "down", lambda environment, *_, **__: self._remove(environment.name))
        monkeypatch.setattr(Environment, "status", lambda _environment: SimpleNamespace(level=Level.TOPICS))
        looking = SimpleNamespace(observe=lambda name: SimpleNamespace(is_absent=name not in self.up, nodes=()))
        monkeypatch.setattr(Environment, "runtime", looking)

    def _start(self, name: str) -> None:
        self.ups.append(name)
        if self.fails:
            raise self.fails
        self.up.add(name)

    def _remove(self, name: str) -> None:
        self.downs.append(name)
        self.up.discard(name)

    @property
    def notes(self) -> list[Path]:
        """What is in the home about runs."""
        return sorted(file for file in (self.home / "tests").rglob("*") if file.is_file())

    def run(self, name: str, *wanted: Wanted, keep: bool = False, meanwhile: Callable[[], Any] = str) -> list[str]:
        """A run that uses these environments; returns their names."""
        pool = Pool(name, os.getpid(), keep=keep)
        names = [pool.environment(one).name for one in wanted]
        assert sorted(pool.names) == sorted(names)
        meanwhile()
        pool.remove()
        return names


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a mistake"), SystemExit(1)])
def test_a_start_that_ended_in_the_middle_is_gone_on_with(world: World, error: BaseException) -> None:
    world.fails = error
    with pytest.raises(type(error)):
        Pool("run", os.getpid()).environment(WANTED)
    world.fails = None
    other = Pool("run", os.getpid())
    environment = other.environment(WANTED)
    assert world.ups == [environment.name] * 2
    assert Pool("run", os.getpid()).environment(WANTED).name == environment.name
    assert len(world.ups) == 2
    other.remove()
    assert world.downs == [environment.name]
    assert world.notes == []


def test_a_start_that_failed_is_told_to_the_others_and_not_tried_again(world: World) -> None:
    world.fails = Unavailable("no engine", why="none", hint="start one")
    with pytest.raises(Unavailable):
        Pool("run", os.getpid()).environment(WANTED)
    with pytest.raises(AlreadyFailed, match="no engine") as told:
        Pool("run", os.getpid()).environment(WANTED)
    assert (told.value.why, told.value.hint) == ("none", "start one")
    assert len(world.ups) == 1


def test_a_name_that_cannot_be_leaves_nothing(world: World) -> None:
    pool = Pool("run", os.getpid())
    with pytest.raises(ProvisionError, match="Bad Name"):
        pool.environment(Wanted(values={"name": "Bad Name"}))
    pool.remove()
    assert world.ups == []
    assert world.notes == []


def test_a_run_tells_only_of_what_it_kept_itself(world: World) -> None:
    (one,) = world.run("a", WANTED, keep=True)
    other = Wanted(values={"runtime": "process"}, overrides=("brokers.nodes=2",))
    assert world.run("b", other, WANTED, keep=True)[1] == one
    assert world.ups.count(one) == 1
    assert world.downs == []


def test_notes_of_what_is_gone_go_with_the_next_run(world: World) -> None:
    (one,) = world.run("a", WANTED, keep=True)
    assert world.notes
    world.up.clear()
    other = Wanted(values={"runtime": "process", "brokers": {"nodes": 2}}, overrides=("storage=memory",))
    (two,) = world.run("b", other, keep=True)
    assert {name for name, _ in runs.kept(world.home)} == {two} != {one}
    world.run("c", other, keep=True, meanwhile=world.up.clear)
    assert world.notes == []


def test_a_changed_file_takes_the_place_of_what_it_said_before(world: World, tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\n")
    (before,) = world.run("a", Wanted(file), keep=True)
    file.write_text("runtime: process\nstorage: memory\n")
    (after,) = world.run("b", Wanted(file), keep=True)
    assert world.downs == [before]
    assert world.up == {after}
    assert [name for name, _ in runs.kept(world.home)] == [after]


def test_one_that_another_run_uses_stays_until_that_has_ended(world: World, tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\n")
    pool = Pool("a", os.getpid(), keep=True)
    before = pool.environment(Wanted(file)).name
    file.write_text("runtime: process\nstorage: memory\n")
    (after,) = world.run("b", Wanted(file), keep=True)
    assert world.up == {before, after}
    pool.remove()
    world.run("c", Wanted(file), keep=True)
    assert world.up == {after}


def test_one_of_a_run_that_was_killed_does_not_stay(world: World, tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\n")
    with subprocess.Popen(["sleep", "600"]) as process:  # noqa: S607
        before = Pool("a", process.pid, keep=True).environment(Wanted(file)).name
        process.kill()
    file.write_text("runtime: process\nstorage: memory\n")
    (after,) = world.run("b", Wanted(file), keep=True)
    assert (world.downs, world.up) == ([before], {after})
