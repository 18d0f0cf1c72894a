"""The second wave: what is made, changed, moved and deleted inside Kafka, in which order, and what is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import Topic, TopicPolicy
from provision.common.values import replace
from provision.plan.actions import Action, Plan, Verb
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic
from provision.plan.topic_changes import THROTTLE, TOPIC, Growth, PlacedTopic, Reassignment, TopicSettings
from provision.plan.topics import UNTHROTTLED_BYTES_PER_S, plan_topics
from tests.golden import Golden

GOLDEN = Path(__file__).parent / "golden" / "topics"
MIB = 1024**2
Row = tuple[int, ...]

POLICY = TopicPolicy()
PRUNE = TopicPolicy(prune=True)
ORDERS = Topic("orders", 2, 3, {"min.insync.replicas": "2"})
PAYMENTS = Topic("payments", 1, 1, {})


def topic_there(
    name: str, *rows: Row, config: Mapping[str, str] | None = None, internal: bool = False, size: int = 0
) -> ObservedTopic:
    partitions = tuple(
        ObservedPartition(number, row[0], row, row, held_bytes=dict.fromkeys(row, size))
        for number, row in enumerate(rows)
    )
    return ObservedTopic(name, partitions, internal=internal, config=config or {})


ORDERS_THERE = topic_there("orders", (1, 2, 3), (2, 3, 1), config=ORDERS.config)


def there(*topics: ObservedTopic, brokers: int = 3) -> ObservedCluster:
    registered = tuple(ObservedBroker(number, None) for number in range(1, brokers + 1))
    return ObservedCluster("id", 1, registered, tuple(sorted(topics, key=lambda t: t.name)))


def planned(
    topics: Sequence[Topic],
    cluster: ObservedCluster,
    policy: TopicPolicy = POLICY,
    *,
    leaving: Sequence[int] = (),
    throttled: Sequence[str] | None = None,
    deletable: bool = True,
) -> tuple[Action, ...]:
    return plan_topics(topics, cluster, policy=policy, leaving=leaving, throttled=throttled, deletable=deletable)


def moved(actions: Sequence[Action]) -> dict[str, Mapping[int, Row]]:
    return {action.name: action.subject.replicas for action in actions if isinstance(action.subject, Reassignment)}


def verbs(actions: Sequence[Action]) -> list[tuple[str, str]]:
    return [(action.verb, action.name) for action in actions]


# -- create -----------------------------------------------------------------------------------------------------------


def test_a_missing_topic_is_created_with_its_placement() -> None:
    (action,) = planned([ORDERS], there())
    assert str(action) == "topic orders create (not there, 2 × RF 3, min.insync.replicas=2)"
    assert (action.verb, action.kind) == (Verb.CREATE, TOPIC)
    assert action.subject == PlacedTopic(ORDERS, ((1, 2, 3), (2, 3, 1)))


def test_named_replicas_are_the_placement() -> None:
    topic = Topic("orders", 2, 2, {}, replicas=((3, 1), (3, 2)))
    (action,) = planned([topic], there())
    assert action.subject == PlacedTopic(topic, ((3, 1), (3, 2)))


def test_topics_that_are_as_the_file_says_need_nothing() -> None:
    assert planned([ORDERS, PAYMENTS], there(ORDERS_THERE, topic_there("payments", (3,)))) == ()


def test_topics_that_the_file_does_not_name_are_left_alone() -> None:
    assert planned([], there(ORDERS_THERE)) == ()


def test_actions_come_in_the_order_of_the_file() -> None:
    assert [action.name for action in planned([PAYMENTS, ORDERS], there())] == ["payments", "orders"]


def test_new_topics_avoid_the_brokers_that_lead_already() -> None:
    (action,) = planned([PAYMENTS], there(topic_there("there", (1,), (1,), (1,))))
    assert action.subject == PlacedTopic(PAYMENTS, ((2,),))


def test_new_topics_avoid_brokers_that_leave_and_those_that_take_over_from_them() -> None:
    leaver = topic_there("there", (3,), (3,))
    actions = planned([PAYMENTS], there(leaver, topic_there("other", (1,))), leaving=[3])
    assert moved(actions) == {"there": {0: (2,), 1: (1,)}}
    assert actions[0].subject == PlacedTopic(PAYMENTS, ((2,),))


def test_topics_of_one_plan_share_one_placement() -> None:
    topics = [Topic(f"t{number}", 1, 1, {}) for number in range(3)]
    subjects = [action.subject for action in planned(topics, there())]
    assert subjects == [PlacedTopic(topic, ((broker,),)) for topic, broker in zip(topics, (1, 2, 3), strict=True)]


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "present", "values", "reset"),
    [
        ({"retention.ms": "5"}, {}, {"retention.ms": "5"}, ()),
        ({"retention.ms": "5"}, {"retention.ms": "6"}, {"retention.ms": "5"}, ()),
        ({}, {"retention.ms": "6"}, {}, ("retention.ms",)),
        ({"a": "1", "b": "2"}, {"b": "3", "c": "4", "d": "5"}, {"a": "1", "b": "2"}, ("c", "d")),
    ],
)
def test_settings_are_set_and_taken_back_each_alone(
    wanted: dict[str, str], present: dict[str, str], values: dict[str, str], reset: tuple[str, ...]
) -> None:
    (action,) = planned([Topic("t", 1, 1, wanted)], there(topic_there("t", (1,), config=present)))
    assert (action.verb, action.subject) == (Verb.CONFIGURE, TopicSettings(values, reset))
    assert {change.key for change in action.changes} == {*values, *reset}


def test_changed_settings_are_named_with_both_values() -> None:
    wanted, present = (
        {"min.insync.replicas": "1", "retention.ms": "5"},
        {"cleanup.policy": "compact", "retention.ms": "6"},
    )
    (action,) = planned([Topic("t", 1, 1, wanted)], there(topic_there("t", (1,), config=present)))
    assert action.cause == (
        "config changed: cleanup.policy compact → unset; min.insync.replicas unset → 1; retention.ms 6 → 5"
    )


@pytest.mark.parametrize(
    ("wanted", "present"),
    [
        ({"a": "true"}, {"a": "True"}),
        ({"a": "compact, delete"}, {"a": "compact,delete"}),
        ({"a": "0.50"}, {"a": "0.5"}),
        ({}, {"leader.replication.throttled.replicas": "0:1"}),
        ({}, {"follower.replication.throttled.replicas": "*"}),
    ],
)
def test_what_kafka_reads_as_the_same_and_the_throttles_of_a_reassignment_are_no_change(
    wanted: dict[str, str], present: dict[str, str]
) -> None:
    assert planned([Topic("t", 1, 1, wanted)], there(topic_there("t", (1,), config=present))) == ()


# -- partitions -------------------------------------------------------------------------------------------------------


def test_partitions_are_added_where_there_is_least() -> None:
    (action,) = planned([Topic("t", 4, 2, {})], there(topic_there("t", (1, 2), (1, 2))))
    assert action.verb is Verb.GROW
    assert action.cause == "partitions 2 → 4"
    assert action.subject == Growth(4, ((3, 1), (2, 3)))


def test_named_replicas_are_those_of_new_partitions_too() -> None:
    (action,) = planned([Topic("t", 3, 1, {}, replicas=((1,), (2,), (1,)))], there(topic_there("t", (1,))))
    assert action.subject == Growth(3, ((2,), (1,)))


def test_fewer_partitions_are_refused_with_a_way_out() -> None:
    (action,) = planned([Topic("t", 1, 1, {})], there(topic_there("t", (1,), (2,))))
    assert (action.verb, action.cause) == (Verb.REFUSE, "partitions 2 → 1: Kafka cannot take partitions away")
    assert "copy the records" in action.detail


@pytest.mark.parametrize(
    ("before", "after", "consent", "refused"),
    [
        ("compact", "compact", False, True),
        ("compact", "compact", True, False),
        ("compact,delete", "compact,delete", False, True),
        ("delete", "compact", False, True),
        ("compact", "delete", False, True),
        ("delete", "delete", False, False),
        ("", "", False, False),
    ],
)
def test_a_compacted_topic_grows_only_with_consent(before: str, after: str, *, consent: bool, refused: bool) -> None:
    wanted, present = ({"cleanup.policy": policy} if policy else {} for policy in (after, before))
    topic = Topic("t", 2, 1, wanted, grow_compacted=consent)
    actions = planned([topic], there(topic_there("t", (1,), config=present)))
    assert (actions[0].verb is Verb.REFUSE) is refused
    assert ("grow_compacted: true" in actions[0].detail) is refused
    assert (Verb.GROW in {action.verb for action in actions}) is not refused


def test_a_compacted_topic_that_does_not_grow_needs_no_consent() -> None:
    config = {"cleanup.policy": "compact"}
    assert planned([Topic("t", 1, 1, config)], there(topic_there("t", (1,), config=config))) == ()


def test_one_refusal_stops_everything_else() -> None:
    actions = planned([Topic("t", 1, 1, {}), PAYMENTS], there(topic_there("t", (1,), (1,))))
    assert verbs(actions) == [("refuse", "t")]
    assert Plan("orders", actions).refusals == actions


# -- replicas ---------------------------------------------------------------------------------------------------------


def test_more_replicas_come_before_the_settings_that_may_need_them() -> None:
    actions = planned([ORDERS], there(topic_there("orders", (1,), (2,))))
    assert verbs(actions) == [("reassign", "orders"), ("configure", "orders")]
    assert moved(actions) == {"orders": {0: (1, 3, 2), 1: (2, 1, 3)}}
    assert actions[0].cause == "replication factor 1 → 3"


def test_fewer_replicas_come_after_the_settings_that_still_need_them() -> None:
    topic = Topic("orders", 2, 1, {"min.insync.replicas": "1"})
    actions = planned([topic], there(ORDERS_THERE))
    assert verbs(actions) == [("configure", "orders"), ("reassign", "orders")]
    assert moved(actions) == {"orders": {0: (1,), 1: (2,)}}
    assert actions[1].cause == "replication factor 3 → 1"


def test_partitions_are_added_after_the_replicas_moved_and_with_the_new_factor() -> None:
    actions = planned([Topic("t", 2, 2, {"a": "1"})], there(topic_there("t", (1,)), brokers=2))
    assert verbs(actions) == [("reassign", "t"), ("configure", "t"), ("grow", "t")]
    assert actions[2].subject == Growth(2, ((2, 1),))


def test_named_replicas_are_brought_about() -> None:
    topic = Topic("orders", 2, 3, ORDERS.config, replicas=((1, 2, 3), (1, 2, 3)))
    (action,) = planned([topic], there(ORDERS_THERE))
    assert moved([action]) == {"orders": {1: (1, 2, 3)}}
    assert action.cause == "replicas as the file names them"
    assert action.detail == "1 of 2 partitions, nothing to copy"


def test_partitions_with_fewer_replicas_than_the_first_are_the_cause_themselves() -> None:
    (action,) = planned([Topic("t", 3, 2, {})], there(topic_there("t", (1, 2), (2,), (3,))))
    assert (action.cause, action.detail) == ("replication factor 1 → 2", "2 of 3 partitions, nothing to copy")


some_rows = st.lists(
    st.tuples(st.permutations([1, 2, 3, 4]), st.integers(1, 3)).map(lambda drawn: tuple(drawn[0][: drawn[1]])),
    min_size=1,
    max_size=4,
)


@given(
    rows=some_rows,
    added=st.lists(st.integers(1, 4), max_size=4),
    factor=st.integers(1, 3),
    leaving=st.sampled_from([(), (4,)]),
    declared=st.booleans(),
)
def test_without_rebalance_it_is_never_the_cause(
    rows: list[Row], added: list[int], factor: int, leaving: tuple[int, ...], *, declared: bool
) -> None:
    partitions = topic_there("t", *rows).partitions
    moving = [
        replace(p, replicas=(*p.replicas, new), adding=(new,)) if new not in p.replicas else p
        for p, new in zip(partitions, added, strict=False)
    ]
    old = ObservedTopic("t", (*moving, *partitions[len(moving) :]))
    wanted = [Topic("t", len(rows), factor, {})] if declared else []
    for action in planned(wanted, there(old, brokers=4), leaving=leaving, throttled=["t"]):
        assert "rebalance" not in action.cause
        assert action.verb is not Verb.REASSIGN or action.cause


def test_without_rebalance_an_uneven_topic_stays_as_it_is() -> None:
    uneven = topic_there("t", (1,), (1,), (1,))
    assert planned([Topic("t", 3, 1, {})], there(uneven)) == ()
    (action,) = planned([Topic("t", 3, 1, {})], there(uneven), TopicPolicy(rebalance=True))
    assert action.cause == "evened out (rebalance: true)"
    assert sorted(row for rows in moved([action]).values() for row in rows.values()) == [(2,), (3,)]


def test_an_even_spread_takes_in_topics_that_the_file_does_not_name_and_internal_ones() -> None:
    actions = planned(
        [],
        there(topic_there("a", (1,), (1,)), topic_there("__b", (1,), (1,), internal=True)),
        TopicPolicy(rebalance=True),
    )
    assert {action.verb for action in actions} == {Verb.REASSIGN}
    assert {broker for rows in moved(actions).values() for row in rows.values() for broker in row} <= {2, 3}


# -- reassignments under way ------------------------------------------------------------------------------------------


def moving(old: Row, new: Row, size: int = 0) -> ObservedPartition:
    adding, removing = tuple(b for b in new if b not in old), tuple(b for b in old if b not in new)
    held = dict.fromkeys(old, size) | dict.fromkeys(adding, size // 3)
    return ObservedPartition(0, old[0], (*new, *removing), old, adding, removing, held)


def test_a_reassignment_under_way_is_waited_for() -> None:
    cluster = there(ObservedTopic("t", (moving((1,), (2,)),)))
    (action,) = planned([Topic("t", 1, 1, {})], cluster)
    assert action.verb is Verb.REASSIGN
    assert action.cause == "an earlier reassignment is still under way"
    assert moved([action]) == {"t": {0: (2,)}}
    assert planned([], cluster) == ()  # it may be somebody else's


def test_a_reassignment_under_way_that_leads_elsewhere_is_turned() -> None:
    cluster = there(ObservedTopic("t", (moving((1,), (2,)),)))
    (action,) = planned([Topic("t", 1, 2, {})], cluster)
    assert action.cause == "replication factor 1 → 2"
    assert moved([action]) == {"t": {0: (2, 1)}}


def test_a_move_of_anybodys_is_waited_for_when_its_throttle_is_ours() -> None:
    cluster = there(ObservedTopic("t", (moving((1,), (2,)),)))
    assert verbs(planned([], cluster, throttled=["t"])) == [("reassign", "t"), ("restore", "of replication")]


def test_settings_wait_for_the_replicas_that_are_still_on_their_way() -> None:
    cluster = there(ObservedTopic("t", (moving((1,), (1, 2, 3)),)))
    actions = planned([Topic("t", 1, 3, {"min.insync.replicas": "2"})], cluster)
    assert verbs(actions) == [("reassign", "t"), ("configure", "t")]


def test_a_throttle_that_was_left_is_taken_back_last() -> None:
    actions = planned([PAYMENTS], there(topic_there("x", (1,))), PRUNE, throttled=["under-way"])
    assert [str(action) for action in actions[-2:]] == [
        "topic x delete (not in the file (prune: true), 1 × RF 1, with all its records)",
        "throttle of replication restore (an interrupted reassignment left it behind)",
    ]
    assert planned([], there(), throttled=["under-way"])[0].kind == THROTTLE


# -- estimates --------------------------------------------------------------------------------------------------------


def test_what_is_copied_is_told_with_the_seconds_of_the_busiest_broker() -> None:
    cluster = there(topic_there("t", (1,), (1,), (2,), size=100 * MIB))
    topic = Topic("t", 3, 1, {}, replicas=((3,), (3,), (1,)))
    (action,) = planned([topic], cluster)
    assert action.detail == "3 of 3 partitions, 300.0 MiB to move, about 4 s"
    assert isinstance(action.subject, Reassignment)
    assert action.subject.bytes_to_move == 300 * MIB
    assert action.estimate_s == 200 * MIB / UNTHROTTLED_BYTES_PER_S == 4.0
    (throttled,) = planned([topic], cluster, TopicPolicy(throttle_bytes_per_s=10 * MIB))
    assert throttled.estimate_s == 20.0
    assert throttled.as_dict() | {"cause": ""} == {
        "resource": "topic t",
        "verb": "reassign",
        "class": "dynamic",
        "cause": "",
        "detail": "3 of 3 partitions, 300.0 MiB to move, about 20 s",
        "replicas": {"0": [3], "1": [3], "2": [1]},
        "bytes": 300 * MIB,
        "estimate_s": 20.0,
    }


def test_topics_that_move_together_share_what_a_broker_may_receive() -> None:
    cluster = there(topic_there("a", (1,), size=100 * MIB), topic_there("b", (2,), size=100 * MIB))
    wanted = [Topic("a", 1, 1, {}, replicas=((3,),)), Topic("b", 1, 1, {}, replicas=((3,),))]
    actions = planned(wanted, cluster, TopicPolicy(throttle_bytes_per_s=10 * MIB))
    assert [(action.name, action.estimate_s) for action in actions] == [("a", 20.0), ("b", 20.0)]


def test_of_a_reassignment_under_way_what_has_not_arrived_is_told() -> None:
    cluster = there(ObservedTopic("t", (moving((1,), (2,), 30 * MIB),)))
    (action,) = planned([Topic("t", 1, 1, {})], cluster, TopicPolicy(throttle_bytes_per_s=MIB))
    assert action.detail == "1 of 1 partition, 20.0 MiB to move, about 20 s"


def test_replicas_that_only_go_cost_nothing() -> None:
    (action,) = planned([Topic("t", 1, 1, {})], there(topic_there("t", (1, 2), size=100 * MIB)))
    assert (action.detail, action.estimate_s) == ("1 of 1 partition, nothing to copy", 0.0)


# -- brokers that leave -----------------------------------------------------------------------------------------------


def test_every_topic_leaves_brokers_that_go() -> None:
    cluster = there(ORDERS_THERE, topic_there("mine", (3, 1)), topic_there("__offsets", (3,), (2,), internal=True))
    topic = replace(ORDERS, replication_factor=2)
    actions = planned([topic], cluster, leaving=[3])
    assert moved(actions) == {"__offsets": {0: (1,)}, "mine": {0: (1, 2)}, "orders": {0: (1, 2), 1: (2, 1)}}
    causes = {action.name: action.cause for action in actions}
    assert causes == {
        "__offsets": "broker-3 to be emptied",
        "mine": "broker-3 to be emptied",
        "orders": "replication factor 3 → 2; broker-3 to be emptied",
    }


def test_kafkas_own_topics_follow_when_there_are_fewer_brokers_than_replicas() -> None:
    cluster = there(topic_there("__offsets", (1, 2, 3), (2, 3, 1), internal=True))
    assert moved(planned([], cluster, leaving=[2, 3])) == {"__offsets": {0: (1,), 1: (1,)}}


def test_a_topic_of_nobody_with_more_replicas_than_remain_is_refused_by_name() -> None:
    actions = planned([], there(ORDERS_THERE, topic_there("small", (3,))), leaving=[2, 3])
    (action,) = actions
    assert (action.verb, action.name) == (Verb.REFUSE, "orders")
    assert action.cause == "it has 3 replicas, and without broker-2, broker-3 there is one broker"
    assert action.detail.startswith("declare orders in the file")


# -- deletions --------------------------------------------------------------------------------------------------------


def test_only_prune_deletes_and_never_what_is_declared_or_kafkas_own() -> None:
    cluster = there(
        ORDERS_THERE,
        topic_there("x", (1, 2), (2, 1)),
        topic_there("__consumer_offsets", (1,), internal=True),
        topic_there("__mine", (1,)),
        topic_there("_schemas", (1,)),
    )
    assert planned([ORDERS], cluster) == ()
    actions = planned([ORDERS], cluster, PRUNE)
    assert verbs(actions) == [("delete", "_schemas"), ("delete", "x")]
    assert Plan("orders", actions).needs_consent == actions
    assert actions[1].detail == "2 × RF 2, with all its records"


def test_where_the_brokers_delete_nothing_prune_is_refused_before_anything_is_done() -> None:
    cluster = there(ORDERS_THERE, topic_there("x", (1,)))
    (action,) = planned([PAYMENTS], cluster, PRUNE, deletable=False)[1:]
    assert (action.verb, action.name) == (Verb.REFUSE, "x")
    assert "delete.topic.enable=false" in action.cause
    assert planned([ORDERS, Topic("x", 1, 1, {})], cluster, PRUNE, deletable=False) == ()
    assert planned([ORDERS], cluster, deletable=False) == ()


# -- all together -----------------------------------------------------------------------------------------------------


def cases() -> dict[str, tuple[Action, ...]]:
    """Golden plans by their names."""
    compacted = Topic("customers", 2, 3, {"cleanup.policy": "compact"}, grow_compacted=True)
    customers = topic_there("customers", (1, 2, 3), config=compacted.config, size=MIB)
    fewer = Topic("fewer", 1, 1, {"retention.ms": "7"})
    everything = there(
        topic_there("orders", (1,), (2,), size=200 * MIB),
        customers,
        topic_there("fewer", (1, 2), config={"retention.ms": "8", "segment.bytes": "9"}),
        topic_there("old", (1,), (2,)),
        ObservedTopic("under-way", (moving((1,), (2,), 3 * MIB),)),
        topic_there("__consumer_offsets", (1, 2, 3), internal=True),
    )
    policy = TopicPolicy(prune=True, throttle_bytes_per_s=10 * MIB)
    under_way = Topic("under-way", 1, 1, {})
    two = replace(ORDERS, replication_factor=2)
    return {
        "everything-at-once": planned(
            [ORDERS, PAYMENTS, compacted, fewer, under_way], everything, policy, throttled=["under-way"]
        ),
        "a-broker-leaves": planned([two], there(ORDERS_THERE, customers), leaving=[3]),
        "a-broker-leaves-and-has-to-be-left-some-room": planned(
            [two, replace(compacted, partitions=1, replication_factor=2)],
            there(ORDERS_THERE, customers, topic_there("__consumer_offsets", (1, 2, 3), internal=True, size=5 * MIB)),
            leaving=[3],
        ),
        "everything-refused": planned(
            [Topic("orders", 1, 2, {}), replace(compacted, grow_compacted=False)],
            there(ORDERS_THERE, customers, topic_there("old", (1, 2, 3))),
            PRUNE,
            leaving=[2],
            deletable=False,
        ),
    }


def test_every_plan_prints_as_its_golden_file(golden: Golden) -> None:
    texts = {f"{name}.txt": "".join(f"{action}\n" for action in actions) for name, actions in cases().items()}
    golden.directory(GOLDEN, texts)


def test_the_steps_come_in_their_order() -> None:
    in_order = [Verb.CREATE, Verb.CONFIGURE, Verb.REASSIGN, Verb.CONFIGURE, Verb.GROW, Verb.DELETE, Verb.RESTORE]
    actions = cases()["everything-at-once"]
    assert [
        verb
        for verb, last in zip((a.verb for a in actions), (None, *(a.verb for a in actions)), strict=False)
        if verb is not last
    ] == in_order


def test_a_topic_as_json_is_named_with_its_kind() -> None:
    assert Plan("orders", planned([PAYMENTS], there())).as_dict() == {
        "changes": True,
        "actions": [
            {
                "resource": "topic payments",
                "verb": "create",
                "class": "none",
                "cause": "not there",
                "detail": "1 × RF 1",
            }
        ],
    }
