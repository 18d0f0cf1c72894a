"""Paused, frozen, slow, starting: told apart by asking each node on its own, for a bounded time."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kafka  # noqa: F401 the package first
import pytest
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from provision.cli.run import run
from provision.common.values import replace
from provision.kafka.access import Access
from provision.kafka.promptness import Reply, ask_broker
from provision.kafka.readiness import BrokerAnswers
from provision.observe import health
from provision.observe.health import Condition, Health, explained, health_of, silence_of
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from tests.cli.world import NAME, settle
from tests.kafka.scripted import ScriptedBroker, listening
from tests.refusing import refusing

Place = Callable[[ExitStack], str]
OLD, YOUNG = 3600.0, 1.0
_LATE_S, _LONG_S = 0.2, 60.0
UNSERVED = "it has been running for more than 30 s and serves no connection (`provision doctor` looks for the reason)"


def _limits(monkeypatch: pytest.MonkeyPatch, slow_s: float, patience_s: float) -> None:
    monkeypatch.setattr(health, "SLOW_S", slow_s)
    monkeypatch.setattr(health, "PATIENCE_S", patience_s)


@contextmanager
def _serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A ZooKeeper node for one question."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=60)


def _kafka_answers(stack: ExitStack) -> ScriptedBroker:
    return stack.enter_context(listening(ApiVersionsRequest, lambda _: ApiVersionsResponse(version=0)))


def _prompt(stack: ExitStack) -> str:
    return _kafka_answers(stack).address


def _late(stack: ExitStack) -> str:
    def answer(_asked: object) -> ApiVersionsResponse:
        threading.Event().wait(_LATE_S)
        return ApiVersionsResponse(version=0)

    return stack.enter_context(listening(ApiVersionsRequest, answer)).address


def _silent(stack: ExitStack) -> str:
    """The kernel accepts the connection, and nobody ever reads from it."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"127.0.0.1:{server.getsockname()[1]}"


def _closed(stack: ExitStack) -> str:
    return f"127.0.0.1:{stack.enter_context(refusing())}"


def _hangs_up(stack: ExitStack) -> str:
    return stack.enter_context(listening(ApiVersionsRequest, lambda _: None)).address


def _zookeeper(stack: ExitStack) -> str:
    return stack.enter_context(_serving(lambda connection: connection.sendall(b"Zookeeper version: 3.8")))


def _zookeeper_late(stack: ExitStack) -> str:
    def answer(connection: socket.socket) -> None:
        threading.Event().wait(_LATE_S)
        connection.sendall(b"This ZooKeeper instance is not currently serving requests")

    return stack.enter_context(_serving(answer))


@pytest.mark.parametrize(
    ("node", "place", "up_s", "expected"),
    [
        ("broker-1", _prompt, OLD, Condition.RUNNING),
        ("broker-1", _late, OLD, Condition.SLOW),
        ("broker-1", _silent, OLD, Condition.FROZEN),
        ("broker-1", _silent, None, Condition.FROZEN),
        ("broker-1", _silent, YOUNG, Condition.STARTING),
        ("broker-1", _closed, YOUNG, Condition.STARTING),
        ("broker-1", _hangs_up, YOUNG, Condition.STARTING),
        ("broker-1", _closed, None, Condition.STARTING),
        ("broker-1", _closed, OLD, Condition.UNREACHABLE),
        ("broker-1", _hangs_up, OLD, Condition.UNREACHABLE),
        ("zookeeper-1", _zookeeper, OLD, Condition.RUNNING),
        ("zookeeper-1", _zookeeper_late, OLD, Condition.SLOW),
        ("zookeeper-1", _silent, OLD, Condition.FROZEN),
        ("zookeeper-1", _silent, YOUNG, Condition.STARTING),
        ("zookeeper-1", _closed, YOUNG, Condition.STARTING),
        ("zookeeper-1", _closed, OLD, Condition.UNREACHABLE),
    ],
)
def test_how_a_running_node_answers_is_its_condition(
    monkeypatch: pytest.MonkeyPatch, node: str, place: Place, up_s: float | None, expected: Condition
) -> None:
    slow_s = _LATE_S / 2 if expected is Condition.SLOW else _LONG_S
    _limits(monkeypatch, slow_s, 0.3 if place is _silent else _LONG_S)
    with ExitStack() as stack:
        role = node.partition("-")[0]
        there = ObservedNode(node, role, NodeState.RUNNING, "", place(stack), up_s=up_s)
        found = health_of(ObservedEnvironment("one", "fake", nodes=(there,)))[node]
    assert found.condition == expected
    assert (found.answer_s is not None) is (expected in (Condition.RUNNING, Condition.SLOW))
    assert bool(found.detail) is (expected is not Condition.RUNNING)
    if expected is Condition.UNREACHABLE:
        assert found.detail == UNSERVED
    else:
        assert expected is Condition.RUNNING or expected.value in found.detail


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.RUNNING])
def test_a_node_that_does_not_run_is_not_asked(state: NodeState) -> None:
    with ExitStack() as stack:
        there = ObservedNode("broker-1", "broker", state, "", _silent(stack), up_s=OLD)
        found = health_of(ObservedEnvironment("one", "fake", nodes=(there,)))["broker-1"]
    assert (found.condition, found.answer_s) == (state.value, None)
    assert found.detail


