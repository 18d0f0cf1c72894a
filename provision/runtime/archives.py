"""Archives of loaded classes (AppCDS): with one, the JVM of a node starts in about half the time.

An archive is made once for what a node runs: the role, the Kafka, the JVM, and the class path in its order. It changes
nothing else, and is no part of what defines a node: a JVM whose archive does not fit starts without it.

What an archive is made of is a list of the classes that such a node has loaded. It is a static archive, because that
needs no other archive, which some JVMs lack, and because every JVM from Java 11 on can make one.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import Cluster, Node, Role

FIRST_JAVA = 11
"""The first Java whose JVM makes such archives."""
CDS_LOG = "cds.log"
"""The file for what the JVM says about its archive, in the node's directory `log`."""
LARGEST_LOG = 1024**2

COMBINED, ENSEMBLE_BROKER = "combined", "zookeeper-broker"
KINDS = (*(str(role) for role in Role), COMBINED, ENSEMBLE_BROKER)
"""What an archive is for: a role. In KRaft mode, `combined` is a broker that is a controller too."""

_MAGIC = 0xF00BABA2.to_bytes(4, "little")
# Java 11 and 17 tell every failure after `UseSharedSpaces`. Later ones have no common beginning.
_UNFIT = re.compile(
    r"UseSharedSpaces: (?P<old>.+)"
    r"|\] (?P<new>(?:[sS]hared class paths? mismatch|The name of app classpath|The shared archive file has been"
    r"|The shared archive file was created by|Checksum verification failed|Unable to read|Specified shared archive).*)"
    r"|\] (?P<other>(?:Unable to (?:use|map) shared|An error has occurred while processing the shared).*)"
)
_FIRST_TO_MOVE = 17
# From Java 17 on, a JVM moves the archive to a random address. That takes as long as the rest of mapping it, and each
# JVM then has a copy in memory of its own.
_IN_PLACE = ("-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0")
_ABOUT_ARCHIVES = ("-Xshare", "-XX:SharedArchiveFile", "-XX:DumpLoadedClassList", "-XX:ArchiveClassesAtExit", "-XX:AOT")


class Archive(Struct, frozen=True):
    """An archive that is there: its kind, what runs with it, the Java, its size in bytes, and where it is."""

    kind: str
    software: str
    java: int
    size: int
    place: str


@dataclass(frozen=True, slots=True)
class Left:
    """An archive that no node can use any more, and why.

    `remove` removes it, and returns whether it was still left over then. `made_s` is Unix time, None if not known.
    """

    place: str
    why: str
    remove: Callable[[], bool] = field(compare=False, repr=False)
    made_s: float | None = None


class Archives(ABC):
    """The archives of a runtime."""

    class_list: str
    """The file for the list of loaded classes, as a node sees it."""

    @abstractmethod
    def fitting(self, cluster: Cluster, node: Node) -> Archive | None:
        """The archive that a node would get; None if there is none, or a JVM does not take it.

        Raises:
            Unavailable: the Java of that node is too old to have one, or there is none.
        """

    @abstractmethod
    def lacks(self, cluster: Cluster, node: Node) -> bool:
        """Whether there is no archive for a node that could have one, as far as that shows without starting a JVM."""

    @abstractmethod
    def make(self, cluster: Cluster, node: Node, trained: str) -> Archive:
        """Make the archive for a node from the class list that another one has left, and replace an earlier one.

        Args:
            cluster: what the archive is for.
            node: one of its nodes.
            trained: the environment with a stopped node of the same kind; it is node 1 of its role.
        """

    @abstractmethod
    def unused(self, name: str) -> Mapping[str, str]:
        """The nodes of an environment whose JVM did not take its archive, with the reason it gave."""

    @abstractmethod
    def left(self) -> Iterable[Left]:
        """The archives that no node can use any more."""

    @abstractmethod
    def remove_all(self) -> int:
        """Remove every archive that nothing uses; returns how many there were."""


def kind_of(cluster: Cluster, node: Node) -> str:
    """What an archive for that node is for, one of `KINDS`."""
    if node.role is not Role.BROKER:
        return str(node.role)
    if cluster.mode == ZOOKEEPER:
        return ENSEMBLE_BROKER
    return COMBINED if node.votes else str(node.role)


def takes_archive(arguments: Sequence[str]) -> bool:
    """Whether a node may get one: not if its own options say something about archives."""
    return not any(argument.startswith(_ABOUT_ARCHIVES) for argument in arguments)


def class_path_of(arguments: Sequence[str]) -> str:
    """The class path in a node's arguments."""
    return next((after for word, after in pairwise(arguments) if word == "-cp"), "")


def with_class_path(arguments: Sequence[str], class_path: str) -> tuple[str, ...]:
    """A node's arguments with another class path."""
    at = list(arguments).index("-cp") + 1
    return (*arguments[:at], class_path, *arguments[at + 1 :])


def training_options(class_list: str) -> list[str]:
    """The options with which a node writes the list of the classes that it loads."""
    return ["-Xshare:off", f"-XX:DumpLoadedClassList={class_list}"]


def options(archive: str, log: str, java: int) -> tuple[str, ...]:
    """The options with which a node uses an archive, if it fits and is whole.

    Args:
        archive: the file.
        log: the file for what the JVM says of it.
        java: the major version of Java.
    """
    in_place = _IN_PLACE if java >= _FIRST_TO_MOVE else ()
    return (*_using(archive, "auto"), *in_place, f"-Xlog:cds=info:file={log}::filecount=0")


def _using(archive: str, share: str) -> tuple[str, ...]:
    # Checksums cost next to nothing, and without them a damaged archive could crash the JVM later.
    return f"-XX:SharedArchiveFile={archive}", f"-Xshare:{share}", "-XX:+VerifySharedSpaces"


def making(class_list: str, archive: str, class_path: str) -> tuple[str, ...]:
    """The arguments of a Java that makes an archive. With G1 it has objects too, which other collectors can load."""
    files = (f"-XX:SharedClassListFile={class_list}", f"-XX:SharedArchiveFile={archive}")
    return ("-Xmx512m", "-XX:+UseG1GC", "-Xshare:dump", *files, "-Xlog:disable", "-cp", class_path)


def trying(archive: str, class_path: str) -> tuple[str, ...]:
    """The arguments of a Java that exits with 0 if the archive fits and is whole."""
    return ("-Xmx64m", "-XX:+UseSerialGC", *_using(archive, "on"), "-cp", class_path, "-version")


def is_archive(beginning: bytes) -> bool:
    """Whether a file's first bytes are those of a static archive. Java 17 crashes on other files."""
    return beginning.startswith(_MAGIC)


def why_unused(log: str) -> str:
    """Why the JVM did not use its archive, in its own words; empty if it did."""
    match = _UNFIT.search(log)
    return next(filter(None, match.groups()), "").strip() if match else ""
