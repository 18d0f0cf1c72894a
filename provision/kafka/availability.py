"""Whether a broker may go down now without clients noticing.

A broker must not go down while a partition that it replicates, and that has more replicas than it needs in sync,

1. has fewer in-sync replicas than `min.insync.replicas`, or
2. has just as many, and this broker's is one of them.

Otherwise producers with `acks=all` can continue to write while it is down, and every acknowledged record is on a broker
that stays up. Replicas that a reassignment is adding do not count. A partition with no replica to spare (one replica,
or as many as must be in sync) is unavailable whenever its broker is down, so it does not block. The rule is that of
Strimzi's `KafkaAvailability`.
"""

from collections.abc import Mapping

from provision.common.counts import counted
from provision.plan.observed import ObservedCluster


def blockers(cluster: ObservedCluster, minimum_in_sync: Mapping[str, int], broker: int) -> tuple[str, ...]:
    """Why the broker must not go down now, one reason per partition; empty if it may.

    Args:
        cluster: the cluster as the brokers report it.
        minimum_in_sync: the effective `min.insync.replicas` of each topic; 1 if it is not known.
        broker: its id.
    """
    return tuple(
        f"{topic.name}-{partition.number} has {counted('in-sync replica', len(partition.in_sync))} and needs {minimum}"
        for topic in cluster.topics
        for partition in topic.partitions
        if broker in partition.settled
        and len(partition.settled) > (minimum := minimum_in_sync.get(topic.name, 1))
        and (len(partition.in_sync) < minimum or (len(partition.in_sync) == minimum and broker in partition.in_sync))
    )
