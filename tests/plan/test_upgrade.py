"""The two phases of a new version: when they are needed, and what the first one is."""

import pytest

from provision.cluster.model import Cluster, Role
from provision.common.values import replace
from provision.plan.actions import NodeTarget, Verb
from provision.plan.observed import ObservedEnvironment
from provision.plan.upgrade import PROTOCOL, PROTOCOL_PHASE, SOFTWARE_PHASE, stages_of
from tests.plan.cases import NEW, OLD, PATCHED
from tests.plan.world import EXITED, NOTHING, World, brokers_with, cluster_of, plan, running


def interim(cluster: Cluster, world: World) -> set[str | None]:
    """The protocols of the brokers in the first step; empty where there is only one."""
    first, *later = stages_of(cluster, world.observed)
    return {node.properties.get(PROTOCOL) for node in first.cluster.brokers} if later else set()


@pytest.mark.parametrize(
    ("cluster", "world", "protocols"),
    [
        pytest.param(PATCHED, running(OLD), {"3.8"}, id="another minor release"),
        pytest.param(PATCHED, running(OLD).having(PATCHED, "broker-1", "broker-2"), {"3.8"}, id="one is left behind"),
        pytest.param(
            PATCHED, running(OLD).having(cluster_of(kafka={"version": "2.8.2"}), "broker-3"), {"2.8"}, id="2.8"
        ),
        pytest.param(PATCHED, running(NEW), set(), id="a patch release"),
        pytest.param(PATCHED, running(PATCHED), set(), id="the same release"),
        pytest.param(PATCHED, NOTHING, set(), id="nothing there"),
        pytest.param(OLD, running(PATCHED), set(), id="an older release"),
        pytest.param(PATCHED, running(OLD).but(EXITED), set(), id="all stopped"),
        pytest.param(
            PATCHED, running(OLD).having(PATCHED, "broker-1", "broker-2").but(EXITED, "broker-3"), set(), id="stopped"
        ),
        pytest.param(PATCHED, running(PATCHED).having(OLD, "zookeeper-1"), set(), id="an older ensemble"),
    ],
)
def test_two_steps_are_needed_while_a_broker_of_an_older_minor_release_runs(
    cluster: Cluster, world: World, protocols: set[str]
) -> None:
    assert interim(cluster, world) == protocols


@pytest.mark.parametrize(
    ("brokers", "protocols"),
    [
        (brokers_with({PROTOCOL: "3.8"}), set()),
        (brokers_with({PROTOCOL: "3.8-IV0"}), set()),
        (brokers_with({PROTOCOL: "3.9"}), {"3.8"}),
        (brokers_with({PROTOCOL: "newest"}), {"3.8"}),
        (brokers_with(overrides={2: {"properties": {PROTOCOL: "3.9"}}}), {"3.8"}),
    ],
)
def test_the_file_may_say_the_protocol_itself_if_all_speak_it(brokers: dict[str, object], protocols: set[str]) -> None:
    assert interim(cluster_of(kafka={"version": "3.9.1"}, brokers=brokers), running(OLD)) == protocols


def test_a_broker_whose_version_is_not_known_holds_nothing_up() -> None:
    nodes = {name: replace(node, version="") for name, node in running(OLD).nodes.items()}
    assert len(stages_of(PATCHED, ObservedEnvironment("orders", "docker", nodes=tuple(nodes.values())))) == 1


def test_the_first_step_changes_only_what_brokers_speak() -> None:
    first, last = stages_of(PATCHED, running(OLD).observed)
    assert (first.name, last.name, last.cluster) == (SOFTWARE_PHASE, PROTOCOL_PHASE, PATCHED)
    step = first.cluster
    assert replace(step, nodes=()) == replace(PATCHED, nodes=())
    for node, wanted in zip(step.nodes, PATCHED.nodes, strict=True):
        added = {PROTOCOL: "3.8"} if node.role is Role.BROKER else {}
        assert node == replace(wanted, properties={**wanted.properties, **added})
        assert list(node.properties) == sorted(node.properties)


def test_every_broker_is_replaced_before_any_speaks_the_new_protocol() -> None:
    actions = [action for action in plan(PATCHED, running(OLD)) if action.name.startswith("broker")]
    assert [action.phase for action in actions] == [SOFTWARE_PHASE] * 3 + [PROTOCOL_PHASE] * 3
    assert [action.as_dict()["phase"] for action in actions] == [action.phase for action in actions]
    assert [action.verb for action in actions] == [Verb.RECREATE] * 3 + [Verb.RESTART] * 3
    for action in actions:
        assert isinstance(action.subject, NodeTarget)
        (content,) = (file.text for file in action.subject.files if file.name == "server.properties")
        assert (f"{PROTOCOL}=3.8\n" in content) is (action.verb is Verb.RECREATE)


def test_actions_of_a_phase_come_after_actions_that_are_in_the_plan() -> None:
    actions = plan(PATCHED, running(OLD))
    keys = [action.key for action in actions]
    assert len(keys) == len(set(keys))
    for place, action in enumerate(actions):
        assert set(action.after) <= set(keys[:place])


def test_a_change_in_one_phase_has_no_phase_to_name() -> None:
    assert {action.phase for action in plan(PATCHED, NOTHING)} == {""}
    assert all("phase" not in action.as_dict() for action in plan(PATCHED, NOTHING))
