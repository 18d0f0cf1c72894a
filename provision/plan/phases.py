"""A change in several phases: the intermediate states, in order, if a change cannot be made in one step."""

from dataclasses import dataclass

from provision.cluster.model import Cluster, RenderedFile


@dataclass(frozen=True, slots=True)
class Stage:
    """The environment at the end of a phase.

    The only stage of a plan has no name. The `cause` of a later one is why it can begin after the one before. `kept`
    are secret files of nodes that the desired cluster has no use for any more.
    """

    cluster: Cluster
    name: str = ""
    cause: str = ""
    kept: tuple[RenderedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """A stage with its rendered files. Nodes go from the files of one phase to those of the next, one at a time."""

    files: tuple[RenderedFile, ...]
    name: str = ""
    cause: str = ""
