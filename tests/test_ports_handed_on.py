"""Ports that go from one node of an environment to another: nobody starts at a port that another node still has."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provision import pipeline, preparing
from provision.cluster.layout import LOOPBACK, Layout
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.errors import Refused
from provision.events import ActionDone, Event, Notice
from provision.operations import life
from provision.pipeline import UpOptions
from provision.plan.observed import NodeState
from provision.preparing import Prepared
from provision.runtime import Runtimes
from provision.runtime.base import JavaCommand, port_taken
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source
from tests.examples import examples
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

NAME = "shifted"
Sections = dict[str, dict[str, object]]


class Listening(SpokenRuntime):
    """A node starts only if nobody who runs has one of its ports of this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, frozenset[int]] = {}

    def create_node(self, cluster: Cluster, node: Node, files: tuple[RenderedFile, ...]) -> None:  # type: ignore[override]
        """Keep its ports."""
        opened = (*node.listeners, *node.java_ports)
        own = frozenset(one.listen_port for one in opened if one.bind == LOOPBACK)
        self.ports[node.name] = own | {one.host_port for one in opened if one.host_port}
        super().create_node(cluster, node, files)

    def start_node(self, name: str, node: str) -> None:
        """As an engine, or a JVM, fails."""
        for other in self.observe(name).nodes:
            if other.needs_stop and other.name != node and (taken := self.ports[node] & self.ports[other.name]):
                raise port_taken(f"starting {node}", LOOPBACK, min(taken))
        super().start_node(name, node)


