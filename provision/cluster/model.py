"""The resolved environment, complete to the last port: frozen values that every later stage reads.

Nothing here depends on YAML, pydantic, Docker or Kafka's client. `resolve` creates these values; nothing changes them.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from provision.catalogue.versions import KafkaVersion
from provision.security import ensemble
from provision.security.listening import HOST, HostListener, Security, security_in
from provision.security.profiles import PLAIN_TEXT, is_controller
from provision.spec.record_files import RecordFile

_FIRST_CONTROLLER_ID = 1001
_NODE_NAME = re.compile(r"(zookeeper|controller|broker)-[1-9][0-9]{0,8}")


class Role(StrEnum):
    """A node's role in the cluster. Nodes of a role are numbered from 1: `broker-1`, `broker-2`, and so on.

    A node's id (`broker.id`, `node.id`, `myid`) is its number; dedicated controllers count from 1001.
    """

    ZOOKEEPER = "zookeeper"
    CONTROLLER = "controller"
    BROKER = "broker"

    def node(self, number: int) -> str:
        """The name of the node with that number."""
        return f"{self}-{number}"

    def nodes(self, count: int) -> tuple[str, ...]:
        """The names of the first `count` nodes."""
        return tuple(self.node(number) for number in range(1, count + 1))

    def id_of(self, number: int) -> int:
        """The id of the node with that number."""
        return number + _FIRST_CONTROLLER_ID - 1 if self is Role.CONTROLLER else number

    @classmethod
    def parse(cls, node: str) -> tuple["Role", int]:
        """The role and the number in a node's name.

        Raises:
            ValueError: it is not a node's name.
        """
        role, _, number = node.rpartition("-")
        return cls(role), int(number)


def is_node_name(text: str) -> bool:
    """Whether a text that was read back is a node's name, such as `broker-2`, and therefore no path either."""
    return _NODE_NAME.fullmatch(text) is not None


def node_with_id(identity: int) -> str:
    """The name of the broker or dedicated controller with that id; empty for -1, which means none."""
    if identity < 0:
        return ""
    first = Role.CONTROLLER.id_of(1)
    return Role.CONTROLLER.node(identity - first + 1) if identity >= first else Role.BROKER.node(identity)


MAIN_FILES = {
    Role.ZOOKEEPER: "zookeeper.properties",
    Role.CONTROLLER: "controller.properties",
    Role.BROKER: "server.properties",
}
"""The properties file that each role is started with."""

UNREADABLE = b"\0"
"""The content that stands for a file that is there but cannot be read, or is none. No text has it."""

LAUNCH_FILE = "launch.json"
"""The file that records how a node is started, next to its configuration."""
AGENT_PREFIX = "agent-"
"""How the names of files begin that are those of Java agents."""


class StorageKind(StrEnum):
    """Where data are stored: in a place of the runtime's own, in memory, or in a user's directory."""

    VOLUME = "volume"
    MEMORY = "memory"
    DIRECTORY = "directory"


class Storage(Struct, frozen=True):
    """Where data are stored; `directory` is an absolute path on this machine for `DIRECTORY`, else empty."""

    kind: StorageKind
    directory: str = ""


class Listener(Struct, frozen=True):
    """A port a node listens on, and how it is reached.

    `bind` is the address the node listens on (`0.0.0.0` in a container), `host` and `port` are advertised to clients,
    `listen_port` is the node's own port. `host_address` and `host_port` are its address for this machine, which cannot
    reach it without a `host_port`. Where nothing is published, and this machine's clients come into the network of the
    nodes, it is `inside`: that address is the node's own. `security` is the name of its profile. It is `temporary` if
    it is only there while an environment goes from one profile to another.
    """

    name: str
    bind: str
    listen_port: int
    host: str
    port: int
    host_port: int | None = None
    host_address: str = ""
    inside: bool = False
    protocol: str = "PLAINTEXT"
    security: str = PLAIN_TEXT
    temporary: bool = False

    @property
    def is_controller(self) -> bool:
        """Whether it is one of controllers, to which only nodes talk."""
        return is_controller(self.name)

    @property
    def endpoint(self) -> str | None:
        """Its `host:port` for this machine, if it is reachable."""
        return f"{self.host_address}:{self.host_port}" if self.host_port else None


