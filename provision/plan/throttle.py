"""The settings that make up a throttle of replication (KIP-73): a rate on brokers, and on topics for whom it holds."""

RATES = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
LEADERS, FOLLOWERS = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
THROTTLED_REPLICAS = frozenset({LEADERS, FOLLOWERS})
