"""Another `security` while nodes are running: in phases, with both ways open, from wherever it was cut off."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision import Environment, UpOptions
from provision.cluster.model import MAIN_FILES, Role
from provision.cluster.properties import parse
from provision.errors import Refused
from provision.observe.reach import access_to
from provision.plan.actions import Action, Plan, Verb
from provision.plan.observed import NodeState, ObservedNode
from provision.plan.securing import CLOSE_PHASE, MOVE_PHASE, OPEN_PHASE
from provision.security.profiles import PROFILES
from tests.security.test_environments import NAME, RUNNING, Closed

SOON = UpOptions(timeout_s=5.0)
PHASES = (OPEN_PHASE, MOVE_PHASE, CLOSE_PHASE)
PAIRS = list(itertools.permutations(PROFILES, 2))
every_pair = pytest.mark.parametrize(("before", "after"), PAIRS)
THREE: dict[str, Any] = {"brokers": {"nodes": 3, "port": "auto"}}
KRAFT: dict[str, Any] = {"kafka": {"version": "3.9.1", "mode": "kraft"}}
SHAPES: dict[str, dict[str, Any]] = {
    "zookeeper": THREE,
    "combined": THREE | KRAFT,
    "some vote": KRAFT | {"brokers": {"nodes": 4, "port": "auto"}},
    "dedicated": KRAFT | {"controllers": {"nodes": 3}},
}
every_shape = pytest.mark.parametrize("shape", SHAPES)


class Killed(BaseException):
    """What nothing catches."""


class Changing(Closed):
    """It notes by which profiles clients get in after each start of a node, and that all nodes understand each other."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.seen: list[list[frozenset[str]]] = []
        self.left = -1
        objections = self.runtime.on_verb

        def on_verb(verb: str, subject: str) -> None:
            if self.left == 0:
                raise Killed
            self.left -= 1
            objections(verb, subject)
            if verb == "stop_node":
                self.understand_each_other()

        self.runtime.on_verb = on_verb

    def like(self, shape: str, security: str, **values: Any) -> Environment:  # noqa: ANN401
        """An environment of this shape, secured so, with a user where there can be one."""
        users = {"users": [{"name": "app"}]} if PROFILES[security].knows_users else {}
        return self.of(security, **(SHAPES[shape] | users | values))

    def main_file(self, node: ObservedNode) -> dict[str, str]:
        """What it was started with."""
        name = MAIN_FILES[Role.parse(node.name)[0]]
        return parse(next(file.text for file in self.runtime.read_files(NAME, node.name) if file.name == name))

    def understand_each_other(self) -> None:
        """Each running node finds open at every other one what it uses itself, and is secured there as it expects."""
        observed = self.runtime.observe(NAME)
        nodes = [node for node in observed.nodes if node.state is NodeState.RUNNING and node.role != Role.ZOOKEEPER]
        files = {node.name: self.main_file(node) for node in nodes}
        for one, other in itertools.permutations(files, 2):
            listeners, protocols = _listeners(files[other]), _protocols(files[other])
            used = [files[one]["inter.broker.listener.name"]] if "broker" in one and "broker" in other else []
            for name in used:
                assert name in listeners, (one, other)
                assert _protocols(files[one])[name] == protocols[name]
            controllers = files[one].get("controller.listener.names", "").split(",")[:1]
            if controllers != [""] and controllers[0] in listeners:
                ports = {port.rpartition(":")[2] for port in files[one]["controller.quorum.voters"].split(",")}
                assert listeners[controllers[0]] in ports
            elif controllers != [""]:
                assert "controller" not in files[other]["process.roles"], (one, other)
        brokers = [node for node in observed.of_role(Role.BROKER) if node.state is NodeState.RUNNING]
        self.seen.append([frozenset(node.open_ways) for node in brokers])
        assert len(access_to(observed).brokers) == len(brokers)

    def up(self, environment: Environment) -> None:
        """Bring it up, with nodes that understand each other in the end too."""
        environment.up(SOON)
        self.understand_each_other()

    def is_killed(self, environment: Environment, after: int) -> bool:
        """Let it be killed after so many changes; False if it had less to do."""
        self.left = after
        try:
            environment.up(SOON)
        except Killed:
            return True
        finally:
            self.left = -1
        return False


