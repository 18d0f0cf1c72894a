"""Nodes that are paused keep their place: they are told as such, resumed, and stopped like those that run."""

from pathlib import Path
from typing import Any

import pytest

from provision.common.patience import Patience
from provision.errors import NotReady, UsageError
from provision.events import silent
from provision.kafka.levels import Level
from provision.observe import reach
from provision.operations import life
from provision.operations.remove import down
from provision.operations.status import status, status_dict, wait_for
from provision.plan.actions import Verb
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from tests.test_converge import Living, brokers, living_in


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    return living_in(tmp_path, monkeypatch)


def test_a_paused_broker_is_resumed_by_up_and_by_start(living: Living) -> None:
    living.up()
    before = living.runtime.observe("living")
    living.runtime.pause_node("living", "broker-2")
    plan = living.plan().plan
    assert [(one.verb, one.name, one.cause) for one in plan.actions] == [(Verb.START, "broker-2", "paused")]
    living.up()
    assert living.runtime.observe("living") == before
    living.runtime.pause_node("living", "zookeeper-1")
    life.start(living.runtime, "living", [], Patience(5.0))
    assert living.runtime.observe("living") == before


def test_a_member_of_the_ensemble_is_started_when_it_serves(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    living.up()
    answer, silences = living.runtime.run_in_node, iter(range(1000))

    def not_yet(*asked: Any) -> tuple[int, str]:  # noqa: ANN401 as it is asked
        return (0, "") if next(silences, None) is not None else answer(*asked)

    monkeypatch.setattr(living.runtime, "run_in_node", not_yet)
    living.runtime.pause_node("living", "zookeeper-1")  # the brokers go on answering
    with pytest.raises(NotReady) as caught:
        life.start(living.runtime, "living", ["zookeeper-1"], Patience(0.3))
    assert "zookeeper-1: it is not part of a quorum yet" in caught.value.why
    silences = iter(range(2))
    living.runtime.pause_node("living", "zookeeper-1")
    assert life.start(living.runtime, "living", ["zookeeper-1"], Patience(5.0)).level is Level.TOPICS
    assert next(silences, None) is None


@pytest.mark.parametrize(
    ("members", "chosen", "running", "asked"),
    [
        (3, ["zookeeper-1"], ["zookeeper-1"], []),  # others have to be started before it can serve
        (3, ["zookeeper-1"], ["zookeeper-1", "zookeeper-3"], ["zookeeper-1"]),
        (3, ["zookeeper-1", "broker-1"], ["zookeeper-1", "zookeeper-3", "broker-1"], ["zookeeper-1"]),
        (1, ["zookeeper-1"], ["zookeeper-1", "broker-1"], ["zookeeper-1"]),
        (1, ["zookeeper-1", "broker-1"], ["zookeeper-1", "broker-1"], []),  # that the broker is back shows it
        (3, ["broker-1"], ["zookeeper-1", "zookeeper-2", "broker-1"], []),
    ],
)
def test_members_are_asked_whether_they_serve_if_they_can_and_nothing_else_shows_it(
    members: int, chosen: list[str], running: list[str], asked: list[str]
) -> None:
    ensemble = [f"zookeeper-{number}" for number in range(1, members + 1)]
    states = {True: NodeState.RUNNING, False: NodeState.EXITED}
    nodes = [
        ObservedNode(name, name.partition("-")[0], states[name in running], "") for name in [*ensemble, "broker-1"]
    ]
    observed = ObservedEnvironment("living", "fake", nodes=tuple(nodes))
    assert life._members_to_serve(observed, chosen, running) == asked  # noqa: SLF001 it is the rule


def test_a_paused_broker_counts_as_one_to_stop(living: Living) -> None:
    living.up()
    living.runtime.pause_node("living", "broker-2")
    assert life.stop(living.runtime, "living", ["broker-2"]) == 1
    assert life.stop(living.runtime, "living", ["broker-2"]) == 0
    living.runtime.pause_node("living", "broker-1")
    living.runtime.on_verb = lambda _verb, _subject: None  # the Kafka in memory forbids to stop it as a whole
    assert life.stop(living.runtime, "living") == 3
    assert {node.state for node in living.runtime.observe("living").nodes} == {NodeState.EXITED}


def test_a_change_of_a_paused_broker_resumes_it_first_and_restarts_it_in_turn(living: Living) -> None:
    living.up()
    living.runtime.pause_node("living", "broker-2")
    living.want(brokers=brokers(properties={"num.network.threads": 5}))
    actions = [(one.verb, one.name) for one in living.plan().plan.actions]
    assert actions[0] == (Verb.START, "broker-2")
    assert sorted(actions[1:]) == [(Verb.RESTART, f"broker-{number}") for number in (1, 2, 3)]
    living.up()
    assert living.settles() == []


def test_what_is_paused_is_told_by_status_wait_and_a_rolling_restart(living: Living) -> None:
    living.up()
    living.runtime.pause_node("living", "broker-2")
    shown = status(living.runtime, "living")
    assert "paused" in shown.missing["broker-2"]
    assert {node["name"]: node["state"] for node in status_dict(shown)["nodes"]}["broker-2"] == "paused"
    with pytest.raises(NotReady) as caught:
        wait_for(living.runtime, "living", Level.TOPICS, None, Patience(0.1), silent)
    assert "broker-2: it is paused (`provision start` resumes it)" in caught.value.why
    with pytest.raises(UsageError, match=r"not running: broker-2 \(paused\)"):
        life.restart_rolling(living.runtime, "living", [], Patience(0.1))


def test_down_stops_paused_nodes_whose_data_stay_and_removes_the_others(living: Living) -> None:
    living.up()
    living.runtime.pause_node("living", "broker-2")
    stopped: list[str] = []
    living.runtime.on_verb = lambda verb, subject: stopped.append(subject) if verb == "stop_node" else None
    assert down(living.runtime, "living", living.home, keep_data=True)
    assert sorted(stopped) == ["broker-1", "broker-2", "broker-3", "zookeeper-1"]


def test_each_state_of_a_node_has_a_reason_for_what_is_missing() -> None:
    assert reach.NOT_RUNNING.keys() == set(NodeState) - {NodeState.RUNNING}
