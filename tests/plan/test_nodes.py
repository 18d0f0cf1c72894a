"""The first wave: golden plans for every state in which an environment can be found, and what holds for all of them."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from provision.cluster.model import Role
from provision.plan.actions import Action, BrokerSettings, Kind, Leftover, NodeTarget, Plan, Verb
from tests.golden import Golden
from tests.plan.cases import CLUSTER, additions, changes, drifts, edits, ensembles, refusals, upgrades
from tests.plan.world import NOTHING, World, cluster_of, files_of, plan, printed

GOLDEN = Path(__file__).parent / "golden" / "nodes"
DONE = additions() | changes() | drifts() | edits() | ensembles() | upgrades()
REFUSED = refusals()
PLANS = {name: plan(*case) for name, case in (DONE | REFUSED).items()}
NOTHING_TO_DO = {
    "second-run",
    "second-run-and-image-missing",
    "mark-of-another-version",
    "broker-left-out-of-the-file",
    "drift-of-what-the-file-says-in-other-words",
    "throttles-of-a-reassignment",
}


def test_every_plan_prints_as_its_golden_file(golden: Golden) -> None:
    golden.directory(GOLDEN, {f"{name}.txt": printed(actions) for name, actions in PLANS.items()})


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_plan_does_or_refuses_but_never_both(name: str) -> None:
    refused = {action.verb is Verb.REFUSE for action in PLANS[name]}
    assert refused == ({True} if name in REFUSED else set() if name in NOTHING_TO_DO else {False})


@pytest.mark.parametrize("name", sorted(PLANS.keys() - NOTHING_TO_DO))
def test_every_action_has_a_cause(name: str) -> None:
    assert PLANS[name]
    assert all(action.cause for action in PLANS[name])


# -- the order --------------------------------------------------------------------------------------------------------


def before(actions: Sequence[Action]) -> dict[str, set[str]]:
    """The keys of all that must have ended before each action, directly or by others."""
    found: dict[str, set[str]] = {}
    for action in actions:
        found[action.key] = set(action.after).union(*(found[key] for key in action.after))
    return found


def disturbs(action: Action) -> bool:
    """Whether its cluster does without the node meanwhile, or has to take it in."""
    return isinstance(action.subject, NodeTarget) and action.subject.runs


def of_role(actions: Sequence[Action], role: Role) -> list[Action]:
    return [action for action in actions if action.kind is Kind.NODE and action.name.startswith(role)]


@pytest.mark.parametrize("name", sorted(DONE))
def test_actions_come_after_those_they_need_and_each_once(name: str) -> None:
    ended: set[str] = set()
    for action in PLANS[name]:
        assert action.key not in ended
        assert set(action.after) <= ended
        ended.add(action.key)


@pytest.mark.parametrize("name", sorted(DONE))
def test_what_runs_is_taken_down_one_at_a_time(name: str) -> None:
    earlier = before(PLANS[name])
    for one, other in combinations([action for action in PLANS[name] if disturbs(action)], 2):
        assert one.key in earlier[other.key]


@pytest.mark.parametrize("name", sorted(DONE))
@pytest.mark.parametrize("role", [Role.ZOOKEEPER, Role.BROKER])
def test_what_does_not_run_is_up_before_anything_that_runs_goes_down(name: str, role: Role) -> None:
    earlier = before(PLANS[name])
    own = of_role(PLANS[name], role)
    starts = {action.key for action in own if action.verb is Verb.START and not disturbs(action)}
    made = {action.name: action.key for action in own if action.verb in (Verb.CREATE, Verb.RECREATE)}
    for action in own:
        if disturbs(action):
            assert starts <= earlier[action.key]
        if action.verb is Verb.START and action.name in made:
            assert made[action.name] in earlier[action.key]


@pytest.mark.parametrize("name", sorted(DONE))
def test_the_ensemble_is_through_before_anything_happens_to_a_broker_that_runs(name: str) -> None:
    earlier = before(PLANS[name])
    ensemble = {action.key for action in of_role(PLANS[name], Role.ZOOKEEPER) if disturbs(action)}
    for action in of_role(PLANS[name], Role.BROKER):
        if disturbs(action) or action.verb is Verb.CONFIGURE:
            assert ensemble <= earlier[action.key]


@pytest.mark.parametrize("name", sorted(DONE))
def test_settings_are_changed_when_all_brokers_run_and_before_any_goes_down(name: str) -> None:
    earlier = before(PLANS[name])
    brokers = of_role(PLANS[name], Role.BROKER)
    starts = {action.key for action in brokers if action.verb is Verb.START}
    settings = {action.key for action in brokers if isinstance(action.subject, BrokerSettings)}
    for action in brokers:
        if action.key in settings:
            assert starts <= earlier[action.key]
        if disturbs(action):
            assert settings <= earlier[action.key]


@pytest.mark.parametrize("name", sorted(DONE))
def test_everything_comes_after_the_software_the_network_and_the_storages(name: str) -> None:
    earlier = before(PLANS[name])
    prepared = {action.key for action in PLANS[name] if action.kind is not Kind.NODE}
    for action in PLANS[name]:
        if action.kind is Kind.NODE:
            assert prepared <= earlier[action.key]


def test_a_node_starts_only_after_every_storage_is_there_and_itself_was_created_and_a_broker_its_ensemble() -> None:
    actions = PLANS["everything-new-and-image-missing"]
    prepared = {action.key for action in actions if action.kind is not Kind.NODE}
    starts = [action for action in actions if action.verb is Verb.START]
    assert len(prepared) == 1 + 1 + 4
    for start in starts:
        assert set(start.after) == {*prepared, "create zookeeper-1", f"create {start.name}"}


def in_order(name: str, *verbs: Verb) -> list[str]:
    return [action.name for action in PLANS[name] if action.verb in verbs]


def test_the_active_controller_and_the_leader_of_the_ensemble_come_last() -> None:
    assert in_order("property-changed", Verb.RESTART) == ["broker-1", "broker-3", "broker-2"]
    assert in_order("upgrade", Verb.RECREATE) == ["zookeeper-1", "broker-2", "broker-3", "broker-1"]
    assert in_order("upgrade", Verb.RESTART) == ["broker-2", "broker-3", "broker-1"]
    ensemble = [name for name in in_order("ensemble-grown-from-3-to-5", Verb.RESTART) if name.startswith("zookeeper")]
    assert ensemble == ["zookeeper-1", "zookeeper-3", "zookeeper-2"]


def test_nobody_joins_a_node_that_stands_alone_but_members_change_after_newcomers_joined() -> None:
    def ensemble(name: str) -> list[tuple[str, str]]:
        return [(a.verb, a.name) for a in PLANS[name] if disturbs(a) and a.name.startswith("zookeeper")]

    assert ensemble("ensemble-grown-from-1-to-3") == [
        ("restart", "zookeeper-1"),
        ("start", "zookeeper-2"),
        ("start", "zookeeper-3"),
    ]
    assert ensemble("ensemble-grown-from-3-to-5") == [
        ("start", "zookeeper-4"),
        ("start", "zookeeper-5"),
        ("restart", "zookeeper-1"),
        ("restart", "zookeeper-3"),
        ("restart", "zookeeper-2"),
    ]


def members_in_order(actions: Sequence[Action]) -> list[str]:
    """The members that start, in an order in which each has those before it."""
    starts = [action for action in of_role(actions, Role.ZOOKEEPER) if action.verb is Verb.START]
    earlier = before(actions)
    for one, other in pairwise(starts):
        assert one.key in earlier[other.key]
    return [action.name for action in starts]


ALL_THREE = ["zookeeper-1", "zookeeper-2", "zookeeper-3"]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("ensemble-grown-over-kept-data-from-1-to-3", ALL_THREE),
        ("ensemble-grown-over-kept-data-from-3-to-5", [*ALL_THREE, "zookeeper-4", "zookeeper-5"]),
        ("ensemble-grown-over-data-in-a-directory", ALL_THREE),
        ("ensemble-growth-interrupted-over-kept-data", ALL_THREE),
        ("ensemble-growth-interrupted-while-the-first-was-recreated", ALL_THREE),
        ("ensemble-growth-interrupted-while-all-were-stopped", ALL_THREE),
        ("ensemble-of-three-removed-by-hand-storages-kept", ALL_THREE),
        ("ensemble-of-three-kept-without-one", ["zookeeper-2", "zookeeper-3", "zookeeper-1"]),
    ],
)
def test_where_none_runs_and_any_may_have_data_members_start_one_by_one_the_surely_empty_last(
    name: str, order: list[str]
) -> None:
    assert members_in_order(PLANS[name]) == order


@pytest.mark.parametrize(
    "name", ["ensemble-grown-over-kept-data-from-1-to-3", "ensemble-grown-over-data-in-a-directory"]
)
def test_a_growth_over_kept_data_that_is_cut_off_before_anybody_starts_stays_in_order(name: str) -> None:
    cluster, world = DONE[name]
    for action in PLANS[name]:
        if action.verb is not Verb.START:
            world = world.after(cluster, action)
            assert members_in_order(plan(cluster, world)) == ALL_THREE


def test_brokers_whose_nodes_are_new_wait_for_an_ensemble_over_kept_data() -> None:
    actions = PLANS["ensemble-grown-over-kept-data-from-1-to-3"]
    starts = [action for action in of_role(actions, Role.BROKER) if action.verb is Verb.START]
    assert [action.name for action in starts] == ["broker-1", "broker-2", "broker-3"]
    for action in starts:
        assert "start zookeeper-3" in before(actions)[action.key]


@pytest.mark.parametrize("members", [3, 5])
def test_where_no_member_can_have_data_all_start_side_by_side(members: int) -> None:
    cluster = cluster_of(zookeeper={"nodes": members})
    brokers_only = World(storages=frozenset(node.name for node in cluster.brokers))
    for world in (NOTHING, brokers_only):
        actions = plan(cluster, world)
        starts = {action.key for action in actions if action.verb is Verb.START}
        assert len(starts) == members + len(cluster.brokers)
        assert not any(starts & before(actions)[key] for key in starts)


# -- what actions carry -----------------------------------------------------------------------------------------------


def test_actions_carry_the_node_they_are_about_with_its_files() -> None:
    created = [a for a in PLANS["everything-new"] if a.kind is Kind.NODE and a.verb is Verb.CREATE]
    assert [(action.name, action.subject) for action in created] == [
        (node.name, NodeTarget(node, files_of(CLUSTER, node.name))) for node in CLUSTER.nodes
    ]


def test_a_changed_property_is_named_with_both_values_and_shown_as_a_change() -> None:
    assert in_order("property-changed", *Verb) == in_order("property-changed", Verb.RESTART) != []
    for action in PLANS["property-changed"]:
        assert action.cause == "config changed: num.io.threads 8 → 16"
        assert action.as_dict()["changes"] == [{"key": "num.io.threads", "old": "8", "new": "16"}]
        assert action.as_dict()["class"] == "rolling"


def test_a_plan_as_json_is_what_the_contract_says() -> None:
    cluster = cluster_of(brokers={"nodes": 1, "racks": ["a"]})
    actions = plan(cluster, NOTHING)
    shown = [("network orders", "create", "not there", "")]
    shown += [(f"storage {node}", "create", "not there", "") for node in ("zookeeper-1", "broker-1")]
    shown += [
        ("zookeeper-1", "create", "not there", "127.0.0.1:2181"),
        ("broker-1", "create", "not there", "127.0.0.1:9092 in rack a"),
        ("zookeeper-1", "start", "new", ""),
        ("broker-1", "start", "new", ""),
    ]
    assert Plan("orders", actions).as_dict() == {
        "changes": True,
        "actions": [
            {"resource": resource, "verb": verb, "class": "none", "cause": cause, "detail": detail}
            for resource, verb, cause, detail in shown
        ],
    }


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("everything-new", {"none"}),
        ("property-changed-that-is-dynamic", {"dynamic"}),
        ("property-changed", {"rolling"}),
        ("heap-changed", {"recreate"}),
        ("upgrade", {"none", "recreate", "rolling"}),
        ("downgrade", {"refused"}),
    ],
)
def test_each_action_has_a_class_and_what_restarts_needs_consent(name: str, classes: set[str]) -> None:
    made = Plan("orders", PLANS[name])
    assert {action.impact for action in made.actions} == classes
    assert {action.impact for action in made.needs_consent} == classes & {"rolling", "recreate", "delete"}


def test_an_empty_plan_has_no_changes() -> None:
    empty = Plan("orders", ())
    assert empty.as_dict() == {"changes": False, "actions": []}
    assert not empty.changes
    assert empty.refusals == empty.needs_consent == ()


def test_a_plan_knows_its_refusals_and_the_actions_of_a_kind() -> None:
    network = Action(Verb.CREATE, Kind.NETWORK, "orders", "not there")
    refusal = Action(Verb.REFUSE, Kind.FOREIGN, "container orders-broker-1", "not ours")
    removal = Action(Verb.REMOVE, Kind.NODE, "broker-4", "left out")
    both = Plan("orders", (network, refusal, removal))
    assert both.refusals == (refusal,)
    assert both.needs_consent == (removal,)
    assert both.of_kinds([Kind.NETWORK, Kind.NODE]) == (network, removal)
    assert both.first_wave == (network, refusal)
    leftover = Action(Verb.REMOVE, Kind.NODE, "broker-5", "never used", subject=Leftover())
    assert Plan("orders", (leftover, removal)).first_wave == (leftover,)
    assert not leftover.needs_consent
    assert both.changes
    assert [str(action) for action in both.actions] == [
        "network orders create (not there)",
        "container orders-broker-1 refuse (not ours)",
        "broker-4 remove (left out)",
    ]