class LocalRuntimes(FakeRuntimes):
    """Nodes listen on the ports of this machine, as processes do."""

    def layout(self, kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:  # noqa: ARG002 it is always this
        """As processes have it."""
        return Runtimes.layout(self, "process", spec, base_directory)


class World:
    """An environment whose file changes."""

    def __init__(self, directory: Path, *, local: bool = False) -> None:
        self.file = directory / f"{NAME}.yaml"
        self.runtime = Listening()
        self.runtimes = (LocalRuntimes if local else FakeRuntimes)(directory / "home", self.runtime)
        self.kafka = FakeKafka(self.runtime, NAME)
        self.told: list[Event] = []

    def status_at(self, address: str, _keys: object) -> str:
        """What the member of the ensemble says that listens there."""
        (node,) = [node for node in self.runtime.observe(NAME).nodes if node.needs_stop and address in node.endpoints]
        return self.runtime.run_in_node(NAME, node.name, JavaCommand("srvr", ("", "", "srvr")))[1]

    def stop(self) -> None:
        """As `provision stop`, of which the brokers in memory think that it takes away too many at once."""
        for node in self.runtime.observe(NAME).nodes:
            self.runtime.exit_node(NAME, node.name, 143)

    def want(self, sections: Sections) -> None:
        """Write the file."""
        self.file.write_text(yaml.safe_dump({"name": NAME, **sections}))

    def plan(self) -> Prepared:
        """What would be done."""
        return preparing.prepare(Source(self.file), self.runtimes)

    def up(self, **sections: dict[str, object]) -> list[str]:
        """Do it, and see that it is done; returns what was done, in order."""
        if sections:
            self.want(sections)
        self.told.clear()
        pipeline.up(Source(self.file), self.runtimes, UpOptions(timeout_s=5.0), tell=self.told.append)
        assert [str(action) for action in self.plan().plan.actions] == []
        assert {node.state for node in self.runtime.observe(NAME).nodes} == {NodeState.RUNNING}
        return [f"{event.verb} {event.resource}" for event in self.told if isinstance(event, ActionDone)]

    def refused(self, **sections: dict[str, object]) -> dict[str, tuple[str, str]]:
        """See that it is refused with nothing changed; returns the causes and hints by node."""
        if sections:
            self.want(sections)
        before = repr(self.runtime.observe(NAME))
        found = self.plan().plan.refusals
        with pytest.raises(Refused):
            pipeline.up(Source(self.file), self.runtimes, UpOptions(timeout_s=5.0))
        assert repr(self.runtime.observe(NAME)) == before
        return {action.name: (action.cause, action.detail) for action in found}


@contextmanager
def world_in(directory: Path, *, local: bool) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        # None is taken but those of the runtime: other programs of this machine come and go.
        patch.setattr("provision.home.ports.port_is_free", lambda _port: True)
        world = World(directory, local=local)
        world.kafka.speak(patch)
        patch.setattr("provision.observe.leaders.server_status", world.status_at)
        patch.setattr("provision.kafka.registration.unregister", lambda _access, _broker, _patience: None)
        yield world


@pytest.fixture(params=[False, True], ids=["containers", "processes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path, local=request.param) as made:
        yield made


def brokers(port: int | str, nodes: int = 3, jmx: int | None = None) -> dict[str, object]:
    return {"port": port, "nodes": nodes, **({"java": {"jmx_port": jmx}} if jmx else {})}


@pytest.mark.parametrize(
    ("port", "order"),
    [(9093, ["broker-3", "broker-2", "broker-1"]), (9091, ["broker-1", "broker-2", "broker-3"])],
    ids=["up", "down"],
)
def test_a_shift_of_ports_begins_with_the_broker_whose_new_port_is_free(
    world: World, port: int, order: list[str]
) -> None:
    world.up(brokers=brokers(9092))
    assert world.up(brokers=brokers(port)) == [f"recreate {broker}" for broker in order]


def test_without_a_chain_the_active_controller_is_last(world: World) -> None:
    world.up(brokers=brokers(9092))
    done = world.up(brokers=brokers(9192))
    assert done == ["recreate broker-2", "recreate broker-3", "recreate broker-1"]


def test_a_new_broker_waits_for_the_one_that_has_its_port(world: World) -> None:
    world.up(brokers=brokers(9092, 2))
    done = world.up(brokers=brokers(9091, 3))
    assert [one for one in done if one.startswith(("recreate", "start"))] == [
        "recreate broker-1",
        "recreate broker-2",
        "start broker-3",
    ]


SHIFTS: dict[str, tuple[Sections, Sections]] = {
    "zookeeper.port of an ensemble": (
        {"zookeeper": {"nodes": 3, "port": 2181}},
        {"zookeeper": {"nodes": 3, "port": 2182}},
    ),
    "zookeeper.port of a growing ensemble": (
        {"zookeeper": {"nodes": 1, "port": 2182}},
        {"zookeeper": {"nodes": 3, "port": 2181}},
    ),
    "to a port of ZooKeeper, which moves": (
        {"zookeeper": {"port": 2181}, "brokers": brokers(9092, 1)},
        {"zookeeper": {"port": 2182}, "brokers": brokers(2181, 1)},
    ),
    "to a port of ZooKeeper that becomes automatic": (
        {"zookeeper": {"port": 2181}, "brokers": brokers(9092, 1)},
        {"zookeeper": {"port": "auto"}, "brokers": brokers(2181, 1)},
    ),
    "jmx_port": ({"brokers": brokers(9092, jmx=9400)}, {"brokers": brokers(9092, jmx=9401)}),
    "from the brokers' to jmx_port": (
        {"brokers": brokers(9092, jmx=9400)},
        {"brokers": brokers(9102, jmx=9093)},
    ),
    "listeners": (
        {"brokers": {"nodes": 3}, "listeners": {"one": {"port": 9092}, "two": {"port": 9192}}},
        {"brokers": {"nodes": 3}, "listeners": {"one": {"port": 9093}, "two": {"port": 9193}}},
    ),
    "more brokers and all ports": ({"brokers": brokers(9092, 2)}, {"brokers": brokers(9090, 4)}),
    "automatic": ({"brokers": brokers(9092)}, {"brokers": brokers("auto")}),
}


@pytest.mark.parametrize("name", sorted(SHIFTS))
def test_what_has_an_order_is_done_in_it(world: World, name: str) -> None:
    before, after = SHIFTS[name]
    world.up(**before)
    world.up(**after)
    if name == "automatic":
        world.up(**before)


EXCHANGES: dict[str, tuple[Sections, Sections]] = {
    "zookeeper.port and brokers.port": (
        {"zookeeper": {"port": 2181}, "brokers": brokers(9092, 1)},
        {"zookeeper": {"port": 9092}, "brokers": brokers(2181, 1)},
    ),
    "ZooKeeper takes one of the brokers'": (
        {"zookeeper": {"port": 2181}, "brokers": brokers(9092)},
        {"zookeeper": {"port": 9094}, "brokers": brokers(9092 - 1)},
    ),
    "listeners that go in opposite directions": (
        {"brokers": {"nodes": 3}, "listeners": {"one": {"port": 9092}, "two": {"port": 9192}}},
        {"brokers": {"nodes": 3}, "listeners": {"one": {"port": 9093}, "two": {"port": 9191}}},
    ),
    "brokers.port and jmx_port": (
        {"brokers": brokers(9092, 2, jmx=9400)},
        {"brokers": brokers(9401, 2, jmx=9093 - 2)},
    ),
}


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_what_has_no_order_is_refused_by_name_and_done_once_all_are_stopped(world: World, name: str) -> None:
    before, after = EXCHANGES[name]
    world.up(**before)
    found = world.refused(**after)
    assert all("while" in cause and "still has that port" in cause for cause, _ in found.values())
    assert {hint for _, hint in found.values()} == {
        f"choose another port; or `provision stop {NAME}`, then `provision up`"
    }
    world.stop()
    world.up()


@pytest.mark.parametrize(
    ("before", "after"),
    [(brokers(9092, 3), brokers(9093, 2)), (brokers(9092, 3, jmx=9400), brokers(9092, 2, jmx=9401))],
    ids=["port", "jmx_port"],
)
@pytest.mark.parametrize("stopped", [False, True])
def test_the_port_of_a_broker_that_leaves_is_refused_until_it_is_gone(
    world: World, before: dict[str, object], after: dict[str, object], stopped: bool
) -> None:
    world.up(brokers=before)
    if stopped:
        world.stop()
    port = 9094 if after["port"] == 9093 else 9402
    assert world.refused(brokers=after) == {
        "broker-2": (
            f"it would start at 127.0.0.1:{port} while broker-3 still has that port",
            "change brokers.nodes first, then the port; or choose another port",
        )
    }
    world.up(brokers={**before, "nodes": 2})
    world.up(brokers=after)


def test_a_stopped_broker_whose_new_port_another_one_has_is_refused(world: World) -> None:
    world.up(brokers=brokers(9092))
    life.stop(world.runtime, NAME, ["broker-1"])
    assert list(world.refused(brokers=brokers(9093))) == ["broker-1"]


def test_automatic_ports_are_never_the_same_for_two_nodes(world: World) -> None:
    """So it was left by a shift that had failed: one of two nodes with the same port runs."""
    world.up(brokers=brokers(9092))
    there = world.plan().cluster
    first = there.brokers[0]
    life.stop(world.runtime, NAME, ["broker-1"])
    world.want({"brokers": brokers(9093)})
    moved = world.plan().cluster.brokers[0]
    assert (first.endpoint, moved.endpoint) == ("127.0.0.1:9092", "127.0.0.1:9093")
    world.runtime.remove_node(NAME, "broker-1")
    world.runtime.create_node(there, moved, world.runtime.read_files(NAME, "broker-2"))
    world.want({"brokers": brokers("auto")})
    kept = {node.name: node.endpoint for node in world.plan().cluster.brokers}
    assert len(set(kept.values())) == 3
    assert (kept["broker-2"], kept["broker-3"]) == ("127.0.0.1:9093", "127.0.0.1:9094")
    done = world.up()
    assert not {"broker-2", "broker-3"} & {one.partition(" ")[2] for one in done}
    assert not [event for event in world.told if isinstance(event, Notice) and "taken by" in event.text]


PORTS = st.one_of(st.integers(9100, 9106), st.just("auto"))


@st.composite
def files(draw: st.DrawFn, *, kraft: bool) -> Sections:
    """A file in a few ports, without those in which two things have the same."""
    nodes, members = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 3]))
    of_brokers, of_zookeeper = draw(PORTS), None if kraft else draw(st.one_of(st.none(), PORTS))
    jmx = draw(st.one_of(st.none(), st.integers(9100, 9106)))
    spans = [(of_brokers, nodes), (of_zookeeper, members), (jmx, nodes)]
    taken = [port for first, many in spans if isinstance(first, int) for port in range(first, first + many)]
    if len(set(taken)) < len(taken):
        jmx, of_zookeeper = None, None
    of_kafka = brokers(of_brokers, nodes, jmx=jmx)
    if kraft:
        return {"kafka": {"mode": "kraft"}, "controllers": {"nodes": 1}, "brokers": of_kafka}
    return {
        "brokers": of_kafka,
        "zookeeper": {"nodes": members, **({"port": of_zookeeper} if of_zookeeper else {})},
    }


@settings(max_examples=examples(of=2), deadline=None)
@given(st.booleans().flatmap(lambda kraft: st.lists(files(kraft=kraft), min_size=2, max_size=3)), st.booleans())
def test_any_change_of_ports_is_refused_with_nothing_changed_or_done_without_a_clash(
    wanted: list[Sections], local: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory, world_in(Path(directory), local=local) as world:
        world.up(**wanted[0])
        for file in wanted[1:]:
            world.want(file)
            if world.plan().plan.refusals:
                world.refused()
            else:
                world.up()
