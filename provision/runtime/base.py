"""The interface of a runtime, a place where nodes run. It uses provision's own types and never exposes an SDK's.

Every verb does one small thing and is idempotent: creating what exists, starting what runs and removing what is gone
succeed. A thing without the environment's mark is never stopped, changed or removed.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from msgspec import Struct

from provision.cluster.identity import Identities
from provision.cluster.layout import Layout
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.common.patience import Patience
from provision.errors import PortTaken, ProvisionError, UsageError
from provision.events import Listener, silent
from provision.plan.about import About
from provision.plan.observed import ObservedEnvironment
from provision.plan.stored import StoredData
from provision.runtime.archives import Archives

if TYPE_CHECKING:
    from provision.home.holders import Holder
    from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals

DIRECTORY = "{directory}"
"""What stands in the options of a command's JVM for a directory that only the runtime knows."""
SECRET_MODE = 0o400
"""The permissions of a secret file, on every runtime: read-only, which later identifies it as secret."""
COMES_BACK_S = 10.0
"""How long a log that is followed waits for a node that a command may be about to start again."""
_WITH_FILE = re.compile(rf"{re.escape(DIRECTORY)}/(\S+)")
_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


class Streams(Struct, frozen=True):
    """The three standard streams of a tool, all of bytes; `stdin` is a file of the system, or None for none."""

    stdin: BinaryIO | None
    stdout: BinaryIO
    stderr: BinaryIO

    def require_usable(self) -> None:
        """Check, without reading or writing anything, that a tool can use them.

        Raises:
            UsageError: one of them is of texts, closed, or something else.
        """
        for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
            if not _takes_bytes(stream):
                hint = f"for example sys.{name}.buffer, and not sys.{name}; or an io.BytesIO"
                raise UsageError(f"{name} of a tool is an open file of bytes, not {stream!r}", hint=hint)
        if self.stdin is not None and not _has_descriptor(self.stdin):
            hint = "for example sys.stdin.buffer, or None; an io.BytesIO can only be written to"
            raise UsageError(f"stdin of a tool is an open file of the system, not {self.stdin!r}", hint=hint)


def _takes_bytes(stream: Any) -> bool:  # noqa: ANN401 what programs give
    try:
        stream.write(b"")
    except (AttributeError, TypeError, ValueError):  # it cannot, it is of texts, or closed
        return False
    return hasattr(stream, "flush")


def _has_descriptor(stream: Any) -> bool:  # noqa: ANN401 what programs give
    try:
        return isinstance(stream.fileno(), int)
    except (AttributeError, ValueError):  # it is no file, or one in memory, or closed
        return False


