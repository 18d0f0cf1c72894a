"""Repairs inside Kafka: each gives back what was there before, and loses nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from provision.errors import PartlyApplied
from provision.observe.reach import access_to
from provision.operations.doctor.findings import Hands, Repair

Resource = tuple[str, str]
"""A kind and a name, as `("topic", "orders")`."""


def electing(partitions: Iterable[tuple[str, int]]) -> Repair:
    """The repair that lets the preferred replica lead each partition again."""
    wanted = defaultdict[str, list[int]](list)
    for topic, number in partitions:
        wanted[topic].append(number)

    def act(hands: Hands) -> None:
        from provision.kafka.admin import connected

        with connected(access_to(hands.runtime.observe(hands.name))) as admin:
            admin.partitions.elect_preferred_leaders(wanted)

    return Repair("elect", "preferred leaders", act)


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

    return Repair("remove", "the replication throttle", act)
