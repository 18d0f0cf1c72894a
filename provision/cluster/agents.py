"""What Java agents and JMX ports are for one node: options of its JVM, ports that it opens, and files that it gets."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from provision.cluster.layout import Layout
from provision.cluster.model import AGENT_PREFIX, Cluster, Listener, RenderedFile
from provision.errors import InvalidEnvironment, Problem
from provision.spec.agents import ADDRESS, PLACEHOLDER, PORT, files_of
from provision.spec.java import AgentSpec, JavaSpec

JMX = "JMX"


class Agents(Struct, frozen=True):
    """The options, ports and files (absolute paths on this machine) of one node."""

    options: tuple[str, ...] = ()
    ports: tuple[Listener, ...] = ()
    files: tuple[str, ...] = ()


def agents_of(java: JavaSpec, layout: Layout, node: str, number: int) -> Agents:
    """Those of node `number` of a section, of whose files the spec has whole paths."""
    options: list[str] = []
    ports: list[Listener] = []
    files: list[str] = []
    for index, agent in enumerate(java.agents, start=1):
        port = None
        if agent.port is not None:
            port = layout.java_port(f"AGENT-{index}", agent.port + number - 1)
            ports.append(port)
        options.append(_loading(agent, layout.agent_dir(node), port))
        files += files_of(agent).values()
    if java.jmx_port is not None:
        ports.append(layout.java_port(JMX, java.jmx_port + number - 1))
        options += _jmx(ports[-1])
    return Agents(tuple(options), tuple(ports), tuple(files))


def _loading(agent: AgentSpec, directory: str, port: Listener | None) -> str:
    known = {name: f"{directory}/{AGENT_PREFIX}{name}" for name in files_of(agent)}
    if port is not None:
        known |= {ADDRESS: f"{port.bind}:{port.listen_port}", PORT: str(port.listen_port)}
    options = PLACEHOLDER.sub(lambda found: known[found[1]], agent.options or "")
    jar = next(iter(known.values()))
    return f"-javaagent:{jar}={options}" if options else f"-javaagent:{jar}"


def _jmx(port: Listener) -> Iterator[str]:
    """JMX on one port for both of its connections, so that it can be published; whoever reaches it may use it."""
    remote = "-Dcom.sun.management.jmxremote"
    yield f"{remote}.port={port.listen_port}"
    yield f"{remote}.rmi.port={port.listen_port}"
    yield f"{remote}.host={port.bind}"
    yield f"{remote}.authenticate=false"
    yield f"{remote}.ssl=false"
    yield f"-Djava.rmi.server.hostname={port.host_address}"


def agent_files(cluster: Cluster) -> Iterator[RenderedFile]:
    """The files of agents for every node, as they are now.

    Raises:
        InvalidEnvironment: one cannot be read any more.
    """
    contents: dict[str, bytes] = {}
    for node in cluster.nodes:
        for path in node.agent_files:
            if path not in contents:
                try:
                    contents[path] = Path(path).read_bytes()
                except OSError as error:
                    why = f"cannot be read: {(error.strerror or str(error)).lower()}"
                    problem = Problem(path, 0, 0, "", why, "put it back, or remove the agent")
                    raise InvalidEnvironment([problem]) from error
            yield RenderedFile(node.name, f"{AGENT_PREFIX}{path.rpartition('/')[2]}", contents[path])
