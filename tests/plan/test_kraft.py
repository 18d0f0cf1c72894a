"""The first wave in KRaft mode: storages are formatted, controllers go before brokers, the quorum stays as it is."""

from pathlib import Path

import pytest

from provision.cluster.model import Cluster, Role
from provision.common.values import replace
from provision.plan.actions import Action, Kind, NodeTarget, Verb
from provision.plan.observed import NodeDetails
from provision.plan.stored import StoredData
from tests.golden import Golden
from tests.plan.cases import Cases
from tests.plan.world import (
    CREATED,
    EXITED,
    NOTHING,
    World,
    brokers_with,
    cluster_of,
    done,
    files_of,
    kept,
    left,
    plan,
    printed,
    running,
)

GOLDEN = Path(__file__).parent / "golden" / "kraft"


def kraft(version: str = "3.9.1", controllers: int = 0, **sections: object) -> Cluster:
    return cluster_of(kafka={"version": version, "mode": "kraft"}, controllers={"nodes": controllers}, **sections)


COMBINED, DEDICATED = kraft(), kraft("4.3.0", controllers=3)


def additions() -> Cases:
    """What is done without disturbing anything."""
    there = running(COMBINED)
    return {
        "everything-new-combined": (COMBINED, NOTHING),
        "everything-new-dedicated": (DEDICATED, NOTHING),
        "second-run-combined": (COMBINED, there),
        "second-run-dedicated": (DEDICATED, running(DEDICATED)),
        "all-created-none-started": (DEDICATED, running(DEDICATED).but(CREATED)),
        "created-and-changed-since": (kraft(brokers=brokers_with(heap="300m")), there.but(CREATED)),
        "all-stopped": (DEDICATED, running(DEDICATED).but(EXITED)),
        "broker-added-to-the-file": (kraft(brokers=brokers_with(nodes=4)), there),
        "voter-removed-by-hand-storage-kept": (COMBINED, there.without("broker-2", keep_storage=True)),
        "one-of-three-voters-lost": (COMBINED, there.without("broker-2")),
        "one-of-three-controllers-lost": (DEDICATED, running(DEDICATED).without("controller-3")),
    }


def changes() -> Cases:
    """What restarts something."""
    heap = brokers_with(heap="300m")
    controllers = {"nodes": 3, "heap": "160m"}
    both = cluster_of(kafka={"version": "4.3.0"}, controllers=controllers, brokers=heap)
    only_controllers = cluster_of(kafka={"version": "4.3.0"}, controllers=controllers)
    return {
        "heap-of-all-changed": (both, replace(running(DEDICATED), controller=1002)),
        "heap-of-controllers-changed": (only_controllers, replace(running(DEDICATED), controller=1001)),
        "heap-of-voting-brokers-changed": (
            kraft(brokers=heap),
            replace(running(COMBINED), controller=2),
        ),
        "upgrade": (DEDICATED, replace(running(kraft("4.2.0", controllers=3)), controller=1003)),
        "property-changed-while-controllers-are-stopped": (
            both,
            running(DEDICATED).but(EXITED, "controller-1"),
        ),
    }


def refusals() -> Cases:
    """What is not done."""
    there = running(COMBINED)
    return {
        "quorum-grown": (kraft("4.3.0", controllers=5), running(DEDICATED)),
        "quorum-shrunk": (kraft("4.3.0", controllers=1), running(DEDICATED)),
        "controllers-taken-out-of-brokers": (kraft(controllers=3), there),
        "controllers-put-into-brokers": (kraft("4.3.0"), running(DEDICATED)),
        "second-and-third-voter": (COMBINED, running(kraft(brokers=brokers_with(nodes=2)))),
        "two-of-three-voters-lost": (COMBINED, there.without("broker-2", "broker-3")),
        "all-controllers-lost": (DEDICATED, running(DEDICATED).without("controller-1", "controller-2", "controller-3")),
        "mode-changed-to-kraft": (COMBINED, running(cluster_of())),
        "mode-changed-to-zookeeper": (cluster_of(), there),
        "downgrade": (kraft("4.2.0", controllers=3), running(DEDICATED)),
        "quorum-grown-over-kept-data": (DEDICATED, kept(kraft("4.3.0", controllers=1))),
        "quorum-grown-over-data-in-a-directory": (
            kraft("4.3.0", controllers=3, storage="/srv/kafka"),
            left(kraft("4.3.0", controllers=1)),
        ),
        "voting-brokers-grown-over-kept-data": (COMBINED, kept(kraft(brokers=brokers_with(nodes=1)))),
        "controllers-taken-out-of-brokers-over-kept-data": (kraft(controllers=3), kept(COMBINED)),
    }


DONE, REFUSED = additions() | changes(), refusals()
PLANS = {name: plan(*case) for name, case in (DONE | REFUSED).items()}