def test_all_are_asked_at_once_and_only_those_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(30, timeout=60)

    def ask(_access: object, _broker: int, _timeout_s: float) -> Reply:
        together.wait()  # for all others
        return Reply(None)

    monkeypatch.setattr(health, "ask_broker", ask)
    nodes = tuple(
        ObservedNode(f"broker-{number}", "broker", NodeState.RUNNING, "", "127.0.0.1:1") for number in range(1, 31)
    )
    environment = ObservedEnvironment("many", "fake", nodes=nodes)
    assert len(health_of(environment)) == 30
    monkeypatch.setattr(health, "ask_broker", lambda *_: Reply(None))
    assert health_of(environment, ["broker-30"]).keys() == {"broker-30"}


def test_what_has_no_port_here_cannot_be_asked() -> None:
    there = ObservedNode("controller-1", "controller", NodeState.RUNNING, "", up_s=OLD)
    assert health_of(ObservedEnvironment("one", "fake", nodes=(there,)))["controller-1"].condition == "running"


@pytest.mark.parametrize("node", ["zookeeper-1", "controller-1", "broker-1"])
def test_what_nobody_can_find_is_not_asked(node: str) -> None:
    role = node.partition("-")[0]
    there = ObservedNode(node, role, NodeState.RUNNING, "", astray="it is not in the network one", cut_off=True)
    found = health_of(ObservedEnvironment("one", "fake", nodes=(there,)))[node]
    assert found == Health(
        Condition.UNREACHABLE, None, "it is cut off: it is not in the network one (`provision up` connects it again)"
    )


def test_why_a_broker_is_silent_is_told_while_it_is_waited_for() -> None:
    ages = {1: OLD, 2: YOUNG, 3: None, 4: OLD, 5: YOUNG}
    nodes = tuple(
        ObservedNode(f"broker-{number}", "broker", NodeState.RUNNING, "", "127.0.0.1:1", up_s=up_s)
        for number, up_s in ages.items()
    )
    answers = BrokerAnswers({}, dict.fromkeys(ages, "it does not answer in time"), frozenset({4, 5}))
    assert silence_of(ObservedEnvironment("one", "fake", nodes=nodes), answers) == {
        "broker-1": "it is frozen: it runs, and does not answer",
        "broker-2": "it is starting: it does not answer yet",
        "broker-4": UNSERVED,
        "broker-5": "it is starting: it serves no connection yet",
    }


def _ask(access: Access, broker: int, timeout_s: float) -> Reply:
    """Wait only for the one that is silent no longer than needed."""
    return ask_broker(access, broker, 0.3 if broker == 2 else timeout_s)


def test_the_commands_show_it_and_keep_what_they_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    monkeypatch.setattr(health, "ask_broker", _ask)  # and not the fake's
    _limits(monkeypatch, 0.0, _LONG_S)
    with ExitStack() as stack:
        kept = runtime._environments[NAME].nodes  # noqa: SLF001 the fake's
        places = {"broker-1": None, "broker-2": _silent(stack), "broker-3": _prompt(stack), "zookeeper-1": None}
        for node, place in places.items():
            kept[node] = replace(kept[node], endpoint=place, up_s=OLD)
        capsys.readouterr()
        assert run(["status", NAME]) == 0
        rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
        assert "running" in rows["broker-1"]
        assert "it is frozen: it runs, and does not answer" in rows["broker-2"]
        assert "it is slow: it answers after " in rows["broker-3"]
        assert run(["status", NAME, "-o", "json"]) == 0
        nodes = {node["name"]: node for node in json.loads(capsys.readouterr().out)["nodes"]}
    assert {node["state"] for node in nodes.values()} == {"running"}
    assert [nodes[name]["condition"] for name in sorted(nodes)] == ["running", "frozen", "slow", "running"]
    assert nodes["broker-2"]["answer_ms"] is None
    assert nodes["broker-3"]["answer_ms"] >= 0


def test_a_slow_node_may_lack_something_else_and_a_frozen_one_is_only_that() -> None:
    found = {
        "broker-1": Health(Condition.SLOW, 2.0, "it is slow"),
        "broker-2": Health(Condition.FROZEN, None, "it is frozen"),
        "broker-3": Health(Condition.RUNNING, 0.1),
        "broker-4": Health(Condition.SLOW, 2.0, "it is slow"),
    }
    missing = {"broker-1": "it knows no controller yet", "broker-2": "it does not answer", "broker-3": "it lags"}
    assert explained(missing, found) == {
        "broker-1": "it knows no controller yet; it is slow",
        "broker-2": "it is frozen",
        "broker-3": "it lags",
        "broker-4": "it is slow",
    }


def test_who_waits_for_a_frozen_node_is_told_so_and_what_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, kafka_there = settle(tmp_path, monkeypatch)
    kept = runtime._environments[NAME].nodes  # noqa: SLF001 the fake's
    kept["broker-2"] = replace(kept["broker-2"], up_s=OLD)
    real = kafka_there.ask

    def ask(*arguments: Any, **options: Any) -> BrokerAnswers:  # noqa: ANN401 as asked
        answers = real(*arguments, **options)
        return BrokerAnswers(
            {broker: told for broker, told in answers.clusters.items() if broker != 2},
            {**answers.silent, 2: "it does not answer in time"},
        )

    monkeypatch.setattr("provision.observe.readiness.ask_brokers", ask)
    monkeypatch.setattr(health, "ask_broker", lambda _access, broker, _limit: Reply(None if broker == 2 else 0.01))
    capsys.readouterr()
    assert run(["wait", NAME, "--timeout", "100ms"]) == 124
    told = capsys.readouterr().err
    assert "broker-2: it is frozen: it runs, and does not answer" in told
    assert "hint: `provision restart shop broker-2` ends it and starts it again" in told
