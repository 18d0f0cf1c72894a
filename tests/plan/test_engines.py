"""Which nodes leave their engines, and what keeps them from it."""

from collections.abc import Collection, Mapping

import pytest

from provision.cluster.model import Cluster, SwarmOptions
from provision.common.values import replace
from provision.errors import UsageError
from provision.plan.actions import Kind, Plan, Verb
from provision.plan.departing import refuse_departures, require_known, unknown_engines
from provision.plan.engines import NOBODY, Departures, ObservedEngine, Place, Survivors, departures, objections
from provision.plan.nodes import plan_nodes
from provision.plan.observed import (
    NodeDetails,
    NodeState,
    ObservedBroker,
    ObservedCluster,
    ObservedEnvironment,
    ObservedPartition,
    ObservedTopic,
)
from provision.plan.phases import Phase
from tests.plan.world import cluster_of, printed, rendered, running

VOTERS = (1001, 1002, 1003)
READY = {"alpha": "", "beta": "", "gamma": ""}


def fleet(brokers: int = 3) -> Cluster:
    """Three controllers and so many brokers."""
    return cluster_of(kafka={"mode": "kraft"}, controllers={"nodes": 3}, zookeeper={}, brokers={"nodes": brokers})


def spread(cluster: Cluster, engines: Mapping[str, str], *, given_up: Collection[str] = ()) -> ObservedEnvironment:
    """Nodes of each role, one after the other on these engines, each with its trouble, which nodes on it wait for.

    One that is drained is ready.
    """
    observed, names = running(cluster).observed, list(engines)
    places = {
        node.name: Place(names[(node.number - 1) % len(names)], f"orders-{node.name}", node.name in given_up)
        for node in observed.nodes
    }
    there = tuple(ObservedEngine(name, not why or "drained" in why, why) for name, why in engines.items())
    nodes = tuple(
        replace(node, state=NodeState.EXITED, waits_for=why) if why else node
        for node in observed.nodes
        for why in [engines[places[node.name].engine]]
    )
    return replace(observed, nodes=nodes, places=places, engines=there, runtime="swarm")


def told(
    *in_sync: tuple[int, ...], replicas: tuple[int, ...] = (1, 2, 3), alive: Collection[int] = (1, 2)
) -> ObservedCluster:
    """Partitions of a topic with these replicas in sync, of which these brokers tell."""
    partitions = tuple(ObservedPartition(n, row[0] if row else -1, replicas, row) for n, row in enumerate(in_sync))
    brokers = tuple(map(ObservedBroker, alive, [None] * len(alive)))
    return ObservedCluster("x", 1, brokers, (ObservedTopic("t", partitions),))


GOOD = Survivors(told((1, 2), (2, 1)), frozenset({1001, 1002}))


# -- who leaves -------------------------------------------------------------------------------------------------------


def test_nobody_leaves_an_engine_that_is_only_away() -> None:
    observed = spread(fleet(), {**READY, "gamma": "engine gamma is down"})
    assert departures(observed, (), ()) == Departures()
    assert departures(observed, (), {"gamma"}) == Departures()  # who drains it does not give it up


def test_with_an_engine_that_is_given_up_its_nodes_are_lost_controllers_first() -> None:
    found = departures(spread(fleet(6), {**READY, "gamma": "engine gamma is down"}), ("gamma",), ())
    assert list(found.lost.items()) == [
        (node, f"engine gamma is given up: volume orders-{node} is lost")
        for node in ("controller-3", "broker-3", "broker-6")
    ]
    assert (found.moving, found.given_up) == ({}, True)


@pytest.mark.parametrize("noted", ["controller-3", "broker-6"])
def test_what_was_noted_of_one_node_holds_for_all_of_its_engine(noted: str) -> None:
    observed = spread(fleet(6), {**READY, "gamma": "engine gamma is down"}, given_up=[noted])
    assert list(departures(observed, (), ()).lost) == ["controller-3", "broker-3", "broker-6"]


def test_nodes_move_off_an_engine_that_the_file_drains_as_long_as_they_can_run_there() -> None:
    found = departures(spread(fleet(), READY), (), {"beta"})
    assert found.moving == dict.fromkeys(["controller-2", "broker-2"], "engine beta is drained")
    assert (found.lost, found.given_up) == ({}, False)


def test_what_docker_has_drained_already_is_lost_there_if_the_file_drains_it_too() -> None:
    observed = spread(fleet(), {**READY, "beta": "engine beta is drained"})
    assert departures(observed, (), ()) == Departures()
    found = departures(observed, (), {"beta"})
    assert list(found.lost) == ["controller-2", "broker-2"]
    assert not found.given_up


