"""Nodes that are gone, with their data or without: status, wait and doctor tell of the same ones."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.cluster.model import RenderedFile, Role
from provision.common.patience import Patience
from provision.environment import Environment
from provision.errors import NodeFailed, NotReady
from provision.events import silent
from provision.kafka.levels import Level
from provision.observe.remembered import remembered
from provision.operations import life
from provision.operations.doctor.examine import examine
from provision.operations.status import status, status_dict, wait_for
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.fake import FakeRuntime
from tests.cli import world
from tests.test_converge import Living, living_in, topic

NAME = "living"
KRAFT = {"kafka": {"version": "4.3.0", "mode": "kraft"}}
LEVELS = [Level.PROCESS, Level.QUORUM, Level.BROKERS, Level.TOPICS]
ENSEMBLE = ["zookeeper-1", "zookeeper-2", "zookeeper-3"]
Case = tuple[Mapping[str, object], list[str]]
"""The sections of the file, and the nodes that something happens to."""
GONE: dict[str, Case] = {
    "the only ZooKeeper node": ({}, ["zookeeper-1"]),
    "one of an ensemble": ({"zookeeper": {"nodes": 3}}, ["zookeeper-2"]),
    "all of an ensemble": ({"zookeeper": {"nodes": 3}}, ENSEMBLE),
    "the only controller": (KRAFT | {"controllers": {"nodes": 1}}, ["controller-1"]),
    "one of three controllers": (KRAFT | {"controllers": {"nodes": 3}}, ["controller-3"]),
    "a broker that votes": (KRAFT, ["broker-1"]),
    "a broker with replicas": ({}, ["broker-2"]),
    "a broker with replicas of KRaft": (KRAFT | {"controllers": {"nodes": 1}}, ["broker-2"]),
    "a broker and the only ZooKeeper node": ({}, ["zookeeper-1", "broker-3"]),
}


def lose(runtime: FakeRuntime, *nodes: str, name: str = NAME, data: bool = True) -> None:
    """Remove nodes behind provision's back; nobody says that the cluster cannot do without them."""
    runtime.on_verb = lambda _verb, _subject: None
    for node in nodes:
        runtime.remove_node(name, node)
        if data:
            runtime.remove_storage(name, node, delete_data=True)


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    return living_in(tmp_path, monkeypatch)


def told_by_status(living: Living) -> set[str]:
    found = status(living.runtime, NAME)
    shown = {node["name"] for node in status_dict(found)["nodes"] if node["state"] == "gone"}
    assert found.level is Level.NONE
    assert all(found.missing[node].startswith("it is not there") for node in shown)
    return shown


def told_by_wait(living: Living, level: Level) -> set[str]:
    with pytest.raises(NodeFailed) as raised:
        wait_for(living.runtime, NAME, level, None, Patience(60.0), silent)
    error = raised.value
    assert error.hint == f"`provision up {NAME}` makes what is gone again, or says what of it is lost for good"
    assert error.exit_code == 1
    return {line.partition(": it is not there")[0] for line in error.why.splitlines()}


def told_by_doctor(living: Living) -> set[str]:
    found = examine(living.source, living.runtimes)[0].findings
    return {one.node for one in found if one.id in ("volume-lost", "node-gone")}


@pytest.mark.parametrize("data", [True, False], ids=["with its data", "without its data"])
@pytest.mark.parametrize("case", GONE)
def test_what_is_gone_is_told_by_all_who_look(living: Living, case: str, *, data: bool) -> None:
    sections, nodes = GONE[case]
    living.want(topics=[topic()], **sections).up()
    lose(living.runtime, *nodes, data=data)
    assert told_by_status(living) == set(nodes)
    assert told_by_doctor(living) == set(nodes)
    for level in LEVELS:
        assert told_by_wait(living, level) == set(nodes)


@pytest.mark.parametrize("data", [True, False])
def test_nobody_waits_for_what_is_only_stopped_beside_it(living: Living, *, data: bool) -> None:
    living.up(topics=[topic()])
    lose(living.runtime, "broker-3", data=data)
    living.runtime.pause_node(NAME, "broker-1")
    assert told_by_status(living) == {"broker-3"}
    assert told_by_wait(living, Level.TOPICS) == {"broker-3"}


