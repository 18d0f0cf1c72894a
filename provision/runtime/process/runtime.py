"""The runtime interface for plain JVMs. An environment is a directory below the home.

environments/NAME/environment.json     the environment
environments/NAME/NODE/node.json       the node
environments/NAME/NODE/process.json    its process, by id and start time
environments/NAME/NODE/{config,data,log,tmp}
"""

import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from psutil import Process

from provision.catalogue.versions import KafkaVersion
from provision.cluster.identity import Identities
from provision.cluster.layout import LOOPBACK
from provision.cluster.model import Cluster, Node, RenderedFile, Role, StorageKind
from provision.common.own_directories import is_own, remove_tree
from provision.common.whole_files import DRAFT_SUFFIX, write_whole
from provision.errors import ProvisionError, Unavailable
from provision.events import Listener
from provision.home.place import Home
from provision.home.ports import PortState, port_becomes_free, port_state
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.plan.stored import StoredData
from provision.runtime import directories, jars, tool_logging
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
from provision.runtime.process import logs, processes
from provision.runtime.process.java import find_java, variables
from provision.runtime.process.notes import (
    NODE_FILE,
    NODE_NAME,
    EnvironmentNote,
    files_of,
    read_environment,
    read_node,
    write_node,
)
from provision.runtime.process.places import Places, remove_empty

_TOOL_TIMEOUT_S = 60
_PORT_PATIENCE_S = 1.0


