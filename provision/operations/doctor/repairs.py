"""Repairs inside Kafka: each gives back what was there before, and loses nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from provision.common.patience import Patience
from provision.errors import PartlyApplied
from provision.kafka.access import Access
from provision.kafka.readiness import ask_brokers
from provision.observe.reach import access_to
from provision.operations.doctor.findings import Hands, Repair

_ELECTED_S, _PAUSE_S = 15.0, 0.3
Resource = tuple[str, str]
"""A kind and a name, as `("topic", "orders")`."""


def electing(partitions: Iterable[tuple[str, int]]) -> Repair:
    """The repair that lets the preferred replica lead each partition again."""
    wanted = defaultdict[str, list[int]](list)
    for topic, number in partitions:
        wanted[topic].append(number)

    def act(hands: Hands) -> None:
        from provision.kafka.admin import connected

        access = access_to(hands.runtime.observe(hands.name))
        with connected(access) as admin:
            admin.partitions.elect_preferred_leaders(wanted)
        patience = Patience(_ELECTED_S)
        while _led_by_others(access, wanted) and patience.pause(_PAUSE_S):
            pass

    return Repair("elect", "preferred leaders", act, in_kafka=True)


def _led_by_others(access: Access, wanted: Mapping[str, Collection[int]]) -> bool:
    """Whether a broker that answers still names another leader of one of these partitions than the preferred one."""
    return any(
        partition.leader != partition.replicas[0]
        for cluster in ask_brokers(access).clusters.values()
        for topic in cluster.topics
        for partition in topic.partitions
        if partition.number in wanted.get(topic.name, ())
    )


def unthrottling(found: Mapping[Resource, Collection[str]]) -> Repair:
    """The repair that restores what a throttle has replaced, if that was noted, and removes the rest of it.

    Args:
        found: the settings of the throttle, by what they are set on.
    """

    def act(hands: Hands) -> None:
        from provision.kafka.admin import connected
        from provision.kafka.moving import restore_throttle
        from provision.observe.inside import agreed

        access = access_to(hands.runtime.observe(hands.name))
        note = hands.home.throttle(hands.name)
        with connected(access) as admin:
            cluster = agreed(access)
            noted = note.read(cluster.cluster_id) if cluster else {}
            if cluster and noted:
                restore_throttle(admin, cluster, note)
            left = {at: dict.fromkeys(keys) for at, keys in found.items() if at not in noted}
            failed = admin.settings.alter(left) if left else {}
        if failed:
            why = "\n".join(f"{kind} {name}: {reason}" for (kind, name), reason in failed.items())
            raise PartlyApplied("the throttle could not be removed", why=why)

    return Repair("remove", "the replication throttle", act, in_kafka=True)
