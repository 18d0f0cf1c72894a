"""A runtime in memory, for tests: it keeps what a real one would keep, and can be made to fail at any verb."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from provision.cluster.fingerprint import written_hash
from provision.cluster.identity import Identities, Identity
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import NodeGone, ProvisionError
from provision.events import Fetching, Listener, silent
from provision.home.holders import Holder, busy, taken_over
from provision.plan.about import About
from provision.plan.observed import WAS_KILLED, NodeState, ObservedEnvironment, ObservedNode
from provision.plan.stored import StoredData
from provision.runtime.archives import Archive, Archives, Left, kind_of
from provision.runtime.base import Hold, JavaCommand, Remnant, Runtime, Streams
from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals

_PAUSE_S = 0.01
OnVerb = Callable[[str, str], None]


@dataclass(slots=True)
class _Environment:
    cluster: Cluster
    network: bool = False
    storages: set[str] = field(default_factory=set)
    nodes: dict[str, ObservedNode] = field(default_factory=dict)
    files: dict[str, tuple[RenderedFile, ...]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    formatted: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _FakeHold(Hold):
    runtime: "FakeRuntime"
    holders: dict[str, Holder]
    asked: dict[str, Holder]
    name: str
    holder: Holder

    def require_held(self, *, at_once: bool = False) -> None:
        if self.runtime.looks_rarely and not at_once:
            return
        now = self.asked.get(self.name) or self.holders.get(self.name)
        if now != self.holder:
            raise taken_over(self.name, now)

    def release(self) -> None:
        if self.holders.get(self.name) == self.holder:
            del self.holders[self.name]


class FakeArchives(Archives):
    """Archives in memory, by kind; `refused` is what JVMs say of them, by node."""

    class_list = "/memory/classes.list"

    def __init__(self, runtime: "FakeRuntime") -> None:
        self._runtime = runtime
        self.kept: dict[str, Archive] = {}
        self.refused: dict[str, str] = {}
        self.useless: dict[str, Left] = {}

    def keep(self, kind: str, software: str = "") -> Archive:
        """Let there be one."""
        self.kept[kind] = Archive(kind, software, 17, 1024, "memory")
        return self.kept[kind]

    def fitting(self, cluster: Cluster, node: Node) -> Archive | None:
        """The one of its kind."""
        return self.kept.get(kind_of(cluster, node))

    def lacks(self, cluster: Cluster, node: Node) -> bool:
        """Whether there is none of its kind."""
        return kind_of(cluster, node) not in self.kept

    def make(self, cluster: Cluster, node: Node, trained: str) -> Archive:
        """Remembered."""
        self._runtime.on_verb("make_archive", f"{trained}/{node.role.node(1)}")
        return self.keep(kind_of(cluster, node), node.software)

    def unused(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 whichever environment
        """What a test has set."""
        return self.refused

    def left(self) -> Iterable[Left]:
        """Those that a test has set."""
        return tuple(self.useless.values())

    def remove_all(self) -> int:
        """Forgotten."""
        removed = len(self.kept)
        self.kept.clear()
        return removed


class FakeRuntime(Runtime):
    """Nodes that run at once, answer nothing, and have no endpoint.

    Args:
        on_verb: called before every changing verb with its name and its subject; an exception is the verb's failure.
    """

    kind = "fake"

    def __init__(self, on_verb: OnVerb = lambda _verb, _subject: None) -> None:
        self.on_verb = on_verb
        self.software: set[str] = set()
        self.identities: dict[str, Identity] = {}
        self.foreign: tuple[str, ...] = ()
        self.healths: dict[str, Vitals] = {}
        self.around = Surroundings()
        self._environments: dict[str, _Environment] = {}
        self._archives = FakeArchives(self)
        self._abouts: dict[str, About] = {}
        self.left: dict[str, Remnant] = {}
        self._holders: dict[str, Holder] = {}
        self._asked: dict[str, Holder] = {}
        self.looks_rarely = False

    @property
    def archives(self) -> FakeArchives:
        """Those in memory."""
        return self._archives

    # -- observe ------------------------------------------------------------------------------------------------------

    def environments(self) -> tuple[str, ...]:
        """The names in memory."""
        return tuple(sorted(name for name in self._environments if not self.observe(name).is_absent))

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:  # noqa: ARG002 foreign is set by hand
        """What was created so far."""
        kept, about = self._environments.get(name), self._abouts.get(name)
        if kept is None:
            return ObservedEnvironment(name, self.kind, foreign=self.foreign, about=about)
        return ObservedEnvironment(
            name=name,
            runtime=self.kind,
            software=kept.cluster.software,
            version=str(kept.cluster.version),
            mode=kept.cluster.mode,
            storage=kept.cluster.storage.directory or kept.cluster.storage.kind,
            cluster_id=kept.cluster.cluster_id,
            network=kept.network,
            storages=frozenset(kept.storages),
            nodes=tuple(sorted(kept.nodes.values(), key=lambda node: (node.role, node.number))),
            foreign=self.foreign,
            created_s=about.created_s if about else None,
            ttl_s=about.ttl_s if about else kept.cluster.ttl_s,
            about=about,
        )

    def abouts(self) -> Mapping[str, About]:
        """A copy."""
        return dict(self._abouts)

    def remnants(self) -> tuple[Remnant, ...]:
        """Those that a test has set, and locks whose commands have ended."""
        killed = [name for name in self._holders if self.killed_holder(name)]
        locks = (Remnant("engine lock", name, "the command that held it has ended", None) for name in killed)
        return (*self.left.values(), *locks)

    def sizes(self) -> Mapping[str, int]:
        """A byte for each storage."""
        return {name: len(self.observe(name).storages) for name in self.environments()}

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """The files as given."""
        kept = self._environments.get(name)
        if kept is None or node not in kept.files:
            raise NodeGone(name, node)
        return kept.files[node]

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """What formatting and a first start leave."""
        kept = self._environments.get(name)
        if kept is None:
            return None
        meta = {"cluster.id": kept.formatted[node]} if node in kept.formatted else {}
        return StoredData(node, f"the memory of {node}", meta, node in kept.used, kept.files.get(node, ()))

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:  # noqa: ARG002
        """The log given to `exit_node`."""
        if node not in self._nodes(name):
            raise NodeGone(name, node)
        lines = self._environments[name].logs.get(node, [])
        yield from lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]

    def hold(self, name: str, holder: Holder, force: Patience | None = None, tell: Listener = silent) -> Hold:  # noqa: ARG002
        """Claim it among all who have this object."""
        now = self._holders.setdefault(name, holder)
        if now != holder and not now.process.is_over:
            if force is None:
                raise busy(name, now)
            self._asked[name] = holder
            while self._holders.get(name) == now and force.pause(_PAUSE_S):
                pass
            del self._asked[name]
        self._holders[name] = holder
        return _FakeHold(self, self._holders, self._asked, name, holder)

    def holder(self, name: str) -> Holder | None:
        """Who holds it and has not ended."""
        now = self._holders.get(name)
        return None if now is None or now.process.is_over else now

    def killed_holder(self, name: str) -> Holder | None:
        """Who holds it and has ended."""
        now = self._holders.get(name)
        return now if now and now.process.is_over else None

    # -- examine ------------------------------------------------------------------------------------------------------

    def machine(self) -> Machine:
        """The memory of a test."""
        return Machine("the memory of this process", version="1")

    def surroundings(self, name: str) -> Surroundings:  # noqa: ARG002 the same for all
        """What a test has set."""
        return self.around

    def vitals(self, name: str, node: str) -> Vitals:  # noqa: ARG002 a test has one environment
        """What a test has set."""
        return self.healths.get(node, Vitals())

    def ask(self, environment: ObservedEnvironment, asker: Asker, probes: Sequence[Probe]) -> Reached | None:  # noqa: ARG002
        """Nodes have no network."""
        return None

    # -- prepare ------------------------------------------------------------------------------------------------------

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The software that was not fetched yet."""
        return tuple(name for name in cluster.all_software if name not in self.software)

    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:  # noqa: ARG002
        """Note it as fetched."""
        self.on_verb("fetch_software", digest or software)
        tell(Fetching(software, 1, 1))
        self.software.add(software)

    def identify_software(self, cluster: Cluster) -> Identities:
        """The identities that a test has set; else the checksum of its name for what was fetched."""
        return {name: self._identity(name) for name in cluster.all_software if name in self.software}

    def _identity(self, name: str) -> Identity:
        return self.identities.get(name) or Identity(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}")

    def write_about(self, name: str, about: About) -> None:
        """Remembered."""
        self.on_verb("write_about", name)
        self._abouts[name] = about

    def create_network(self, cluster: Cluster) -> None:
        """Remembered."""
        self.on_verb("create_network", cluster.name)
        self._environment(cluster).network = True

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Remembered."""
        self.on_verb("create_storage", node.name)
        self._environment(cluster).storages.add(node.name)

    def fill_storage(self, name: str, node: str, cluster_id: str = "") -> None:
        """Let a storage have the data of an earlier cluster."""
        kept = self._environments[name]
        kept.used.add(node)
        if cluster_id:
            kept.formatted[node] = cluster_id

    def _environment(self, cluster: Cluster) -> _Environment:
        kept = self._environments.setdefault(cluster.name, _Environment(cluster))
        kept.cluster = cluster
        return kept

    def endpoint_of(self, node: Node) -> str | None:  # noqa: ARG002 for a test that gives its nodes a voice
        """None: nothing answers."""
        return None

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Keep the node with its files."""
        self.on_verb("create_node", node.name)
        kept = self._environment(cluster)
        if node.name not in kept.nodes:
            kept.nodes[node.name] = ObservedNode(
                node.name,
                node.role,
                NodeState.CREATED,
                written_hash(files),
                endpoint=self.endpoint_of(node),
                version=str(cluster.version),
                software=cluster.software,
                software_id=self._identity(node.software).checksum,
                listeners=node.told_listeners if self.endpoint_of(node) else (),
            )
            kept.files[node.name] = tuple(files)

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Remembered."""
        self.on_verb("format_storage", node)
        self._environments[name].formatted[node] = cluster_id

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Remembered."""
        self.on_verb("update_files", node)
        self._environments[name].files[node] = tuple(files)

    def start_node(self, name: str, node: str) -> None:
        """Mark it as running."""
        self.on_verb("start_node", node)
        if node not in self._nodes(name):
            raise NodeGone(name, node)
        self._change(name, node, NodeState.RUNNING, None)
        self._environments[name].used.add(node)

    def stop_node(self, name: str, node: str, patience_s: float) -> None:  # noqa: ARG002 stops at once
        """Mark it as exited, like a JVM on SIGTERM."""
        self.on_verb("stop_node", node)
        self.exit_node(name, node, 143)

    def pause_node(self, name: str, node: str) -> None:
        """Let a running node freeze, as by `docker pause`."""
        self.on_verb("pause_node", node)
        self._change(name, node, NodeState.PAUSED, None)

    def kill_node(self, name: str, node: str) -> None:
        """Mark it as exited, as by SIGKILL."""
        self.on_verb("kill_node", node)
        self.exit_node(name, node, WAS_KILLED)

    def exit_node(self, name: str, node: str, exit_code: int | None, log: Sequence[str] = ()) -> None:
        """Let a running node exit by itself."""
        if node in self._nodes(name) and self._nodes(name)[node].needs_stop:
            self._environments[name].logs.setdefault(node, []).extend(log)
            self._change(name, node, NodeState.EXITED, exit_code)

    def lose_network(self, name: str, *nodes: str) -> None:
        """Cut running nodes off, as if somebody had removed the network; only some of them, if they are named."""
        if not nodes:
            self._environments[name].network = False
        kept = self._nodes(name)
        for node in nodes or tuple(kept):
            if kept[node].state is NodeState.RUNNING:
                kept[node] = replace(kept[node], astray=f"it is not in the network {name}", cut_off=True)

    def join_network(self, name: str, node: str) -> None:
        """Where it belongs again."""
        self.on_verb("join_network", node)
        if not self._environments[name].network:
            raise ProvisionError(f"the network {name} is gone")
        self._nodes(name)[node] = replace(self._nodes(name)[node], astray="", cut_off=False)

    def _nodes(self, name: str) -> dict[str, ObservedNode]:
        kept = self._environments.get(name)
        return kept.nodes if kept else {}

    def _change(self, name: str, node: str, state: NodeState, exit_code: int | None) -> None:
        nodes = self._nodes(name)
        nodes[node] = replace(nodes[node], state=state, exit_code=exit_code, astray="", cut_off=False)

    # -- remove -------------------------------------------------------------------------------------------------------

    def remove_node(self, name: str, node: str) -> None:
        """Forgotten."""
        self.on_verb("remove_node", node)
        self._nodes(name).pop(node, None)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:  # noqa: ARG002 there are no data
        """Forgotten."""
        self.on_verb("remove_storage", node)
        if name in self._environments:
            kept = self._environments[name]
            kept.storages.discard(node)
            kept.formatted.pop(node, None)
            kept.used.discard(node)

    def remove_network(self, name: str) -> None:
        """Forgotten."""
        self.on_verb("remove_network", name)
        if name in self._environments:
            self._environments[name].network = False
        if not self.observe(name).storages:
            self._abouts.pop(name, None)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Return the command line as the output."""
        if node not in self._nodes(name):
            raise NodeGone(name, node)
        return 0, f"{command.main_class} {' '.join(command.arguments)}"

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:  # noqa: ARG002
        """Write the command line to standard output."""
        streams.stdout.write(f"{command.main_class} {' '.join(command.arguments)}\n".encode())
        return 0

    def inside_address(self, name: str, node: str) -> str:
        """The address in the resolved cluster."""
        kept = self._environments.get(name)
        resolved = next((known for known in kept.cluster.nodes if known.name == node), None) if kept else None
        if resolved is None:
            return ""
        listener = resolved.listeners[0]
        return f"{listener.host}:{listener.port}"
