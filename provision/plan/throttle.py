"""The settings of a replication throttle (KIP-73): a rate on brokers, and on topics the replicas it applies to."""

RATES = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
LEADERS, FOLLOWERS = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
THROTTLED_REPLICAS = frozenset({LEADERS, FOLLOWERS})
