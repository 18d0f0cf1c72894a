"""A port of `port: auto` that turns out to be taken is replaced once, and told; one that the file names is an error."""

from pathlib import Path

import pytest

from provision import pipeline, preparing
from provision.cluster.layout import Layout
from provision.cluster.model import Node
from provision.errors import NodeFailed, PortTaken, ProvisionError, Refused
from provision.events import Event, Notice, Planned
from provision.kafka.levels import Level
from provision.operations import life, remove
from provision.pipeline import UpOptions, UpResult
from provision.plan.actions import Plan
from provision.plan.observed import NodeState
from provision.runtime import Runtimes
from provision.runtime.base import port_taken
from provision.runtime.fake import FakeRuntime
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source
from tests.runtimes import FakeRuntimes

NAME = "taken"
RUNNING = UpOptions(timeout_s=60.0, until=Level.PROCESS)
AUTO = "name: taken\nbrokers: {nodes: 3, port: auto}\n"
LOG = [
    "[2026-01-01 10:00:00,000] ERROR [KafkaServer id=1] Fatal error during KafkaServer startup. (kafka.server)",
    "org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:20001: Address already in use.",
]


class Taking(FakeRuntime):
    """Brokers have the ports of their files, and cannot start on those that are `taken`."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[int] = set()
        self.exits = False

    def endpoint_of(self, node: Node) -> str | None:
        """Where this machine would reach it."""
        return node.endpoint

    def start_node(self, name: str, node: str) -> None:
        """Start it, or fail as an engine does, or as a JVM does."""
        there = self.observe(name).node(node)
        port = int(there.endpoint.rpartition(":")[2]) if there and there.endpoint else 0
        if port in self.taken and not self.exits:
            raise port_taken(f"starting {node}", "127.0.0.1", port)
        super().start_node(name, node)
        if port in self.taken:
            self.exit_node(name, node, 1, LOG)


class LocalRuntimes(FakeRuntimes):
    """Nodes listen on the ports of this machine, as processes do."""

    def layout(self, kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:  # noqa: ARG002 it is always this
        """As processes have it."""
        return Runtimes.layout(self, "process", spec, base_directory)


class World:
    """An environment file, its runtime, and what was told."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "taken.yaml"
        self.file.write_text(AUTO)
        self.runtime = Taking()
        self.runtimes: FakeRuntimes = LocalRuntimes(directory / "home", self.runtime)
        self.told: list[Event] = []

    def up(self, options: UpOptions = RUNNING) -> UpResult:
        """Bring it up, as far as that goes without Kafka."""
        self.told.clear()
        return pipeline.up(Source(self.file), self.runtimes, options, tell=self.told.append)

    @property
    def ports(self) -> dict[str, int]:
        """The leased ports of the brokers."""
        leased = self.runtimes.home.ports.of(NAME)
        return {name: port for name, port in leased.items() if name.startswith("broker")}

    @property
    def proposed(self) -> dict[str, int]:
        """The ports that the next `up` would choose."""
        plan = preparing.prepare(Source(self.file), self.runtimes)
        return {node.name: int((node.endpoint or "").rpartition(":")[2]) for node in plan.cluster.brokers}

    @property
    def endpoints(self) -> dict[str, int]:
        """The ports of the brokers that there are."""
        observed = self.runtime.observe(NAME)
        return {f"broker-{number}": int(at.rpartition(":")[2]) for number, at in observed.broker_endpoints.items()}

    @property
    def notices(self) -> list[str]:
        """The sentences that were told."""
        return [event.text for event in self.told if isinstance(event, Notice)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # None is taken but those of the runtime: other programs of this machine come and go.
    monkeypatch.setattr("provision.home.ports.port_is_free", lambda _port: True)
    return World(tmp_path)


@pytest.mark.parametrize("exits", [False, True], ids=["the runtime says so", "the node says so and exits"])
@pytest.mark.parametrize("which", ["broker-1", "broker-3"])
def test_a_first_up_begins_again_with_another_port(world: World, which: str, exits: bool) -> None:
    before = world.proposed
    world.runtime.exits = exits
    world.runtime.taken.add(before[which])
    assert world.up().changed
    assert {node.state for node in world.runtime.observe(NAME).nodes} == {NodeState.RUNNING}
    assert world.endpoints == world.ports
    assert {name for name in before if world.ports[name] != before[name]} == {which}
    assert world.notices == [
        f"taken by another program meanwhile: port {before[which]} of {which}; taken begins again with another one"
    ]
    assert len([event for event in world.told if isinstance(event, Planned)]) == 2
    assert not world.up().changed


def test_it_begins_again_only_once_and_then_leaves_nothing(world: World) -> None:
    world.runtime.taken.update(range(20000, 30000))
    with pytest.raises(PortTaken, match="is taken") as caught:
        world.up()
    assert caught.value.exit_code == 1
    assert world.runtime.observe(NAME).is_absent
    assert world.ports == {}
    assert len([notice for notice in world.notices if "begins again" in notice]) == 1


@pytest.mark.parametrize("exits", [False, True])
def test_a_port_that_the_file_names_stays_an_error(world: World, exits: bool) -> None:
    world.file.write_text("name: taken\nbrokers: {nodes: 3, port: 9092}\n")
    world.runtime.exits = exits
    world.runtime.taken.add(9093)
    with pytest.raises(ProvisionError, match=r"port 9093|broker-2 exited") as caught:
        world.up()
    assert isinstance(caught.value, NodeFailed if exits else PortTaken)
    assert world.runtime.observe(NAME).is_absent
    assert not [notice for notice in world.notices if "begins again" in notice]


@pytest.mark.parametrize("exits", [False, True])
def test_of_a_stopped_environment_only_the_node_whose_port_is_taken_gets_another(world: World, exits: bool) -> None:
    world.up()
    before = world.ports
    life.stop(world.runtime, NAME)
    storages = world.runtime.observe(NAME).storages
    world.runtime.exits = exits
    world.runtime.taken.add(before["broker-2"])
    removed: list[str] = []
    world.runtime.on_verb = lambda verb, subject: removed.append(subject) if verb == "remove_storage" else None
    world.up()
    assert {name for name in before if world.ports[name] != before[name]} == {"broker-2"}
    assert world.endpoints == world.ports
    assert {node.state for node in world.runtime.observe(NAME).nodes} == {NodeState.RUNNING}
    assert (world.runtime.observe(NAME).storages, removed) == (storages, [])


def test_a_new_broker_gets_another_port_and_the_running_ones_are_left_alone(world: World) -> None:
    world.up()
    before = world.endpoints
    world.file.write_text(AUTO.replace("3", "4"))
    world.runtime.taken.add(first := world.proposed["broker-4"])
    stopped: list[str] = []
    world.runtime.on_verb = lambda verb, subject: stopped.append(subject) if verb == "stop_node" else None
    world.up()
    assert world.endpoints == {**before, "broker-4": world.ports["broker-4"]}
    assert world.ports["broker-4"] != first
    assert stopped == []


def test_a_saved_plan_has_its_ports(world: World) -> None:
    saved = preparing.prepare(Source(world.file), world.runtimes).saved
    world.runtime.taken.add(world.proposed["broker-1"])
    with pytest.raises(PortTaken):
        world.up(UpOptions(until=Level.PROCESS, saved=saved))
    assert world.runtime.observe(NAME).is_absent


def test_what_keeps_it_from_beginning_again_is_told_after_the_reason(world: World) -> None:
    world.runtime.taken.add(world.proposed["broker-1"])

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("remove_node", "broker-2"):
            raise ProvisionError("the engine caught fire")

    world.runtime.on_verb = fail
    with pytest.raises(PortTaken) as caught:
        world.up()
    assert "and it could not begin again: the engine caught fire" in caught.value.why


def test_down_gives_back_what_took_the_place_of_another(world: World) -> None:
    world.runtime.taken.add(world.proposed["broker-1"])
    world.up()
    assert remove.down(world.runtime, NAME, world.runtimes.home)
    assert world.ports == {}


def test_who_does_not_agree_to_begin_again_has_nothing_left(world: World) -> None:
    world.runtime.taken.add(world.proposed["broker-1"])
    asked: list[Plan] = []

    def agree_once(plan: Plan) -> None:
        asked.append(plan)
        if len(asked) > 1:
            raise Refused("no")

    with pytest.raises(Refused, match="no"):
        pipeline.up(Source(world.file), world.runtimes, RUNNING, agree=agree_once)
    assert world.runtime.observe(NAME).is_absent
    assert world.ports == {}


def test_a_port_inside_a_container_is_none_that_was_leased(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runtimes = FakeRuntimes(tmp_path / "home", world.runtime)
    world.runtime.exits = True
    world.runtime.taken.add(world.proposed["broker-1"])
    with pytest.raises(NodeFailed, match="broker-1 exited"):
        world.up()
    assert not [notice for notice in world.notices if "begins again" in notice]
    assert world.runtime.observe(NAME).is_absent
