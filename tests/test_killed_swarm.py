"""Nodes leave their engines, or others join them, and the command is killed at every single step.

Engines are in memory here, and so are the brokers and controllers on them, which know what each of them has: nothing
may be removed that no other one has. Whatever is left, the next `up` makes it whole, and `down` leaves nothing.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, Node, Role
from provision.common.values import replace
from provision.environment import Environment
from provision.errors import Refused
from provision.events import Notice
from provision.kafka.access import Access
from provision.kafka.quorum import Quorum
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.plan.engines import ObservedEngine, Place, departures
from provision.plan.observed import NodeState, ObservedEnvironment
from tests.fake_kafka import FakeKafka, Partition, SpokenRuntime, Topic
from tests.runtimes import FakeRuntimes
from tests.test_converge import brokers, topic
from tests.test_killed import NAME, World, down, up

GONE = "engine beta is down"


class EnginesRuntime(SpokenRuntime):
    """The fake runtime over several engines, each with what keeps nodes from running on it."""

    def __init__(self) -> None:
        super().__init__()
        self.engines = {"alpha": "", "beta": "", "gamma": ""}
        self.at: dict[str, str] = {}
        self.given_up: set[str] = set()
        self.avoided: frozenset[str] = frozenset()

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """With the place of each storage."""
        observed = super().observe(name, wanted)
        engines = tuple(ObservedEngine(one, why != GONE, why) for one, why in self.engines.items())
        places = {node: Place(self.at[node], f"{name}-{node}", node in self.given_up) for node in observed.storages}
        nodes = tuple(
            replace(node, state=NodeState.EXITED, waits_for=why) if why else node
            for node in observed.nodes
            for why in [self.engines[self.at[node.name]]]
        )
        return replace(observed, engines=engines, places=places, nodes=nodes)

    def located(self, layout: Layout, cluster: Cluster, give_up: Collection[str] = ()) -> Layout:
        """Only which engines get no node is of interest."""
        drained = cluster.swarm.drained if cluster.swarm else frozenset[str]()
        leave = departures(self.observe(cluster.name), give_up, drained).names
        self.avoided = frozenset({*give_up, *drained, *(self.at[node] for node in leave)})
        return layout

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """The second node of a role is on the second engine that takes nodes, in whichever order they are made."""
        super().create_storage(cluster, node)
        usable = [one for one, why in self.engines.items() if not why and one not in self.avoided]
        number = Role.parse(node.name)[1]
        self.at.setdefault(node.name, usable[(number - 1) % len(usable)])

    def start_node(self, name: str, node: str) -> None:
        """Not on an engine that is away."""
        assert not self.engines[self.at[node]], f"{node} is started on {self.at[node]}"
        data = self.read_storage(name, node)
        assert data is not None
        assert data.cluster_id, f"{node} is started with a storage that is not formatted"
        super().start_node(name, node)

    def give_up(self, name: str, nodes: Sequence[str]) -> None:
        """Remembered, each by itself."""
        for node in nodes:
            self.on_verb("give_up", node)
            if node in self.observe(name).storages:
                self.given_up.add(node)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """With where it is."""
        super().remove_storage(name, node, delete_data=delete_data)
        self.at.pop(node, None)
        self.given_up.discard(node)


class QuorumKafka(FakeKafka):
    """The cluster, with what its controllers have agreed on, and brokers whose storages can be lost."""

    def __init__(self, runtime: EnginesRuntime, name: str) -> None:
        super().__init__(runtime, name)
        self.informed: set[str] = set()
        self.now_ms = 100_000

    @property
    def _instead(self) -> dict[str, Callable[..., Any]]:
        return super()._instead | {"ask_for_quorum": self.quorum}

    def quorum(self, access: Access) -> Quorum | None:
        """As the active controller tells it; None without a majority."""
        voters = [node.name for node in self.runtime.observe(self.name).of_role(Role.CONTROLLER)]
        up = {1000 + Role.parse(name)[1]: name in self.running and name in self.informed for name in voters}
        if not access.brokers or sum(up.values()) < 2:
            return None
        self.now_ms += 2000  # time passes between two questions
        times = {voter: self.now_ms if is_up else 1 for voter, is_up in up.items()}
        return Quorum(min(voter for voter, is_up in up.items() if is_up), times, times)

    @property
    def running(self) -> set[str]:
        """The nodes that run."""
        there = self.runtime.observe(self.name).nodes
        return {node.name for node in there if node.state is NodeState.RUNNING}

    def _on_verb(self, verb: str, subject: str) -> None:
        with self._lock:
            role, number = Role.parse(subject) if verb in ("start_node", "remove_storage") else (None, 0)
            if verb == "remove_storage" and role is Role.BROKER:
                self._loses(number)
            elif verb == "remove_storage":
                self.informed.discard(subject)
                assert len(self.informed) >= 2, f"nobody but {self.informed} has what was agreed on"
            else:
                super()._on_verb(verb, subject)
            if verb == "start_node" and role is Role.CONTROLLER:
                self._joins(subject)
            elif verb == "start_node" and role is Role.BROKER:
                for _, partition in self.each():
                    partition.lagging -= {number}

    def _joins(self, controller: str) -> None:
        if len(self.informed) < 3 and not any(topic.partitions for topic in self.topics.values()):
            self.informed.add(controller)  # the first three agree on what there is
        elif len(self.informed & self.running) >= 2:
            self.informed.add(controller)

    def _loses(self, broker: int) -> None:
        """A broker's storage goes: each of its partitions is on another one, in sync."""
        for at, partition in self.each():
            if broker in partition.all:
                others = {other for other in partition.replicas if other != broker} - partition.lagging
                assert others, f"nobody has what broker-{broker} had of {at}"
                partition.lagging |= {broker}
        self.set_on_brokers.pop(broker, None)


