"""Training archives: a throwaway environment of the same software, of which nothing is left, whatever happens."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.layout import container_layout
from provision.cluster.model import Role
from provision.cluster.resolve import resolve_without_ports
from provision.common import spare
from provision.common.process_identity import ProcessIdentity
from provision.common.values import replace
from provision.environment import Environment
from provision.errors import Interrupted, ProvisionError, UsageError
from provision.events import ActionDone, Event, Listener, Notice
from provision.home.trainers import Trainer, throwaway
from provision.kafka.levels import Level
from provision.operations.caches import remove_caches
from provision.pipeline import UpOptions, UpResult, up
from provision.runtime import Runtimes
from provision.runtime.archives import KINDS
from provision.spec.loader import load_values
from provision.spec.source import Source
from provision.warming import Warmed, warm, warm_when_idle
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes


class World:
    """A home, a runtime with a Kafka in memory, and what was done."""

    def __init__(self, directory: Path) -> None:
        self.runtime = SpokenRuntime()
        self.verbs: list[tuple[str, str]] = []
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.training = throwaway(self.runtimes.home.directory)
        self.kafka = FakeKafka(self.runtime, self.training)
        self._nodes_do, self.runtime.on_verb = self.runtime.on_verb, self._on_verb
        self.fails = ""
        self.told: list[Event] = []

    def _on_verb(self, verb: str, subject: str) -> None:
        self.verbs.append((verb, subject))
        if verb == self.fails:
            raise ProvisionError("the disk is full")
        if verb in ("start_node", "stop_node") and not subject.startswith(Role.CONTROLLER):
            self._nodes_do(verb, subject)
        if verb == "remove_network":  # the cluster is gone as a whole
            self.kafka.topics.clear()
            self.kafka.static.clear()
            self.kafka.members_with_data.clear()

    def warm(self, **values: Any) -> tuple[Warmed, ...]:  # noqa: ANN401 the keys of a file
        """Train for an environment."""
        source = Source.of(None, (), {"name": "dev", **values})
        return warm(source, self.runtimes, timeout_s=60.0, tell=self.told.append)

    def bring_up(self) -> None:
        """Let there be something of the environment itself."""
        spec = load_values({"name": "dev"}, (), lambda _: None)
        self.runtime.create_network(resolve_without_ports(spec, container_layout(spec)))

    def warm_when_idle(self) -> tuple[Warmed, ...]:
        """Train for it as what `up` starts does."""
        source = Source.of(None, (), {"name": "dev"})
        return warm_when_idle(source, self.runtimes, self.runtime, timeout_s=60.0, tell=self.told.append)

    @property
    def trainers(self) -> list[Trainer]:
        """What is noted."""
        return list(self.runtimes.home.trainers)

    @property
    def made(self) -> list[str]:
        """The nodes of which archives were made."""
        return [subject for verb, subject in self.verbs if verb == "make_archive"]

    def started(self, node: str) -> bool:
        """Whether a node of that name was started."""
        return ("start_node", node) in self.verbs

    @property
    def nothing_is_left(self) -> bool:
        """Neither of the throwaway environment nor of its ports."""
        return self.runtime.environments() == () and not self.runtimes.home.ports.held(self.training)


def started(source: Source, runtimes: Runtimes, options: UpOptions, *, tell: Listener) -> UpResult:
    """Bring the nodes up, and expect no more of them."""
    return up(source, runtimes, replace(options, until=Level.PROCESS), tell=tell)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.kafka.speak(monkeypatch)
    monkeypatch.setattr("provision.kafka.roundtrip.roundtrip", lambda *_: world.runtime.on_verb("roundtrip", ""))
    return world


@pytest.mark.parametrize(
    ("values", "kinds", "trained"),
    [
        ({"brokers": {"nodes": 3}}, ["zookeeper", "zookeeper-broker"], ["zookeeper-1", "broker-1"]),
        ({"kafka": {"version": "4.1.0"}}, ["combined"], ["broker-1"]),
        (
            {"kafka": {"version": "4.1.0"}, "controllers": {"nodes": 3}, "brokers": {"nodes": 2}},
            ["controller", "broker"],
            ["controller-1", "broker-1"],
        ),
        ({"kafka": {"version": "4.1.0"}, "brokers": {"nodes": 5}}, ["combined", "broker"], ["broker-1", "broker-1"]),
    ],
    ids=["zookeeper", "combined", "dedicated", "combined and brokers alone"],
)
def test_each_kind_of_node_gets_its_archive_and_nothing_else_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], kinds: list[str], trained: list[str]
) -> None:
    monkeypatch.setattr("provision.warming.up", started)  # the Kafka in memory knows no KRaft
    warmed = world.warm(**values)
    assert [(one.archive.kind, one.made) for one in warmed] == [(kind, True) for kind in kinds]
    assert world.made == [f"{world.training}/{node}" for node in trained]
    assert world.nothing_is_left
    assert {str(event.resource) for event in world.told if isinstance(event, ActionDone) and event.verb == "train"} == {
        f"archive {kind}" for kind in kinds
    }


def test_the_nodes_have_been_used_and_are_stopped_before_an_archive_is_made(world: World) -> None:
    world.warm()
    names = [verb for verb, _ in world.verbs]
    assert names.index("start_node") < names.index("roundtrip") < names.index("stop_node") < names.index("make_archive")


def test_what_fits_is_not_trained_again(world: World) -> None:
    world.warm()
    world.verbs.clear()
    assert [one.made for one in world.warm()] == [False, False]
    assert world.verbs == []


def test_only_what_is_missing_is_made(world: World) -> None:
    world.runtime.archives.keep("zookeeper")
    assert [(one.archive.kind, one.made) for one in world.warm()] == [("zookeeper", False), ("zookeeper-broker", True)]
    assert world.made == [f"{world.training}/broker-1"]


@pytest.mark.parametrize("verb", ["create_node", "start_node", "roundtrip", "stop_node", "make_archive"])
def test_a_failure_is_told_and_leaves_nothing(world: World, verb: str) -> None:
    world.fails = verb
    with pytest.raises(ProvisionError, match="the disk is full"):
        world.warm()
    assert world.nothing_is_left
    assert world.runtime.archives.kept == {}


def test_what_a_killed_training_left_is_removed_first(world: World) -> None:
    with closing(Environment(name=world.training, runtimes=world.runtimes)) as left:
        left.up()
    assert world.runtime.environments() == (world.training,)
    world.warm()
    assert world.nothing_is_left


def test_a_file_without_nodes_has_nothing_to_train(world: World) -> None:
    with pytest.raises(UsageError):
        world.warm(bootstrap_servers="kafka.example:9092")
    assert world.verbs == []


def test_up_tells_of_an_archive_that_a_jvm_did_not_take(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeKafka(world.runtime, "dev").speak(monkeypatch)
    world.runtime.archives.refused = {"broker-1": "Checksum verification failed."}
    told: list[Event] = []
    with closing(Environment(name="dev", runtimes=world.runtimes, on_event=told.append)) as environment:
        environment.up()
        assert [event.text for event in told if isinstance(event, Notice)] == [
            "broker-1 started without its archive: Checksum verification failed. (`provision warm dev` makes a new one)"
        ]
        told.clear()
        environment.up()  # nothing is started, so there is nothing to tell
        assert not any(isinstance(event, Notice) for event in told)


class Idle:
    """A machine that has something else to do now and then, and what has stood back there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.busy: list[float] = []
        self.looked = 0
        self.on_look: Callable[[], object] = lambda: None
        self.stands_back: list[tuple[str, int]] = []
        patch.setattr(spare, "spare", lambda: spare.Spare(9.5, 2**40))
        patch.setattr(spare, "stand_back", lambda processors: self.stands_back.append(("process", processors)))
        patch.setattr(spare, "busy_share", self._share)
        patch.setattr("provision.warming._LOOK_S", 0.01)

    def _share(self, seconds: float) -> float:
        self.looked += 1
        self.on_look()
        time.sleep(seconds)
        return self.busy.pop(0) if self.busy else 0.0


