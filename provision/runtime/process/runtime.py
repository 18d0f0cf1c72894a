"""The runtime interface for plain JVMs. An environment is a directory below the home.

environments/NAME/environment.json     the environment
environments/NAME/about.json           what it knows of itself
environments/NAME/NODE/node.json       the node
environments/NAME/NODE/process.json    its process, by id and start time
environments/NAME/NODE/{config,data,log,tmp}
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.catalogue.versions import KafkaVersion
from provision.cluster.fingerprint import in_order, written_hash
from provision.cluster.identity import Identities
from provision.cluster.layout import LOOPBACK
from provision.cluster.model import Cluster, Node, RenderedFile, Role, StorageKind
from provision.common.clocks import now_s
from provision.common.own_directories import is_own, remove_tree
from provision.common.whole_files import write_whole
from provision.errors import NodeGone, PartlyApplied, ProvisionError, Unavailable
from provision.events import Listener
from provision.home.locks import HomeLock
from provision.home.place import Home
from provision.home.ports import PortState, port_becomes_free, port_state
from provision.plan.about import About
from provision.plan.observed import ObservedEnvironment
from provision.plan.stored import StoredData
from provision.runtime import directories, jars, tool_logging
from provision.runtime.archives import kind_of
from provision.runtime.base import (
    SECRET_MODE,
    JavaCommand,
    Runtime,
    Streams,
    format_command,
    format_failed,
    port_forbidden,
    port_taken,
)
from provision.runtime.process import logs, observing, processes, tools
from provision.runtime.process.archives import ProcessArchives
from provision.runtime.process.formatting import write_formatted
from provision.runtime.process.java import find_java, variables
from provision.runtime.process.notes import (
    ABOUT_FILE,
    NODE_FILE,
    EnvironmentNote,
    NodeNote,
    damaged,
    files_of,
    known,
    read_environment,
    read_node,
    required_environment,
)
from provision.runtime.process.places import Places
from provision.security.listening import written

if TYPE_CHECKING:
    from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals

_PORT_PATIENCE_S = 1.0


class ProcessRuntime(Runtime):
    """Nodes as processes of this user on this machine."""

    kind = "process"

    def __init__(self, home: Home) -> None:
        self._home = home
        self._places = Places(home)
        self._archives = ProcessArchives(home, self._places)

    @property
    def archives(self) -> ProcessArchives:
        """Those in the cache."""
        return self._archives

    # -- observe ------------------------------------------------------------------------------------------------------

    def environments(self) -> tuple[str, ...]:
        """Those with a directory, or with a process that carries their mark."""
        return self._places.environments()

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:  # noqa: ARG002 the home is ours alone
        """Observe directories, and the processes that carry their mark."""
        home = self._places.environment(name)
        with files_of(home):
            return observing.environment(self._places, name, self.kind)

    def abouts(self) -> Mapping[str, About]:
        """Read them from the environments' directories."""
        return {name: about for name in self._places.with_about() if (about := self.about(name))}

    def about(self, name: str) -> About | None:
        """Read it from the environment's directory."""
        return known(self._places.environment(name) / ABOUT_FILE, About)

    def sizes(self) -> Mapping[str, int]:
        """Add up their files."""
        return self._places.sizes()

    def orphans(self) -> frozenset[tuple[Path, str]]:
        """Find them by the marks of processes, and by where these are."""
        return self._places.orphans()

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Read them from the node's directory; none of a node whose note is damaged, so that it is created again."""
        directory = self._places.environment(name) / node
        if not directory.is_dir() and node not in processes.marked(directory.parent):
            raise NodeGone(name, node)
        return observing.files_of_node(directory)

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """Read it from the data directory."""
        data = self._places.data(name, node, self._storage_of(name))
        return directories.stored_in(data, node, observing.files_of_node(self._places.environment(name) / node))

    def _storage_of(self, name: str) -> str:
        """The kind or directory of the environment's storage, from its note, or else from its nodes'."""
        kept = read_environment(self._places.environment(name))
        return kept.storage if kept else observing.described(self._places, name).storage

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Read them from the node's own files."""
        directory = self._required(name, node)
        with files_of(directory):
            yield from logs.lines(directory, tail)
            if follow:
                yield from logs.follow(directory, lambda: HomeLock(self._home.directory, name).is_held)

    # -- examine ------------------------------------------------------------------------------------------------------

    def machine(self) -> "Machine":
        """The machine of this process, with the directories that are written to."""
        from provision.runtime.process import vitals

        return vitals.this_machine((self._home.directory, self._home.cache))

    def surroundings(self, name: str) -> "Surroundings":
        """The directories of its nodes and its notes: nodes are in no network, and run jars."""
        from provision.runtime.health import Surroundings

        home = self._places.environment(name)
        with files_of(home):
            nodes = sorted(self._places.storages(name))
            return Surroundings(
                configured={node: str(home / node / "config") for node in nodes},
                damaged=damaged(home, [home / node for node in nodes]),
            )

    def vitals(self, name: str, node: str) -> "Vitals":
        """Ask the system about its process, and about the file system with its data."""
        from provision.runtime.process import vitals

        data = self._places.data(name, node, self._storage_of(name))
        return vitals.of_node(processes.find(self._places.environment(name) / node), data)

    def ask(self, environment: ObservedEnvironment, asker: "Asker", probes: Sequence["Probe"]) -> "Reached | None":  # noqa: ARG002
        """There is no network but this machine's."""
        return None

    # -- prepare ------------------------------------------------------------------------------------------------------

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The jars of the version, unless the cache has all of them; a named distribution must exist."""
        if Path(cluster.software).is_absolute():
            if not any(self._libs(cluster).glob("*.jar")):
                raise Unavailable(f"there is no Kafka in {cluster.software}", why="it has no jars in libs")
            return ()
        return () if jars.is_whole(self._libs(cluster)) else (cluster.software,)

    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:  # noqa: ARG002
        """Fetch the jars into the cache."""
        jars.fetch(cluster.version, self._libs(cluster), tell)

    def identify_software(self, cluster: Cluster) -> Identities:
        """The identity of each jar on the class path."""
        return jars.identify(self._libs(cluster))

    def _libs(self, cluster: Cluster) -> Path:
        """The directory of the jars: in the named distribution, or in the cache."""
        if Path(cluster.software).is_absolute():
            return Path(cluster.software, "libs")
        return self._home.jars(cluster.version)

    def write_about(self, name: str, about: About) -> None:
        """Write it into the environment's directory."""
        with files_of(self._places.environment(name)):
            write_whole(self._places.make(name) / ABOUT_FILE, about.written)

    def create_network(self, cluster: Cluster) -> None:
        """Write the environment's note. Its nodes share the loopback interface."""
        find_java(cluster.version)  # before anything is created: without Java nothing can start
        self._note(cluster)

    def _note(self, cluster: Cluster) -> None:
        """Write `environment.json` if it is not there, or says something else."""
        home = self._places.environment(cluster.name)
        before = read_environment(home)
        goes_on = any(observing.is_there(home / node) for node in self._places.storages(cluster.name))
        libs = cluster.nodes[0].java_args[cluster.nodes[0].java_args.index("-cp") + 1]
        note = EnvironmentNote(
            software=cluster.software,
            libs=libs,
            version=str(cluster.version),
            mode=cluster.mode,
            storage=cluster.storage.directory or str(cluster.storage.kind),
            created_s=before.created_s if before and goes_on else now_s(),
            ttl_s=cluster.ttl_s,
            cluster_id=cluster.cluster_id,
        )
        if note != before:
            with files_of(home):
                self._places.make(cluster.name)
            note.write(home)

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Create the directories, readable only by this user."""
        directory = self._places.environment(cluster.name) / node.name
        with files_of(directory):
            self._places.make(cluster.name, node.name)
            self._places.make_data(cluster.name, node.name, cluster.storage.directory or cluster.storage.kind)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Write the node's configuration."""
        directory = self._places.environment(cluster.name) / node.name
        if not observing.is_there(directory):
            self.create_storage(cluster, node)  # a killed command may have left it incomplete
            self.replace_node(cluster, node, files)

    def replace_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Write the node's new configuration; its log is kept too."""
        self._note(cluster)
        directory = self._places.environment(cluster.name) / node.name
        inside = f"{node.listeners[0].host}:{node.listeners[0].port}" if node.role is Role.BROKER else node.endpoint
        note = NodeNote(
            config_hash="",
            endpoint=node.endpoint,
            inside=inside if inside != node.endpoint else None,
            listeners=written(node.told_listeners),
            version=str(cluster.version),
            software=cluster.software,
            ports=tuple(listener.listen_port for listener in (*node.listeners, *node.java_ports)),
            arguments=node.java_args,
            archive=kind_of(cluster, node),
        )
        with files_of(directory):
            for part in ("config", "log", "tmp"):
                self._places.make(cluster.name, node.name, part)
            # Without a fingerprint until the files are written: what a killed command leaves is compared by file.
            note.write(directory)
            self.update_files(cluster.name, node.name, files)
            if node.role is Role.ZOOKEEPER:
                write_whole(Path(node.data_dir) / "myid", f"{node.id}\n")
            note.model_copy(update={"config_hash": written_hash(files)}).write(directory)
        if cluster.storage.kind is StorageKind.DIRECTORY:
            directories.keep_files(Path(cluster.storage.directory), node.name, files)

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Write the two files that the release's own tool would write; where it might write others, run that."""
        directory, data = self._required(name, node), self._places.data(name, node, self._storage_of(name))
        if write_formatted(directory, data, cluster_id):
            return
        config = directory / "config"
        code, output = self._run(name, format_command(node, cluster_id, config.as_posix()), config)
        if code:
            raise format_failed(node, output)

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Write them to the node's directory."""
        directory = self._places.environment(name) / node / "config"
        with files_of(directory):
            self._places.make(name, node, "config")
            for file in in_order(files):
                write_whole(directory / file.name, file.content, mode=SECRET_MODE if file.secret else None)

    def start_node(self, name: str, node: str) -> None:
        """Start its JVM, with the Java that is found now; one that is paused goes on."""
        directory = self._required(name, node)
        if processes.resume(directory):
            return
        note = read_node(directory)
        self._require_directories(name, node)
        for port in note.ports:
            if port_state(port) is PortState.FORBIDDEN:
                raise port_forbidden(f"starting {node}", LOOPBACK, port)
            if not port_becomes_free(port, _PORT_PATIENCE_S):  # held until a killed process's last thread ends
                raise port_taken(f"starting {node}", LOOPBACK, port)
        java = find_java(KafkaVersion.parse(note.version))
        with files_of(directory):
            console = logs.fresh_console(directory)
            command = [java.command, processes.mark(directory), *self._archives.launched(note, java, directory)]
        processes.start(command, directory, console, variables(self._home.passwords))

    def _require_directories(self, name: str, node: str) -> None:
        """Since the node's last start its directories may have gone, and somebody else's may have taken their place."""
        storage, (role, number) = self._storage_of(name), Role.parse(node)
        with files_of(self._places.environment(name) / node):
            self._places.make(name, node, "log")
            if storage == StorageKind.MEMORY:
                self._places.make_data(name, node, storage)
                if role is Role.ZOOKEEPER:  # gone with the rest, after a reboot
                    write_whole(self._places.data(name, node, storage) / "myid", f"{role.id_of(number)}\n")
            elif Path(storage).is_absolute():
                is_own(Path(storage, node), below=Path(storage))
                directories.require_no_links(Path(storage), node)

    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Stop its JVM."""
        processes.stop(self._places.environment(name) / node, patience_s)

    def pause_node(self, name: str, node: str) -> None:
        """Pause its JVM (SIGSTOP)."""
        processes.pause(self._places.environment(name) / node)

    def kill_node(self, name: str, node: str) -> None:
        """Kill its JVM."""
        processes.kill(self._places.environment(name) / node)

    # -- remove -------------------------------------------------------------------------------------------------------

    def remove_node(self, name: str, node: str) -> None:
        """Kill its JVM, and remove all but its data and what they were used with.

        Its note goes first, so that no partial node remains.
        """
        directory = self._places.environment(name) / node
        processes.kill(directory)
        processes.forget(directory)
        if not directory.is_dir() or directory.is_symlink():  # a link goes with the storage
            return
        self._restore_note(name)
        with files_of(directory):
            remove_tree(directory / NODE_FILE)
            for entry in directory.iterdir():
                if entry.name not in ("data", "config"):
                    remove_tree(entry)

    def _restore_note(self, name: str) -> None:
        """Write a lost `environment.json` again as long as there are nodes to tell it: data that are kept need it."""
        home = self._places.environment(name)
        if read_environment(home) is None and (note := observing.described(self._places, name).as_note()):
            with suppress(ProvisionError):  # a full disk, for example, does not keep anything from being removed
                note.write(home)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """Remove its directories; the one that identifies it last, so that an interrupted removal can be repeated."""
        home, storage = self._places.environment(name), self._storage_of(name)
        if Path(storage).is_absolute():
            directories.delete(Path(storage), node, name, data=delete_data)
        processes.kill(home / node)
        with files_of(home / node):
            self._places.remove(name, node)

    def remove_network(self, name: str) -> None:
        """Kill what a killed command left running; delete what is beside the nodes once there are none."""
        home = self._places.environment(name)
        processes.kill_tools(home)
        with files_of(home):
            left = self._places.remove_rest(name)
        if left:
            raise PartlyApplied(
                f"{', '.join(map(str, left))} {'is' if len(left) == 1 else 'are'} left",
                why="it was not made by provision, and somebody may need what is in it",
                hint=f"move it away, or remove it, then `provision down {name}`",
            )

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run it as a process of this machine: all share the same network."""
        return self._run(name, command, self._required(name, node) / "config")

    def _run(self, name: str, command: JavaCommand, own: Path) -> tuple[int, str]:
        with tools.told(command, self._places.environment(name), own) as started:
            line = self._tool_command(name, command, started)
            return tools.output(line, started.descriptors, variables(self._home.passwords))

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run it with the caller's streams if they are files of the system, else through pipes."""
        home = self._places.environment(environment.name)
        with tools.told(command, home, home) as started:
            line = self._tool_command(environment.name, command, started)
            return tools.run(line, started.descriptors, streams, variables(self._home.passwords))

    def _tool_command(self, name: str, command: JavaCommand, started: tools.Started) -> list[str]:
        home = self._places.environment(name)
        kept = required_environment(home)
        with files_of(home):
            for file, content in tool_logging.FILES.items():
                write_whole(home / file, content)
        options = [*tools.OPTIONS, *tool_logging.options(home.as_posix()), *started.options]
        java = find_java(KafkaVersion.parse(kept.version))
        mark = processes.tool_mark(home)
        return [java.command, mark, *options, "-cp", kept.libs, command.main_class, *started.arguments]

    def inside_address(self, name: str, node: str) -> str:
        """The same address as from outside, unless brokers have a listener of their own."""
        directory = self._places.environment(name) / node
        note = read_node(directory) if observing.is_there(directory) else None
        return (note.inside or note.endpoint or "") if note else ""

    def _required(self, name: str, node: str) -> Path:
        directory = self._places.environment(name) / node
        if not observing.is_there(directory):
            raise NodeGone(name, node)
        return directory
