"""A change in several phases: the intermediate states, in order, if a change cannot be made in one step."""

from dataclasses import dataclass

from provision.cluster.model import Cluster, Node, RenderedFile


@dataclass(frozen=True, slots=True)
class Stage:
    """The environment at the end of a phase.

    The only stage of a plan has no name. The `cause` of a later one is why it can begin after the one before.
    """

    cluster: Cluster
    name: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stage with its rendered files. Nodes go from the files of one phase to those of the next, one at a time.

    `nodes` are the nodes as they are in it; empty if they are the same in all phases.
    """

    files: tuple[RenderedFile, ...]
    name: str = ""
    cause: str = ""
    nodes: tuple[Node, ...] = ()

    def node(self, node: Node) -> Node:
        """A node as it is in this phase."""
        return next((own for own in self.nodes if own.name == node.name), node)
