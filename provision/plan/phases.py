"""A change in several phases: the intermediate states, in order, if a change cannot be made in one step."""

from collections.abc import Sequence

from msgspec import Struct

from provision.cluster.model import Cluster, Node, RenderedFile
from provision.plan.differences import Difference
from provision.security import ensemble
from provision.security.acls import AUTHORIZER
from provision.security.profiles import SECRETS, TRUSTSTORE

_OF_ENSEMBLE = (*ensemble.DECIDED_OF_MEMBERS, *ensemble.DECIDED_OF_BROKERS, "clientPort", "secureClientPort", "4lw.")


class Stage(Struct, frozen=True):
    """The environment at the end of a phase.

    The only stage of a plan has no name. The `cause` of a later one is why it can begin after the one before. `told` is
    what it does, in a few words; then the settings that are a part of it are not named one by one. `kept` are secret
    files of nodes that the desired cluster has no use for any more.
    """

    cluster: Cluster
    name: str = ""
    cause: str = ""
    told: str = ""
    kept: tuple[RenderedFile, ...] = ()


class Phase(Struct, frozen=True):
    """A stage with its rendered files. Nodes go from the files of one phase to those of the next, one at a time.

    `nodes` are the nodes as they are in it; empty if they are the same in all phases.
    """

    files: tuple[RenderedFile, ...]
    name: str = ""
    cause: str = ""
    nodes: tuple[Node, ...] = ()
    told: str = ""

    def node(self, node: Node) -> Node:
        """A node as it is in this phase."""
        return next((own for own in self.nodes if own.name == node.name), node)

    def reason(self, changes: Sequence[Difference]) -> str:
        """Why a node restarts in it."""
        if not self.told:
            return f"{self.cause}: {'; '.join(map(str, changes))}"
        others = (str(change) for change in changes if not _is_of_security(change))
        return "; ".join([": ".join(filter(None, (self.cause, self.told))), *others])


def _is_of_security(change: Difference) -> bool:
    """Whether a setting follows from how listeners are secured, and where they are."""
    parts = (
        "listener",
        "ssl.",
        "sasl.",
        "config.providers",
        "controller.quorum.voters",
        "host_port",
        "temporary_port",
        *_OF_ENSEMBLE,
    )
    return (
        (not change.key and change.file in (SECRETS, TRUSTSTORE, ensemble.KEYSTORE, ensemble.TRUSTSTORE))
        or change.key in AUTHORIZER
        or any(part in change.key for part in parts)
    )
