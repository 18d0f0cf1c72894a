"""Where a runtime puts things: the one part of `resolve` that differs between containers and local processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from provision.catalogue.images import default_image, layout_of
from provision.catalogue.versions import KRAFT, ZOOKEEPER, KafkaVersion
from provision.cluster.model import Listener, Role
from provision.spec.checks import mode_of
from provision.spec.model import EnvironmentSpec

CLIENT, QUORUM, ELECTION = "CLIENT", "QUORUM", "ELECTION"
INTERNAL, HOST, CONTROLLER = "INTERNAL", "HOST", "CONTROLLER"

NODE_HOME = "/var/lib/provision"

_ANY = "0.0.0.0"  # noqa: S104 inside a container of its own network; published on 127.0.0.1 only
LOOPBACK = "127.0.0.1"
"""Where clients reach nodes of this machine: ports are bound there and nowhere else."""
_ZOOKEEPER_PORTS = {CLIENT: 2181, QUORUM: 2888, ELECTION: 3888}
_INTERNAL_PORT, _HOST_PORT, _CONTROLLER_PORT = 9092, 19092, 9093
# Brokers that are controllers too: three are enough, and more of them need no say.
_VOTING_BROKERS = 3


Ports = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Software:
    """What a node runs: an image or the jars of a version, by `name`; the JVM's command, and the jars.

    `logs_itself` tells that it brings its own logging configuration, for a library that Kafka's would not fit.
    """

    name: str
    java: str
    class_path: str
    logs_itself: bool = False


class Layout(Protocol):
    """What `resolve` asks of a runtime. Paths are as the node sees them."""

    @property
    def runtime(self) -> str:
        """The runtime's kind."""

    def software(self, role: Role) -> Software:
        """What nodes of that role run."""

    def config_dir(self, node: str) -> str:
        """Where the node's configuration files are."""

    def data_dir(self, node: str) -> str:
        """Where the node keeps its data."""

    def temp_dir(self, node: str) -> str:
        """A directory for native libraries: writable, and not mounted noexec."""

    def log_file(self, node: str) -> str | None:
        """The file that the node logs to, or None for standard output."""

    def leased_ports(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        """What needs a free port of this machine: `NODE` for its clients, `NODE/LISTENER` for another listener."""

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """The client, quorum and election ports of an ensemble's node, called `host` inside the environment."""

    def broker_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """The listeners of a broker called `host` inside the environment; the first one is used between brokers."""

    def controller_listener(self, host: str, node: str, ports: Ports) -> Listener:
        """Where a voter of the KRaft quorum, called `host` inside the environment, is reached by the others."""


@dataclass(frozen=True, slots=True)
class ContainerLayout:
    """A container each node: own addresses and equal ports inside, one published port outside.

    The node's volume holds `config` and `data` side by side, because files can be put into a volume before the
    container first starts, but not into a read-only root nor a tmpfs. It is mounted at a place of its own: images
    declare anonymous volumes at theirs, which would lie on top of it.
    """

    kafka: Software
    zookeeper: Software
    runtime: str = "docker"

    def software(self, role: Role) -> Software:
        """An image; ensembles may have one of their own."""
        return self.zookeeper if role is Role.ZOOKEEPER else self.kafka

    def config_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return f"{NODE_HOME}/config"

    def data_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return f"{NODE_HOME}/data"

    def temp_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """A tmpfs."""
        return "/tmp"  # noqa: S108 the container's own

    def log_file(self, node: str) -> str | None:  # noqa: ARG002 every container has its own output
        """Standard output, which the engine keeps."""
        return None

    def leased_ports(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        """The published ports that are `auto`; inside, all containers have the same."""
        return automatic_ports(spec)

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """The client port is published when the environment asks for a host port."""
        return tuple(
            Listener(name, _ANY, port, host, port, ports.get(node) if name == CLIENT else None, LOOPBACK)
            for name, port in _ZOOKEEPER_PORTS.items()
        )

    def controller_listener(self, host: str, node: str, ports: Ports) -> Listener:  # noqa: ARG002 equal ports inside
        """By container name; it binds to that name's address, because a controller tells others what it binds to."""
        return Listener(CONTROLLER, host, _CONTROLLER_PORT, host, _CONTROLLER_PORT)

    def broker_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """INTERNAL by container name, HOST by the published port."""
        return (
            Listener(INTERNAL, _ANY, _INTERNAL_PORT, host, _INTERNAL_PORT),
            Listener(HOST, _ANY, _HOST_PORT, LOOPBACK, ports[node], ports[node], LOOPBACK),
        )


@dataclass(frozen=True, slots=True)
class LocalLayout:
    """A process each node, all on this machine's loopback, so that every port is one of this machine's.

    `directory` is the environment's, `data_root` where the data are. Paths have forward slashes on every system: Java
    takes them, and a properties file needs no escapes for them.
    """

    name: str
    libs: str
    directory: str
    data_root: str
    runtime: str = "process"

    def software(self, role: Role) -> Software:  # noqa: ARG002 Kafka's jars hold its ZooKeeper too
        """All jars of the version; the JVM is looked for when a node starts."""
        return Software(self.name, "java", f"{self.libs}/*")

    def config_dir(self, node: str) -> str:
        """In the node's own directory."""
        return f"{self.directory}/{node}/config"

    def data_dir(self, node: str) -> str:
        """Below the root of the data."""
        return f"{self.data_root}/{node}/data"

    def temp_dir(self, node: str) -> str:
        """In the node's own directory, because a machine's own may be mounted noexec."""
        return f"{self.directory}/{node}/tmp"  # noqa: S108 not the machine's

    def log_file(self, node: str) -> str | None:
        """Rotated by size."""
        return f"{self.directory}/{node}/log/{node}.log"

    def leased_ports(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        """Whatever the file does not fix: ZooKeeper always needs a port here, and its ensemble two more a node."""
        if mode_of(spec) == KRAFT:
            return (*automatic_ports(spec), *(f"{node}/{CONTROLLER}" for node in voter_names(spec)))
        zookeepers = Role.ZOOKEEPER.nodes(spec.zookeeper.nodes)
        unfixed = zookeepers if spec.zookeeper.port is None else ()
        between = (
            [f"{node}/{name}" for node in zookeepers for name in (QUORUM, ELECTION)] if len(zookeepers) > 1 else []
        )
        return (*unfixed, *automatic_ports(spec), *between)

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:  # noqa: ARG002
        """The quorum's ports only where there is a quorum."""
        own = {name: ports.get(node if name == CLIENT else f"{node}/{name}") for name in _ZOOKEEPER_PORTS}
        return tuple(
            Listener(name, LOOPBACK, port, LOOPBACK, port, port if name == CLIENT else None, LOOPBACK)
            for name, port in own.items()
            if port is not None
        )

    def controller_listener(self, host: str, node: str, ports: Ports) -> Listener:  # noqa: ARG002
        """A port of this machine's for each voter."""
        port = ports[f"{node}/{CONTROLLER}"]
        return Listener(CONTROLLER, LOOPBACK, port, LOOPBACK, port)

    def broker_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:  # noqa: ARG002
        """One listener serves clients and brokers alike."""
        return (Listener(HOST, LOOPBACK, ports[node], LOOPBACK, ports[node], ports[node], LOOPBACK),)


def voter_names(spec: EnvironmentSpec) -> tuple[str, ...]:
    """The nodes that make up the KRaft quorum: the dedicated controllers, else one broker, or the first three."""
    if spec.controllers.nodes:
        return Role.CONTROLLER.nodes(spec.controllers.nodes)
    return Role.BROKER.nodes(_VOTING_BROKERS if spec.brokers.nodes >= _VOTING_BROKERS else 1)


def automatic_ports(spec: EnvironmentSpec) -> tuple[str, ...]:
    """The names of the nodes whose host port is `auto`."""
    has_ensemble = mode_of(spec) == ZOOKEEPER and spec.zookeeper.port == "auto"
    zookeepers = Role.ZOOKEEPER.nodes(spec.zookeeper.nodes) if has_ensemble else ()
    brokers = Role.BROKER.nodes(spec.brokers.nodes) if spec.brokers.port == "auto" else ()
    return (*zookeepers, *brokers)


def container_layout(spec: EnvironmentSpec) -> ContainerLayout:
    """Laid out as the image's entry in the catalogue says; the image follows from the version unless it is named."""
    image = spec.kafka.image or default_image(KafkaVersion.parse(spec.kafka.version))
    return ContainerLayout(kafka=_in_image(image), zookeeper=_in_image(spec.zookeeper.image or image))


def _in_image(image: str) -> Software:
    layout = layout_of(image)
    return Software(image, layout.java, layout.class_path, logs_itself=bool(layout.logging))