class Fleet(World):
    """An environment over several engines."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.runtime: EnginesRuntime = EnginesRuntime()
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.home = self.runtimes.home
        self.kafka: QuorumKafka = QuorumKafka(self.runtime, NAME)
        self._of_kafka = self.runtime.on_verb

    def run(self, command: Callable[[Environment], object], step: Callable[[], None] = lambda: None) -> None:
        """Run a command, with something done before each of its steps."""
        with self._steps(step, all_at_once=command is down):
            command(self.environment)

    def becomes_whole(self) -> None:
        """By `up`; only if nothing has been noted yet, the engine has to be given up again."""
        observed = self.runtime.observe(NAME)
        waits = [name for name, place in observed.places.items() if self.runtime.engines[place.engine] == GONE]
        if waits and not self.runtime.given_up:
            assert len(waits) == 2, "a part of what its engine had is given up, and nothing says so"
            self.run(give_up)
        super().becomes_whole()
        assert not {self.runtime.at[node.name] for node in self.runtime.observe(NAME).nodes} & self.left

    @property
    def left(self) -> set[str]:
        """The engines that are to have no nodes."""
        swarm = self.file["swarm"]
        assert isinstance(swarm, dict)
        return {*swarm.get("drain", ()), *(name for name, why in self.runtime.engines.items() if why)}


def give_up(environment: Environment) -> object:
    return environment.up(UpOptions(timeout_s=60.0, give_up=("beta",)))


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What happens to an engine and what is wanted then, and the command; `every` is which of its steps are tried."""

    command: Callable[[Environment], object]
    trouble: str = ""
    after: Mapping[str, object] = dataclasses.field(default_factory=dict)
    new: str = ""
    every: int = 1


FLEET: Mapping[str, object] = {
    "runtime": "swarm",
    "kafka": {"mode": "kraft"},
    "controllers": {"nodes": 3},
    "security": "sasl-tls",
    "swarm": {},
    "brokers": brokers(3),
    "topics": [topic("a", min_insync_replicas=2), topic("b", 2, 2)],
}
DRAIN: Mapping[str, object] = {"swarm": {"drain": ["beta"]}}
CASES = {
    "an engine is given up": Case(give_up, GONE),
    "an engine is drained": Case(up, after=DRAIN, every=2),
    "an engine that Docker has drained is drained": Case(up, "engine beta is drained", DRAIN),
    "scale out onto a fourth engine": Case(up, after={"brokers": brokers(4), "rebalance": True}, new="delta", every=2),
    "a rolling change": Case(up, after={"brokers": brokers(properties={"num.network.threads": 5})}, every=3),
}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return made(tmp_path, monkeypatch)


