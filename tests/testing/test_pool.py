"""What the processes of a run agree on: who starts an environment, which are kept, and when a note of one goes."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from provision import Environment, Interrupted, InvalidEnvironment, Level, PortTaken, ProvisionError, Unavailable
from provision.cluster.model import Topic
from provision.home import runs
from provision.testing import Pool, Wanted
from provision.testing.pool import AlreadyFailed

WANTED = Wanted(values={"runtime": "process"})


def with_brokers(count: int, given_by: str) -> Wanted:
    return Wanted(values={**WANTED.values, "brokers": {"nodes": count}}, given_by=given_by)


class World:
    """Environments that come up and go without any node."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.up, self.ups, self.downs = home, set[str](), list[str](), list[str]()
        self.fails: BaseException | None = None
        self.level = Level.TOPICS
        monkeypatch.setenv("PROVISION_HOME", str(home))
        self.is_narrow = False
        """Whether two cannot have the same port or directory."""
        self._taken: dict[str, set[int | str]] = {}
        monkeypatch.setattr(Environment, "up", lambda environment, *_, **__: self._start(environment))
        self.lacks: ProvisionError | None = None
        """What keeps all from starting that has the ports and the directory that it needs."""
        monkeypatch.setattr(Environment, "plan", lambda _environment: self._plan())
        monkeypatch.setattr(Environment, "down", lambda environment, *_, **__: self._remove(environment.name))
        self.deleted = set[str]()
        monkeypatch.setattr(Environment, "status", lambda _environment, topics: self._status(topics))
        looking = SimpleNamespace(
            observe=lambda name: SimpleNamespace(is_absent=name not in self.up, nodes=["broker-1"] * (name in self.up))
        )
        monkeypatch.setattr(Environment, "runtime", looking)

    def _start(self, environment: Environment) -> None:
        name = environment.name
        self.ups.append(name)
        if self.fails:
            raise self.fails
        self._taken[name] = set(_taken_by(environment.source.load().model_dump())) if self.is_narrow else set()
        others = chain.from_iterable(self._taken[other] for other in self.up - {name})
        for taken in self._taken[name].intersection(others):
            if isinstance(taken, int):
                raise PortTaken(f"{taken} is taken", port=taken, why="by another program")
            raise environment.source.invalid(("storage",), f"{taken} has data of another")
        self.up.add(name)

    def _plan(self) -> None:
        if self.lacks:
            raise self.lacks

    def _status(self, topics: Sequence[Topic] | None) -> SimpleNamespace:
        are_there = self.deleted.isdisjoint(topic.name for topic in topics or ())
        return SimpleNamespace(level=self.level if are_there else Level.BROKERS)

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


