"""Where a swarm's nodes have things: as in other containers, but for their files, and the engine that each is on."""

from collections.abc import Mapping

from msgspec import Struct, field

from provision.cluster.layout import NODE_HOME, ContainerLayout, Ports, container_layout
from provision.cluster.model import Listener
from provision.common.values import replace
from provision.security.listening import Security
from provision.spec.model import EnvironmentSpec
from provision.spec.swarm import SWARM

UNKNOWN_HOST = "engine.invalid"
"""The host of nodes whose engine has not been chosen yet."""
CONFIG_DIR = "/etc/provision"


class Location(Struct, frozen=True):
    """Where a node is: the id of its engine, and the host at which clients reach that."""

    engine: str
    host: str


class SwarmLayout(ContainerLayout, frozen=True):
    """As with one engine, except that ports are the engines' own, and that the swarm puts files in their place.

    It mounts each config and secret where it is needed, so they have a directory of their own. Temporary files are in
    the node's volume: a service's tmpfs is always mounted noexec, and libraries are unpacked there.
    """

    runtime: str = SWARM
    addresses: Mapping[str, str] = field(default_factory=dict)
    """The hosts that the file gives, by the name of the engine."""
    drained: frozenset[str] = frozenset()
    """The names of the engines that the file wants to be without nodes."""
    locations: Mapping[str, Location] = field(default_factory=dict)
    """Where each node is, by its name."""
    published: bool = True
    """Whether engines open the ports of brokers; else clients are in the network, and each has its own address."""

    def at(self, locations: Mapping[str, Location]) -> "SwarmLayout":
        """The same, now that engines have been chosen."""
        return replace(self, locations=locations)

    def engine(self, node: str) -> str:
        """The one that was chosen for it."""
        return self.locations[node].engine if node in self.locations else ""

    def config_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """The same in every container."""
        return CONFIG_DIR

    def temp_dir(self, node: str) -> str:  # noqa: ARG002 every container has its own file system
        """In the node's volume."""
        return f"{NODE_HOME}/tmp"  # noqa: S108 the volume's own

    def zookeeper_listeners(self, host: str, node: str, ports: Ports) -> tuple[Listener, ...]:
        """As with one engine, on the node's own."""
        return self._outside(node, ContainerLayout.zookeeper_listeners(self, host, node, ports))

    def broker_listeners(self, host: str, node: str, ports: Ports, security: Security) -> tuple[Listener, ...]:
        """As with one engine, on the node's own, which is also what is advertised; or all of them in the network."""
        listeners = ContainerLayout.broker_listeners(self, host, node, ports, security)
        if self.published:
            return self._outside(node, listeners)
        return tuple(
            replace(one, host=host, port=one.listen_port, host_address=host, host_port=one.listen_port, inside=True)
            if one.host_port is not None
            else one
            for one in listeners
        )

    def _outside(self, node: str, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        at = self.locations[node].host if node in self.locations else UNKNOWN_HOST
        return tuple(
            replace(one, host=at if one.host == one.host_address else one.host, host_address=at)
            if one.host_port is not None
            else one
            for one in listeners
        )


def swarm_layout(spec: EnvironmentSpec) -> SwarmLayout:
    """The layout from the image's entry in the catalogue, and from what the file says of engines."""
    inside = container_layout(spec)
    told = spec.swarm
    return SwarmLayout(
        inside.kafka,
        inside.zookeeper,
        addresses=told.addresses,
        drained=frozenset(told.drain),
        published=told.publishes,
    )
