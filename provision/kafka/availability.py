"""Whether a broker may go down now without anybody noticing.

A broker may not go down while a partition that it replicates, and that has more replicas than it needs in sync,

1. has fewer in-sync replicas than `min.insync.replicas`, or
2. has just as many, and this broker's is one of them.

Otherwise producers with `acks=all` go on writing while it is away, and every record that was acknowledged is on a
broker that stays. Replicas that a reassignment is just bringing do not count. A partition with no replica to spare (one
replica, or as many as must be in sync) is not available while its broker is away, whenever that is; so it hinders
nobody. The rule is that of Strimzi's `KafkaAvailability`.
"""

from collections.abc import Mapping

from provision.plan.observed import ObservedCluster


def blockers(cluster: ObservedCluster, minimum_in_sync: Mapping[str, int], broker: int) -> tuple[str, ...]:
    """Why the broker may not go down now, each reason a partition; empty when it may.

    Args:
        cluster: what the brokers say.
        minimum_in_sync: `min.insync.replicas` as it holds for each topic; 1 where it is not known.
        broker: its id.
    """
    return tuple(
        f"{topic.name}-{partition.number} has {len(partition.in_sync)} in-sync replicas and needs {minimum}"
        for topic in cluster.topics
        for partition in topic.partitions
        if broker in partition.settled
        and len(partition.settled) > (minimum := minimum_in_sync.get(topic.name, 1))
        and (len(partition.in_sync) < minimum or (len(partition.in_sync) == minimum and broker in partition.in_sync))
    )