@dataclass(frozen=True, slots=True)
class JavaCommand:
    """A main class of the environment's Kafka and its arguments.

    `properties` are the content of a file that only the command may read, and `option` the argument that names it;
    empty for none. `secrets` are other such files by name. `jvm` are options of its JVM, in which `DIRECTORY` stands
    for the directory of these files, or, if it runs in a node, for that of the node's own.
    """

    main_class: str
    arguments: tuple[str, ...]
    option: str = ""
    properties: bytes = field(default=b"", repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    jvm: tuple[str, ...] = ()

    def told(self, file: str) -> tuple[str, ...]:
        """The arguments, the first ones being those for the properties file, which has that path."""
        return (*((self.option, file) if self.option else ()), *self.arguments)

    def options(self, path_of: Callable[[str], str]) -> tuple[str, ...]:
        """The options of its JVM, with the paths of files, by what they are called."""
        return tuple(_WITH_FILE.sub(lambda match: path_of(match[1]), option) for option in self.jvm)


def format_command(node: str, cluster_id: str, config_dir: str) -> JavaCommand:
    """The command that formats a node's storage, with the release's default metadata.version (KIP-631)."""
    file = f"{config_dir}/{MAIN_FILES[Role.parse(node)[0]]}"
    return JavaCommand("kafka.tools.StorageTool", ("format", "--ignore-formatted", "-t", cluster_id, "-c", file))


def format_failed(node: str, output: str) -> ProvisionError:
    """The error for a storage that could not be formatted, the same on every runtime."""
    said = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    return ProvisionError(f"the storage of {node} could not be formatted", why="\n".join(said)[-2000:])


def java_version_in(shown: str) -> int:
    """The major version in the output of `java -version`; 0 if there is none."""
    match = _JAVA_VERSION.search(shown)
    return int(match[1]) if match else 0


def port_taken(doing: str, address: str, port: int) -> PortTaken:
    """The error for a host port that is already in use, the same on every runtime."""
    return PortTaken(
        f"{doing}: port {port} on {address} is taken",
        port=port,
        why="another program or container uses it",
        hint=f"stop it (`ss -tanp 'sport = :{port}'` shows it), or use another port: `auto` takes a free one",
    )


def port_forbidden(doing: str, address: str, port: int | str) -> ProvisionError:
    """The error for a host port that may not be opened, the same on every runtime."""
    return ProvisionError(
        f"{doing}: port {port} on {address} is forbidden",
        why="the system reserves it; usually, ports below 1024 are for root only",
        hint="use a port from 1024 on, or `port: auto`",
    )


class Hold:
    """A claim on an environment among all who use a runtime. This one is for a runtime that no other home can use."""

    def require_held(self, *, at_once: bool = False) -> None:
        """Check, often and cheaply, that no other command has taken it over.

        Args:
            at_once: look now, even if that was just done: something is about to be removed.

        Raises:
            Busy: one has; names it.
        """

    def release(self) -> None:
        """Give it up."""


NOT_ENDED = 124
"""The exit code of what was given up because it did not end in time, as of `timeout`."""
TOOL_CONTAINER = "tool container"
"""What a command's container that is there only as long as the command runs is called, if it is left."""


@dataclass(frozen=True, slots=True)
class Remnant:
    """What a killed command has left in a runtime beside environments.

    `what` it is and its `name` are for the user, `why` it counts as left. `made_s` is Unix time, None if that is not
    known. `remove` removes it, and returns whether it was still left over then; None for the lock of an environment,
    which `hold` takes over.
    """

    what: str
    name: str
    why: str
    remove: Callable[[], bool] | None = field(compare=False, repr=False)
    made_s: float | None = None


class Runtime(ABC):
    """A place where nodes run.

    All methods raise `Unavailable` if the runtime does not answer, and `ProvisionError` with the reason if it refuses.
    """

    kind: ClassVar[str]

    def close(self) -> None:  # noqa: B027 most hold nothing
        """Release resources of this machine, such as connections. Nodes are not touched."""

    @property
    def archives(self) -> Archives | None:
        """The archives with which its nodes start faster, if it can have any."""
        return None

    # -- observe ------------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """What tells it from others: its kind, and, where there may be several of a kind, which one, after a space."""
        return self.kind

    @property
    def manages_swarm(self) -> bool:
        """Whether its engine manages a swarm, which may have environments too."""
        return False

    @abstractmethod
    def environments(self) -> tuple[str, ...]:
        """The names of all environments that have left any trace, sorted."""

    @abstractmethod
    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """What the runtime has of an environment.

        Args:
            name: the environment.
            wanted: the names of its desired nodes, to find foreign things with the same names; without any, things are
                found that are called like a node of it.
        """

    def halted(self, name: str, nodes: Sequence[str]) -> frozenset[str]:  # noqa: ARG002 `observe` usually tells it
        """Those of the nodes that it calls running whose process was stopped by a signal (SIGSTOP)."""
        return frozenset()

    @abstractmethod
    def abouts(self) -> Mapping[str, About]:
        """What environments know of themselves, by name; also of those of which nothing else is there."""

    def about(self, name: str) -> About | None:
        """What an environment knows of itself; None if that is not known."""
        return self.abouts().get(name)

    def sizes(self) -> Mapping[str, int]:
        """How many bytes the data of environments have, by name, as far as it is known."""
        return {}

    def remnants(self) -> tuple[Remnant, ...]:
        """What killed commands have left beside environments."""
        return ()

    def orphans(self) -> frozenset[tuple[Path, str]]:
        """Environments, by home and name, whose directories have certainly been deleted while their nodes run."""
        return frozenset()

    @abstractmethod
    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """The configuration files that the node was created with, or that its kept storage was last used with.

        Raises:
            NodeGone: there is neither.
        """

    @abstractmethod
    def read_storage(self, name: str, node: str) -> StoredData | None:
        """What the node's storage contains, whether the node exists or not; None if that cannot be read."""

    @abstractmethod
    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """The node's log without line ends: all of it or its last `tail` lines; `follow` continues until it exits.

        If a command is just replacing or restarting it, that is not its end. On a swarm only the present run is
        followed, whose end Docker 20.10 does not tell.

        Raises:
            NodeGone: there is no such node, or it is removed meanwhile.
        """

    # -- claim --------------------------------------------------------------------------------------------------------

    def hold(  # no other home
        self,
        name: str,  # noqa: ARG002
        holder: "Holder",  # noqa: ARG002
        force: Patience | None = None,  # noqa: ARG002
        tell: Listener = silent,  # noqa: ARG002
    ) -> Hold:
        """Claim an environment for one command, before it looks at what there is; also if a killed one has claimed it.

        Args:
            name: the environment, which need not exist.
            holder: the command; its home's lock is its already.
            force: take it over also from a command that runs, which has so long to end before its next action.
            tell: is told if it takes long to find out whether a command has ended.

        Raises:
            Busy: another command holds it; names that one.
        """
        return Hold()

    def holder(self, name: str) -> "Holder | None":  # noqa: ARG002 no other home
        """The command that has claimed an environment; None without one, or if it has ended."""
        return None

    def killed_holder(self, name: str) -> "Holder | None":  # noqa: ARG002 no other home
        """The command that has claimed an environment and ended without giving it up, until another one claims it."""
        return None

    # -- examine ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def machine(self) -> "Machine":
        """Where its nodes run."""

    @abstractmethod
    def surroundings(self, name: str) -> "Surroundings":
        """What is around an environment's nodes."""

    @abstractmethod
    def vitals(self, name: str, node: str) -> "Vitals":
        """What a node uses, and how its last run ended; asked of the node itself as far as it can answer."""

    @abstractmethod
    def ask(self, environment: ObservedEnvironment, asker: "Asker", probes: Sequence["Probe"]) -> "Reached | None":
        """Send probes from the environment's network, or from another one; None if nodes have no such network here.

        Whatever it takes for that is removed again.
        """

    # -- prepare ------------------------------------------------------------------------------------------------------

    def located(self, layout: Layout, cluster: Cluster, give_up: Collection[str] = ()) -> Layout:  # noqa: ARG002 most have only one place
        """The layout, with the places that its nodes have or get; `cluster` has the nodes, but not yet their places.

        Nodes whose engine is in `give_up`, or drained by the file, get another one.

        Raises:
            Unavailable: there is none for one of them.
        """
        return layout

    @abstractmethod
    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The part of `cluster.all_software` that is not there."""

    @abstractmethod
    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:
        """Fetch one of `cluster.all_software`, with `Fetching` events; an image by its digest, if one is given."""

    @abstractmethod
    def identify_software(self, cluster: Cluster) -> Identities:
        """The identities of `cluster.all_software`, always read again: images by name, or jars by file name."""

    @abstractmethod
    def write_about(self, name: str, about: About) -> None:
        """Note what an environment is to know of itself, in place of what it knew.

        It is no trace of the environment by itself, and goes with the last one.
        """

    @abstractmethod
    def create_network(self, cluster: Cluster) -> None:
        """Create what lets the nodes reach each other."""

    @abstractmethod
    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Create the place for the node's files."""

    # -- nodes --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Create the node with its files in place, which have their fingerprint, without starting it."""

    def replace_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Replace a stopped node by one with other files; its storage is kept."""
        self.remove_node(cluster.name, node.name)
        self.create_node(cluster, node, files)

    @abstractmethod
    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Format an existing node's storage with the cluster's id (`kafka-storage format`), unless it is formatted."""

    @abstractmethod
    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Replace the node's files for its next start, while it keeps running."""

    def stand_back(self, processors: int) -> None:  # noqa: B027 what this process starts stands back as it does
        """Let nodes that are created from now on have only what others leave, on no more than so many processors."""

    @abstractmethod
    def start_node(self, name: str, node: str) -> None:
        """Start the node, or let it go on if it is paused."""

    @abstractmethod
    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Stop the node with SIGTERM, paused or not, and with SIGKILL if it is still running after `patience_s`."""

    @abstractmethod
    def pause_node(self, name: str, node: str) -> None:
        """Freeze the running node: it keeps its process and its data, and answers nothing until it is started."""

    @abstractmethod
    def kill_node(self, name: str, node: str) -> None:
        """Kill the node at once (SIGKILL)."""

    def join_network(self, name: str, node: str) -> None:  # noqa: B027 not every runtime has a network of its own
        """Connect a running node to the environment's network, at its own address, while it keeps running."""

    # -- remove -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def remove_node(self, name: str, node: str) -> None:
        """Kill the node if it is running, and remove it; its storage is kept."""

    @abstractmethod
    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """Remove the node's storage. Data in a user's directory are kept unless `delete_data`."""

    def give_up(self, name: str, nodes: Sequence[str]) -> None:  # noqa: B027 most have one engine, without which they are nothing
        """Note that these nodes will not come back, before anything of them is removed: whoever looks then knows it."""

    def abandon(self, name: str, node: str) -> None:
        """Remove a node with its storage, whose place may be out of reach; that is noted for `remove_network` then."""
        self.remove_node(name, node)
        self.remove_storage(name, node, delete_data=False)

    @abstractmethod
    def remove_network(self, name: str) -> None:
        """Remove the network, and whatever else of the environment is not a node or a storage.

        What it knows of itself stays as long as one of its storages is there.
        """

    # -- run ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run a main class in the network context of a running node; returns exit code and output.

        The code is `NOT_ENDED`, and the output says so, if it does not end within seconds; it is that of a command that
        was killed if the node ends meanwhile, or has just ended.

        Raises:
            NodeGone: there is no such node, or it is removed meanwhile.
        """

    @abstractmethod
    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run a main class inside the environment's network with the caller's streams; returns its exit code."""

    @abstractmethod
    def inside_address(self, name: str, node: str) -> str:
        """The `host:port` at which a tool, run by `run_tool`, reaches the node."""
