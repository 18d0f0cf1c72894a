"""What the file asks for and a living environment cannot become: told node by node, with what to do instead."""

import pytest

from provision.common.values import replace
from provision.plan.actions import Kind, Verb
from provision.plan.observed import NodeState
from tests.plan.cases import CLUSTER, ENSEMBLE, LARGE_ENSEMBLE, OLD, PATCHED, refusals
from tests.plan.world import (
    CREATED,
    EXITED,
    NOTHING,
    World,
    brokers_with,
    cluster_of,
    kept,
    plan,
    printed,
    running,
)

CASES = refusals()


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_refusal_says_what_to_do_unless_nobody_but_the_user_can_tell(name: str) -> None:
    actions = plan(*CASES[name])
    assert {action.verb for action in actions} == {Verb.REFUSE}
    for action in actions:
        assert bool(action.detail) is (action.kind is not Kind.FOREIGN)


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_thing_is_refused_once(name: str) -> None:
    keys = [action.key for action in plan(*CASES[name])]
    assert len(keys) == len(set(keys)) > 0


@pytest.mark.parametrize("name", ["zookeeper-1", "broker-1"])
def test_a_node_without_its_files_is_refused_and_nothing_else_is_planned(name: str) -> None:
    world = running(CLUSTER)
    there = replace(world.nodes[name], state=NodeState.LOST, config_hash="", endpoint=None)
    (action,) = plan(CLUSTER, replace(world, nodes={**world.nodes, name: there}))
    assert (action.verb, action.name) == (Verb.REFUSE, name)
    assert "its directory is gone" in action.cause
    assert "--keep-data" in action.detail


def lost(members: int, *names: str) -> set[str]:
    """The nodes that are refused when these of an ensemble are gone."""
    cluster = {1: CLUSTER, 3: ENSEMBLE, 5: LARGE_ENSEMBLE}[members]
    return {action.name for action in plan(cluster, running(cluster).without(*names)) if action.verb is Verb.REFUSE}


def test_an_ensemble_that_lost_most_of_its_members_is_not_begun_anew() -> None:
    one, two, three = (f"zookeeper-{number}" for number in (1, 2, 3))
    assert lost(1, one) == {one}
    assert lost(3, one) == set()
    assert lost(3, one, two) == {one, two}
    assert lost(5, one, two) == set()
    assert lost(5, one, two, three) == {one, two, three}


def test_members_whose_storage_is_there_are_not_lost() -> None:
    world = running(ENSEMBLE).without("zookeeper-1", "zookeeper-2", "zookeeper-3", keep_storage=True)
    assert all(action.verb is not Verb.REFUSE for action in plan(ENSEMBLE, world))


def test_a_majority_is_that_of_the_ensemble_as_it_is_and_not_as_it_is_to_be() -> None:
    """Three of five are there when an ensemble of three grows: nothing was lost."""
    assert all(action.verb is not Verb.REFUSE for action in plan(LARGE_ENSEMBLE, running(ENSEMBLE)))
    assert all(action.verb is not Verb.REFUSE for action in plan(ENSEMBLE, running(CLUSTER)))
    lost_one = running(ENSEMBLE).without("zookeeper-3")
    assert all(action.verb is not Verb.REFUSE for action in plan(LARGE_ENSEMBLE, lost_one))
    lost_two = running(ENSEMBLE).without("zookeeper-2", "zookeeper-3")
    assert {action.verb for action in plan(LARGE_ENSEMBLE, lost_two)} == {Verb.REFUSE}


def test_an_ensemble_may_be_recreated_while_no_broker_has_ever_run() -> None:
    brokers = [node.name for node in CLUSTER.brokers]
    world = running(CLUSTER).but(CREATED, *brokers).without("zookeeper-1")
    assert all(action.verb is not Verb.REFUSE for action in plan(CLUSTER, world))
    assert {action.verb for action in plan(CLUSTER, world.but(EXITED, "broker-2"))} == {Verb.REFUSE}


def test_a_node_that_is_newer_than_the_file_is_refused_once_and_for_its_version() -> None:
    older_and_moved = cluster_of(kafka={"version": "3.8.1"}, storage="/srv/kafka")
    actions = plan(older_and_moved, running(PATCHED))
    assert sorted(action.name for action in actions) == sorted(node.name for node in PATCHED.nodes)
    for action in actions:
        assert action.cause.startswith("Kafka 3.9.1 → 3.8.1: an older release cannot read")


def test_versions_are_compared_as_releases_and_not_as_texts() -> None:
    nodes = {name: replace(node, version="3.10.0") for name, node in running(PATCHED).nodes.items()}
    world = replace(running(PATCHED), nodes=nodes)
    assert {action.verb for action in plan(PATCHED, world)} == {Verb.REFUSE}


def test_a_mode_that_is_not_known_is_no_other_mode() -> None:
    assert plan(CLUSTER, replace(running(CLUSTER), mode="")) == ()


def test_foreign_things_are_told_beside_everything_else() -> None:
    world = replace(running(ENSEMBLE), foreign=("volume orders-broker-9",))
    assert [action.resource for action in plan(CLUSTER, world)] == [
        "volume orders-broker-9",
        "zookeeper-2",
        "zookeeper-3",
    ]


def test_a_broker_may_leave_when_its_version_is_that_of_the_file_or_not_known() -> None:
    smaller = cluster_of(brokers=brokers_with(nodes=2))
    for version in ("3.9.1", ""):
        nodes = dict(running(CLUSTER).nodes)
        nodes["broker-3"] = replace(nodes["broker-3"], version=version)
        actions = plan(smaller, replace(running(CLUSTER), nodes=nodes))
        assert not any(action.name == "broker-3" or action.verb is Verb.REFUSE for action in actions)


def test_what_is_refused_of_a_change_is_shown_with_its_values() -> None:
    (action, *_) = plan(cluster_of(storage="/srv/kafka"), running(CLUSTER))
    assert {"key": "storage", "old": "volume", "new": "/srv/kafka"} in action.as_dict()["changes"]
    assert action.as_dict()["class"] == "refused"


def test_nodes_that_never_ran_may_be_recreated_in_memory() -> None:
    in_memory = cluster_of(storage="memory")
    changed = cluster_of(storage="memory", brokers=brokers_with({"num.io.threads": 16}))
    never_ran = running(in_memory).but(CREATED, *(node.name for node in in_memory.brokers))
    assert {a.name for a in plan(changed, never_ran) if a.verb is Verb.RECREATE} == {"broker-1", "broker-2", "broker-3"}


def test_nothing_is_refused_where_nothing_is() -> None:
    for cluster in (CLUSTER, ENSEMBLE, OLD, cluster_of(storage="memory"), cluster_of(storage="/srv/kafka")):
        assert "refuse" not in printed(plan(cluster, NOTHING))
        kept = World(storages=frozenset(node.name for node in cluster.nodes))
        assert "refuse" not in printed(plan(cluster, kept))


def test_an_ensemble_over_kept_data_is_not_made_smaller() -> None:
    smaller = plan(CLUSTER, kept(ENSEMBLE))
    assert [(action.verb, action.name) for action in smaller] == [
        (Verb.REFUSE, "zookeeper-2"),
        (Verb.REFUSE, "zookeeper-3"),
    ]
    assert smaller[0].detail == "undo the change, or `provision down` removes the rest"
