"""Properties that the program sets, and what determines each. A name that ends with a dot is a prefix."""

from provision.security.ensemble import DECIDED_OF_BROKERS, DECIDED_OF_MEMBERS

_LISTENERS = "brokers.port and the runtime"

RESERVED_BROKER = {
    "broker.id": "the broker's number",
    "node.id": "the broker's number",
    "broker.id.generation.enable": "the broker's number",
    "broker.rack": "brokers.racks",
    "listeners": _LISTENERS,
    "advertised.listeners": _LISTENERS,
    "listener.security.protocol.map": _LISTENERS,
    "inter.broker.listener.name": _LISTENERS,
    "security.inter.broker.protocol": _LISTENERS,
    "control.plane.listener.name": _LISTENERS,
    "host.name": _LISTENERS,
    "port": _LISTENERS,
    "advertised.host.name": _LISTENERS,
    "advertised.port": _LISTENERS,
    "log.dir": "storage",
    "log.dirs": "storage",
    "metadata.log.dir": "storage",
    "zookeeper.connect": "zookeeper.nodes",
    "process.roles": "kafka.mode",
    "controller.quorum.voters": "kafka.mode",
    "controller.quorum.bootstrap.servers": "kafka.mode",
    "controller.listener.names": "kafka.mode",
}

RESERVED_ZOOKEEPER = {
    "dataDir": "storage",
    "dataLogDir": "storage",
    "clientPort": "zookeeper.port and the runtime",
    "clientPortAddress": "zookeeper.port and the runtime",
    "secureClientPort": "zookeeper.port and the runtime",
    "secureClientPortAddress": "zookeeper.port and the runtime",
    "server.": "zookeeper.nodes",
    "dynamicConfigFile": "zookeeper.nodes",
    "standaloneEnabled": "zookeeper.nodes",
}

_SECURITY = "security"


def of_brokers(*, closed: bool) -> dict[str, str]:
    """Those of brokers, in an environment whose ZooKeeper is `closed` or not."""
    return RESERVED_BROKER | (dict.fromkeys(DECIDED_OF_BROKERS, _SECURITY) if closed else {})


def of_zookeeper(*, closed: bool) -> dict[str, str]:
    """Those of its nodes."""
    return RESERVED_ZOOKEEPER | (dict.fromkeys(DECIDED_OF_MEMBERS, _SECURITY) if closed else {})
