"""How the cluster of an environment is reached from this machine."""

from provision.kafka.access import Access
from provision.plan.observed import ObservedEnvironment


def access_to(observed: ObservedEnvironment) -> Access:
    """Access to all of its brokers that have a port on this machine."""
    return Access(observed.broker_endpoints)
