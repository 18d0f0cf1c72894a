"""A command is killed at every single step, with the fake runtime and a Kafka in memory.

Whatever is left, `status` tells it as it is, `up` makes it whole, and `down` leaves nothing. A killed command does
nothing any more: it notes nothing, gives no lock up, and rolls nothing back.
"""

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.environment import Environment
from provision.errors import ProvisionError, UsageError
from provision.events import Notice
from provision.home.holders import Holder
from provision.home.journals import DONE, KILLED, RUNNING
from provision.kafka.levels import Level
from provision.pipeline import UpOptions
from provision.plan.observed import NodeState
from tests.holders import reused
from tests.test_converge import Living, brokers, topic

NAME = "living"
PATIENT = UpOptions(timeout_s=60.0)


class Killed(BaseException):
    """What nothing catches."""


class Kill:
    """Counts the steps of a command, which are what it asks of the runtime and of Kafka, and kills it before one."""

    def __init__(self, living: Living, at: int) -> None:
        self._living, self._at = living, at
        self._count, self._one_at_a_time = 0, threading.Lock()
        self._left = living.home.directory.with_name("left")

    def step(self) -> None:
        """One step, unless it is dead."""
        with self._one_at_a_time:
            if self._count < self._at:
                self._count += 1
                return
            if not self._left.exists():
                shutil.copytree(self._living.home.directory, self._left)
                self._holders = dict(self._living.runtime._holders)  # noqa: SLF001 as a dead one's stay in an engine
        raise Killed

    def leave(self) -> None:
        """Let the home and the runtime have the notes and locks that they had when it was killed."""
        home = self._living.home.directory
        shutil.rmtree(home)
        self._left.rename(home)
        self._living.runtime._holders |= self._holders  # noqa: SLF001


Command = Callable[[Environment], object]


class World(Living):
    """An environment, the commands for it, and what is left of it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.home.directory.mkdir()
        self._of_kafka = self.runtime.on_verb

    @property
    def environment(self) -> Environment:
        """As another command sees it."""
        return Environment(self.path, runtimes=self.runtimes, on_event=self.told.append)

    @property
    def notices(self) -> list[str]:
        """What commands have told."""
        return [event.text for event in self.told if isinstance(event, Notice)]

    def run(self, command: Command, step: Callable[[], None] = lambda: None) -> None:
        """Run a command, with something done before each of its steps."""
        with self._steps(step, all_at_once=command not in (up, restart)):
            command(self.environment)

    @contextmanager
    def _steps(self, step: Callable[[], None], *, all_at_once: bool) -> Iterator[None]:
        """Kafka's objections do not count if nodes may go all at once, or what is left of their data."""

        def on_verb(verb: str, subject: str) -> None:
            step()
            if verb == "remove_storage" and not self.runtime.observe(NAME).nodes:
                self._forget(subject)
            elif not all_at_once:
                self._of_kafka(verb, subject)

        self.runtime.on_verb = on_verb
        self.kafka.on_call = lambda _what, _about: step()
        try:
            yield
        finally:
            self.runtime.on_verb = self._of_kafka
            self.kafka.on_call = lambda _what, _about: None

    def _forget(self, node: str) -> None:
        """A node's data are deleted; topics go with those of the ensemble."""
        self.kafka.members_with_data.discard(node)
        if not self.kafka.members_with_data:
            self.kafka.topics.clear()

    def is_killed(self, command: Command, at: int) -> bool:
        """Kill the command before that step; False if it has ended before."""
        kill, of = Kill(self, at), Holder.of
        with pytest.MonkeyPatch.context() as patched:
            dead = reused().process
            patched.setattr(Holder, "of", lambda *said: of(*said).model_copy(update={"process": dead}))
            try:
                self.run(command, kill.step)
            except Killed:
                kill.leave()
                return True
            except ProvisionError:
                assert self.kafka.refusals
            finally:
                self.kafka.refusals.clear()
        return False

    # -- what must be true then ---------------------------------------------------------------------------------------

    def is_told_as_it_is(self, before: int) -> None:
        """`status` names the states of all nodes, and calls nothing ready that is not; the history has the kill."""
        runs = self.environment.history()
        assert [run.state for run in runs[before:]] in ([], [KILLED])
        observed = self.runtime.observe(NAME)
        if observed.is_absent:
            with pytest.raises(UsageError, match="there is no environment"):
                self.environment.status()
            return
        assessment = self.environment.status()
        states = {node.name: node.state for node in observed.nodes}
        assert {node.name: node.state for node in assessment.observed.nodes} == states
        if assessment.level >= Level.TOPICS:
            assert set(states.values()) == {NodeState.RUNNING}
            assert all(set(partition.replicas) <= self.kafka.brokers.keys() for _, partition in self.kafka.each())

    def becomes_whole(self) -> None:
        """By `up`, after which nothing is left to do."""
        self.run(up)
        assert [str(action) for action in self.environment.plan().plan.actions] == []
        assert self.environment.status().level >= Level.TOPICS
        assert {node.state for node in self.runtime.observe(NAME).nodes} == {NodeState.RUNNING}
        assert {run.state for run in self.environment.history()[-1:]} <= {DONE}

    def goes_without_a_trace(self) -> None:
        """By `down`; the history outlives the environment."""
        self.run(down)
        assert self.runtime.observe(NAME).is_absent
        assert self.runtime.abouts() == {}
        assert self.runtime.holder(NAME) is None
        runs = self.environment.history()
        assert {run.state for run in runs[-1:]} <= {DONE}  # nobody notes that there was nothing to do
        home = self.home.directory
        left = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        leases = {"ports.json", "ports.json.lock"}
        assert left - leases == ({f"journals/{NAME}.jsonl"} if runs else set())
        assert self.home.ports.reclaim(lambda _place: (), dry_run=True) == ()


