"""The port: what the program asks of a place where nodes run. It speaks in our own types and never leaks an SDK's.

Every verb does one small thing and is safe to repeat: creating what is there, starting what runs, removing what is gone
are done, not errors. A thing that does not carry the environment's mark is never stopped, changed or removed.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from provision.cluster.identity import Identities
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile
from provision.errors import ProvisionError
from provision.events import Listener
from provision.plan.observed import ObservedEnvironment

SECRET_MODE = 0o400
"""The permissions of a secret file, on every runtime. Its owner may not write it: so it is known as one later."""
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True, slots=True)
class Streams:
    """The three standard streams of a tool."""

    stdin: BinaryIO | None
    stdout: BinaryIO
    stderr: BinaryIO


@dataclass(frozen=True, slots=True)
class JavaCommand:
    """A main class of the environment's Kafka and its arguments."""

    main_class: str
    arguments: tuple[str, ...]


def format_command(cluster: Cluster, node: Node) -> JavaCommand:
    """What formats a storage: with the metadata version that this release takes by itself (KIP-631)."""
    file = MAIN_FILES[node.role]
    arguments = ("format", "--ignore-formatted", "-t", cluster.cluster_id, "-c", f"{node.config_dir}/{file}")
    return JavaCommand("kafka.tools.StorageTool", arguments)


def format_failed(node: str, output: str) -> ProvisionError:
    """The error for a storage that could not be formatted, the same on every runtime."""
    said = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    return ProvisionError(f"the storage of {node} could not be formatted", why="\n".join(said)[-2000:])


def java_version_in(shown: str) -> int:
    """The major version in what `java -version` shows; 0 where there is none."""
    match = _JAVA_VERSION.search(shown)
    return int(match[1]) if match else 0


def port_taken(doing: str, address: str, port: int | str) -> ProvisionError:
    """The error for a host port that somebody else has, the same on every runtime."""
    return ProvisionError(
        f"{doing}: port {port} on {address} is taken",
        why="another program or container listens there",
        hint=f"stop it (`ss -ltnp 'sport = :{port}'` shows it), or use another port or `port: auto`",
    )


class Runtime(ABC):
    """A place where nodes run.

    All methods raise `Unavailable` when the place itself does not answer, and `ProvisionError` with the reason in words
    when it refuses.
    """

    kind: ClassVar[str]

    def close(self) -> None:  # noqa: B027 most hold nothing
        """Give back what it holds of this machine, such as connections. Nodes are not touched."""

    # -- observe ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def environments(self) -> tuple[str, ...]:
        """The names of all environments of which there is a trace, sorted."""

    @abstractmethod
    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """What is there of an environment.

        Args:
            name: the environment.
            wanted: node names it needs, to find foreign things of the same name.
        """

    @abstractmethod
    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """The configuration files that the node was created with."""

    @abstractmethod
    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """The node's output without line ends: all of it or its last `tail` lines; `follow` goes on until it exits."""

    # -- prepare ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """What of `cluster.all_software` is not there."""

    @abstractmethod
    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:
        """Bring one of `cluster.all_software`, telling `Fetching` events; an image by its digest where one is given."""

    @abstractmethod
    def identify_software(self, cluster: Cluster) -> Identities:
        """What is there of `cluster.all_software` by content, read anew: images by name, or jars by file name."""

    @abstractmethod
    def create_network(self, cluster: Cluster) -> None:
        """What lets the nodes reach each other."""

    @abstractmethod
    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Where the node keeps its files."""

    # -- nodes --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile], config_hash: str) -> None:
        """Make the node, with its files in place, without starting it."""

    def replace_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile], config_hash: str) -> None:
        """Replace a node that does not run by one with other files; its storage stays."""
        self.remove_node(cluster.name, node.name)
        self.create_node(cluster, node, files, config_hash)

    @abstractmethod
    def format_storage(self, cluster: Cluster, node: Node) -> None:
        """Give the storage of a created node the cluster's id (`kafka-storage format`); one that has it keeps it."""

    @abstractmethod
    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Put other files in the place of the node's, for its next start; it runs on."""

    @abstractmethod
    def start_node(self, name: str, node: str) -> None:
        """Start it."""

    @abstractmethod
    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Ask it to stop (SIGTERM), and end it (SIGKILL) when it has not after `patience_s`."""

    @abstractmethod
    def kill_node(self, name: str, node: str) -> None:
        """End it at once (SIGKILL)."""

    # -- remove -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def remove_node(self, name: str, node: str) -> None:
        """End it if it runs, and remove it; its storage stays."""

    @abstractmethod
    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """Remove where it kept its files. Data in a directory of the user's stay unless `delete_data`."""

    @abstractmethod
    def remove_network(self, name: str) -> None:
        """Remove the network, and whatever else of the environment is not a node or a storage."""

    # -- run ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run a main class beside a running node, as that node sees the network; exit code and output."""

    @abstractmethod
    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run a main class inside the environment's network with the caller's streams; returns its exit code."""

    @abstractmethod
    def inside_address(self, name: str, node: str) -> str:
        """`host:port` at which a tool, run by `run_tool`, reaches the node."""