def _taken_by(values: Mapping[str, Any]) -> Iterator[int | str]:
    """The ports and the directory in a description."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _taken_by(value)
        elif (key in ("port", "jmx_port") and isinstance(value, int)) or (key == "storage" and "/" in value):
            yield value


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Interrupted("interrupted"), RuntimeError("a mistake"), SystemExit(1)]
)
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
    assert {known.name for known in runs.kept(world.home)} == {two} != {one}
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
    assert [known.name for known in runs.kept(world.home)] == [after]


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


TAKEN = {
    "a broker's port": "brokers: {port: 19592}",
    "ZooKeeper's port": "brokers: {port: auto}\nkafka: {version: 3.9.1, mode: zookeeper}\nzookeeper: {port: 19592}",
    "the port of JMX": "brokers: {port: auto, java: {jmx_port: 19592}}",
    "a listener's port": "listeners: {one: {port: 19592}, two: {port: auto}}",
    "a directory": "brokers: {port: auto}\nstorage: ./data",
}


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_one_that_is_in_the_way_makes_room_for_what_takes_its_place(world: World, tmp_path: Path, said: str) -> None:
    world.is_narrow = True
    file = tmp_path / "kafka.yaml"
    file.write_text(f"runtime: process\n{said}\n")
    (before,) = world.run("a", Wanted(file), keep=True)
    file.write_text(f"runtime: process\n{said}\ntopics: [{{name: t}}]\n")
    (after,) = world.run("b", Wanted(file), keep=True)
    assert (world.ups, world.downs, world.up) == ([before, after, after], [before], {after})


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_one_that_is_in_the_way_stays_if_its_successor_cannot_be_started(
    world: World, tmp_path: Path, said: str
) -> None:
    """What is gone cannot be brought back, and the new one may lack anything: a variable, a Java, the network."""
    world.is_narrow, world.lacks = True, Unavailable("no Java")
    file = tmp_path / "kafka.yaml"
    file.write_text(f"runtime: process\n{said}\n")
    (before,) = world.run("a", Wanted(file), keep=True)
    file.write_text(f"runtime: process\n{said}\ntopics: [{{name: t}}]\n")
    pool = Pool("b", os.getpid(), keep=True)
    with pytest.raises(Unavailable):
        pool.environment(Wanted(file))
    pool.remove()
    assert (world.downs, world.up) == ([], {before})


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_two_of_one_run_that_are_in_the_way_of_each_other_are_told_so(world: World, tmp_path: Path, said: str) -> None:
    world.is_narrow = True
    file = tmp_path / "kafka.yaml"
    file.write_text(f"runtime: process\n{said}\n")
    pool = Pool("a", os.getpid(), keep=True)
    first = pool.environment(Wanted(file)).name
    with pytest.raises((PortTaken, InvalidEnvironment)) as told:
        pool.environment(Wanted(file, overrides=("ttl=2h",)))
    assert f"{first} uses it, for other tests of this run" in told.value.why
    assert "`port: auto`" in told.value.hint
    assert world.downs == []


def test_whose_port_it_has_too_is_not_told_to_have_the_directory(world: World, tmp_path: Path) -> None:
    file, other = tmp_path / "kafka.yaml", tmp_path / "other.yaml"
    other.write_text("runtime: process\nbrokers: {port: 19592}\n")
    (kept,) = world.run("a", Wanted(other), keep=True)
    file.write_text("runtime: process\nbrokers: {port: 19592}\nstorage: ./data\n")
    with closing(Wanted(file).named("any")) as described:
        world.fails = described.source.invalid(("storage",), "it has data of another")
    with pytest.raises(InvalidEnvironment) as told:
        Pool("b", os.getpid()).environment(Wanted(file))
    assert kept not in str(told.value) + told.value.why + told.value.hint


def test_one_that_is_not_in_the_way_stays_if_its_successor_cannot_be_started(world: World, tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\nbrokers: {port: 19592}\n")
    (before,) = world.run("a", Wanted(file), keep=True)
    file.write_text("runtime: process\nbrokers: {port: 19593}\n")
    world.fails = Unavailable("no Java")
    pool = Pool("b", os.getpid(), keep=True)
    with pytest.raises(Unavailable):
        pool.environment(Wanted(file))
    pool.remove()
    assert world.up == {before}


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_one_that_is_in_the_way_and_stays_is_told(world: World, tmp_path: Path, said: str, *, keep: bool) -> None:
    """Another run uses it, or this one does not keep anything."""
    world.is_narrow = True
    file = tmp_path / "kafka.yaml"
    file.write_text(f"runtime: process\n{said}\n")
    first = Pool("a", os.getpid(), keep=True)
    before = first.environment(Wanted(file)).name
    if not keep:
        first.remove()
    file.write_text(f"runtime: process\n{said}\ntopics: [{{name: t}}]\n")
    with pytest.raises((PortTaken, InvalidEnvironment)) as told:
        Pool("b", os.getpid(), keep=keep).environment(Wanted(file))
    assert (world.downs, world.up) == ([], {before})
    assert "another program" not in told.value.why
    assert f"{before} uses it, " in told.value.why
    assert f"`provision down {before}" in told.value.hint
    assert ("wait until that run has ended" in told.value.hint) is keep
    assert ("with `--kafka-keep`, a run uses it again" in told.value.hint) is not keep


def test_a_port_of_somebody_else_is_told_as_before(world: World, tmp_path: Path) -> None:
    world.run("a", Wanted(values={**WANTED.values, "brokers": {"port": 19592}}), keep=True)
    world.fails = PortTaken("19593 is taken", port=19593, why="by another program", hint="stop it")
    with pytest.raises(PortTaken) as told:
        Pool("b", os.getpid()).environment(WANTED)
    assert (told.value.why, told.value.hint) == ("by another program", "stop it")


def test_one_is_used_again_until_what_its_description_names_changes(world: World, tmp_path: Path) -> None:
    file, records = tmp_path / "kafka.yaml", tmp_path / "records.txt"
    records.write_text("old")
    file.write_text("runtime: process\ntopics: [{name: t, records: records.txt}]\n")
    (before,) = world.run("a", Wanted(file), keep=True)
    assert world.run("b", Wanted(file), keep=True) == [before]
    records.write_text("new")
    (after,) = world.run("c", Wanted(file), keep=True)
    assert (world.downs, world.up) == ([before], {after})


def test_what_it_names_may_change_during_a_run(world: World, tmp_path: Path) -> None:
    records = tmp_path / "records.txt"
    records.write_text("old")
    wanted = Wanted(values={**WANTED.values, "topics": [{"name": "t", "records": str(records)}]})
    pool = Pool("a", os.getpid(), keep=True)
    name = pool.environment(wanted).name
    records.write_text("new")
    assert pool.environment(Wanted(values=wanted.values)).name == name
    assert pool.has_alone(wanted)


def test_declared_topics_that_are_gone_are_made_by_the_next_run_alone(world: World) -> None:
    wanted = Wanted(values={**WANTED.values, "topics": [{"name": "t"}]})
    (name,) = world.run("a", wanted, keep=True)
    pool = Pool("b", os.getpid(), keep=True)
    pool.environment(wanted)
    world.deleted.add("t")
    Pool("b", os.getpid(), keep=True).environment(wanted)  # another process of the run, whose test has deleted it
    assert world.ups == [name]
    pool.remove()
    assert world.run("c", wanted, keep=True) == [name]
    assert world.ups == [name, name]


def test_values_of_different_modules_do_not_take_the_place_of_each_other(world: World) -> None:
    one, other = with_brokers(1, "module"), with_brokers(2, "other")
    names = [*world.run("first", one, keep=True), *world.run("second", other, keep=True)]
    assert world.run("third", one, other, keep=True) == names
    assert (world.ups, world.downs) == (names, [])
    world.run("fourth", with_brokers(3, "other"), keep=True)
    assert world.downs == [names[1]]


def test_a_kept_one_is_not_looked_at_while_a_test_has_it_alone(world: World) -> None:
    (name,) = world.run("first", WANTED, keep=True)
    pool = Pool("second", os.getpid(), keep=True)
    pool.environment(WANTED)
    use = pool.use(WANTED)
    use.alone()
    world.up.clear()  # as one whose broker was killed
    world.level = Level.NONE
    thread = threading.Thread(target=Pool("third", os.getpid(), keep=True).environment, args=[WANTED])
    thread.start()
    thread.join(0.5)
    assert world.ups == [name]
    world.level = Level.TOPICS
    use.release()
    thread.join(30)
    assert world.ups == [name]
    assert [pool.has_alone(WANTED), Pool("third", os.getpid()).has_alone(WANTED)] == [False, True]


def test_one_that_could_not_be_started_is_not_told_as_kept(world: World) -> None:
    world.fails = Unavailable("no engine")
    pool = Pool("run", os.getpid(), keep=True)
    with pytest.raises(Unavailable):
        pool.environment(WANTED)
    assert pool.names == ()
    pool.remove()


def test_one_that_another_run_looks_for_is_not_forgotten(world: World, tmp_path: Path) -> None:
    (name,) = world.run("first", WANTED, keep=True)
    world.up.clear()
    lock = next(file for file in world.notes if file.name == f"{WANTED.key}.json").with_suffix(".lock")
    before = world.notes
    with FileLock(lock):
        Pool("second", os.getpid(), keep=True).remove()
        assert set(before) <= set(world.notes)
    Pool("third", os.getpid(), keep=True).remove()
    assert not [file for file in world.notes if WANTED.key in file.name]
    assert world.ups == [name]


def test_one_of_a_run_that_was_killed_does_not_stay(world: World, tmp_path: Path) -> None:
    file = tmp_path / "kafka.yaml"
    file.write_text("runtime: process\n")
    with subprocess.Popen(["sleep", "600"]) as process:  # noqa: S607
        before = Pool("a", process.pid, keep=True).environment(Wanted(file)).name
        process.kill()
    file.write_text("runtime: process\nstorage: memory\n")
    (after,) = world.run("b", Wanted(file), keep=True)
    assert (world.downs, world.up) == ([before], {after})