def made(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    world = Fleet(directory)
    world.kafka.speak(monkeypatch)
    world.want(**FLEET).run(up)
    return world


def befalls(world: Fleet, case: Case) -> None:
    world.runtime.engines["beta"] = case.trouble
    if case.new:
        world.runtime.engines[case.new] = ""
    world.want(**case.after)


@pytest.mark.parametrize(
    "then", ["up or down", *(pytest.param(then, marks=pytest.mark.soak) for then in ("up and down", "down at once"))]
)
@pytest.mark.parametrize("name", CASES)
def test_whenever_it_is_killed_up_makes_it_whole_and_down_leaves_nothing(tmp_path: Path, name: str, then: str) -> None:
    case = CASES[name]
    for at in itertools.count(step=case.every if then == "up or down" else 1):
        (tmp_path / str(at)).mkdir()
        with pytest.MonkeyPatch.context() as patched:
            world = made(tmp_path / str(at), patched)
            befalls(world, case)
            if not world.is_killed(case.command, at):
                break
            try:
                if then == "up and down" or (then == "up or down" and at // case.every % 2 == 0):
                    world.becomes_whole()
                world.goes_without_a_trace()
            except BaseException as error:
                error.add_note(f"it was killed before step {at}")
                raise
    assert at >= 8


def test_what_comes_to_a_broker_after_the_plan_was_made_stays_and_it_runs_again(fleet: Fleet) -> None:
    fleet.want(**DRAIN)
    of_kafka = fleet.kafka._on_verb  # noqa: SLF001 as the runtime calls it

    def on_verb(verb: str, subject: str) -> None:
        of_kafka(verb, subject)
        if (verb, subject) == ("stop_node", "broker-2"):
            fleet.kafka.topics["late"] = Topic([Partition((2,))])

    fleet.runtime.on_verb = on_verb
    with pytest.raises(Refused, match="data would be lost") as caught:
        fleet.environment.up(UpOptions(timeout_s=2.0))
    assert caught.value.why.splitlines()[0] == "broker-2: it has the only in-sync replica of late-0"
    assert fleet.runtime.at["broker-2"] == "beta"
    assert "broker-2" in fleet.kafka.running
    fleet.runtime.on_verb = of_kafka
    planned = fleet.environment.plan().plan
    assert [(one.name, one.cause) for one in planned.refusals] == [("broker-2", "it has the only replica of late-0")]
    del fleet.kafka.topics["late"]
    fleet.becomes_whole()


def test_an_engine_that_comes_back_while_the_user_is_asked_is_not_given_up(fleet: Fleet) -> None:
    fleet.runtime.engines["beta"] = GONE
    fleet.kafka.now_ms += 10_000

    def agree(_plan: Plan) -> None:
        fleet.runtime.engines["beta"] = ""

    with pytest.raises(Refused, match="data would be lost"):
        fleet.environment.up(UpOptions(timeout_s=1.0, give_up=("beta",)), agree=agree)
    assert fleet.runtime.given_up == set()
    assert {"controller-2", "broker-2"} <= fleet.kafka.running
    assert fleet.environment.plan().plan.actions == ()


def test_while_nodes_leave_their_engine_there_are_never_fewer_replicas_in_sync_than_writers_need(fleet: Fleet) -> None:
    fleet.want(**DRAIN)
    fewest: list[int] = []

    def step() -> None:
        cluster = fleet.kafka.cluster()
        fewest.extend(len(one.in_sync) for topic in cluster.topics if topic.name == "a" for one in topic.partitions)

    fleet.run(up, step)
    assert min(fewest) == 2
    assert fleet.left == {"beta"}
    assert sorted(fleet.runtime.at.values()).count("beta") == 0


def test_a_mistyped_engine_is_told_by_the_plan_which_drains_none(fleet: Fleet) -> None:
    fleet.want(swarm={"drain": ["betta"], "addresses": {"alpha": "10.0.0.1"}}).told.clear()
    assert fleet.environment.plan().plan.actions == ()
    notices = [one.text for one in fleet.told if isinstance(one, Notice) and "betta" in one.text]
    assert notices == ["swarm.drain: the swarm has no engine betta (it has alpha, beta, gamma)"]
