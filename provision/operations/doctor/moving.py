"""Whether the replicas that a reassignment adds arrive: their sizes, looked at twice."""

import threading
from collections.abc import Mapping

from provision.kafka.access import Access
from provision.operations.doctor.facts import Arrival
from provision.plan.observed import Move

_WATCHED_S = 3.0
Partition = tuple[str, int]


def arrivals(access: Access, moves: Mapping[Partition, Move], timeout_s: float) -> dict[Partition, Arrival]:
    """What each moving partition lacks and gains; those that have arrived meanwhile are left out.

    Args:
        access: the brokers that answer.
        moves: the reassignments, by topic and partition.
        timeout_s: of each request.
    """
    from provision.kafka.admin import connected

    brokers = list(access.brokers)
    with connected(access, timeout_s) as admin:
        before = admin.partitions.sizes(brokers)
        threading.Event().wait(_WATCHED_S)
        still, after = admin.partitions.moves(), admin.partitions.sizes(brokers)
    return {
        at: Arrival(
            lacking_bytes=sum(max(after.get(at, {}).values(), default=0) - after.get(at, {}).get(b, 0) for b in adding),
            gained_bytes=sum(after.get(at, {}).get(b, 0) - before.get(at, {}).get(b, 0) for b in adding),
        )
        for at in moves
        if at in still and (adding := still[at].adding)
    }
