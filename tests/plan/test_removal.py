"""The last wave: brokers that the file no longer has go one after the other, when they are empty."""

from provision.common.values import replace
from provision.plan.actions import Plan, Removal
from provision.plan.removal import plan_removals
from tests.plan.cases import CLUSTER, ENSEMBLE
from tests.plan.world import EXITED, brokers_with, cluster_of, running


def test_nobody_goes_while_the_file_has_all() -> None:
    assert plan_removals(CLUSTER, running(CLUSTER).observed) == ()
    larger = cluster_of(brokers=brokers_with(nodes=5))
    assert plan_removals(larger, running(CLUSTER).observed) == ()


def test_brokers_go_one_after_the_other() -> None:
    one = cluster_of(brokers=brokers_with(nodes=1))
    first, second = plan_removals(one, running(CLUSTER).observed)
    assert [str(action) for action in (first, second)] == [
        "broker-2 remove (brokers.nodes is 1, when it is empty)",
        "broker-3 remove (brokers.nodes is 1, when it is empty)",
    ]
    assert first.after == ()
    assert second.after == (first.key,)


def test_a_cluster_with_a_quorum_has_to_be_told_to_forget_them() -> None:
    two = cluster_of(brokers=brokers_with(nodes=2))
    (told,) = plan_removals(replace(two, mode="kraft"), running(CLUSTER).observed)
    (silent,) = plan_removals(two, running(CLUSTER).observed)
    assert (told.subject, silent.subject) == (Removal(3, registered=True), Removal(3, registered=False))


def test_removing_needs_consent() -> None:
    removals = plan_removals(cluster_of(brokers=brokers_with(nodes=2)), running(CLUSTER).observed)
    assert Plan("orders", removals).needs_consent == removals
    assert [action.impact for action in removals] == ["delete"]


def test_only_brokers_go() -> None:
    two = cluster_of(brokers=brokers_with(nodes=2))
    assert [action.name for action in plan_removals(two, running(ENSEMBLE).but(EXITED).observed)] == ["broker-3"]


def test_a_storage_that_a_killed_command_left_goes_too() -> None:
    observed = replace(running(CLUSTER).observed, storages=frozenset({"broker-1", "broker-9", "zookeeper-1"}))
    assert [str(action) for action in plan_removals(CLUSTER, observed)] == [
        "storage broker-9 remove (brokers.nodes is 3, its node is removed already)"
    ]
