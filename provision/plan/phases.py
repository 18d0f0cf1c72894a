"""A change in several phases: where one state cannot become another at once, those on the way, in their order."""

from dataclasses import dataclass

from provision.cluster.model import Cluster, RenderedFile


@dataclass(frozen=True, slots=True)
class Stage:
    """The environment as it is to be when a phase is over.

    The only stage of a plan has no name. The `cause` of a later one says why it can begin when the one before is over.
    """

    cluster: Cluster
    name: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stage with its rendered files. Nodes go from the files of one phase to those of the next, one at a time."""

    files: tuple[RenderedFile, ...]
    name: str = ""
    cause: str = ""
