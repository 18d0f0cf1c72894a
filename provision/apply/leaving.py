"""Remove a broker that leaves, once it is certain that nothing is left on it.

While it runs, a topic may be placed on it at any moment, and its records acknowledged: that it is empty proves nothing
about the next second. So it is stopped first, and judged afterwards. Nothing is placed on a broker that is not alive,
and the other brokers learn of its end after everything that was placed on it before (the controller tells them in
order: UpdateMetadata, or the metadata log). What they name once none of them counts it among the living is therefore
all there is. If that includes the broker, it is started again with all its data, and its replicas have to move first.
A broker whose data would go with its process is not stopped but frozen for that time.
"""

from collections.abc import Callable, Collection

from msgspec import Struct

from provision.cluster.model import Role
from provision.common.patience import Patience
from provision.errors import NotReady, ProvisionError, Refused
from provision.kafka.access import Access
from provision.kafka.readiness import BrokerAnswers, ask_brokers, first_of, missing_for_agreement, missing_for_brokers
from provision.observe.inside import agreed
from provision.observe.reach import access_to
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


class Leaver(Struct, frozen=True):
    """A broker's node to remove, or the storage that is left of one.

    Each wait may use the full `patience`. `check` raises `NodeFailed` if another node has exited, which no wait would
    outlast.
    """

    runtime: Runtime
    environment: str
    node: str
    patience: Patience
    check: Callable[[], None]

    def remove(self, *, registered: bool) -> None:
        """Stop it once it is empty, unregister it if the cluster would keep its registration, and remove it.

        Raises:
            StillHolds: partitions are on it that no reassignment moves away, or that did not go in time; it runs again.
            ProvisionError: anything else; it runs again, if it was stopped.
        """
        from provision.kafka.registration import unregister

        self._wait_until_empty()
        self._halt()
        try:
            self._require_unnamed()
            if registered:
                patience = self.patience.renewed(f"removing the registration of {self.node}")
                unregister(self._access.without(self._broker), self._broker, patience)
                self._require_unnamed()  # until then it could still be named as one of several replicas
        except ProvisionError as error:
            self._start_again(error)
            raise
        self.runtime.remove_node(self.environment, self.node)
        self.runtime.remove_storage(self.environment, self.node, delete_data=False)

    def _halt(self) -> None:
        """Stop it; if its data would go with it, freeze it, and the cluster takes it for dead after its session."""
        if self.runtime.observe(self.environment).dies_with_its_data(self.node):
            self.runtime.pause_node(self.environment, self.node)
        else:
            self.runtime.stop_node(self.environment, self.node, STOP_PATIENCE_S)

    def remove_storage(self) -> None:
        """Remove the storage of a node that is gone, unless a partition has a replica there.

        Raises:
            StillHolds: one has.
            ProvisionError: the others do not agree on it, or something else.
        """
        self._require_unnamed()
        self.runtime.remove_storage(self.environment, self.node, delete_data=False)

    @property
    def _broker(self) -> int:
        return Role.parse(self.node)[1]

    @property
    def _access(self) -> Access:
        return access_to(self.runtime.observe(self.environment))

    def _start_again(self, why: ProvisionError) -> None:
        """Let it serve what it holds; should that fail, `why` is still the error to report."""
        try:
            self.runtime.start_node(self.environment, self.node)
        except ProvisionError as error:
            why.add(f"{self.node} could not be started again: {error}")

    def _wait_until_empty(self) -> None:
        """Wait until the running broker itself reports no replica, and no other one names it as having any."""
        from provision.kafka.admin import connected

        patience, lag = self.patience.renewed(f"waiting until {self.node} is empty"), Patience(_LAG_S)
        while True:
            self.check()
            access = self._access
            with connected(access) as admin:
                moving = admin.partitions.moves()
                held = {f"{topic}-{number}" for topic, number in admin.partitions.sizes([self._broker])}
            cluster = agreed(access)
            named = named_on(self._broker, cluster.with_moves(moving)) if cluster else frozenset()
            if cluster and not held and not named:
                return
            if named and lag.is_over:
                raise StillHolds(self.node, named)
            if not patience.pause(_PAUSE_S):
                raise StillHolds(self.node, held or named or {"something: the brokers do not agree on it"})

    def _require_unnamed(self) -> None:
        """Require that no partition has a replica on it, now that it does not run.

        Raises:
            StillHolds: some have.
            NotReady: the others do not agree in time that it is gone.
            NodeFailed, Interrupted: the wait has ended.
        """
        patience = self.patience.renewed(f"waiting until the brokers know that {self.node} is stopped")
        others = self._access.without(self._broker)
        while True:
            self.check()
            answers = ask_brokers(others)
            unsure = missing_for_brokers(answers) or missing_for_agreement(answers) or self._alive_for(answers)
            if not unsure:
                every = (named_on(self._broker, told) for told in answers.clusters.values())
                if named := frozenset[str]().union(*every):
                    raise StillHolds(self.node, named)
                return
            if not patience.pause(_PAUSE_S):
                raise NotReady(
                    f"{self.node} is not removed: what it holds is not certain after {patience.given}",
                    why="\n".join(f"{name}: {reason}" for name, reason in unsure.items()),
                    hint="run `provision up` again to continue",
                )

    def _alive_for(self, answers: BrokerAnswers) -> dict[str, str]:
        return {
            Role.BROKER.node(other): f"it counts {self.node} among the living"
            for other, told in answers.clusters.items()
            if self._broker in {known.id for known in told.brokers}
        }


def named_on(broker: int, cluster: ObservedCluster) -> frozenset[str]:
    """The partitions with a replica on a broker that no reassignment takes away, as `topic-number`."""
    return frozenset(
        f"{topic.name}-{partition.number}"
        for topic in cluster.topics
        for partition in topic.partitions
        if broker in partition.target
    )