class Node(Struct, frozen=True):
    """One JVM of the cluster.

    Directories are as the node sees them; without a `log_file` it logs to standard output. `java_args` is the whole
    command after `java`. `properties` are the settings of its properties file beyond those in the templates, sorted by
    key. `software` names what it runs: an image, or the jars of a version. `votes` is whether it is a voter of the
    KRaft quorum; `logs_itself` is whether its software has its own logging configuration. `engine` is the id of the
    engine that it is pinned to, where there are several. `java_ports` are those that its JVM opens besides Kafka's own,
    and `agent_files` the files of its Java agents, absolute paths on this machine.
    """

    name: str
    role: Role
    id: int
    listeners: tuple[Listener, ...]
    rack: str | None
    memory_bytes: int
    properties: Mapping[str, str]
    config_dir: str
    data_dir: str
    temp_dir: str
    log_file: str | None
    software: str
    java: str
    java_args: tuple[str, ...]
    votes: bool = False
    logs_itself: bool = False
    engine: str = ""
    java_ports: tuple[Listener, ...] = ()
    agent_files: tuple[str, ...] = ()

    def listener(self, name: str) -> Listener:
        """The listener of that name.

        Raises:
            KeyError: there is none.
        """
        for listener in self.listeners:
            if listener.name == name:
                return listener
        raise KeyError(name)

    def port_of(self, name: str) -> int | None:
        """The port of the listener of that name, None if there is none."""
        return next((listener.port for listener in self.listeners if listener.name == name), None)

    @property
    def endpoint(self) -> str | None:
        """The node's `host:port` for this machine, if it is reachable."""
        ways = [listener for listener in self.listeners if listener.endpoint and not listener.temporary]
        return ways[0].endpoint if ways else None

    @property
    def controller_listeners(self) -> tuple[Listener, ...]:
        """The listeners of a voter, the one that is used first; none if it is no voter."""
        return tuple(listener for listener in self.listeners if listener.is_controller)

    @property
    def host_listeners(self) -> tuple[HostListener, ...]:
        """A broker's listeners for clients on this machine."""
        if self.role is not Role.BROKER:
            return ()
        found = ((one, one.endpoint) for one in self.listeners)
        return tuple(HostListener(one.name, one.security, at, one.temporary) for one, at in found if at)

    @property
    def told_listeners(self) -> tuple[HostListener, ...]:
        """Those of which its mark has to tell; none if there is only HOST, and it is not secured."""
        found = self.host_listeners
        return () if [(one.name, one.security) for one in found] == [(HOST, PLAIN_TEXT)] else found


class Topic(Struct, frozen=True):
    """A declared topic with every default filled in; `config` is sorted by key.

    `replicas` are the broker ids of each partition if the file declares them. `grow_compacted` is the consent to add
    partitions to a compacted topic, whose keys then map to other partitions than before. `records` are written to it
    when it is created.
    """

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]
    replicas: tuple[tuple[int, ...], ...] | None = None
    grow_compacted: bool = False
    records: RecordFile | None = None


class TopicPolicy(Struct, frozen=True):
    """What applies to all topics.

    `prune` deletes those that the file does not name and that fit no pattern of `keep`, `rebalance` distributes
    replicas evenly over the brokers, and the throttle bounds the rate of reassignments per broker.
    """

    prune: bool = False
    rebalance: bool = False
    throttle_bytes_per_s: int | None = None
    keep: tuple[str, ...] = ()


class User(Struct, frozen=True):
    """A user of the cluster, and where the password comes from: a variable, or a file's absolute path, or neither.

    `mechanism` is by which the user says the password, or proves to know it, where listeners let both in.
    """

    name: str
    mechanism: str
    variable: str = ""
    file: str = ""


class AuthorityFiles(Struct, frozen=True):
    """The files of the user's own authority: the absolute paths of its key and of its certificate."""

    key: str
    certificate: str