def test_a_volume_without_its_node_is_lost_on_an_engine_that_the_file_drains() -> None:
    observed = spread(fleet(), READY)
    gone = replace(observed, nodes=tuple(one for one in observed.nodes if one.name != "broker-2"))
    found = departures(gone, (), {"beta"})
    assert (list(found.lost), list(found.moving)) == (["broker-2"], ["controller-2"])


# -- what keeps them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "survivors", "reasons"),
    [
        (["broker-3"], GOOD, []),
        (["broker-3"], Survivors(None, frozenset(VOTERS)), ["no broker answers that could tell whether others have"]),
        (["broker-3"], Survivors(told((1,), (3,)), None), ["it has the only in-sync replica of t-1"]),
        (["broker-3"], Survivors(told((1,), ()), None), ["it has the only in-sync replica of t-1"]),
        (
            ["broker-3"],
            Survivors(told(*[(3,)] * 6), None),
            ["it has the only in-sync replica of t-0, t-1, t-2 and 3 mor"],
        ),
        (["broker-3"], Survivors(told((1, 3)), None), ["it still counts as in sync for t-0"]),
        (
            ["broker-3"],
            Survivors(told((1,), alive=(1, 3)), None),
            ["the other brokers still count it among the living"],
        ),
        (["broker-3"], Survivors(told((3,), replicas=(1, 2)), None), []),
        (
            ["broker-2", "broker-3"],
            Survivors(told((2, 3), alive=(1,)), None),
            ["it has the only in-sync", "it has the only"],
        ),
        (["controller-3"], GOOD, []),
        (["controller-3"], Survivors(None, frozenset({1001, 1002})), []),
        (
            ["controller-3"],
            Survivors(told((1,)), None),
            ["nobody tells whether a majority of the controllers has caught"],
        ),
        (
            ["controller-3"],
            Survivors(None, frozenset({1001})),
            ["only 1 of the other controllers have caught up, and 2 of 3"],
        ),
        (["controller-3"], Survivors(None, frozenset(VOTERS)), ["the active controller has heard of it a moment ago"]),
        (["controller-2", "controller-3"], GOOD, ["2 of 3 controllers are there", "2 of 3 controllers are there"]),
    ],
)
def test_what_nobody_else_has_is_not_given_up(names: list[str], survivors: Survivors, reasons: list[str]) -> None:
    found = list(objections(names, VOTERS, survivors))
    assert len(found) == len(reasons)
    for (name, reason), expected, of in zip(found, reasons, names, strict=False):
        assert (name, reason[: len(expected)]) == (of, expected)


@pytest.mark.parametrize(
    ("name", "survivors", "reason"),
    [
        ("broker-3", Survivors(told((1, 3), alive=(1, 2, 3))), ""),
        ("broker-3", Survivors(told((3,), alive=(1, 2, 3))), ""),  # what lags is waited for before it is stopped
        ("broker-3", Survivors(told((3,), replicas=(3,))), "it has the only replica of t-0"),
        ("controller-3", Survivors(None, frozenset(VOTERS)), ""),
        ("controller-3", Survivors(None, frozenset({1001, 1003})), "only 1 of the other controllers have caught up"),
    ],
)
def test_a_node_that_runs_may_move_if_others_will_have_what_it_has(
    name: str, survivors: Survivors, reason: str
) -> None:
    assert [why.partition(",")[0] for _, why in objections([name], VOTERS, survivors, run=True)] == (
        [reason] if reason else []
    )


@pytest.mark.parametrize(
    ("size", "lost", "allowed"), [(1, 1, False), (3, 1, True), (3, 2, False), (5, 2, True), (5, 3, False)]
)
def test_a_majority_of_the_controllers_has_to_stay(size: int, lost: int, allowed: bool) -> None:
    voters = [1001 + n for n in range(size)]
    survivors = Survivors(None, frozenset(voters[lost:]))
    found = list(objections([f"controller-{n + 1}" for n in range(lost)], voters, survivors))
    assert bool(found) is not allowed


def test_what_voters_lack_is_asked_for_each_size_of_what_has_caught_up() -> None:
    """Of five with one lost, three have to have all that was agreed on: else a majority without it could be found."""
    for count in range(5):
        survivors = Survivors(None, frozenset(range(1001, 1001 + count)))
        assert bool(list(objections(["controller-5"], range(1001, 1006), survivors))) == (count < 3)


# -- refusals and plans -----------------------------------------------------------------------------------------------


def refused(
    observed: ObservedEnvironment,
    *give_up: str,
    cluster: Cluster | None = None,
    phases: int = 1,
    survivors: Survivors = GOOD,
) -> str:
    going = departures(observed, give_up, ())
    several = [Phase(())] * phases
    return printed(list(refuse_departures(cluster or fleet(), several, observed, going, give_up, survivors)))


