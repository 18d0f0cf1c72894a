"""The first wave: golden plans for every state in which an environment can be found."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.fingerprint import config_hash
from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.nodes import plan_nodes
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.spec.model import EnvironmentSpec
from tests.golden import Golden

GOLDEN = Path(__file__).parent / "golden"


def cluster_of(**sections: object) -> Cluster:
    sections = {"zookeeper": {"port": 2181}, "brokers": {"nodes": 3, "racks": ["a", "b", "c"]}} | sections
    spec = EnvironmentSpec.model_validate({"name": "orders", **sections})
    return resolve(spec, container_layout(spec, "/"), {}, "/home/me")


def there(node: Node, files: Sequence[RenderedFile], state: NodeState = NodeState.RUNNING) -> ObservedNode:
    return ObservedNode(node.name, node.role, state, config_hash(node.name, tuple(files)), node.endpoint)


def observed_of(cluster: Cluster, nodes: Iterable[ObservedNode] | None = None) -> ObservedEnvironment:
    """All of the cluster as it is when it runs, or with other nodes; each node has its storage."""
    files = render(cluster)
    nodes = tuple(there(node, files) for node in cluster.nodes) if nodes is None else tuple(nodes)
    return ObservedEnvironment(
        "orders", "docker", network=True, storages=frozenset(node.name for node in nodes), nodes=nodes
    )


def with_states(observed: ObservedEnvironment, states: dict[str, tuple[NodeState, int | None]]) -> ObservedEnvironment:
    nodes = tuple(
        dataclasses.replace(node, state=states[node.name][0], exit_code=states[node.name][1])
        if node.name in states
        else node
        for node in observed.nodes
    )
    return dataclasses.replace(observed, nodes=nodes)


def without(observed: ObservedEnvironment, *names: str, keep_storage: bool = False) -> ObservedEnvironment:
    return dataclasses.replace(
        observed,
        nodes=tuple(node for node in observed.nodes if node.name not in names),
        storages=observed.storages if keep_storage else observed.storages - set(names),
    )


def plan(
    cluster: Cluster, observed: ObservedEnvironment, before: Cluster | None = None, *, software_present: bool = True
) -> tuple[Action, ...]:
    """The plan for `cluster` where `observed` is there, with the files of `before` in the nodes."""
    old_files = render(before or cluster)
    return plan_nodes(
        cluster,
        render(cluster),
        observed,
        software_present=software_present,
        observed_files={node.name: tuple(f for f in old_files if f.node == node.name) for node in observed.nodes},
    )


def printed(actions: Sequence[Action]) -> str:
    return "".join(f"{action}\n" for action in actions) or "nothing to change\n"


NOTHING = ObservedEnvironment("orders", "docker")


def cases() -> dict[str, tuple[Action, ...]]:
    """Every golden plan by its name."""
    cluster = cluster_of()
    running = observed_of(cluster)
    threads = cluster_of(brokers={"nodes": 3, "racks": ["a", "b", "c"], "properties": {"num.io.threads": 16}})
    eight = cluster_of(brokers={"nodes": 3, "racks": ["a", "b", "c"], "properties": {"num.io.threads": 8}})
    smaller = cluster_of(brokers={"nodes": 2, "racks": ["a", "b"]})
    in_memory = cluster_of(storage="memory")
    ensemble = cluster_of(zookeeper={"nodes": 3})
    published = cluster_of(zookeeper={"nodes": 3, "port": 2181})
    states = {
        "broker-1": (NodeState.CREATED, None),
        "broker-2": (NodeState.EXITED, 143),
        "broker-3": (NodeState.EXITED, 137),
    }
    foreign = ("container orders-broker-1", "network orders", "volume orders-broker-2")
    return {
        "everything-new": plan(cluster, NOTHING),
        "everything-new-and-image-missing": plan(cluster, NOTHING, software_present=False),
        "second-run": plan(cluster, running),
        "second-run-and-image-missing": plan(cluster, running, software_present=False),
        "ensemble-new-without-host-ports": plan(ensemble, NOTHING),
        "half-created": plan(cluster, without(running, "broker-2", "broker-3")),
        "network-and-storages-only": plan(
            cluster,
            dataclasses.replace(NOTHING, network=True, storages=frozenset(node.name for node in cluster.nodes)),
        ),
        "network-lost": plan(cluster, dataclasses.replace(running, network=False)),
        "all-created-none-started": plan(
            cluster, with_states(running, {node.name: (NodeState.CREATED, None) for node in cluster.nodes})
        ),
        "all-stopped": plan(
            cluster, with_states(running, {node.name: (NodeState.EXITED, 143) for node in cluster.nodes})
        ),
        "never-started-stopped-and-killed": plan(cluster, with_states(running, states)),
        "stopped-with-unknown-exit-code": plan(cluster, with_states(running, {"broker-1": (NodeState.EXITED, None)})),
        "broker-killed": plan(cluster, with_states(running, {"broker-2": (NodeState.EXITED, 137)})),
        "broker-removed-by-hand-storage-kept": plan(cluster, without(running, "broker-2", keep_storage=True)),
        "property-changed": plan(threads, observed_of(eight), before=eight),
        "property-of-one-broker-changed": plan(
            cluster_of(
                brokers={
                    "nodes": 3,
                    "racks": ["a", "b", "c"],
                    "overrides": {2: {"properties": {"log.retention.ms": 1}}},
                }
            ),
            running,
            before=cluster,
        ),
        "image-heap-and-port-changed": plan(
            cluster_of(kafka={"version": "3.9.0"}, zookeeper={"port": 2191, "heap": "96m"}, brokers={"nodes": 3}),
            running,
            before=cluster,
        ),
        "files-of-the-node-not-readable": plan_nodes(
            threads, render(threads), running, software_present=True, observed_files={}
        ),
        "mark-of-another-version": plan(
            cluster,
            dataclasses.replace(
                running, nodes=tuple(dataclasses.replace(node, config_hash="0123") for node in running.nodes)
            ),
        ),
        "broker-left-out-of-the-file": plan(smaller, running, before=cluster),
        "broker-added-to-the-file": plan(cluster, observed_of(smaller), before=smaller),
        "ensemble-grown": plan(published, running, before=cluster),
        "names-taken-by-others": plan(cluster, dataclasses.replace(NOTHING, foreign=foreign)),
        "ensemble-lost": plan(cluster, without(running, "zookeeper-1")),
        "ensemble-lost-before-any-broker-started": plan(
            cluster,
            without(
                with_states(running, {node.name: (NodeState.CREATED, None) for node in cluster.brokers}), "zookeeper-1"
            ),
        ),
        "ensemble-lost-in-memory": plan(in_memory, without(observed_of(in_memory), "zookeeper-1")),
        "zookeeper-removed-by-hand-storage-kept": plan(cluster, without(running, "zookeeper-1", keep_storage=True)),
    }


CASES = cases()
CHANGED_NOTHING = {"second-run", "second-run-and-image-missing"}
REFUSED = {
    "property-changed",
    "property-of-one-broker-changed",
    "image-heap-and-port-changed",
    "files-of-the-node-not-readable",
    "mark-of-another-version",
    "broker-left-out-of-the-file",
    "broker-added-to-the-file",
    "ensemble-grown",
    "names-taken-by-others",
    "ensemble-lost",
}


def test_every_plan_prints_as_its_golden_file(golden: Golden) -> None:
    golden.directory(GOLDEN, {f"{name}.txt": printed(actions) for name, actions in CASES.items()})


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_plan_does_or_refuses_but_never_both(name: str) -> None:
    refused = {action.verb is Verb.REFUSE for action in CASES[name]}
    assert refused == ({True} if name in REFUSED else set() if name in CHANGED_NOTHING else {False})


@pytest.mark.parametrize("name", sorted(set(CASES) - REFUSED))
def test_actions_come_after_those_they_need_and_each_once(name: str) -> None:
    done: set[str] = set()
    for action in CASES[name]:
        assert action.key not in done
        assert set(action.after) <= done
        done.add(action.key)


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_action_has_a_cause(name: str) -> None:
    assert all(action.cause for action in CASES[name])


def test_a_node_starts_only_after_every_storage_is_there_and_itself_was_created() -> None:
    actions = plan(cluster_of(), NOTHING, software_present=False)
    prepared = {action.key for action in actions if action.kind is not Kind.NODE}
    starts = [action for action in actions if action.verb is Verb.START]
    assert len(prepared) == 1 + 1 + 4
    assert [set(start.after) for start in starts] == [{*prepared, f"create {start.name}"} for start in starts]


def test_actions_carry_the_node_they_are_about() -> None:
    cluster = cluster_of()
    subjects = {action.name: action.subject for action in plan(cluster, NOTHING) if action.verb is Verb.START}
    assert subjects == {node.name: node for node in cluster.nodes}


def test_a_changed_property_is_named_with_both_values() -> None:
    causes = {action.name: action.cause for action in CASES["property-changed"]}
    assert causes == dict.fromkeys(("broker-1", "broker-2", "broker-3"), "config changed: num.io.threads 8 → 16")


def test_the_environment_of_another_storage_kind_is_refused_not_recreated() -> None:
    before = cluster_of()
    actions = plan(cluster_of(storage="/srv/kafka"), observed_of(before), before=before)
    assert {action.verb for action in actions} == {Verb.REFUSE}
    assert all("storage volume → /srv/kafka" in action.cause for action in actions)


NODE_STATES = st.sampled_from([None, *NodeState])


@given(
    states=st.lists(NODE_STATES, min_size=4, max_size=4),
    kept=st.sets(st.integers(0, 3)),
    network=st.booleans(),
    software=st.booleans(),
)
def test_doing_a_plan_leaves_nothing_to_do(
    states: list[NodeState | None], kept: set[int], *, network: bool, software: bool
) -> None:
    """Whatever is found, the plan is refused, or what it creates and starts is just what was missing."""
    cluster = CLUSTER
    found = {node.name: state for node, state in zip(cluster.nodes, states, strict=True) if state}
    observed = ObservedEnvironment(
        "orders",
        "docker",
        network=network,
        storages=frozenset({cluster.nodes[place].name for place in kept} | set(found)),
        nodes=tuple(there(node, FILES, found[node.name]) for node in cluster.nodes if node.name in found),
    )
    actions = plan_nodes(cluster, FILES, observed, software_present=software, observed_files={})
    if any(action.verb is Verb.REFUSE for action in actions):
        assert "zookeeper-1" not in observed.storages
        assert any(name.startswith("broker") and state is not NodeState.CREATED for name, state in found.items())
        return
    created = {action.name for action in actions if action.verb is Verb.CREATE and action.kind is Kind.NODE}
    stored = {action.name for action in actions if action.kind is Kind.STORAGE}
    started = {action.name for action in actions if action.verb is Verb.START}
    every = {node.name for node in cluster.nodes}
    assert created == every - set(found)
    assert stored == every - set(observed.storages)
    assert started == {name for name in every if found.get(name) is not NodeState.RUNNING}
    assert any(action.kind is Kind.NETWORK for action in actions) is not network
    assert any(action.verb is Verb.FETCH for action in actions) is (bool(created) and not software)


CLUSTER = cluster_of()
FILES = render(CLUSTER)


def test_a_plan_as_json_is_what_the_contract_says() -> None:
    actions = plan(cluster_of(brokers={"nodes": 1, "racks": ["a"]}), NOTHING, software_present=False)
    assert Plan("orders", actions).as_dict() == {
        "changes": True,
        "actions": [
            {
                "resource": "software apache/kafka:3.9.1",
                "verb": "fetch",
                "cause": "not here yet",
                "detail": "",
            },
            {"resource": "network orders", "verb": "create", "cause": "not there", "detail": ""},
            {"resource": "storage zookeeper-1", "verb": "create", "cause": "not there", "detail": ""},
            {"resource": "storage broker-1", "verb": "create", "cause": "not there", "detail": ""},
            {"resource": "zookeeper-1", "verb": "create", "cause": "not there", "detail": "127.0.0.1:2181"},
            {"resource": "broker-1", "verb": "create", "cause": "not there", "detail": "127.0.0.1:9092 in rack a"},
            {"resource": "zookeeper-1", "verb": "start", "cause": "new", "detail": ""},
            {"resource": "broker-1", "verb": "start", "cause": "new", "detail": ""},
        ],
    }


def test_an_empty_plan_has_no_changes() -> None:
    empty = Plan("orders", ())
    assert empty.as_dict() == {"changes": False, "actions": []}
    assert not empty.changes
    assert empty.refusals == ()


def test_a_plan_knows_its_refusals_and_the_actions_of_a_kind() -> None:
    network = Action(Verb.CREATE, Kind.NETWORK, "orders", "not there")
    refusal = Action(Verb.REFUSE, Kind.FOREIGN, "container orders-broker-1", "not ours")
    both = Plan("orders", (network, refusal))
    assert both.refusals == (refusal,)
    assert both.of_kinds([Kind.NETWORK, Kind.NODE]) == (network,)
    assert both.changes
    assert [str(action) for action in both.actions] == [
        "network orders create (not there)",
        "container orders-broker-1 refuse (not ours)",
    ]
