"""A command is killed at every single step, with the fake runtime and a Kafka in memory.

Whatever is left, `status` tells it as it is, `up` makes it whole, and `down` leaves nothing. A killed command does
nothing any more: it notes nothing, gives no lock up, and rolls nothing back.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.environment import Environment
from provision.errors import UsageError
from provision.home.holders import Holder
from provision.home.journals import DONE, KILLED
from provision.kafka.levels import Level
from provision.pipeline import UpOptions
from provision.plan.observed import NodeState
from tests.fake_kafka import Partition
from tests.test_converge import Living, brokers, topic

NAME = "living"
PATIENT = UpOptions(timeout_s=5.0)
SEVERAL = [topic("a", min_insync_replicas=2), topic("b", 2, 2)]


class Killed(BaseException):
    """What nothing catches."""


class Kill:
    """Counts the steps of a command, which are what it asks of the runtime and of Kafka, and kills it before one."""

    def __init__(self, living: Living, at: int) -> None:
        self.at, self.steps = at, 0
        self._living = living
        self._one_at_a_time = threading.Lock()
        self._left = living.home.directory.with_name("left")

    def step(self) -> None:
        """One step, unless it is dead."""
        with self._one_at_a_time:
            if self.steps == self.at and not self._left.exists():
                shutil.copytree(self._living.home.directory, self._left)
                self._holders = dict(self._living.runtime._holders)  # noqa: SLF001
            if self.steps >= self.at:
                raise Killed
            self.steps += 1

    def leave(self) -> None:
        """Let the home and the runtime have what they had when it was killed."""
        home = self._living.home.directory
        shutil.rmtree(home)
        self._left.rename(home)
        self._living.runtime._holders |= self._holders  # noqa: SLF001


class World(Living):
    """An environment, its commands, and the storages of its Kafka."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.home.directory.mkdir()
        self._of_kafka = self.runtime.on_verb

    @property
    def environment(self) -> Environment:
        """As another command sees it."""
        return Environment(self.path, runtimes=self.runtimes, on_event=self.told.append)

    @contextmanager
    def steps(self, step: Callable[[], None], *, all_at_once: bool) -> Iterator[None]:
        """Let something be done before each step; Kafka allows everything if nodes may go all at once."""

        def on_verb(verb: str, subject: str) -> None:
            step()
            if verb == "remove_storage" and not self.runtime.observe(NAME).nodes:
                self._forget(subject)
            elif not all_at_once:
                self._of_kafka(verb, subject)

        self.runtime.on_verb = on_verb
        self.kafka.on_call = lambda what, _about: step() if what not in ("moving", "serving") else None
        try:
            yield
        finally:
            self.runtime.on_verb = self._of_kafka
            self.kafka.on_call = lambda _what, _about: None

    def _forget(self, node: str) -> None:
        """The data of a node are deleted; Kafka's topics go with those of the ensemble."""
        self.kafka.members_with_data.discard(node)
        self.kafka.set_on_brokers.clear()
        if not self.kafka.members_with_data:
            self.kafka.topics.clear()

    def is_killed(self, command: Callable[[Environment], object], at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Kill the command before that step; False if it has ended before."""
        kill = Kill(self, at)
        of_a_dead_one = Holder.of("up").model_copy(update={"process": _of_the_dead()})
        with monkeypatch.context() as patched:
            patched.setattr(
                Holder, "of", lambda name: of_a_dead_one.model_copy(update={"command": name, "token": _token()})
            )
            with self.steps(kill.step, all_at_once=command in (DOWN, DOWN_KEEPING, STOP)):
                try:
                    command(self.environment)
                except Killed:
                    kill.leave()
                    return True
        return False

    def goes_down(self) -> None:
        """`down`."""
        with self.steps(lambda: None, all_at_once=True):
            self.environment.down()


def _of_the_dead():  # type: ignore[no-untyped-def]  # noqa: ANN202
    from tests.holders import reused

    return reused().process


def _token() -> str:
    import uuid

    return uuid.uuid4().hex[:12]


def UP(environment: Environment) -> object:  # noqa: N802
    return environment.up(PATIENT)


def STOP(environment: Environment) -> object:  # noqa: N802
    return environment.stop()


def DOWN(environment: Environment) -> object:  # noqa: N802
    return environment.down()


def DOWN_KEEPING(environment: Environment) -> object:  # noqa: N802
    return environment.down(keep_data=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A command; before it, the environment is up as `before` says, and the file then says `after`."""

    command: Callable[[Environment], object]
    after: dict[str, object]
    before: dict[str, object] | None = None


THREE = {"brokers": brokers(3), "topics": SEVERAL}
CASES = {
    "the first up": Case(UP, THREE),
    "scale out": Case(UP, {"brokers": brokers(4), "rebalance": True}, THREE),
    "scale in": Case(UP, {"brokers": brokers(3)}, {**THREE, "brokers": brokers(4)}),
    "a rolling change": Case(UP, {"brokers": brokers(properties={"num.network.threads": 5})}, THREE),
    "an upgrade": Case(UP, {"kafka": {"version": "3.9.1"}}, {**THREE, "kafka": {"version": "3.8.1"}}),
    "a larger ensemble": Case(UP, {"zookeeper": {"nodes": 3}}, THREE),
    "restart": Case(lambda environment: environment.restart(), {}, THREE),
    "stop": Case(STOP, {}, THREE),
    "down": Case(DOWN, {}, THREE),
    "down of an ensemble": Case(DOWN, {}, {**THREE, "zookeeper": {"nodes": 3}}),
    "down --keep-data": Case(DOWN_KEEPING, {}, THREE),
}


@pytest.mark.parametrize("then", ["up", "down"])
@pytest.mark.parametrize("name", CASES)
def test_x(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, then: str) -> None:
    import time
    case = CASES[name]
    at = 0
    began = time.time()
    while True:
        directory = tmp_path / str(at)
        directory.mkdir()
        with monkeypatch.context() as patched:
            world = World(directory)
            world.kafka.speak(patched)
            if case.before is not None:
                world.want(**case.before)
                world.environment.up(PATIENT)
            world.want(**case.after)
            if not world.is_killed(case.command, at, monkeypatch):
                break
            try:
                check(world)
                if then == "up":
                    becomes_whole(world)
                goes_without_a_trace(world)
            except BaseException as e:
                e.add_note(f"killed at step {at}: {world.told[-8:]}")
                raise
        at += 1
    print(name, then, at, time.time() - began)
    assert at >= 5


def check(world: World) -> None:
    observed = world.runtime.observe(NAME)
    runs = world.environment.history()
    try:
        assessment = world.environment.status()
    except UsageError:
        assert observed.is_absent
        return
    states = {node.name: node.state for node in assessment.observed.nodes}
    assert states == {node.name: node.state for node in observed.nodes}
    if assessment.level >= Level.TOPICS:
        assert set(states.values()) == {NodeState.RUNNING}
        assert all(is_in_sync(world, p) for _, p in world.kafka.each())


def is_in_sync(world: World, partition: Partition) -> bool:
    return set(partition.replicas) <= world.kafka.brokers.keys()


def becomes_whole(world: World) -> None:
    with world.steps(lambda: None, all_at_once=False):
        world.environment.up(PATIENT)
    assert [str(action) for action in world.environment.plan().plan.actions] == []
    assert world.environment.status().level >= Level.TOPICS
    assert {node.state for node in world.runtime.observe(NAME).nodes} == {NodeState.RUNNING}


def goes_without_a_trace(world: World) -> None:
    world.goes_down()
    assert world.runtime.observe(NAME).is_absent
    assert world.runtime.abouts() == {}
    assert world.runtime._holders == {}
    home = world.home.directory
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert left in (["journals/living.jsonl", "ports.json.lock"], ["ports.json.lock"]), left