@pytest.mark.parametrize("state", [NodeState.EXITED, NodeState.PAUSED])
def test_what_does_not_run_remembers_too(living: Living, state: NodeState) -> None:
    living.up()
    lose(living.runtime, "zookeeper-1")
    for node in ("broker-1", "broker-2", "broker-3"):
        living.runtime._change(NAME, node, state, None)  # noqa: SLF001 as a crash would
    assert told_by_status(living) == {"zookeeper-1"}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("data", [True, False])
def test_while_a_command_is_changing_the_environment_it_may_be_about_to_make_it(
    living: Living, level: Level, *, data: bool
) -> None:
    made = living.up(topics=[topic()])
    lose(living.runtime, "broker-2", data=data)
    kept = {node.name: node for node in made.assessment.observed.nodes}

    def waits(changing: Callable[[], bool], timeout_s: float) -> Level:
        patience = Patience(timeout_s)
        return wait_for(living.runtime, NAME, level, None, patience, silent, changing=changing).level

    with pytest.raises(NotReady) as raised:
        waits(lambda: True, 0.2)
    assert raised.value.missing.keys() >= {"broker-2"}

    def has_just_ended() -> bool:
        living.runtime._environments[NAME].storages.add("broker-2")  # noqa: SLF001 what another process does
        living.runtime._nodes(NAME)["broker-2"] = kept["broker-2"]  # noqa: SLF001
        return False

    assert waits(has_just_ended, 30.0) >= level


def test_who_starts_nodes_waits_for_those_that_are_there(living: Living) -> None:
    living.up(topics=[topic(replication_factor=2)])
    lose(living.runtime, "zookeeper-1")
    living.runtime.pause_node(NAME, "broker-2")
    assert life.start(living.runtime, NAME, ["broker-2"], Patience(0.5)).level is Level.TOPICS


