"""What is left over is found by its kind, and nothing else is; what is in use again is left alone."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import provision.environment
from provision import pipeline
from provision.cli.run import run
from provision.cluster.resolve import resolve_without_ports
from provision.common.process_identity import ProcessIdentity
from provision.common.values import replace
from provision.environment import Environment
from provision.errors import PartlyApplied, ProvisionError, Refused, Unavailable, UsageError
from provision.events import Event, Notice
from provision.home.holders import Holder
from provision.home.journals import KILLED, Journal
from provision.home.locks import HomeLock
from provision.home.runs import KEPT, directory_of, make_directory
from provision.home.trainers import Trainer, throwaway, training
from provision.kafka.levels import Level
from provision.operations.gc.collector import Collector
from provision.operations.gc.kinds import KINDS
from provision.operations.gc.leftover import Leftover
from provision.operations.gc.reaper import Reaper
from provision.pipeline import UpOptions
from provision.plan.about import About, Change
from provision.plan.stored import StoredData
from provision.runtime.archives import Left
from provision.runtime.base import Hold, Remnant
from provision.runtime.fake import FakeRuntime
from provision.spec.loader import load
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

NONE = Unavailable("nothing of that kind")
NAME = "orders"
DAY_S = 86400.0


@pytest.fixture(scope="module")
def ended() -> ProcessIdentity:
    """A process that has ended."""
    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607
        identity = ProcessIdentity.of(process.pid)
        process.kill()
    return identity


@dataclass
class World:
    """A home, and a fake runtime in place of an engine."""

    directory: Path
    ended: ProcessIdentity
    runtime: FakeRuntime
    told: list[str]
    held: ExitStack

    @property
    def home(self) -> Path:
        """The home's directory."""
        return self.directory / "home"

    @property
    def runtimes(self) -> FakeRuntimes:
        """Of which the other one has nothing."""
        answers = {"docker": self.runtime, "process": FakeRuntime()}
        return FakeRuntimes(self.home, answers, self.directory / "cache")

    def collector(self, *jobs: str, older_than_s: float = 0.0) -> Collector:
        """What finds and removes."""
        return Collector(self.runtimes, older_than_s, frozenset(jobs), self._tell)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.told.append(event.text)

    def file(self, name: str = NAME, text: str = "") -> Path:
        """The file of an environment."""
        file = self.directory / f"{name}.yaml"
        file.write_text(f"brokers: {{port: auto}}\nstorage: volume\n{text}")
        return file

    def up(self, name: str = NAME, text: str = "", options: UpOptions | None = None) -> None:
        """Bring it up."""
        chosen = options or UpOptions(until=Level.PROCESS)
        pipeline.up(Source(self.file(name, text)), self.runtimes, chosen, tell=self._tell)

    def age(self, seconds: float, name: str = NAME) -> None:
        """Let the environment be older."""
        about = self.runtime.abouts()[name]
        self.runtime.write_about(name, about.model_copy(update={"created_s": about.created_s - seconds}))

    def change(self, name: str = NAME, **known: object) -> None:
        """Let the environment know something else of itself."""
        about = self.runtime.abouts()[name]
        self.runtime.write_about(name, about.model_copy(update=known))

    def half_made(self, *, age_s: float = 3600.0, used: bool = False) -> None:
        """A network and storages alone."""
        spec = load(self.file())
        cluster = resolve_without_ports(spec, self.runtimes.layout("docker", spec, str(self.directory)))
        self.runtime.create_network(cluster)
        for node in cluster.nodes:
            self.runtime.create_storage(cluster, node)
        if used:
            self.runtime.fill_storage(NAME, "broker-1")
        self.runtime.write_about(NAME, About(created_s=time.time() - age_s))


@pytest.fixture
def world(tmp_path: Path, ended: ProcessIdentity) -> Iterator[World]:
    with ExitStack() as held:
        yield World(tmp_path, ended, FakeRuntime(), [], held)


def _expired(world: World) -> None:
    world.up(text="ttl: 1h\n")
    world.age(3601)


def _ownerless(world: World) -> None:
    world.up()
    world.change(owner_process=world.ended)


def _ownerless_from_the_future(world: World) -> None:
    """A test that has moved its clock ahead makes such ones."""
    world.up()
    world.change(owner_process=world.ended)
    world.age(-1_000_000)


def _ownerless_note(world: World) -> None:
    world.runtime.write_about(NAME, About(created_s=time.time(), owner_process=world.ended))