def test_every_plan_prints_as_its_golden_file(golden: Golden) -> None:
    golden.directory(GOLDEN, {f"{name}.txt": printed(actions) for name, actions in PLANS.items()})


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_plan_does_or_refuses_but_never_both(name: str) -> None:
    refused = {action.verb is Verb.REFUSE for action in PLANS[name]}
    assert refused == ({True} if name in REFUSED else set() if name.startswith("second-run") else {False})


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refusal_says_what_to_do(name: str) -> None:
    assert PLANS[name]
    assert all(action.detail for action in PLANS[name])


@pytest.mark.parametrize("name", sorted(DONE))
def test_when_all_is_done_nothing_is_left_to_do(name: str) -> None:
    cluster, world = DONE[name]
    assert plan(cluster, done(cluster, world)) == ()


# -- storages ---------------------------------------------------------------------------------------------------------


def keys(actions: tuple[Action, ...]) -> list[str]:
    return [action.key for action in actions]


@pytest.mark.parametrize("name", sorted(DONE))
def test_a_storage_is_formatted_after_its_node_is_made_and_before_that_starts(name: str) -> None:
    actions = {action.key: action for action in PLANS[name]}
    for action in PLANS[name]:
        if action.verb is Verb.FORMAT:
            start = actions[f"start {action.name}"]
            assert action.key in start.after
            made = f"create {action.name}"
            assert made not in actions or action.after == (made,)


@pytest.mark.parametrize("name", sorted(DONE))
def test_whoever_never_started_is_formatted_first_and_nobody_else(name: str) -> None:
    cluster, world = DONE[name]
    never_ran = {
        node.name for node in cluster.nodes if node.name not in world.nodes or world.nodes[node.name].state is CREATED
    }
    assert {action.name for action in PLANS[name] if action.verb is Verb.FORMAT} == never_ran


def test_formatting_carries_its_node_and_needs_no_consent() -> None:
    formatted = [action for action in PLANS["everything-new-dedicated"] if action.verb is Verb.FORMAT]
    assert [action.kind for action in formatted] == [Kind.STORAGE] * 6
    for action in formatted:
        (node,) = (node for node in DEDICATED.nodes if node.name == action.name)
        assert action.subject == NodeTarget(node, files_of(DEDICATED, node.name))
        assert action.impact == "none"


def test_in_zookeeper_mode_nothing_is_formatted() -> None:
    assert "format" not in printed(plan(cluster_of(), NOTHING))


# -- the order --------------------------------------------------------------------------------------------------------


def in_order(name: str, *verbs: Verb) -> list[str]:
    return [action.name for action in PLANS[name] if action.verb in verbs]


def test_controllers_go_before_brokers_and_the_active_one_last_of_them() -> None:
    brokers = ["broker-1", "broker-2", "broker-3"]
    assert in_order("heap-of-all-changed", Verb.RECREATE, Verb.RESTART) == [
        *("controller-1", "controller-3", "controller-2"),
        *brokers,
    ]
    assert in_order("upgrade", Verb.RECREATE) == ["controller-1", "controller-2", "controller-3", *brokers]
    assert in_order("heap-of-controllers-changed", Verb.RECREATE, Verb.RESTART) == [
        *("controller-2", "controller-3", "controller-1")
    ]


def test_of_brokers_that_vote_the_active_controller_goes_last() -> None:
    assert in_order("heap-of-voting-brokers-changed", Verb.RECREATE, Verb.RESTART) == [
        *("broker-1", "broker-3", "broker-2")
    ]


@pytest.mark.parametrize("name", sorted(changes()))
def test_what_runs_is_taken_down_one_at_a_time(name: str) -> None:
    ended: dict[str, set[str]] = {}
    careful: list[str] = []
    for action in PLANS[name]:
        ended[action.key] = set(action.after).union(*(ended[key] for key in action.after))
        if isinstance(action.subject, NodeTarget) and action.subject.runs:
            assert set(careful) <= ended[action.key]
            careful.append(action.key)


def test_a_controller_that_is_stopped_is_up_before_another_goes_down() -> None:
    actions = {action.key: action for action in PLANS["property-changed-while-controllers-are-stopped"]}
    rolled = [action for action in actions.values() if isinstance(action.subject, NodeTarget) and action.subject.runs]
    assert rolled
    assert "start controller-1" in rolled[0].after


def test_an_upgrade_in_kraft_mode_is_one_step() -> None:
    """The version of the metadata is Kafka's own business: no `inter.broker.protocol.version` is written."""
    assert "inter.broker.protocol.version" not in printed(PLANS["upgrade"])
    assert len(PLANS["upgrade"]) == len(DEDICATED.nodes)


@pytest.mark.parametrize(
    ("controller", "node"),
    [(-1, ""), (1, "broker-1"), (1000, "broker-1000"), (1001, "controller-1"), (1007, "controller-7")],
)
def test_an_id_from_1001_on_is_that_of_a_dedicated_controller(controller: int, node: str) -> None:
    assert NodeDetails(controller=controller).active_controller == node


# -- what is refused --------------------------------------------------------------------------------------------------


def lost(cluster: Cluster, *names: str) -> set[str]:
    return {action.name for action in plan(cluster, running(cluster).without(*names)) if action.verb is Verb.REFUSE}