class SwarmOptions(Struct, frozen=True):
    """What an environment asks of its swarm: whether its network is encrypted, and where the API of engines answers.

    `drained` names the engines that are to be without nodes.
    """

    encrypted: bool = True
    reached: Mapping[str, str] = field(default_factory=dict)
    drained: frozenset[str] = frozenset()


class Cluster(Struct, frozen=True):
    """One environment, resolved for one runtime. `software` names its Kafka: an image, or the jars of a version.

    `cluster_id` is the id with which a KRaft cluster's storages are formatted; empty until it is chosen, and in
    ZooKeeper mode, where the brokers generate it. `security` is the name of its profile, or those of its listeners.
    """

    name: str
    runtime: str
    version: KafkaVersion
    mode: str
    software: str
    storage: Storage
    nodes: tuple[Node, ...]
    topics: tuple[Topic, ...]
    topic_policy: TopicPolicy
    variables: Mapping[str, object]
    templates: str | None
    ttl_s: float | None
    cluster_id: str = ""
    security: str = PLAIN_TEXT
    users: tuple[User, ...] = ()
    authority: AuthorityFiles | None = None
    swarm: SwarmOptions | None = None

    def of_role(self, role: Role) -> tuple[Node, ...]:
        """The nodes of a role, in the order of their numbers."""
        return tuple(node for node in self.nodes if node.role is role)

    @property
    def brokers(self) -> tuple[Node, ...]:
        """The brokers, in the order of their ids."""
        return self.of_role(Role.BROKER)

    @property
    def zookeepers(self) -> tuple[Node, ...]:
        """The ensemble, in the order of `myid`."""
        return self.of_role(Role.ZOOKEEPER)

    @property
    def controllers(self) -> tuple[Node, ...]:
        """The dedicated controllers, in the order of their ids."""
        return self.of_role(Role.CONTROLLER)

    @property
    def voters(self) -> tuple[Node, ...]:
        """The voters of the KRaft quorum: dedicated controllers, or brokers that are also controllers."""
        return tuple(node for node in self.nodes if node.votes)

    @property
    def topic_names(self) -> tuple[str, ...]:
        """The names of its topics."""
        return tuple(topic.name for topic in self.topics)

    @property
    def all_software(self) -> tuple[str, ...]:
        """All software of its nodes, each name once."""
        return tuple(dict.fromkeys(node.software for node in self.nodes))

    @property
    def controller_listeners(self) -> tuple[Listener, ...]:
        """The listeners of a controller, whose names and protocols brokers that are none need too."""
        return self.voters[0].controller_listeners if self.voters else ()

    @property
    def listening(self) -> Security:
        """How its listeners are secured."""
        return security_in(self.security)

    @property
    def closes_ensemble(self) -> bool:
        """Whether ZooKeeper's ports are closed to all but those that need them."""
        return bool(self.zookeepers) and ensemble.closes(self.listening)

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap servers for clients on this machine: `host:port,host:port`."""
        return ",".join(node.endpoint for node in self.brokers if node.endpoint)


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedFile:
    """A configuration file of one node: its name in the node's configuration directory, and its whole content.

    Only its node may read a `secret` one; no plan, difference, log or output shows its content. Of one that was read
    back where secrets cannot be read, the content is empty, and `digest` is what identifies it.
    """

    node: str
    name: str
    content: bytes = dataclasses.field(repr=False)
    secret: bool = False
    digest: str = ""

    @property
    def identity(self) -> str:
        """The SHA-256 of its content, also if that could not be read back."""
        return self.digest or hashlib.sha256(self.content).hexdigest()

    @property
    def is_of_agent(self) -> bool:
        """Whether it is a file of a Java agent, in which can be anything: no text, or a password."""
        return self.name.startswith(AGENT_PREFIX)

    def is_same(self, other: "RenderedFile") -> bool:
        """Whether the other one has the same content, and is as secret."""
        return (self.identity, self.secret) == (other.identity, other.secret)

    @property
    def text(self) -> str:
        """The content as text (UTF-8), with U+FFFD for bytes that are no text: a file that was read may have any."""
        return self.content.decode("utf-8", "replace")