def _note(world: World) -> None:
    world.runtime.write_about(NAME, About(created_s=time.time() - 3600))


def _remnant(world: World) -> None:
    def remove() -> bool:
        return world.runtime.left.pop(NAME, None) is not None

    world.runtime.left[NAME] = Remnant("tool container", NAME, "its command has ended", remove, 1.0)


def _runtime_lock(world: World) -> None:
    world.runtime.hold(NAME, Holder.of("restart").model_copy(update={"process": world.ended}))


def _lock(world: World) -> None:
    file = world.home / "locks" / NAME
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(Holder.of("up").model_copy(update={"process": world.ended}).model_dump_json())


def _old(path: Path, age_s: float = 3600.0) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def _empty_lock(world: World) -> None:
    file = world.home / "locks" / NAME
    file.parent.mkdir(parents=True, mode=0o700)
    file.touch()
    _old(file)


def _lock_that_was_to_take_a_place(world: World) -> None:
    _empty_lock(world)
    (file,) = (world.home / "locks").iterdir()
    file.rename(file.with_name(f"{NAME}.0a1b2c3d.new"))


def _cluster_note(kind: str) -> Callable[[World], None]:
    def leave(world: World) -> None:
        directory = world.home / kind / NAME
        directory.mkdir(parents=True, mode=0o700)
        (directory / "fwAAAAAAAAAAAAAAAAAAAA.json").write_text("{}")
        _old(directory, 31 * DAY_S)

    return leave


def _archive(world: World) -> None:
    def remove() -> bool:
        return world.runtime.archives.useless.pop(NAME, None) is not None

    world.runtime.archives.useless[NAME] = Left(f"volume {NAME}", "its image is gone", remove, 1.0)


def _lease(world: World) -> None:
    world.runtimes.home.ports.lease(NAME, ["broker-1"], {})


def _test_run(world: World) -> None:
    make_directory(world.home, NAME, os.getpid())
    (directory_of(world.home, NAME) / "controller").write_text(world.ended.model_dump_json())
    (directory_of(world.home, NAME) / "0a1b2c3d.json").write_text("{}")


def _kept_by_tests(world: World) -> None:
    make_directory(world.home, KEPT, None)
    (directory_of(world.home, KEPT) / "0a1b2c3d.json").write_text(json.dumps({"name": NAME}))


def _kept_files(world: World) -> None:
    """As a run leaves them: locks, marks of runs that were killed, and the draft of one."""
    _kept_by_tests(world)
    _kept_without_note(world)


def _kept_without_note(world: World) -> None:
    make_directory(world.home, KEPT, None)
    for suffix in ("lock", "use", "use.gate", "0123abcd.used"):
        content = world.ended.model_dump_json() if suffix.endswith("used") else ""
        (directory_of(world.home, KEPT) / f"0a1b2c3d.{suffix}").write_text(content)


def _kept_and_used(world: World) -> None:
    """By a run that goes on, although somebody has removed its environment."""
    _kept_files(world)
    _is_used_by_a_run(world)


def _kept_and_used_without_note(world: World) -> None:
    _kept_without_note(world)
    _is_used_by_a_run(world)


def _kept_and_looked_for(world: World) -> None:
    _kept_files(world)
    _is_looked_for_by_a_run(world)


def _kept_and_looked_for_without_note(world: World) -> None:
    _kept_without_note(world)
    _is_looked_for_by_a_run(world)


def _kept_without_note_and_there(world: World) -> None:
    _kept_without_note(world)
    world.up("tests-0a1b2c3d")


def _is_used_by_a_run(world: World) -> None:
    mark = directory_of(world.home, KEPT) / "0a1b2c3d.89abcdef.used"
    mark.write_text(ProcessIdentity.of().model_dump_json())


def _is_looked_for_by_a_run(world: World) -> None:
    world.held.enter_context(FileLock(directory_of(world.home, KEPT) / "0a1b2c3d.lock"))


def _draft(world: World) -> None:
    world.home.mkdir()
    (world.home / f"ports.json.{world.ended.pid}-1.new").write_text("{")


def _fetch(world: World) -> None:
    (world.directory / "cache" / "kafka" / "3.9.1.new").mkdir(parents=True)


def _history(world: World) -> None:
    journal = Journal(world.home, NAME)
    journal.begin(Holder.of("up"))
    _old(journal.file, 31 * DAY_S)


