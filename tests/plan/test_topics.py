"""The second wave: which topics are created, and which differences are refused."""

from provision.cluster.layout import container_layout
from provision.cluster.model import Topic
from provision.cluster.resolve import resolve
from provision.plan.actions import Action, Kind, PlacedTopic, Plan, Verb
from provision.plan.observed import ObservedBroker, ObservedPartition, ObservedTopic
from provision.plan.topics import plan_topics, plan_topics_of_new
from provision.spec.model import EnvironmentSpec

BROKERS = tuple(ObservedBroker(number, None) for number in (1, 2, 3))
ORDERS = Topic("orders", 2, 3, {"min.insync.replicas": "2"})
PAYMENTS = Topic("payments", 1, 1, {})


def there(topic: Topic, *, partitions: int | None = None, config: dict[str, str] | None = None) -> ObservedTopic:
    replicas = tuple(range(1, topic.replication_factor + 1))
    count = topic.partitions if partitions is None else partitions
    return ObservedTopic(
        topic.name,
        tuple(ObservedPartition(number, 1, replicas, replicas) for number in range(count)),
        config=topic.config if config is None else config,
    )


def printed(actions: tuple[Action, ...]) -> list[str]:
    return [str(action) for action in actions]


def test_a_missing_topic_is_created_with_its_placement() -> None:
    (action,) = plan_topics([ORDERS], BROKERS, [])
    assert str(action) == "topic orders create (not there, 2 × RF 3, min.insync.replicas=2)"
    assert (action.verb, action.kind) == (Verb.CREATE, Kind.TOPIC)
    assert action.subject == PlacedTopic(ORDERS, ((1, 2, 3), (2, 3, 1)))


def test_topics_that_are_as_the_file_says_need_nothing() -> None:
    assert plan_topics([ORDERS, PAYMENTS], BROKERS, [there(ORDERS), there(PAYMENTS)]) == ()


def test_topics_that_the_file_does_not_name_are_left_alone() -> None:
    assert plan_topics([], BROKERS, [there(ORDERS)]) == ()


def test_actions_come_in_the_order_of_the_file() -> None:
    assert [action.name for action in plan_topics([PAYMENTS, ORDERS], BROKERS, [])] == ["payments", "orders"]


def test_other_partitions_replicas_and_settings_are_refused_by_name() -> None:
    other = ObservedTopic(
        "orders",
        (ObservedPartition(0, 1, (1,), (1,)),),
        config={"min.insync.replicas": "1", "retention.ms": "5"},
    )
    (action,) = plan_topics([ORDERS], BROKERS, [other])
    assert action.verb is Verb.REFUSE
    assert action.cause == (
        "partitions 1 → 2; replication factor 1 → 3; min.insync.replicas 1 → 2; retention.ms 5 → unset"
    )
    assert "`provision tool`" in action.detail


def test_each_single_difference_is_refused() -> None:
    assert plan_topics([ORDERS], BROKERS, [there(ORDERS, partitions=3)])[0].cause == "partitions 3 → 2"
    assert plan_topics([ORDERS], BROKERS, [there(ORDERS, config={})])[0].cause == "min.insync.replicas unset → 2"
    assert plan_topics([PAYMENTS], BROKERS, [there(Topic("payments", 1, 2, {}))])[0].cause == "replication factor 2 → 1"


def test_what_is_missing_is_created_beside_what_is_refused() -> None:
    actions = plan_topics([ORDERS, PAYMENTS], BROKERS, [there(ORDERS, partitions=3)])
    assert [(action.verb, action.name) for action in actions] == [(Verb.REFUSE, "orders"), (Verb.CREATE, "payments")]
    assert [action.name for action in Plan("orders", actions).refusals] == ["orders"]


def test_new_topics_avoid_the_brokers_that_lead_already() -> None:
    leading = ObservedTopic("there", tuple(ObservedPartition(n, 1, (1,), (1,)) for n in range(3)))
    (action,) = plan_topics([PAYMENTS], BROKERS, [leading])
    assert action.subject == PlacedTopic(PAYMENTS, ((2,),))


def test_topics_of_one_plan_share_one_placement() -> None:
    topics = [Topic(f"t{number}", 1, 1, {}) for number in range(3)]
    subjects = [action.subject for action in plan_topics(topics, BROKERS, [])]
    assert subjects == [PlacedTopic(topic, ((broker,),)) for topic, broker in zip(topics, (1, 2, 3), strict=True)]


def test_before_the_brokers_exist_the_plan_is_the_one_for_an_empty_cluster_of_them() -> None:
    spec = EnvironmentSpec.model_validate(
        {
            "name": "orders",
            "brokers": {"nodes": 4, "racks": ["a", "a", "b", "b"]},
            "topics": [{"name": "x", "partitions": 2, "replication_factor": 2}],
        }
    )
    cluster = resolve(spec, container_layout(spec, "/"), {})
    (action,) = plan_topics_of_new(cluster)
    assert action.subject == PlacedTopic(cluster.topics[0], ((1, 3), (2, 4)))
    assert printed((action,)) == ["topic x create (not there, 2 × RF 2)"]


def test_a_topic_as_json_is_named_with_its_kind() -> None:
    assert Plan("orders", plan_topics([PAYMENTS], BROKERS, [])).as_dict() == {
        "changes": True,
        "actions": [{"resource": "topic payments", "verb": "create", "cause": "not there", "detail": "1 × RF 1"}],
    }