@pytest.fixture
def idle(world: World, monkeypatch: pytest.MonkeyPatch) -> Idle:
    idle = Idle(monkeypatch)

    def stand_back(processors: int) -> None:
        idle.stands_back.append(("nodes", processors))

    monkeypatch.setattr(world.runtime, "stand_back", stand_back)
    world.bring_up()
    return idle


def test_in_the_background_it_trains_once_the_machine_has_had_little_to_do_for_a_while(
    world: World, idle: Idle
) -> None:
    idle.busy = [0.9, 0.1, 0.2, 0.9, 0.5]
    noted: list[bool] = []
    idle.on_look = lambda: noted.append([one.process for one in world.trainers] == [ProcessIdentity.of()])
    assert [one.made for one in world.warm_when_idle()] == [True, True]
    assert idle.looked == 7
    assert all(noted)
    assert idle.stands_back == [("process", 2), ("nodes", 2)]
    assert world.trainers == []
    assert world.runtime.environments() == ("dev",)


def test_in_the_background_it_gives_up_if_the_machine_stays_busy(
    world: World, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provision.warming._GIVE_UP_S", 0.05)
    idle.busy = [0.9] * 100
    assert world.warm_when_idle() == ()
    assert (world.made, world.trainers) == ([], [])


ENDS_WAITING: dict[str, Callable[[World], object]] = {
    "the environment is gone": lambda world: world.runtime.remove_network("dev"),
    "its note is gone, and with it who wants it": lambda world: world.runtimes.home.trainers.forget("dev"),
    "the home is gone": lambda world: shutil.rmtree(world.runtimes.home.directory),
    "another one trains for the environment": lambda world: world.runtimes.home.trainers.note(
        world.trainers[0].model_copy(update={"process": ProcessIdentity.of().model_copy(update={"pid": 1})})
    ),
}


@pytest.mark.parametrize("end", ENDS_WAITING.values(), ids=ENDS_WAITING)
def test_in_the_background_it_waits_only_as_long_as_it_is_wanted(
    world: World, idle: Idle, end: Callable[[World], object]
) -> None:
    idle.busy = [0.9] * 1000
    idle.on_look = lambda: end(world) if idle.looked == 2 else None
    assert world.warm_when_idle() == ()
    assert idle.looked == 2
    assert world.made == []
    assert not any(one.is_own for one in world.trainers)


def test_in_the_background_it_ends_from_the_middle_once_it_is_not_wanted(world: World, idle: Idle) -> None:
    def on_verb(verb: str, subject: str) -> None:
        world._on_verb(verb, subject)  # noqa: SLF001
        if verb == "roundtrip":
            world.runtimes.home.trainers.forget("dev")
            time.sleep(30)  # until it is interrupted

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    world.runtime.on_verb = on_verb
    before = signal.signal(signal.SIGTERM, interrupt)  # as the program does
    try:
        with pytest.raises(Interrupted):
            world.warm_when_idle()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert world.made == []
    assert world.runtime.environments() == ("dev",)


def test_in_the_background_only_one_of_a_home_trains(world: World, idle: Idle) -> None:
    with world.runtimes.home.trainers.alone() as alone:
        assert alone
        assert world.warm_when_idle() == ()
    assert (idle.looked, world.made) == (0, [])


def test_in_the_background_it_trains_for_what_is_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle(monkeypatch)
    with pytest.raises(UsageError, match="there is no environment dev"):
        world.warm_when_idle()
    assert idle.stands_back == []


def test_whoever_asks_for_it_does_not_wait_for_what_waits(world: World) -> None:
    with subprocess.Popen(["sleep", "60"]) as waiting:  # noqa: S607
        world.runtimes.home.trainers.note(
            Trainer(
                environment="other",
                runtime=world.runtime.kind,
                process=ProcessIdentity.of(waiting.pid),
                since_s=time.time(),
            )
        )
        assert [one.made for one in world.warm()] == [True, True]
        assert waiting.wait(60) < 0
    assert world.trainers == []


def test_removing_the_caches_removes_jars_and_archives_and_nothing_else(world: World) -> None:
    cache = world.runtimes.home.cache
    for version in ("3.9.1", "4.1.0"):
        (cache / "kafka" / version).mkdir(parents=True)
        (cache / "kafka" / version / "manifest.json").write_text("{}")
        (cache / "kafka" / f"{version}.lock").touch()
    (cache / "kafka" / "3.8.1").mkdir()  # somebody's own
    (cache / "kafka" / "libs").mkdir()
    for kind in KINDS:
        world.runtime.archives.keep(kind)
    removed = remove_caches(world.runtimes)
    assert removed.versions == ("3.9.1", "4.1.0")
    assert removed.archives == len(KINDS)
    assert sorted(entry.name for entry in (cache / "kafka").iterdir()) == ["3.8.1", "libs"]
    again = remove_caches(world.runtimes)
    assert (again.versions, again.archives) == ((), 0)