def _secrets(world: World) -> None:
    store = world.runtimes.home.secrets(NAME)
    store.keep({"ca.key": b"key"})
    _old(store.directory)


def _training(world: World) -> None:
    process = ProcessIdentity.of().model_copy(update={"namespace": "another"})  # so that nobody ends it
    world.runtimes.home.trainers.note(
        Trainer(environment=NAME, runtime=world.runtime.kind, process=process, since_s=time.time())
    )


def _killed_training(world: World) -> None:
    world.runtimes.home.trainers.note(
        Trainer(environment=NAME, runtime=world.runtime.kind, process=world.ended, since_s=time.time())
    )


LEFT: dict[str, tuple[str, Callable[[World], None]]] = {
    "past its ttl": ("expired", _expired),
    "the owner has ended": ("owner ended", _ownerless),
    "the owner has ended, and its clock was ahead": ("owner ended", _ownerless_from_the_future),
    "the owner has ended before anything was made": ("owner ended", _ownerless_note),
    "a network and storages that were never used": ("half-made", World.half_made),
    "only a note": ("note", _note),
    "what trains archives in the background": ("training", _training),
    "what was killed when it trained archives": ("killed training", _killed_training),
    "a tool's container": ("tool container", _remnant),
    "the lock of a killed command": ("lock", _lock),
    "the lock of a killed command of another home": ("engine lock", _runtime_lock),
    "a lock that says nothing": ("lock", _empty_lock),
    "a lock that was to take the place of one": ("lock", _lock_that_was_to_take_a_place),
    "an archive that nothing fits": ("archive", _archive),
    "a throttle's note": ("cluster note", _cluster_note("throttles")),
    "a note of what was being filled": ("cluster note", _cluster_note("seeds")),
    "a lease of what is nowhere": ("port lease", _lease),
    "what is left of a killed test run": ("test run", _test_run),
    "the note of what a test run kept": ("test run", _kept_by_tests),
    "all files about what a test run kept": ("test run", _kept_files),
    "files about what a test run kept, without the note": ("test run", _kept_without_note),
    "a draft": ("draft", _draft),
    "a download": ("download", _fetch),
    "keys and certificates": ("secrets", _secrets),
    "an old history": ("history", _history),
}


@pytest.mark.parametrize(("kind", "leave"), LEFT.values(), ids=LEFT)
def test_each_kind_is_found_told_and_removed(world: World, kind: str, leave: Callable[[World], None]) -> None:
    leave(world)
    (found,) = world.collector().find()
    assert found.kind == kind
    assert NAME in f"{found.name} {found.why}" or kind in ("draft", "download", "test run")
    assert found.why
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (True, None)
    assert world.collector().find() == ()
    assert not world.runtime.environments()
    assert not world.runtime.abouts()
    assert not [path for path in world.directory.rglob("*.new") if path.exists()]
    assert not world.runtimes.home.ports.held(NAME)
    assert not [path for path in (world.home / "tests").rglob("*") if path.is_file()]


@pytest.mark.parametrize("leave", [_runtime_lock, _lock], ids=["in the engine", "in the home"])
def test_the_history_knows_of_a_killed_command_whose_lock_was_removed(
    world: World, leave: Callable[[World], None]
) -> None:
    """As if another command had taken the lock over; and `status` goes on telling of it."""
    world.up()
    leave(world)
    if leave is _lock:
        Journal(world.home, NAME).begin(Holder.model_validate_json((world.home / "locks" / NAME).read_text()))
    environment = Environment.named(NAME, runtimes=world.runtimes)
    before = [(one.id, one.holder.command, one.state) for one in environment.history()]
    assert before[-1][2] == KILLED
    (found,) = world.collector().find()
    assert world.collector().remove([found])[0].removed
    assert [(one.id, one.holder.command, one.state) for one in environment.history()] == before
    assert world.collector().find() == ()
    assert not world.runtime.holder(NAME)


def test_the_lock_of_a_command_that_has_come_meanwhile_stays(world: World) -> None:
    _runtime_lock(world)
    (found,) = world.collector().find()
    alive = Holder.of("down")
    world.runtime.hold(NAME, alive)
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    assert world.runtime.holder(NAME) == alive