def test_files_are_read_once_while_they_stay(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    living.up(topics=[topic()])
    living.kafka.unserved = 5
    reads: list[str] = []
    real = living.runtime.read_files

    def read_files(name: str, node: str) -> tuple[RenderedFile, ...]:
        reads.append(node)
        return real(name, node)

    monkeypatch.setattr(living.runtime, "read_files", read_files)
    assert wait_for(living.runtime, NAME, Level.TOPICS, None, Patience(30.0), silent).level is Level.TOPICS
    assert sorted(reads) == ["broker-1", "broker-2", "broker-3", "zookeeper-1"]


@pytest.mark.parametrize(
    ("connect", "expected"),
    [
        ("127.0.0.1:2181", ["zookeeper-1"]),
        ("127.0.0.1:2181,127.0.0.1:2182, 127.0.0.1:2183", ENSEMBLE),
        ("living-zookeeper-1:2181,living-zookeeper-2:2181,living-zookeeper-3:2181", ENSEMBLE),
        ("living-zookeeper-1:2181/kafka", ["zookeeper-1"]),
        ("zk.example.com:2181", []),
        ("other-zookeeper-1:2181", []),
        ("", []),
        ("127.0.0.1", []),
    ],
)
def test_brokers_remember_the_ensemble_of_their_own_environment(connect: str, expected: list[str]) -> None:
    broker = ObservedNode("broker-1", "broker", NodeState.RUNNING, "")
    observed = ObservedEnvironment(NAME, "fake", network=True, nodes=(broker,))
    found = remembered(observed, None, {"broker-1": {"zookeeper.connect": connect}})
    assert found == dict.fromkeys(expected, "broker-1 has it in its zookeeper.connect")


CUT_OFF: dict[str, Case] = {
    "a broker": ({}, ["broker-2"]),
    "the only ZooKeeper node": ({}, ["zookeeper-1"]),
    "a controller": (KRAFT | {"controllers": {"nodes": 3}}, ["controller-2"]),
    "all": ({}, ["zookeeper-1", "broker-1", "broker-2", "broker-3"]),
}


@pytest.mark.parametrize("case", CUT_OFF)
def test_what_is_cut_off_is_not_said_to_start(living: Living, case: str) -> None:
    sections, nodes = CUT_OFF[case]
    living.want(topics=[topic()], **sections).up()
    living.runtime.lose_network(NAME, *nodes)
    why = f"it is cut off: it is not in the network {NAME} (`provision up` connects it again)"
    found = status(living.runtime, NAME)
    assert {node: found.missing[node] for node in nodes} == dict.fromkeys(nodes, why)
    assert {node: found.health[node].condition for node in nodes} == dict.fromkeys(nodes, "unreachable")
    assert Level.PROCESS <= found.level < Level.BROKERS
    for level in (Level.BROKERS, Level.TOPICS):
        with pytest.raises(NotReady) as raised:
            wait_for(living.runtime, NAME, level, None, Patience(0.1), silent)
        assert {node: raised.value.missing[node] for node in nodes} == dict.fromkeys(nodes, why)
        assert raised.value.hint.startswith(f"`provision doctor {NAME}` looks for the reason")
    living.up()
    assert status(living.runtime, NAME).level is Level.TOPICS


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("node", ["zookeeper-1", "broker-2"])
def test_what_a_signal_has_stopped_is_waited_for_though_its_engine_overlooks_it(
    living: Living, monkeypatch: pytest.MonkeyPatch, node: str, level: Level
) -> None:
    living.up(topics=[topic()])
    monkeypatch.setattr(living.runtime, "halted", lambda _name, _nodes: frozenset({node}))
    assert status(living.runtime, NAME).missing == {node: "it is paused (`provision start` resumes it)"}
    with pytest.raises(NotReady) as raised:
        wait_for(living.runtime, NAME, level, None, Patience(0.1), silent)
    assert raised.value.missing == {node: "it is paused (`provision start` resumes it)"}
    monkeypatch.setattr(living.runtime, "halted", lambda _name, _nodes: frozenset())
    assert wait_for(living.runtime, NAME, level, None, Patience(5.0), silent).level >= level


LEFT = "shop has neither nodes nor storages, only what was made around them"
AFTER = "`provision up shop` creates them, `provision down shop` removes the rest"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> FakeRuntime:
    """An environment of which only the network is left."""
    runtime, _ = world.settle(tmp_path, monkeypatch)
    lose(runtime, "zookeeper-1", "broker-1", "broker-2", "broker-3", name=world.NAME)
    capsys.readouterr()
    return runtime


@pytest.mark.parametrize("of", ["shop", "environments/shop.yaml"])
@pytest.mark.parametrize("command", ["wait", "endpoints", "logs", "start", "restart"])
@pytest.mark.usefixtures("empty")
def test_where_not_even_data_are_left_nobody_says_that_they_are(
    capsys: pytest.CaptureFixture[str], command: str, of: str
) -> None:
    assert run([command, of]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-2:] == [f"error: {LEFT}", f"hint: {AFTER}"]


@pytest.mark.parametrize("of", ["shop", "environments/shop.yaml"])
def test_status_has_no_table_without_lines(capsys: pytest.CaptureFixture[str], empty: FakeRuntime, of: str) -> None:
    assert run(["status", of]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"{LEFT}: {AFTER}"
    assert Environment.named("shop").status().missing == {}
    empty.remove_network("shop")
    assert run(["status", "shop"]) == 64
    assert "there is no environment shop" in capsys.readouterr().err


def test_a_node_that_another_command_removes_is_not_waited_for(living: Living) -> None:
    living.want(topics=[]).up()
    living.runtime.pause_node(NAME, "broker-1")
    asked: list[bool] = []

    def changing() -> bool:
        """Whether the other command still works, which ends at the first question."""
        asked.append(not asked)
        if asked[-1]:
            living.runtime.start_node(NAME, "broker-1")
            living.want(brokers={"nodes": 2}).up()
        return asked[-1]

    living.runtime.remove_node(NAME, "broker-3")
    found = wait_for(living.runtime, NAME, Level.TOPICS, None, Patience(8.0), silent, changing=changing)
    assert found.level >= Level.TOPICS
    assert {node.name for node in found.observed.of_role(Role.BROKER)} == {"broker-1", "broker-2"}
