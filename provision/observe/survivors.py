"""What those nodes that answer tell of the rest, before any of that is given up."""

from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import ask_brokers
from provision.observe.reach import access_to
from provision.plan.engines import Survivors
from provision.plan.observed import ObservedEnvironment


def survivors_of(observed: ObservedEnvironment) -> Survivors:
    """Ask the brokers that run for partitions, and for the voters that have caught up."""
    access = access_to(observed)
    cluster, quorum = ask_brokers(access).best, ask_for_quorum(access)
    return Survivors(cluster, quorum.caught_up if quorum else None)
