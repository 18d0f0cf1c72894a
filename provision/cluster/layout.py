"""The layout of a runtime: the part of `resolve` that differs between containers and local processes."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from provision.catalogue.images import default_image, layout_of
from provision.catalogue.versions import KRAFT, ZOOKEEPER, KafkaVersion
from provision.cluster.model import Listener, Role
from provision.common.values import replace
from provision.security.listening import INTERNAL, Security, lease_name
from provision.security.profiles import CONTROLLER
from provision.spec.defaults import mode_of
from provision.spec.listeners import broker_ports, security_of
from provision.spec.model import EnvironmentSpec

CLIENT, QUORUM, ELECTION = "CLIENT", "QUORUM", "ELECTION"

NODE_HOME = "/var/lib/provision"

_ANY = "0.0.0.0"  # noqa: S104 inside a container of its own network; published on 127.0.0.1 only
LOOPBACK = "127.0.0.1"
"""The address of nodes for clients on this machine: ports are bound only there."""
_ZOOKEEPER_PORTS = {CLIENT: 2181, QUORUM: 2888, ELECTION: 3888}
_INTERNAL_PORT, _HOST_PORT = 9092, 19092
# One for each protocol. The voters' addresses are in every node's file: they cannot change with a listener's protocol.
_CONTROLLER_PORTS = {CONTROLLER: 9093, f"{CONTROLLER}_SSL": 9095, f"{CONTROLLER}_SASL_PLAINTEXT": 9097}
_BESIDE = 20  # beyond those of all listeners that a file may name
# If brokers are also controllers, three voters suffice.
_VOTING_BROKERS = 3


Ports = Mapping[str, int]


class Software(Struct, frozen=True):
    """What a node runs: an image or the jars of a version, by `name`; the JVM's command, and the jars.

    `logs_itself` is whether it has its own logging configuration, for a logging library other than Kafka's.
    """

    name: str
    java: str
    class_path: str
    logs_itself: bool = False


class Layout(Protocol):
    """What `resolve` needs from a runtime. Paths are as the node sees them."""

    @property
    def runtime(self) -> str:
        """The runtime's kind."""

    def engine(self, node: str) -> str:
        """The id of the engine that the node is pinned to; empty where there is only one."""

    def software(self, role: Role) -> Software:
        """The software of nodes of that role."""

    def config_dir(self, node: str) -> str:
        """The directory of the node's configuration files."""

    def data_dir(self, node: str) -> str:
        """The directory of the node's data."""

    def agent_dir(self, node: str) -> str:
        """The same directory, as options of its JVM name it: free of characters that mean something in them."""

    def temp_dir(self, node: str) -> str:
        """A directory for native libraries, writable and not mounted noexec."""

    def log_file(self, node: str) -> str | None:
        """The file that the node logs to, from the directory it is started in, or None for standard output."""

    def leased_ports(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        """What needs a free port on this machine: `NODE` for its clients, `NODE/LISTENER` for another listener."""

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """The client, quorum and election ports of an ensemble's node, called `host` inside the environment."""

    def broker_listeners(self, host: str, node: str, ports: Ports, security: Security) -> tuple[Listener, ...]:
        """The listeners of a broker called `host` inside the environment; the first one is used between brokers."""

    def controller_listener(self, name: str, host: str, node: str, ports: Ports) -> Listener:
        """The controller listener of a voter of the KRaft quorum, called `host` inside the environment."""

    def java_port(self, name: str, port: int) -> Listener:
        """A port that a node's JVM opens for this machine, such as that of JMX."""


class ContainerLayout(Struct, frozen=True):
    """One container per node: own addresses and equal ports inside, one published port outside.

    The node's volume has both `config` and `data`, because files can be copied into a volume before the container first
    starts, but not into a read-only root or a tmpfs. It is mounted at a path of its own: at their usual paths, images
    declare anonymous volumes, which would hide it.
    """

    kafka: Software
    zookeeper: Software
    runtime: str = "docker"

    def engine(self, node: str) -> str:  # noqa: ARG002 there is only one
        """All are containers of the same one."""
        return ""

    def software(self, role: Role) -> Software:
        """The image; ensembles may have their own."""
        return self.zookeeper if role is Role.ZOOKEEPER else self.kafka

    def config_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return f"{NODE_HOME}/config"

    def agent_dir(self, node: str) -> str:
        """The same path."""
        return self.config_dir(node)

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
        """The published ports that are `auto`; inside, all containers use the same ports."""
        return automatic_ports(spec)

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """The client port is published when the environment asks for a host port."""
        return tuple(
            Listener(name, _ANY, port, host, port, ports.get(node) if name == CLIENT else None, LOOPBACK)
            for name, port in _ZOOKEEPER_PORTS.items()
        )

    def controller_listener(self, name: str, host: str, node: str, ports: Ports) -> Listener:  # noqa: ARG002 equal ports inside
        """By container name; bound to that name's address, because a controller advertises the address it binds to."""
        return Listener(name, host, _CONTROLLER_PORTS[name], host, _CONTROLLER_PORTS[name])

    def java_port(self, name: str, port: int) -> Listener:
        """The same port inside, published."""
        return Listener(name, _ANY, port, LOOPBACK, port, port, LOOPBACK)

    def broker_listeners(self, host: str, node: str, ports: Ports, security: Security) -> tuple[Listener, ...]:
        """INTERNAL by container name, the others by the published port."""
        published = [(name, ports[lease_name(node, name)]) for name in security.names]
        return (
            Listener(INTERNAL, _ANY, _INTERNAL_PORT, host, _INTERNAL_PORT),
            *(
                Listener(name, _ANY, own_port, LOOPBACK, port, port, LOOPBACK)
                for own_port, (name, port) in enumerate(published, start=_HOST_PORT)
            ),
        )


class LocalLayout(Struct, frozen=True):
    """One process per node, all on this machine's loopback interface, so that every port is a port of this machine.

    `directory` is the environment's, `data_root` the root of the data. Paths have forward slashes on every system: Java
    accepts them, and a properties file needs no escapes for them.
    """

    name: str
    libs: str
    directory: str
    data_root: str
    runtime: str = "process"

    def engine(self, node: str) -> str:  # noqa: ARG002 there is none
        """Processes have none."""
        return ""

    def software(self, role: Role) -> Software:  # noqa: ARG002 Kafka's jars hold its ZooKeeper too
        """All jars of the version; the JVM is located when a node starts."""
        return Software(self.name, "java", f"{self.libs}/*")

    def config_dir(self, node: str) -> str:
        """In the node's own directory."""
        return f"{self.directory}/{node}/config"

    def agent_dir(self, node: str) -> str:  # noqa: ARG002 relative to the node's own directory, in which it is started
        """Relative: the home's path may have any character."""
        return "config"

    def data_dir(self, node: str) -> str:
        """Below the root of the data."""
        return f"{self.data_root}/{node}/data"

    def temp_dir(self, node: str) -> str:
        """In the node's own directory, because the machine's may be mounted noexec."""
        return f"{self.directory}/{node}/tmp"  # noqa: S108 not the machine's

    def log_file(self, node: str) -> str | None:
        """A file that is rotated by size.

        Relative to the node's own directory, in which it is started, because logging libraries give `${`, `%` and
        other characters of a file's name a meaning.
        """
        return f"log/{node}.log"

    def leased_ports(self, spec: EnvironmentSpec) -> tuple[str, ...]:
        """All ports that the file does not fix: ZooKeeper always needs one here, and an ensemble two more per node."""
        brokers = Role.BROKER.nodes(spec.brokers.nodes) if security_of(spec).apart else ()
        internal = [lease_name(node, INTERNAL) for node in brokers]
        if mode_of(spec) == KRAFT:
            name = controller_name(spec)
            return (*automatic_ports(spec), *internal, *(f"{node}/{name}" for node in voter_names(spec)))
        zookeepers = Role.ZOOKEEPER.nodes(spec.zookeeper.nodes)
        unfixed = zookeepers if spec.zookeeper.port is None else ()
        between = (
            [f"{node}/{name}" for node in zookeepers for name in (QUORUM, ELECTION)] if len(zookeepers) > 1 else []
        )
        return (*unfixed, *automatic_ports(spec), *internal, *between)

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:  # noqa: ARG002
        """The quorum's ports only if there is a quorum."""
        own = {name: ports.get(node if name == CLIENT else f"{node}/{name}") for name in _ZOOKEEPER_PORTS}
        return tuple(
            Listener(name, LOOPBACK, port, LOOPBACK, port, port if name == CLIENT else None, LOOPBACK)
            for name, port in own.items()
            if port is not None
        )

    def controller_listener(self, name: str, host: str, node: str, ports: Ports) -> Listener:  # noqa: ARG002
        """A port of this machine for each voter."""
        port = ports[f"{node}/{name}"]
        return Listener(name, LOOPBACK, port, LOOPBACK, port)

    def java_port(self, name: str, port: int) -> Listener:
        """On the loopback interface, if what opens it does as it is told."""
        return Listener(name, LOOPBACK, port, LOOPBACK, port, port, LOOPBACK)

    def broker_listeners(self, host: str, node: str, ports: Ports, security: Security) -> tuple[Listener, ...]:  # noqa: ARG002
        """One listener serves clients and brokers alike, unless they are told apart."""
        between = [Listener(INTERNAL, LOOPBACK, at, LOOPBACK, at) for at in _of_internal(node, ports, security)]
        opened = [(name, ports[lease_name(node, name)]) for name in security.names]
        return (*between, *(Listener(name, LOOPBACK, at, LOOPBACK, at, at, LOOPBACK) for name, at in opened))


def _of_internal(node: str, ports: Ports, security: Security) -> list[int]:
    return [ports[lease_name(node, INTERNAL)]] if security.apart else []


def controller_name(spec: EnvironmentSpec) -> str:
    """What the listener of controllers is called."""
    return security_of(spec).named(CONTROLLER)


def beside(listener: Listener, second: int | None) -> Listener:
    """A broker's listener in another place for a while, because another one is still where it will be.

    Args:
        listener: as it is otherwise; that of a controller has a port of its own anyway.
        second: the port of this machine that it takes meanwhile; None if it needs no other one.
    """
    if listener.is_controller:
        return listener
    if listener.bind == LOOPBACK:  # a process, which listens on ports of this machine
        if second is None:
            return listener
        at_host = second if listener.host_port else None
        return replace(listener, listen_port=second, port=second, host_port=at_host, temporary=True)
    listen = listener.listen_port + _BESIDE
    if listener.host_port is None or listener.inside:  # it is advertised where it listens
        at_host = listen if listener.host_port else None
        return replace(listener, listen_port=listen, port=listen, host_port=at_host, temporary=True)
    port = second or listener.host_port
    return replace(listener, listen_port=listen, port=port, host_port=port, temporary=second is not None)


def voter_names(spec: EnvironmentSpec) -> tuple[str, ...]:
    """The voters of the KRaft quorum: the dedicated controllers, else one broker, or the first three."""
    if spec.controllers.nodes:
        return Role.CONTROLLER.nodes(spec.controllers.nodes)
    return Role.BROKER.nodes(_VOTING_BROKERS if spec.brokers.nodes >= _VOTING_BROKERS else 1)


def automatic_ports(spec: EnvironmentSpec) -> tuple[str, ...]:
    """What the host ports are leased for that are `auto`."""
    has_ensemble = mode_of(spec) == ZOOKEEPER and spec.zookeeper.port == "auto"
    zookeepers = Role.ZOOKEEPER.nodes(spec.zookeeper.nodes) if has_ensemble else ()
    automatic = [listener for listener, port in broker_ports(spec).items() if port == "auto"]
    brokers = (lease_name(node, one) for node in Role.BROKER.nodes(spec.brokers.nodes) for one in automatic)
    return (*zookeepers, *brokers)


def container_layout(spec: EnvironmentSpec) -> ContainerLayout:
    """The layout from the image's entry in the catalogue; the image follows from the version unless it is named."""
    image = spec.kafka.image or default_image(KafkaVersion.parse(spec.kafka.version))
    return ContainerLayout(kafka=_in_image(image), zookeeper=_in_image(spec.zookeeper.image or image))


def _in_image(image: str) -> Software:
    layout = layout_of(image)
    return Software(image, layout.java, layout.class_path, logs_itself=bool(layout.logging))