def _listeners(file: dict[str, str]) -> dict[str, str]:
    """Port by name."""
    parts = (one.partition("://") for one in file["listeners"].split(","))
    return {name: address.rpartition(":")[2] for name, _, address in parts}


def _protocols(file: dict[str, str]) -> dict[str, str]:
    return dict(one.split(":") for one in file["listener.security.protocol.map"].split(","))


@pytest.fixture
def changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Changing]:
    made = Changing(tmp_path)
    made.kafka.speak(monkeypatch)
    yield made
    assert made.seen


def rolled(plan: Plan) -> list[Action]:
    """Its restarts."""
    return [action for action in plan.actions if action.verb in (Verb.RESTART, Verb.RECREATE)]


@every_shape
@every_pair
def test_every_change_goes_in_phases_with_both_ways_open(
    changing: Changing, shape: str, before: str, after: str
) -> None:
    changing.up(changing.like(shape, before))
    endpoints = changing.runtime.observe(NAME).broker_endpoints
    environment = changing.like(shape, after)
    plan = environment.plan().plan
    brokers = [(action.phase, action.name) for action in rolled(plan) if action.name.startswith("broker")]
    assert [phase for phase, _ in brokers] == [phase for phase in PHASES for _ in endpoints]
    assert sorted(name for _, name in brokers) == sorted(f"broker-{n}" for n in endpoints for _ in PHASES)
    changing.seen.clear()
    changing.up(environment)
    assert all(frozenset.intersection(*ways) for ways in changing.seen)
    assert [frozenset([before, after])] * len(endpoints) in changing.seen
    observed = changing.runtime.observe(NAME)
    assert observed.broker_endpoints == endpoints
    assert {node.open_ways[after] for node in observed.of_role(Role.BROKER)} == set(endpoints.values())
    assert changing.seen[-1] == [frozenset([after])] * len(endpoints)
    assert not environment.plan().plan.changes
    leases = changing.runtimes.home.ports.held(NAME)
    assert not [name for name in leases if name.endswith("SECOND")]


@every_shape
def test_clients_get_in_the_old_way_at_the_same_address_until_the_last_phase(changing: Changing, shape: str) -> None:
    changing.up(changing.like(shape, "plaintext"))
    before = {node.name: node.endpoint for node in changing.runtime.observe(NAME).of_role(Role.BROKER)}
    environment = changing.like(shape, "sasl-tls")
    for action in environment.plan().plan.actions:
        node = getattr(action.subject, "node", None)
        if node and node.role is Role.BROKER and action.phase in (OPEN_PHASE, MOVE_PHASE):
            assert node.ways_in["plaintext"] == node.endpoint == before[node.name]
            assert node.ways_in["sasl-tls"] != node.endpoint


@pytest.mark.parametrize(
    ("shape", "before", "after"),
    [
        ("zookeeper", "plaintext", "sasl-tls"),
        ("combined", "plaintext", "sasl-tls"),
        ("combined", "sasl-tls", "plaintext"),
        ("dedicated", "mtls", "sasl-scram"),
    ],
)
@pytest.mark.parametrize("back", [False, True], ids=["on", "back"])
def test_wherever_it_is_killed_the_next_up_goes_on_or_back(
    tmp_path: Path, shape: str, before: str, after: str, *, back: bool
) -> None:
    for step in itertools.count():
        with pytest.MonkeyPatch.context() as patched:
            changing = Changing(tmp_path / str(step))
            changing.kafka.speak(patched)
            changing.up(changing.like(shape, before))
            if not changing.is_killed(changing.like(shape, after), step):
                break
            environment = changing.like(shape, before if back else after)
            changing.up(environment)
            wanted = before if back else after
            assert set(changing.seen[-1]) == {frozenset([wanted])}
            assert not environment.plan().plan.changes
            assert access_to(changing.runtime.observe(NAME)).protocol == PROFILES[wanted].protocol
    assert step > 20
