"""A roll that waits for a quorum ends at once when a node has exited, and not when time is up."""

import pytest

from provision.apply.rolling import Roller
from provision.common.patience import Patience
from provision.errors import NodeFailed, NotReady
from provision.events import silent
from provision.kafka.quorum import Quorum
from provision.plan.actions import Verb
from provision.runtime.fake import FakeRuntime
from tests.plan.world import cluster_of, files_of


@pytest.fixture
def runtime() -> FakeRuntime:
    """Three dedicated controllers and two brokers, all of which run."""
    cluster = cluster_of(kafka={"version": "4.3.0", "mode": "kraft"}, controllers={"nodes": 3})
    made = FakeRuntime()
    for node in cluster.nodes:
        made.create_node(cluster, node, files_of(cluster, node.name), "hash")
        made.start_node("orders", node.name)
    return made


def quorum_is(monkeypatch: pytest.MonkeyPatch, quorum: Quorum | None) -> None:
    monkeypatch.setattr("provision.apply.rolling.ask_for_quorum", lambda _endpoints: quorum)


def test_a_voter_that_has_exited_is_not_waited_for_before_another_goes_down(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    quorum_is(monkeypatch, None)
    runtime.exit_node("orders", "controller-3", 137)
    taken_down: list[str] = []
    roller = Roller(runtime, "orders", 0, Patience(60.0), silent)
    with pytest.raises(NodeFailed, match="controller-3 exited with code 137"):
        roller.step("controller-1", Verb.RESTART, lambda _step: taken_down.append("controller-1"))
    assert taken_down == []


def test_a_voter_that_exits_when_it_was_started_again_is_not_waited_for(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = dict.fromkeys((1001, 1002, 1003), 5000)
    quorum_is(monkeypatch, Quorum(1003, fetched_ms=everyone, caught_up_ms=everyone))
    roller = Roller(runtime, "orders", 0, Patience(60.0), silent)
    with pytest.raises(NodeFailed, match="controller-1 exited with code 1"):
        roller.step("controller-1", Verb.RESTART, lambda _step: runtime.exit_node("orders", "controller-1", 1))


def test_a_voter_that_lags_is_waited_for_until_time_is_up(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    lagging = {1001: 9000, 1002: 1000, 1003: 9000}
    quorum_is(monkeypatch, Quorum(1003, fetched_ms=lagging, caught_up_ms=lagging))
    with pytest.raises(NotReady, match=r"controller-1 cannot be taken down within 0\.01 s") as raised:
        Roller(runtime, "orders", 0, Patience(0.01), silent).step("controller-1", Verb.RESTART, lambda _step: None)
    assert raised.value.why == "controller 1002 has not caught up"