def _taken_over(world: World, *, changed: bool) -> None:
    """By a command that has ended since; it has noted the killed one, if it knew of an environment."""
    held = world.runtime.hold(NAME, Holder.of("up"))
    about = world.runtime.about(NAME)
    if changed and about:
        later = Change(
            run="0123456789ab", command="up", user="me", process=ProcessIdentity.of(), began_s=1.0, outcome="done"
        )
        world.runtime.write_about(NAME, about.with_change(later))
    held.release()


@pytest.mark.parametrize("meanwhile", ["nothing", "it was taken over", "it is just taken over", "it cannot be read"])
def test_what_became_of_a_lock_meanwhile_is_told_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    world.up()
    _runtime_lock(world)
    (found,) = world.collector().find()
    before = world.runtime.about(NAME)
    if meanwhile == "it was taken over":
        _taken_over(world, changed=False)
    elif meanwhile == "it cannot be read":
        monkeypatch.setattr(world.runtime, "killed_holder", lambda _name: None)
        left = Remnant("engine lock", NAME, "the command that held it has ended", None)
        monkeypatch.setattr(world.runtime, "remnants", lambda: (left,))
    elif meanwhile == "it is just taken over":
        hold = world.runtime.hold

        def later(*arguments: Any, **options: Any) -> Hold:  # noqa: ANN401 whatever it takes
            monkeypatch.setattr(world.runtime, "hold", hold)
            _taken_over(world, changed=True)
            return hold(*arguments, **options)

        monkeypatch.setattr(world.runtime, "hold", later)
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (meanwhile in ("nothing", "it cannot be read"), None)
    assert world.runtime.holder(NAME) is None
    about = world.runtime.about(NAME)
    assert before
    assert about
    new = [change.outcome for change in about.changes[len(before.changes) :]]
    assert new == {"nothing": [KILLED], "it is just taken over": ["done"]}.get(meanwhile, [])


def test_what_a_killed_training_was_made_with_is_left_over_unless_somebody_trains(world: World) -> None:
    name = throwaway(world.runtimes.home.directory)
    world.up(name)
    with training(world.runtimes.home.cache):
        assert world.collector().find() == ()
    (found,) = world.collector().find()
    assert (found.kind, found.name) == ("killed training", name)
    with training(world.runtimes.home.cache):
        (outcome,) = world.collector().remove([found])
        assert (outcome.removed, outcome.error) == (False, None)
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (True, None)
    assert world.runtime.environments() == ()


def test_every_kind_has_an_example() -> None:
    shown = {kind for kind, _ in LEFT.values()} | {"remnant", "home gone"}  # tests/e2e meets homes that are gone
    assert {kind.name for kind in KINDS} <= shown


def _in_use(world: World) -> None:
    world.up(text="ttl: 1h\n", options=UpOptions(until=Level.PROCESS, owner_pid=os.getpid(), owner="job-1"))
    world.age(3500)


def _elsewhere(world: World) -> None:
    world.up()
    world.change(owner_process=world.ended.model_copy(update={"host": "far-away", "boot": "its-own"}))


def _held(world: World) -> None:
    file = world.home / "locks" / NAME
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(Holder.of("up").model_dump_json())


def _young_empty_lock(world: World) -> None:
    _empty_lock(world)
    _old(world.home / "locks" / NAME, 60)


def _young_throttle(world: World) -> None:
    _cluster_note("throttles")(world)
    _old(world.home / "throttles" / NAME, 29 * DAY_S)


def _throttle_in_use(world: World) -> None:
    world.up()
    _cluster_note("throttles")(world)


def _used_lease(world: World) -> None:
    world.up()


def _really_kept(world: World) -> None:
    world.up()
    _kept_by_tests(world)


def _young_draft(world: World) -> None:
    world.home.mkdir()
    (world.home / f"ports.json.{os.getpid()}-1.new").write_text("{")


def _not_a_draft(world: World) -> None:
    (world.home / "environments" / NAME / "broker-1" / "data").mkdir(parents=True)
    (world.home / "environments" / NAME / "broker-1" / "data" / f"x.{world.ended.pid}-1.new").write_text("theirs")
    (world.home / "notes.new").write_text("theirs")


