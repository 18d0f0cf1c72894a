"""The second wave: which topics must be created. Pure."""

from collections.abc import Iterator, Sequence

from provision.cluster.model import Cluster, Topic
from provision.plan.actions import Action, Kind, PlacedTopic, Verb
from provision.plan.observed import ObservedBroker, ObservedTopic
from provision.plan.placement import Placement


def plan_topics(
    topics: Sequence[Topic], brokers: Sequence[ObservedBroker], existing: Sequence[ObservedTopic]
) -> tuple[Action, ...]:
    """Compare the desired topics with those there are.

    A topic that is missing is created with an explicit placement. A topic that differs is refused by name: changing it
    in place is not done yet. Topics that the file does not name are left alone.
    """
    there = {topic.name: topic for topic in existing}
    placement = Placement(brokers, existing)
    return tuple(
        action
        for topic in topics
        for action in (_compare(topic, there[topic.name]) if topic.name in there else [_create(topic, placement)])
    )


def plan_topics_of_new(cluster: Cluster) -> tuple[Action, ...]:
    """The second wave as it will be once the brokers of `cluster` answer for the first time."""
    brokers = [ObservedBroker(node.id, node.rack) for node in cluster.brokers]
    return plan_topics(cluster.topics, brokers, ())


def _create(topic: Topic, placement: Placement) -> Action:
    assignment = placement.place(topic.partitions, topic.replication_factor)
    detail = f"{topic.partitions} × RF {topic.replication_factor}"
    if topic.config:
        detail += ", " + ", ".join(f"{key}={value}" for key, value in topic.config.items())
    return Action(Verb.CREATE, Kind.TOPIC, topic.name, "not there", detail, subject=PlacedTopic(topic, assignment))


def _compare(topic: Topic, there: ObservedTopic) -> Iterator[Action]:
    changes = []
    if len(there.partitions) != topic.partitions:
        changes.append(f"partitions {len(there.partitions)} → {topic.partitions}")
    if there.replication_factor != topic.replication_factor:
        changes.append(f"replication factor {there.replication_factor} → {topic.replication_factor}")
    for key in sorted(topic.config.keys() | there.config.keys()):
        before, after = there.config.get(key, "unset"), topic.config.get(key, "unset")
        if before != after:
            changes.append(f"{key} {before} → {after}")
    if changes:
        hint = "an existing topic is not changed yet: undo the change, or use Kafka's own tool (`provision tool`)"
        yield Action(Verb.REFUSE, Kind.TOPIC, topic.name, "; ".join(changes), hint)
