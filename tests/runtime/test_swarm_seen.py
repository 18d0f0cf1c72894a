"""An environment as one manager of a swarm tells of it, with engines that are there, away or drained."""

from typing import Any

import pytest

from provision.common.values import replace
from provision.observe.reach import why_not_running
from provision.plan.engines import Place
from provision.plan.observed import NodeState, ObservedNode
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import services
from provision.runtime.swarm.engines import Engine
from provision.runtime.swarm.notes import NAME, as_volume
from provision.runtime.swarm.records import ENGINE, ENGINE_NAME, GIVEN_UP, RECORD
from provision.runtime.swarm.seen import Seen

ENGINES = {
    "a": Engine("a", "alpha", "10.0.0.1"),
    "b": Engine("b", "beta", "10.0.0.2", state="down"),
    "c": Engine("c", "gamma", "10.0.0.3", availability="drain"),
}


def service(node: str, engine: str, **labels: str) -> dict[str, Any]:
    own = {spec.ENVIRONMENT: "fleet", spec.NODE: node, spec.SOFTWARE: "apache/kafka:3.9.1", spec.VERSION: "3.9.1"}
    own |= {spec.MODE: "kraft", spec.CLUSTER_ID: "fwAAAAAAAAAAAAAAAAAAAA", ENGINE: engine, services.STARTED: "true"}
    told = {"Name": f"fleet-{node}", "Labels": own | labels, "Mode": {"Replicated": {"Replicas": 1}}}
    return {"ID": f"id-{node}", "Spec": told}


def task(node: str, state: str) -> dict[str, Any]:
    status = {"State": state, "ContainerStatus": {"ContainerID": "x", "ExitCode": 1}}
    return {"ID": f"task-{node}", "ServiceID": f"id-{node}", "CreatedAt": "1", "Status": status}


def config(name: str, **labels: str) -> dict[str, Any]:
    made = "2026-11-27T09:12:27.903893548Z"
    return {"ID": name, "CreatedAt": made, "Spec": {"Name": name, "Labels": {spec.ENVIRONMENT: "fleet"} | labels}}


@pytest.fixture
def seen() -> Seen:
    broker = {spec.NODE: "broker-1", RECORD: "fleet-broker-1", ENGINE: "a"}
    return Seen(
        services=[
            service("broker-1", "a"),
            service("broker-2", "b"),
            service("broker-3", "c"),
            service("broker-4", "a"),
            service("broker-5", "gone"),
            service("job", "a", **{spec.ROLE: spec.TOOL_ROLE}),
            {"ID": "other", "Spec": {"Name": "fleet-broker-6", "Mode": {"Replicated": {"Replicas": 1}}}},
            {"ID": "everywhere", "Spec": {"Name": "agent", "Labels": {}, "Mode": {"Global": {}}}},
        ],
        tasks=[
            task("broker-1", "running"),
            task("broker-2", "running"),
            task("broker-3", "shutdown"),
            task("broker-4", "failed"),
            task("broker-5", "running"),
        ],
        engines=ENGINES,
        networks=[{"Name": "fleet", "Labels": {services.OWNER: "fleet"}}, {"Name": "ingress", "Labels": None}],
        configs=[config("r", **broker), config("n", **{NAME: "fleet.lock", spec.NOTE: "lock"})],
    )


def test_a_node_whose_engine_is_away_waits_for_it_and_one_that_crashed_does_not(seen: Seen) -> None:
    observed = seen.environment("fleet", (), frozenset())
    assert [(node.name, node.state, node.engine, node.waits_for) for node in observed.nodes] == [
        ("broker-1", NodeState.RUNNING, "alpha", ""),
        ("broker-2", NodeState.EXITED, "beta", "engine beta is down"),
        ("broker-3", NodeState.EXITED, "gamma", "engine gamma is drained"),
        ("broker-4", NodeState.EXITED, "alpha", ""),
        ("broker-5", NodeState.EXITED, "", "its engine has left the swarm"),
    ]
    assert observed.waiting == {
        "engine beta is down": ["broker-2"],
        "engine gamma is drained": ["broker-3"],
        "its engine has left the swarm": ["broker-5"],
    }
    why = {node.name: why_not_running(node) for node in observed.nodes if node.state is not NodeState.RUNNING}
    assert why["broker-2"] == "it waits: engine beta is down"
    assert why["broker-4"] == "it has exited"


def test_what_belongs_to_an_environment_is_told_from_what_is_only_called_so(seen: Seen) -> None:
    observed = seen.environment("fleet", ["broker-1", "broker-6"], frozenset())
    assert (observed.network, observed.storages, observed.mode) == (True, frozenset({"broker-1"}), "kraft")
    assert observed.foreign == ("service fleet-broker-6",)
    assert seen.names == {"fleet"}
    assert [record.volume for record in seen.records("fleet")] == ["fleet-broker-1"]
    assert seen.records("another") == []
    assert seen.environment("another", (), frozenset()).is_absent


def test_a_paused_node_is_one_of_which_its_engine_tells_that(seen: Seen) -> None:
    states = {
        node.name: node.state for node in seen.environment("fleet", (), frozenset({"broker-1", "broker-4"})).nodes
    }
    assert (states["broker-1"], states["broker-4"]) == (NodeState.PAUSED, NodeState.EXITED)


def test_a_config_that_is_a_note_is_like_a_volume(seen: Seen) -> None:
    assert as_volume(seen.configs[1])["CreatedAt"] == "2026-11-27T09:12:27Z"


def test_a_node_without_an_engine_of_its_own_waits_for_none() -> None:
    node = ObservedNode("broker-1", "broker", NodeState.EXITED, "")
    assert (node.engine, why_not_running(node)) == ("", "it has exited")


def test_places_say_where_the_data_of_nodes_are_and_engines_whether_they_answer(seen: Seen) -> None:
    label = {RECORD: "fleet-broker-2", spec.NODE: "broker-2", ENGINE: "b", ENGINE_NAME: "beta", GIVEN_UP: "true"}
    gone = {RECORD: "fleet-broker-5", spec.NODE: "broker-5", ENGINE: "gone", ENGINE_NAME: "epsilon"}
    configs = [*seen.configs, config("r2", **label), config("r5", **gone)]
    observed = replace(seen, configs=configs).environment("fleet", (), frozenset())
    assert observed.places == {
        "broker-1": Place("alpha", "fleet-broker-1"),
        "broker-2": Place("beta", "fleet-broker-2", given_up=True),
        "broker-5": Place("epsilon", "fleet-broker-5"),
    }
    assert [(one.name, one.is_ready, one.trouble) for one in observed.engines] == [
        ("alpha", True, ""),
        ("beta", False, "engine beta is down"),
        ("gamma", True, "engine gamma is drained"),
    ]