NOT_LEFT: dict[str, Callable[[World], object]] = {
    "in use, with an owner that runs": _in_use,
    "an owner on another machine, of which nobody knows": _elsewhere,
    "just in the making": lambda world: world.half_made(age_s=10),
    "kept data": lambda world: world.half_made(used=True),
    "a lock that is held": _held,
    "a lock that just now says nothing": _young_empty_lock,
    "a throttle's note that is not old": _young_throttle,
    "a throttle's note of what is there": _throttle_in_use,
    "a throttle's note of a cluster outside": _cluster_note("external-throttles"),
    "a lease in use": _used_lease,
    "a draft that is being written": _young_draft,
    "files of somebody else": _not_a_draft,
    "what a test run kept": _really_kept,
    "what a test run kept and uses": _kept_and_used,
    "what a test run kept and uses, without a note": _kept_and_used_without_note,
    "what a test run kept and looks for": _kept_and_looked_for,
    "what a test run looks for, without a note": _kept_and_looked_for_without_note,
    "what a test run kept, without a note": _kept_without_note_and_there,
    "a test run that goes on": lambda world: make_directory(world.home, NAME, os.getpid()),
    "kept environments of tests": lambda world: make_directory(world.home, "kept", None),
    "a history that is not old": lambda world: Journal(world.home, NAME).begin(Holder.of("up")),
}


@pytest.fixture(autouse=True)
def _no_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVISION_OWNER", raising=False)
    monkeypatch.setattr("provision.operations.gc.reaper.start", lambda _home: None)


@pytest.mark.parametrize("make", NOT_LEFT.values(), ids=NOT_LEFT)
def test_nothing_else_is_left_over(world: World, make: Callable[[World], object]) -> None:
    make(world)
    assert world.collector().find() == ()


def test_a_job_that_has_ended_takes_its_environments_along(world: World) -> None:
    world.up("first", options=UpOptions(until=Level.PROCESS, owner="job-1"))
    world.up("second", options=UpOptions(until=Level.PROCESS, owner="job-2"))
    world.up("third")
    assert world.collector().find() == ()
    (found,) = world.collector("job-1").find()
    assert (found.name, found.kind) == ("first", "owner ended")


def test_what_is_younger_than_said_is_left_alone(world: World) -> None:
    _expired(world)  # a second ago
    assert world.collector(older_than_s=60).find() == ()
    world.age(100)
    assert [one.name for one in world.collector(older_than_s=60).find()] == [NAME]


def test_what_is_wanted_again_meanwhile_is_left_alone(world: World) -> None:
    _expired(world)
    (found,) = world.collector().find()
    world.up(text="ttl: 10h\n")
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    assert len(world.runtime.observe(NAME).nodes) == 2


def _is_there_again(world: World) -> None:
    world.up()


def _is_being_made(world: World) -> None:
    HomeLock(world.home, NAME).take(Holder.of("up"))


def _runs_again(world: World) -> None:
    (directory_of(world.home, NAME) / "controller").write_text(ProcessIdentity.of().model_dump_json())


def _is_fetched(world: World) -> None:
    lock = world.directory / "cache" / "kafka" / "3.9.1.lock"
    world.held.enter_context(FileLock(lock, timeout=0))


def _is_gone(world: World) -> None:
    (draft,) = world.home.glob("*.new")
    draft.unlink()


USED_AGAIN: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "a history, whose environment is there": (_history, _is_there_again),
    "a history, whose environment is being made": (_history, _is_being_made),
    "keys and certificates": (_secrets, _is_there_again),
    "keys and certificates, whose environment is being made": (_secrets, _is_being_made),
    "what a test run kept": (_kept_by_tests, _is_there_again),
    "what a test run kept and uses again": (_kept_files, _is_used_by_a_run),
    "what a test run kept and looks for": (_kept_files, _is_looked_for_by_a_run),
    "what a test run starts again, without a note": (_kept_without_note, _is_looked_for_by_a_run),
    "a test run": (_test_run, _runs_again),
    "a download": (_fetch, _is_fetched),
    "a draft that is gone": (_draft, _is_gone),
    "a lease": (_lease, _is_there_again),
    "a lock": (_lock, _is_being_made),
    "a lock that says nothing": (_empty_lock, _is_being_made),
    "a throttle's note": (_cluster_note("throttles"), _is_there_again),
    "a note of what was being filled": (_cluster_note("seeds"), _is_being_made),
}


@pytest.mark.parametrize(("leave", "use"), USED_AGAIN.values(), ids=USED_AGAIN)
def test_what_is_used_again_after_it_was_listed_is_left_alone(
    world: World, leave: Callable[[World], None], use: Callable[[World], None]
) -> None:
    leave(world)
    (found,) = world.collector().find()
    use(world)
    before = _files(world.directory)
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    assert _files(world.directory) == before


