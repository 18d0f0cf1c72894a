"""Remove a broker that leaves, once it is certain that nothing is left on it.

While it runs, a topic may be placed on it at any moment, and its records acknowledged: that it is empty proves nothing
about the next second. So it is stopped first, and judged afterwards. Nothing is placed on a broker that is not alive,
and the other brokers learn of its end after everything that was placed on it before (the controller tells them in
order: UpdateMetadata, or the metadata log). What they name once none of them counts it among the living is therefore
all there is. If that includes the broker, it is started again with all its data, and its replicas have to move first.
"""

from collections.abc import Collection

from provision.common.patience import Patience
from provision.errors import NotReady, ProvisionError, Refused
from provision.kafka.access import Access
from provision.kafka.readiness import ask_brokers, first_of, missing_for_agreement, missing_for_brokers
from provision.observe.inside import agreed
from provision.observe.reach import access_to
from provision.plan.actions import Removal
from provision.plan.observed import ObservedCluster
from provision.runtime.base import Runtime

# Before it stops, a broker hands over its leaderships and flushes, which takes time when its data are kept.
STOP_PATIENCE_S = 90.0
_PAUSE_S = 0.5
# The brokers learn a little later than the controller that a reassignment has ended.
_LAG_S = 3.0


class StillHolds(Refused):
    """A leaving broker holds partitions that came after they were planned to move; it runs as before."""

    def __init__(self, node: str, held: Collection[str]) -> None:
        why = f"it holds {first_of(sorted(held))}"
        super().__init__(f"{node} is not removed", why=why, hint="`provision up` again moves what it holds")


def remove_broker(runtime: Runtime, environment: str, node: str, removal: Removal, patience: Patience) -> None:
    """Stop an empty broker, unregister it if that is needed, and remove it with its storage.

    Raises:
        StillHolds: partitions are on it that no reassignment moves away; it runs again.
        Refused: it is not empty when the time limit has passed.
        ProvisionError: anything else; it runs again, if it was stopped.
    """
    from provision.kafka.registration import unregister

    broker = removal.broker
    _wait_until_empty(runtime, environment, node, broker, patience.renewed(f"waiting until {node} is empty"))
    others = access_to(runtime.observe(environment)).without(broker)
    runtime.stop_node(environment, node, STOP_PATIENCE_S)
    try:
        require_unnamed(others, node, broker, patience)
        if removal.registered:
            unregister(others, broker, patience.renewed(f"removing the registration of broker {broker}"))
            # Until then it could still be named as one of several replicas.
            require_unnamed(others, node, broker, patience)
    except ProvisionError as error:
        _start_again(runtime, environment, node, error)
        raise
    runtime.remove_node(environment, node)
    runtime.remove_storage(environment, node, delete_data=False)


def _start_again(runtime: Runtime, environment: str, node: str, why: ProvisionError) -> None:
    """Let it serve what it holds; should that fail, `why` is still the error to report."""
    try:
        runtime.start_node(environment, node)
    except ProvisionError as error:
        why.add(f"{node} could not be started again: {error}")


def _wait_until_empty(runtime: Runtime, environment: str, node: str, broker: int, patience: Patience) -> None:
    """Wait until the running broker itself reports no replica, and no other one names it as having any."""
    from provision.kafka.admin import connected

    lag = Patience(_LAG_S)
    while True:
        access = access_to(runtime.observe(environment))
        with connected(access) as admin:
            moving = admin.partitions.moves()
            held = {f"{topic}-{number}" for topic, number in admin.partitions.sizes([broker])}
        cluster = agreed(access)
        named = named_on(broker, cluster.with_moves(moving)) if cluster else frozenset()
        if cluster and not held and not named:
            return
        if named and lag.is_over:
            raise StillHolds(node, named)
        if not patience.pause(_PAUSE_S):
            raise StillHolds(node, held or named or {"something: the brokers do not agree on it"})


def require_unnamed(others: Access, node: str, broker: int, patience: Patience) -> None:
    """Require that no partition has a replica on a broker that does not run.

    Args:
        others: to all brokers but this one.
        node: its node.
        broker: its id.
        patience: how long to wait until the others know that it does not run.

    Raises:
        StillHolds: some have.
        NotReady: the others do not agree that it is gone.
        Interrupted: the wait was cancelled.
    """
    patience = patience.renewed(f"waiting until the brokers know that {node} is stopped")
    while True:
        answers = ask_brokers(others)
        missing = missing_for_brokers(answers) or missing_for_agreement(answers)
        alive = [other for other, told in answers.clusters.items() if broker in {known.id for known in told.brokers}]
        if not missing and not alive:
            if named := frozenset[str]().union(*(named_on(broker, told) for told in answers.clusters.values())):
                raise StillHolds(node, named)
            return
        if not patience.pause(_PAUSE_S):
            why = [f"{name}: {reason}" for name, reason in missing.items()]
            why += [f"broker-{other}: it counts {node} among the living" for other in alive]
            raise NotReady(
                f"{node} is not removed: what it holds is not certain after {patience.given}",
                why="\n".join(why),
                hint="run `provision up` again to continue",
            )


def named_on(broker: int, cluster: ObservedCluster) -> frozenset[str]:
    """The partitions with a replica on a broker that no reassignment takes away, as `topic-number`."""
    return frozenset(
        f"{topic.name}-{partition.number}"
        for topic in cluster.topics
        for partition in topic.partitions
        if broker in partition.target
    )