def up(environment: Environment) -> object:
    return environment.up(PATIENT)


def stop(environment: Environment) -> object:
    return environment.stop()


def restart(environment: Environment) -> object:
    return environment.restart()


def down(environment: Environment) -> object:
    return environment.down()


def down_keeping(environment: Environment) -> object:
    return environment.down(keep_data=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A command. Before it, the environment is up as `before` says, and the file then says `after` too.

    `every` is which of its steps are tried in `make test`. `refused` is a topic that Kafka refuses until it is killed.
    """

    command: Command
    before: Mapping[str, object] | None
    after: Mapping[str, object]
    every: int = 1
    refused: str = ""


THREE: Mapping[str, object] = {"brokers": brokers(3), "topics": [topic("a", min_insync_replicas=2), topic("b", 2, 2)]}
CASES = {
    "the first up": Case(up, None, THREE),
    "a first up that is rolled back": Case(up, None, THREE, every=2, refused="a"),
    "scale out": Case(up, THREE, {"brokers": brokers(4), "rebalance": True}),
    "scale in": Case(up, {**THREE, "brokers": brokers(4)}, {"brokers": brokers(3)}),
    "a rolling change": Case(up, THREE, {"brokers": brokers(properties={"num.network.threads": 5})}, every=3),
    "an upgrade": Case(up, {**THREE, "kafka": {"version": "3.8.1"}}, {"kafka": {"version": "3.9.1"}}, every=4),
    "a larger ensemble": Case(up, THREE, {"zookeeper": {"nodes": 3}}, every=3),
    "restart": Case(restart, THREE, {}),
    "stop": Case(stop, THREE, {}),
    "down": Case(down, THREE, {}),
    "down of an ensemble": Case(down, {**THREE, "zookeeper": {"nodes": 3}}, {}),
    "down --keep-data": Case(down_keeping, THREE, {}),
}
FEWEST = 4
"""Steps that the shortest of them has."""


@pytest.mark.parametrize(
    "then", ["up or down", *(pytest.param(then, marks=pytest.mark.soak) for then in ("up and down", "down at once"))]
)
@pytest.mark.parametrize("name", CASES)
def test_whenever_it_is_killed_up_makes_it_whole_and_down_leaves_nothing(tmp_path: Path, name: str, then: str) -> None:
    case = CASES[name]
    for at in itertools.count(step=case.every if then == "up or down" else 1):
        (tmp_path / str(at)).mkdir()
        world = World(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patched:
            world.kafka.speak(patched)
            if case.before is not None:
                world.want(**case.before).run(up)
            runs = len(world.environment.history()) if case.before is not None else 0
            world.want(**case.after)
            world.kafka.refusals |= {case.refused: "it is refused"} if case.refused else {}
            if not world.is_killed(case.command, at):
                break
            try:
                world.is_told_as_it_is(runs)
                if then == "up and down" or (then == "up or down" and at // case.every % 2 == 0):
                    world.becomes_whole()
                world.goes_without_a_trace()
            except BaseException as error:
                error.add_note(f"it was killed before step {at}")
                raise
    assert at >= FEWEST


@pytest.fixture
def half_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A `down` was killed when the nodes were gone, and one storage of four."""
    world = World(tmp_path)
    world.kafka.speak(monkeypatch)
    world.want(**THREE).run(up)
    assert world.is_killed(down, 4 + 1 + 1)
    assert world.runtime.observe(NAME).is_half_removed
    assert len(world.runtime.observe(NAME).storages) == 3
    world.told.clear()
    return world


def test_a_down_that_was_killed_while_it_deleted_data_is_finished_by_the_next_up(half_removed: World) -> None:
    planned = [str(action) for action in half_removed.environment.plan().plan.actions]
    assert sum("storage" in action for action in planned) == 4
    assert len(half_removed.runtime.observe(NAME).storages) == 3  # a plan changes nothing
    (finding,) = half_removed.environment.examine().findings
    assert (finding.id, finding.evidence) == ("change-interrupted", ("some of the data are deleted, and some are not",))
    half_removed.becomes_whole()
    assert "the removal of living was cut off while data were deleted; it is finished first" in half_removed.notices
    half_removed.goes_without_a_trace()


def test_who_keeps_what_is_left_has_it_still(half_removed: World) -> None:
    half_removed.run(down_keeping)
    observed = half_removed.runtime.observe(NAME)
    assert not observed.is_half_removed
    assert len(observed.storages) == 3
    half_removed.goes_without_a_trace()


def test_what_was_made_anew_meanwhile_is_not_taken_for_what_is_left(half_removed: World) -> None:
    half_removed.becomes_whole()
    assert half_removed.is_killed(down_keeping, 6)
    kept = half_removed.runtime.observe(NAME).storages
    half_removed.told.clear()
    half_removed.becomes_whole()
    assert not any("is finished first" in notice for notice in half_removed.notices)
    assert half_removed.runtime.observe(NAME).storages >= kept


NODES = tuple(f"{role}-{number}" for role in ("zookeeper", "broker") for number in (1, 2, 3))
"""Three members of an ensemble and three brokers: the nodes that a `down` may have removed when it was killed."""
ALL = list(itertools.product(("runs", "ended", "gone"), repeat=len(NODES)))
SEVERAL = random.Random(14).sample(ALL, 5)  # noqa: S311 no secret


@pytest.mark.parametrize(
    "states",
    [
        ("gone", "runs", "gone", "ended", "gone", "runs"),
        ("runs", "gone", "runs", "runs", "gone", "runs"),
        *SEVERAL,
        *(pytest.param(states, marks=pytest.mark.soak) for states in ALL if states not in SEVERAL),
    ],
    ids="-".join,
)
def test_whichever_nodes_have_ended_or_were_removed_up_brings_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...]
) -> None:
    world = World(tmp_path)
    world.kafka.speak(monkeypatch)
    world.want(**THREE, zookeeper={"nodes": 3}).run(up)

    def fail(_: Environment) -> None:
        for node, state in zip(NODES, states, strict=True):
            if state != "runs":
                world.runtime.exit_node(NAME, node, 137)
            if state == "gone":
                world.runtime.remove_node(NAME, node)

    world.run(fail)
    world.becomes_whole()
    assert RUNNING not in {run.state for run in world.environment.history()}