def test_data_are_looked_at_once_by_who_looks_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    read = world.runtime.read_storage

    def read_storage(name: str, node: str) -> StoredData | None:
        looks.append(node)
        return read(name, node)

    monkeypatch.setattr(world.runtime, "read_storage", read_storage)
    world.up()
    for node in ("broker-1", "zookeeper-1"):
        world.runtime.fill_storage(NAME, node)
        world.runtime.remove_node(NAME, node)
    collector = world.collector()
    for _ in range(3):
        assert collector.find() == ()
    assert len(looks) == 2
    world.runtime.remove_storage(NAME, "broker-1", delete_data=True)  # others are there now: they are looked at
    assert collector.find() == ()
    assert len(looks) == 3


def _files(directory: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def test_what_a_command_is_changing_is_left_alone(world: World) -> None:
    _expired(world)
    (found,) = world.collector().find()
    hold = world.runtime.hold(NAME, Holder.of("up"))
    (outcome,) = world.collector().remove([found])
    assert (outcome.removed, outcome.error) == (False, None)
    assert any("is being changed by `provision up`" in text for text in world.told)
    hold.release()
    (outcome,) = world.collector().remove([found])
    assert outcome.removed


def test_what_cannot_be_removed_does_not_keep_the_rest(world: World) -> None:
    _expired(world)
    _draft(world) if not world.home.exists() else (world.home / f"x.{world.ended.pid}-1.new").write_text("")

    def fail(verb: str, _subject: str) -> None:
        if verb == "remove_node":
            raise ProvisionError("it is stuck")

    world.runtime.on_verb = fail
    outcomes = world.collector().remove(world.collector().find())
    assert [(one.leftover.kind, one.removed, str(one.error or "")) for one in outcomes] == [
        ("expired", False, "it is stuck"),
        ("draft", True, ""),
    ]


def test_a_runtime_that_cannot_be_asked_keeps_its_leases(world: World) -> None:
    _lease(world)
    runtimes = FakeRuntimes(world.home, {"docker": NONE, "process": world.runtime}, world.directory / "cache")
    assert Collector(runtimes).find() == ()


def test_up_tells_of_what_is_past_its_ttl_once(world: World) -> None:
    for name in ("old", "older"):
        world.up(name, "ttl: 1h\n")
        world.age(7200, name)
    world.told.clear()
    world.up()
    assert [text for text in world.told if "ttl" in text] == ["past their ttl: old, older; `provision gc` removes them"]


def test_up_tells_of_what_is_past_its_ttl_in_every_runtime_that_it_has_asked(world: World) -> None:
    runtimes = world.runtimes
    old = About(created_s=time.time() - 7200, ttl_s=3600)
    for name in ("docker", "process"):
        runtimes.of_kind(name).write_about(f"in-{name}", old)
    pipeline.up(Source(world.file()), runtimes, UpOptions(until=Level.PROCESS), tell=world._tell)  # noqa: SLF001
    told = [text for text in world.told if "ttl" in text]
    assert told == ["past their ttl: in-docker, in-process; `provision gc` removes them"]


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PROVISION_HOME", str(world.home))
    monkeypatch.chdir(world.directory)
    monkeypatch.setattr(provision.environment.described, "Runtimes", lambda _home: world.runtimes)
    return world


def test_gc_shows_asks_and_removes(command: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gc"]) == 0
    assert "nothing is left over" in capsys.readouterr().err
    _expired(command)
    _draft(command) if not command.home.exists() else None
    assert run(["gc", "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["KIND", "NAME", "SIZE", "WHY"]
    assert "past its ttl of 1 h by" in shown[1]
    assert str(command.directory / "orders.yaml") in shown[1]
    assert run(["gc"]) == Refused.exit_code
    told = capsys.readouterr()
    assert "orders" in told.out
    assert "--yes agrees" in told.err
    assert command.runtime.environments() == (NAME,)
    assert run(["gc", "--yes"]) == 0
    assert "1 thing removed" in capsys.readouterr().err
    assert command.runtime.environments() == ()


def test_gc_speaks_json(command: World, capsys: pytest.CaptureFixture[str]) -> None:
    _expired(command)
    assert run(["gc", "--dry-run", "-o", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown.keys() == {"kind", "name", "why", "size_bytes", "since_s"}
    assert (shown["kind"], shown["name"], shown["size_bytes"]) == ("expired", NAME, 2)
    assert run(["gc", "--yes", "-o", "json"]) == 0
    (done,) = json.loads(capsys.readouterr().out)
    assert done == shown | {"removed": True, "error": None, "why": done["why"]}  # seconds later
    assert run(["gc", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_gc_names_what_it_could_not_remove(command: World, capsys: pytest.CaptureFixture[str]) -> None:
    def remove() -> bool:
        raise ProvisionError("it is stuck")

    command.runtime.left["x"] = Remnant("tool container", "x", "its command has ended", remove)
    assert run(["gc", "--yes"]) == PartlyApplied.exit_code
    assert "tool container x: it is stuck" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--every", "5s"], ["--owned"], ["--watch", "--dry-run"], ["--older-than", "soon"], ["--watch", "--every", "5"]],
)
def test_options_that_make_no_sense_are_refused(command: World, options: list[str]) -> None:
    assert run(["gc", *options]) == UsageError.exit_code


def test_gc_as_a_service_works_until_it_is_ended(
    command: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            _expired(command)
            _training(command)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("provision.cli.garbage.time.sleep", sleep)
    assert run(["gc", "--watch", "--every", "7s"]) == 0
    assert slept == [7.0] * 3
    assert capsys.readouterr().err.count("removed: ") == 1
    assert command.runtime.environments() == ()


# -- the reaper -------------------------------------------------------------------------------------------------------


def test_the_reaper_ends_when_nothing_is_left_to_watch(world: World, ended: ProcessIdentity) -> None:
    own = ProcessIdentity.of()
    world.up("lives", options=UpOptions(until=Level.PROCESS, owner_pid=os.getpid()))
    world.up("dies", options=UpOptions(until=Level.PROCESS, owner_pid=os.getpid()))
    world.up("free")
    looks: list[tuple[str, ...]] = []

    def pause(_seconds: float) -> None:
        looks.append(world.runtime.environments())
        step = {
            1: lambda: world.change("dies", owner_process=ended),
            3: lambda: world.change("lives", owner_process=ended),
        }
        step.get(len(looks), lambda: None)()

    assert world.runtime.abouts()["lives"].owner_process == own
    assert Reaper(world.runtimes, pause=pause).run()
    assert looks == [("dies", "free", "lives")] + [("free", "lives")] * 2 + [("free",)]
    assert world.runtime.environments() == ("free",)


def test_there_is_one_reaper_in_a_home(world: World) -> None:
    world.up(options=UpOptions(until=Level.PROCESS, owner_pid=os.getpid()))
    second: list[bool] = []

    def pause(_seconds: float) -> None:
        second.append(Reaper(world.runtimes, pause=lambda _: pytest.fail("it works too")).run())
        world.change(owner_process=None)

    assert Reaper(world.runtimes, pause=pause).run()
    assert second == [False]


def test_the_reaper_leaves_other_homes_to_theirs(world: World, ended: ProcessIdentity) -> None:
    world.up()
    world.change(home="/elsewhere", owner_process=ended)
    assert Reaper(world.runtimes, pause=lambda _: pytest.fail("it waits for nothing")).run()
    assert world.runtime.environments() == (NAME,)


def test_the_reaper_waits_for_an_engine_that_does_not_answer_for_a_while(
    world: World, ended: ProcessIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.up(options=UpOptions(until=Level.PROCESS, owner_pid=os.getpid()))
    runtimes = world.runtimes
    there, looks = runtimes.answers, 0

    def pause(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        runtimes.answers = {"docker": NONE, "process": NONE} if looks < 5 else there
        if looks == 1:
            world.change(owner_process=ended)

    assert Reaper(runtimes, pause=pause).run()
    assert looks == 6
    assert world.runtime.environments() == ()


def test_the_reaper_tries_again_what_is_being_changed(world: World, ended: ProcessIdentity) -> None:
    world.up()
    world.change(owner_process=ended)
    hold = world.runtime.hold(NAME, Holder.of("up"))

    def pause(_seconds: float) -> None:
        hold.release()

    assert Reaper(world.runtimes, pause=pause).run()
    assert world.runtime.environments() == ()


def test_leftovers_are_compared_by_what_they_are() -> None:
    one = Leftover("note", "x", "why", lambda _tell: True)
    assert one == replace(one, remove=lambda _tell: False, since_s=5)