def test_an_engine_that_is_ready_is_drained_and_not_given_up() -> None:
    assert "engine beta refuse (it is ready, so that nothing of it is lost" in refused(spread(fleet(), READY), "beta")
    noted = spread(fleet(), READY, given_up=["broker-2", "controller-2"])
    survivors = Survivors(told((1, 3), alive=(1, 3)), frozenset({1001, 1003}))
    assert refused(noted, "beta", survivors=survivors) == "nothing to change\n"  # it has come back meanwhile


def test_nodes_leave_neither_with_a_change_in_steps_nor_with_the_cluster() -> None:
    observed = spread(fleet(), {**READY, "gamma": "engine gamma is down"})
    assert "a change takes several steps" in refused(observed, "gamma", phases=2)
    assert "broker-3 refuse (it leaves its engine and the cluster at once" in refused(
        observed, "gamma", cluster=fleet(2)
    )


@pytest.mark.parametrize("state", [NodeState.CREATED, NodeState.EXITED])
def test_what_never_ran_has_nothing_that_others_would_lack(state: NodeState) -> None:
    observed = spread(fleet(), {**READY, "gamma": "engine gamma is down"})
    nodes = tuple(replace(one, state=state if one.waits_for else one.state) for one in observed.nodes)
    found = refused(replace(observed, nodes=nodes), "gamma", survivors=NOBODY)
    assert ("refuse" in found) == (state is NodeState.EXITED)


def test_an_engine_has_to_be_known_by_that_name() -> None:
    with pytest.raises(UsageError, match="there is no engine delta") as caught:
        require_known(spread(fleet(), READY), ("delta",))
    assert caught.value.hint == "engines: alpha, beta, gamma"
    with pytest.raises(UsageError, match="there is no engine to give up"):
        require_known(running(fleet()).observed, ("beta",))
    require_known(running(fleet()).observed, ())
    left = replace(spread(fleet(), READY), engines=(ObservedEngine("alpha", is_ready=True),))
    require_known(left, ("gamma",))  # it has left the swarm, but not the environment's mind


def planned(observed: ObservedEnvironment, give_up: Collection[str] = (), drained: Collection[str] = ()) -> Plan:
    cluster = replace(fleet(), swarm=SwarmOptions(drained=frozenset(drained)))
    actions = plan_nodes(
        cluster,
        [Phase(rendered(cluster))],
        observed,
        missing_software=(),
        details=NodeDetails(),
        leaving_engines=departures(observed, give_up, drained),
    )
    return Plan("orders", actions)


def test_what_is_given_up_is_removed_first_and_made_anew_after_that() -> None:
    plan = planned(spread(fleet(), {**READY, "gamma": "engine gamma is down"}), ("gamma",))
    verbs = [(one.verb, one.resource) for one in plan.first_wave]
    assert verbs == [
        (Verb.REMOVE, "storage controller-3"),
        (Verb.REMOVE, "storage broker-3"),
        (Verb.CREATE, "storage controller-3"),
        (Verb.CREATE, "storage broker-3"),
        (Verb.CREATE, "controller-3"),
        (Verb.CREATE, "broker-3"),
        (Verb.FORMAT, "storage controller-3"),
        (Verb.FORMAT, "storage broker-3"),
        (Verb.START, "controller-3"),
        (Verb.START, "broker-3"),
    ]
    assert [one.resource for one in plan.needs_consent] == ["storage controller-3", "storage broker-3"]
    removals = [one.key for one in plan.actions if one.verb is Verb.REMOVE]
    made = [one for one in plan.actions if one.kind is Kind.STORAGE and one.verb is Verb.CREATE]
    assert all(set(removals) <= set(one.after) for one in made)
    assert plan.actions[1].after == (removals[0],)


def test_nodes_move_one_after_the_other_controllers_first() -> None:
    plan = planned(spread(fleet(6), READY), drained=["beta"])
    moves = [one for one in plan.actions if one.verb is Verb.MOVE]
    assert [one.name for one in moves] == ["controller-2", "broker-2"]
    assert moves[0].key in moves[1].after
    assert [one.resource for one in plan.needs_consent] == ["controller-2", "broker-2"]


def test_nodes_of_an_engine_that_is_only_away_are_left_as_they_are() -> None:
    engines = {"alpha": "", "beta": "engine beta is down", "gamma": "engine gamma is down"}
    plan = planned(spread(fleet(), engines), ("gamma",))
    assert {one.name for one in plan.actions} == {"controller-3", "broker-3"}


def test_an_engine_that_the_file_names_and_the_swarm_does_not_have_is_told() -> None:
    observed = spread(fleet(), READY)
    named = {"swarm.drain": ["alpha", "betta"], "swarm.engines": {"gamma": "tcp://g:1"}}
    said = [*unknown_engines(observed, named)]
    assert said == ["swarm.drain: the swarm has no engine betta (it has alpha, beta, gamma)"]
    assert not [*unknown_engines(ObservedEnvironment("orders", "docker"), {"swarm.drain": ["betta"]})]