def test_a_quorum_that_lost_most_of_its_voters_is_not_begun_anew() -> None:
    one, two, three = (f"controller-{number}" for number in (1, 2, 3))
    assert lost(DEDICATED, one) == set()
    assert lost(DEDICATED, one, two) == {one, two}
    assert lost(DEDICATED, one, two, three) == {one, two, three}
    assert lost(COMBINED, "broker-1") == set()
    assert lost(COMBINED, "broker-1", "broker-3") == {"broker-1", "broker-3"}
    assert lost(kraft(controllers=1), "controller-1") == {"controller-1"}


def test_a_quorum_whose_brokers_never_ran_may_be_begun_anew() -> None:
    brokers = [node.name for node in DEDICATED.of_role(Role.BROKER)]
    world = running(DEDICATED).but(CREATED, *brokers).without("controller-1", "controller-2")
    actions = plan(DEDICATED, world)
    assert {action.name for action in actions if action.verb is Verb.START} >= {"controller-1", "controller-2"}
    assert all(action.verb is not Verb.REFUSE for action in actions)


def test_brokers_that_do_not_vote_come_and_go() -> None:
    four, five = (kraft(brokers=brokers_with(nodes=nodes)) for nodes in (4, 5))
    assert [action.name for action in plan(five, running(four)) if action.verb is Verb.START] == ["broker-5"]
    assert all(action.verb is not Verb.REFUSE for action in plan(five, running(four)))
    assert plan(four, running(five)) == ()


def test_a_changed_quorum_is_told_with_both_values() -> None:
    (action, *_) = PLANS["controllers-taken-out-of-brokers"]
    assert "the quorum of a running cluster is not changed" in action.cause
    assert "controller.quorum.voters" in action.cause
    assert action.as_dict()["class"] == "refused"


def test_voters_that_somebody_edited_are_put_back() -> None:
    there = running(DEDICATED).edited("controller-2", "1003@", "1004@")
    (action,) = plan(DEDICATED, there)
    assert (action.verb, action.name) == (Verb.RESTART, "controller-2")
    assert action.cause.startswith("its files were edited: controller.quorum.voters ")
    assert plan(DEDICATED, there.after(DEDICATED, action)) == ()


FIRST = {
    "combined": COMBINED,
    "dedicated": DEDICATED,
    "one controller": kraft(controllers=1),
    "more brokers than voters": kraft(brokers=brokers_with(nodes=5)),
    "one zookeeper": cluster_of(brokers=brokers_with(nodes=3)),
    "an ensemble": cluster_of(zookeeper={"nodes": 3}, brokers=brokers_with(nodes=3)),
}


@pytest.mark.parametrize("cluster", FIRST.values(), ids=FIRST)
def test_a_first_up_that_is_cut_off_anywhere_is_gone_on_with(cluster: Cluster) -> None:
    """Of what is done side by side any may be done without the others."""
    actions = {action.key: action for action in plan(cluster, NOTHING)}
    for action in actions.values():
        needed = {action.key}
        for key in reversed(actions):
            if key in needed:
                needed |= {*actions[key].after}
        world = NOTHING.after(cluster, *(one for key, one in actions.items() if key in needed))
        empty = {name: StoredData(name, f"/data/{name}", {}, False, ()) for name in world.storages - world.nodes.keys()}
        world = replace(world, stored=empty)
        assert [one for one in plan(cluster, world) if one.verb is Verb.REFUSE] == []
        assert plan(cluster, done(cluster, world)) == ()
    world = NOTHING
    for action in actions.values():
        world = world.after(cluster, action)
        assert plan(cluster, done(cluster, world)) == ()


@pytest.mark.parametrize("cluster", [COMBINED, DEDICATED])
def test_the_first_voter_gets_its_storage_after_the_others_and_who_does_not_vote_after_it(cluster: Cluster) -> None:
    made = {a.name: set(a.after) for a in plan(cluster, NOTHING) if a.verb is Verb.CREATE and a.kind is Kind.STORAGE}
    first, *others = (node.name for node in cluster.voters)
    assert {f"create storage {name}" for name in others} <= made[first]
    for node in cluster.nodes:
        if not node.votes:
            assert {f"create storage {name}" for name in (first, *others)} <= made[node.name]


def test_a_quorum_with_a_majority_of_its_kept_data_goes_on() -> None:
    without_one = World(storages=kept(DEDICATED).storages - {"controller-1"})
    assert {action.verb for action in plan(DEDICATED, without_one)} == {Verb.CREATE, Verb.FORMAT, Verb.START}
    without_two = World(storages=without_one.storages - {"controller-2"})
    assert {action.name for action in plan(DEDICATED, without_two)} == {"controller-1", "controller-2"}


def test_storages_alone_are_no_reason_to_refuse() -> None:
    kept = World(storages=frozenset(node.name for node in DEDICATED.nodes))
    actions = plan(DEDICATED, kept)
    assert {action.verb for action in actions} == {Verb.CREATE, Verb.FORMAT, Verb.START}
    assert len(keys(actions)) == len(set(keys(actions)))
