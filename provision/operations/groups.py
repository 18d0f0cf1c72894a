"""Consumer groups of a cluster."""

from collections.abc import Sequence

from provision.common.arguments import one_text
from provision.kafka.groups import Group, Place
from provision.operations.refusals import require_done
from provision.operations.topics import KafkaCluster, topics_without_settings

_READ_S = 5.0


def groups(cluster: KafkaCluster, names: Sequence[str] = ()) -> tuple[Group, ...]:
    """Groups with their members: all, or the named ones; one that does not exist is `Dead`.

    Raises:
        Unavailable: no broker answers.
    """
    from provision.kafka.admin import connected

    with connected(cluster.access) as admin:
        # To ask for a group that is not there would have Kafka create its topic of offsets.
        known = admin.groups.names()
        described = admin.groups.describe([name for name in known if not names or name in names])
    return (*described, *(Group(name, "Dead", ()) for name in names if name not in known))


def lag(cluster: KafkaCluster, group: str, names: Sequence[str]) -> dict[Place, int]:
    """How many records of these topics the group has not committed yet, by topic and partition.

    Raises:
        UsageError: a topic does not exist.
        Unavailable: no broker answers.
    """
    return {place: left for place, (_, left) in _standing(cluster, group, names).items()}


def has_read_all(cluster: KafkaCluster, group: str, names: Sequence[str]) -> bool:
    """Whether the group has committed all records of these topics, but for those of aborted transactions.

    Raises:
        UsageError: a topic does not exist.
        Unavailable: no broker answers.
    """
    from provision.kafka.reading import is_read

    behind = {place: position for place, (position, left) in _standing(cluster, group, names).items() if left}
    return not behind or is_read(cluster.access, behind, _READ_S, cluster=cluster.name)


def _standing(cluster: KafkaCluster, group: str, names: Sequence[str]) -> dict[Place, tuple[int, int]]:
    """The offset that the group goes on with, and how many there are from that on, by topic and partition."""
    from provision.kafka.admin import connected

    one_text(group, "a group's name")
    chosen = [topic for topic in topics_without_settings(cluster, names) if topic.name in names]
    places = [(topic.name, partition.number) for topic in chosen for partition in topic.partitions]
    with connected(cluster.access) as admin:
        return admin.groups.standing(group, places)


def delete_groups(cluster: KafkaCluster, names: Sequence[str]) -> None:
    """Delete groups with their offsets; those that do not exist are ignored.

    Raises:
        KafkaRefused: Kafka refused all of them, because they have members.
        PartlyApplied: Kafka refused some; the others are deleted.
        Unavailable: no broker answers.
    """
    from provision.kafka.admin import connected

    with connected(cluster.access) as admin:
        known = admin.groups.names()
        unwanted = [name for name in names if name in known]
        refused = admin.groups.delete(unwanted)
    require_done("consumer group", "deleted", unwanted, refused, hint="stop its consumers first")
