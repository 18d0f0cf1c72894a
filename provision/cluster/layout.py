"""Where a runtime puts things: the one part of `resolve` that differs between containers and local processes."""

from dataclasses import dataclass
from typing import Protocol

from provision.cluster.catalogue import ImageLayout, layout_of
from provision.cluster.model import Listener
from provision.spec.model import EnvironmentSpec

CLIENT, QUORUM, ELECTION = "CLIENT", "QUORUM", "ELECTION"
INTERNAL, HOST = "INTERNAL", "HOST"

NODE_HOME = "/var/lib/provision"

_ANY = "0.0.0.0"  # noqa: S104 inside a container of its own network; published on 127.0.0.1 only
_ZOOKEEPER_PORTS = {CLIENT: 2181, QUORUM: 2888, ELECTION: 3888}
_INTERNAL_PORT, _HOST_PORT = 9092, 19092


class Layout(Protocol):
    """What `resolve` asks of a runtime. Paths are as the node sees them."""

    @property
    def runtime(self) -> str:
        """The runtime's kind."""

    @property
    def software(self) -> str:
        """What runs: an image, or the jars of a version."""

    @property
    def java(self) -> str:
        """The JVM's command."""

    @property
    def class_path(self) -> str:
        """Kafka's jars."""

    def config_dir(self, node: str) -> str:
        """Where the node's configuration files are."""

    def data_dir(self, node: str) -> str:
        """Where the node keeps its data."""

    def temp_dir(self, node: str) -> str:
        """A directory for native libraries: writable, and not mounted noexec."""

    def zookeeper_listeners(self, host: str, host_port: int | None) -> tuple[Listener, ...]:
        """The client, quorum and election ports of an ensemble's node called `host` inside the environment."""

    def broker_listeners(self, host: str, host_port: int) -> tuple[Listener, ...]:
        """The listeners of the broker called `host` inside the environment; the first one is used between brokers."""


@dataclass(frozen=True, slots=True)
class ContainerLayout:
    """A container each node: own addresses and equal ports inside, one published port outside.

    The node's volume holds `config` and `data` side by side, because files can be put into a volume before the
    container first starts, but not into a read-only root nor a tmpfs. It is mounted at a place of its own: images
    declare anonymous volumes at theirs, which would lie on top of it.
    """

    software: str
    image: ImageLayout
    runtime: str = "docker"

    @property
    def java(self) -> str:
        """Found on the image's PATH unless the catalogue says a path."""
        return self.image.java

    @property
    def class_path(self) -> str:
        """All jars of the image."""
        return f"{self.image.libs}/*"

    def config_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return f"{NODE_HOME}/config"

    def data_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return f"{NODE_HOME}/data"

    def temp_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """A tmpfs."""
        return "/tmp"  # noqa: S108 the container's own

    def zookeeper_listeners(self, host: str, host_port: int | None) -> tuple[Listener, ...]:
        """The client port is published when the environment asks for a host port."""
        return tuple(
            Listener(name, _ANY, port, host, port, host_port if name == CLIENT else None)
            for name, port in _ZOOKEEPER_PORTS.items()
        )

    def broker_listeners(self, host: str, host_port: int) -> tuple[Listener, ...]:
        """INTERNAL by container name, HOST by the published port."""
        return (
            Listener(INTERNAL, _ANY, _INTERNAL_PORT, host, _INTERNAL_PORT),
            Listener(HOST, _ANY, _HOST_PORT, "127.0.0.1", host_port, host_port),
        )


def container_layout(spec: EnvironmentSpec) -> ContainerLayout:
    """Laid out as the image's entry in the catalogue says; the image follows from the version unless it is named."""
    image = spec.kafka.image or f"apache/kafka:{spec.kafka.version}"
    return ContainerLayout(software=image, image=layout_of(image))
