"""Let nodes begin anew on another engine, once it is certain that others have all that they had.

What a running broker holds may change at any moment, and a broker that is down may have come back since the plan was
made. So a node that runs is stopped first, and whatever does not run is judged right before its storage is given up
(`provision.plan.engines`). A node that must not be spared after all is started again with all its data.
"""

from collections.abc import Sequence

from msgspec import Struct

from provision.apply.leaving import STOP_PATIENCE_S
from provision.catalogue.versions import KRAFT
from provision.cluster.fingerprint import with_fingerprint
from provision.cluster.model import Cluster
from provision.common.patience import Patience
from provision.errors import ProvisionError, Refused
from provision.observe.survivors import survivors_of
from provision.plan.actions import Lost, Moving
from provision.plan.engines import objections
from provision.runtime.base import Runtime

_PAUSE_S = 0.5


class Mover(Struct, frozen=True):
    """Takes nodes off their engines; each wait may use the full `patience`."""

    cluster: Cluster
    runtime: Runtime
    patience: Patience

    def abandon(self, node: str, lost: Lost) -> None:
        """Remove a node whose engine does not run it any more, with what is known of its storage.

        Raises:
            Refused: others lack something of what the nodes had that go with it.
        """
        observed = self.runtime.observe(self.cluster.name)
        there = [name for name in lost.going if name in observed.places and not observed.never_ran(name)]
        self._require_spared(there)
        if lost.given_up:
            self.runtime.give_up(self.cluster.name, lost.going)
        self.runtime.abandon(self.cluster.name, node)

    def move(self, moving: Moving) -> None:
        """Stop a node that the others can do without, and start it elsewhere, with an empty storage.

        Raises:
            Refused: others lack something of what it has; it runs again.
        """
        cluster, runtime, node = self.cluster, self.runtime, moving.node
        runtime.stop_node(cluster.name, node.name, STOP_PATIENCE_S)
        try:
            self._require_spared([node.name])
        except ProvisionError as error:
            self._start_again(node.name, error)
            raise
        runtime.abandon(cluster.name, node.name)
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, with_fingerprint(node.name, moving.files))
        if cluster.mode == KRAFT:
            runtime.format_storage(cluster.name, node.name, cluster.cluster_id)
        runtime.start_node(cluster.name, node.name)

    def _require_spared(self, nodes: Sequence[str]) -> None:
        """Require that others have all that these nodes have, which the others may learn a little later.

        Raises:
            Refused: they do not, within the patience.
        """
        voters = [node.id for node in self.cluster.voters]
        patience = self.patience.renewed(f"waiting until others have all that {', '.join(nodes)} had")
        while True:
            found = dict(objections(nodes, voters, survivors_of(self.runtime.observe(self.cluster.name))))
            if not found:
                return
            if not patience.pause(_PAUSE_S):
                why = "\n".join(f"{name}: {cause}" for name, cause in found.items())
                raise Refused("data would be lost", why=why, hint="`provision up` again once others have them")

    def _start_again(self, node: str, why: ProvisionError) -> None:
        """Let it serve what it has; should that fail, `why` is still the error to report."""
        try:
            self.runtime.start_node(self.cluster.name, node)
        except ProvisionError as error:
            why.add(f"{node} could not be started again: {error}")