class ProcessRuntime(Runtime):
    """Nodes as processes of this user on this machine."""

    kind = "process"

    def __init__(self, home: Home) -> None:
        self._home = home
        self._places = Places(home)

    # -- observe ------------------------------------------------------------------------------------------------------

    def environments(self) -> tuple[str, ...]:
        """Those with a directory, or with a process that carries their mark."""
        return self._places.environments()

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:  # noqa: ARG002 the home is ours alone
        """Observe directories, and the processes that carry their mark."""
        home = self._places.environment(name)
        kept, storages, running = read_environment(home), self._places.storages(name), processes.marked(home)
        known = {node for node in storages if (home / node / NODE_FILE).is_file()}
        lost = {node for node in running if NODE_NAME.fullmatch(node)} - known
        nodes = [*(self._node(home / node, running) for node in known), *map(_lost, lost)]
        return ObservedEnvironment(
            name=name,
            runtime=self.kind,
            software=kept.software if kept else "",
            version=kept.version if kept else "",
            mode=kept.mode if kept else "",
            storage=kept.storage if kept else "",
            cluster_id=kept.cluster_id if kept else "",
            network=kept is not None,
            storages=storages,
            nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.number))),
            created_s=kept.created_s if kept else None,
            ttl_s=kept.ttl_s if kept else None,
        )

    def _node(self, directory: Path, running: Mapping[str, Process]) -> ObservedNode:
        try:
            node = read_node(directory)
        except ProvisionError:  # it must stay visible, so that it can be stopped and removed
            role, _ = Role.parse(directory.name)
            node = {"name": directory.name, "role": role, "config_hash": "", "endpoint": None}
        if process := processes.find(directory, running):
            state = NodeState.PAUSED if processes.is_paused(process) else NodeState.RUNNING
        else:
            state = NodeState.EXITED if processes.was_started(directory) else NodeState.CREATED
        return ObservedNode(
            name=node["name"],
            role=node["role"],
            state=state,
            config_hash=node["config_hash"],
            endpoint=node["endpoint"],
            exit_code=processes.exit_code(directory) if state is NodeState.EXITED else None,
            version=node.get("version", ""),
            software=node.get("software", ""),
        )

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Read them from the node's directory."""
        config = self._places.environment(name) / node / "config"
        if not config.is_dir():
            return ()
        files = (file for file in sorted(config.iterdir()) if file.suffix != DRAFT_SUFFIX)
        return tuple(RenderedFile(node, file.name, file.read_bytes(), secret=_is_secret(file)) for file in files)

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """Read it from the data directory."""
        kept = read_environment(self._places.environment(name))
        data = self._places.data(name, node, kept.storage if kept else "")
        return directories.stored_in(data, node, self.read_files(name, node))

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Read them from the node's own files."""
        directory = self._required(name, node)
        yield from logs.lines(directory, tail)
        if follow:
            yield from logs.follow(directory)

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

    def create_network(self, cluster: Cluster) -> None:
        """Write the environment's note. Its nodes share the loopback interface."""
        find_java(cluster.version)  # before anything is created: without Java nothing can start
        self._note(cluster)

    def _note(self, cluster: Cluster) -> None:
        """Write `environment.json`, also if the software has changed."""
        home = self._places.environment(cluster.name)
        before = read_environment(home)
        if before is not None and before.software == cluster.software:
            return
        with files_of(home):
            self._places.make(cluster.name)
        libs = cluster.nodes[0].java_args[cluster.nodes[0].java_args.index("-cp") + 1]
        note = EnvironmentNote(
            software=cluster.software,
            libs=libs,
            version=str(cluster.version),
            mode=cluster.mode,
            storage=cluster.storage.directory or cluster.storage.kind,
            created_s=before.created_s if before else time.time(),
            ttl_s=cluster.ttl_s,
            cluster_id=cluster.cluster_id,
        )
        note.write(home)

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Create the directories, readable only by this user."""
        directory = self._places.environment(cluster.name) / node.name
        with files_of(directory):
            self._places.make(cluster.name, node.name)
            self._places.make_data(cluster.name, node.name, cluster.storage.directory or cluster.storage.kind)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile], config_hash: str) -> None:
        """Write the node's configuration."""
        directory = self._places.environment(cluster.name) / node.name
        if not (directory / NODE_FILE).exists():
            self.create_storage(cluster, node)  # a killed command may have left it incomplete
            self.replace_node(cluster, node, files, config_hash)

    def replace_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile], config_hash: str) -> None:
        """Write the node's new configuration; its log is kept too."""
        self._note(cluster)
        directory = self._places.environment(cluster.name) / node.name
        described = {
            "name": node.name,
            "role": node.role,
            "config_hash": "",
            "endpoint": node.endpoint,
            "version": str(cluster.version),
            "software": cluster.software,
            "ports": [listener.listen_port for listener in node.listeners],
            "arguments": node.java_args,
        }
        with files_of(directory):
            for part in ("config", "log", "tmp"):
                self._places.make(cluster.name, node.name, part)
            # Without a fingerprint until the files are written: what a killed command leaves is compared by file.
            write_node(directory, described)
            self.update_files(cluster.name, node.name, files)
            if node.role is Role.ZOOKEEPER:
                write_whole(Path(node.data_dir) / "myid", f"{node.id}\n")
            write_node(directory, described | {"config_hash": config_hash})
        if cluster.storage.kind is StorageKind.DIRECTORY:
            directories.keep_files(Path(cluster.storage.directory), node.name, files)

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Format it with the Java that is found now."""
        config = self._required(name, node) / "config"
        code, output = self._run(self._tool_command(name, format_command(node, cluster_id, config.as_posix())))
        if code:
            raise format_failed(node, output)

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Write them to the node's directory."""
        directory = self._places.environment(name) / node / "config"
        with files_of(directory):
            self._places.make(name, node, "config")
            for file in files:
                write_whole(directory / file.name, file.content, mode=SECRET_MODE if file.secret else None)

    def start_node(self, name: str, node: str) -> None:
        """Start its JVM, with the Java that is found now; one that is paused goes on."""
        directory = self._required(name, node)
        if processes.resume(directory):
            return
        described = read_node(directory)
        self._require_directories(name, node)
        for port in described["ports"]:
            if port_state(port) is PortState.FORBIDDEN:
                raise port_forbidden(f"starting {node}", LOOPBACK, port)
            if not port_becomes_free(port, _PORT_PATIENCE_S):  # held until a killed process's last thread ends
                raise port_taken(f"starting {node}", LOOPBACK, port)
        java = find_java(KafkaVersion.parse(described["version"]))
        command = [java.command, processes.mark(directory), *described["arguments"]]
        with files_of(directory):
            console = logs.fresh_console(directory)
        processes.start(command, directory, console, variables())

    def _require_directories(self, name: str, node: str) -> None:
        """Since the node's last start its directories may have gone, and somebody else's may have taken their place."""
        home = self._places.environment(name)
        kept = read_environment(home)
        with files_of(home / node):
            self._places.make(name, node, "log")
            if kept and kept.storage == StorageKind.MEMORY:
                self._places.make_data(name, node, kept.storage)
            elif kept and Path(kept.storage).is_absolute():
                is_own(Path(kept.storage, node), below=Path(kept.storage))
                directories.require_no_links(Path(kept.storage), node)

    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Stop its JVM."""
        processes.stop(self._places.environment(name) / node, patience_s)

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
        if not directory.is_dir() or directory.is_symlink():  # a link goes with the storage
            return
        with files_of(directory):
            (directory / NODE_FILE).unlink(missing_ok=True)
            for entry in directory.iterdir():
                if entry.name not in ("data", "config"):
                    remove_tree(entry)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """Remove its directories; the one that identifies it last, so that an interrupted removal can be repeated."""
        home = self._places.environment(name)
        kept = read_environment(home)
        if delete_data and kept and Path(kept.storage).is_absolute():
            directories.delete(Path(kept.storage), node, name)
        processes.kill(home / node)
        with files_of(home / node):
            self._places.remove(name, node)

    def remove_network(self, name: str) -> None:
        """Kill what a killed command left running; delete the note. The directory is removed with the last storage."""
        home = self._places.environment(name)
        processes.kill_tools(home)
        with files_of(home):
            for file in home.glob("*") if home.is_dir() else ():
                if not file.is_dir() and not any(NODE_NAME.fullmatch(entry.name) for entry in home.iterdir()):
                    file.unlink()
        for place in (home, home.parent):
            remove_empty(place)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run it as a process of this machine: all share the same network."""
        self._required(name, node)
        return self._run(self._tool_command(name, command))

    def _run(self, command: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(  # noqa: S603 the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables(),
            timeout=_TOOL_TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run it with the caller's streams if they are files of the system, else through pipes."""
        out, err = _descriptor(streams.stdout), _descriptor(streams.stderr)
        with subprocess.Popen(  # noqa: S603 the command is ours
            self._tool_command(environment.name, command),
            stdin=streams.stdin or subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=variables(),
        ) as tool:
            try:
                written, complained = tool.communicate()
            except BaseException:
                tool.kill()
                raise
        streams.stdout.write(written or b"")
        streams.stderr.write(complained or b"")
        return 128 - tool.returncode if tool.returncode < 0 else tool.returncode

    def _tool_command(self, name: str, command: JavaCommand) -> list[str]:
        home = self._places.environment(name)
        kept = read_environment(home)
        if kept is None:
            raise ProvisionError(f"there is no environment {name}")
        for file, content in tool_logging.FILES.items():
            write_whole(home / file, content)
        options = [
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            *tool_logging.options(home.as_posix()),
        ]
        java = find_java(KafkaVersion.parse(kept.version))
        mark = processes.tool_mark(home)
        return [java.command, mark, *options, "-cp", kept.libs, command.main_class, *command.arguments]

    def inside_address(self, name: str, node: str) -> str:
        """The same address as from outside."""
        directory = self._places.environment(name) / node
        return str(read_node(directory)["endpoint"]) if (directory / NODE_FILE).is_file() else ""

    def _required(self, name: str, node: str) -> Path:
        directory = self._places.environment(name) / node
        if not (directory / NODE_FILE).is_file():
            raise ProvisionError(f"{name} has no node {node}", hint=f"`provision status {name}` lists them")
        return directory


def _lost(node: str) -> ObservedNode:
    return ObservedNode(node, Role.parse(node)[0], NodeState.LOST, config_hash="")


def _is_secret(file: Path) -> bool:
    return stat.S_IMODE(file.stat().st_mode) == SECRET_MODE


def _descriptor(stream: IO[bytes]) -> int:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return subprocess.PIPE
