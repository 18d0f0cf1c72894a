"""What is there, as the runtime and Kafka tell it. Desired values never have these types."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from provision.cluster.model import RenderedFile, Role, node_with_id


class NodeState(StrEnum):
    """What a node is doing."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node that the runtime has. `endpoint` is `host:port` where this machine reaches it, if it does.

    `version` is the Kafka release it was made with, `software` the image or the jars; empty where its mark is damaged.
    `software_id` is the id of the image it was made from; empty for a process, which reads its jars when it starts.
    """

    name: str
    role: str
    state: NodeState
    config_hash: str
    endpoint: str | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    version: str = ""
    software: str = ""
    software_id: str = ""

    @property
    def number(self) -> int:
        """The 2 of `broker-2`."""
        return Role.parse(self.name)[1]


@dataclass(frozen=True, slots=True)
class ObservedEnvironment:
    """What a runtime has of one environment.

    `storages` are the names of the nodes whose data it keeps. `foreign` are things that are not ours but have a name
    that the environment needs, each as `container orders-broker-1`. `created_s` is Unix time. `cluster_id` is that of a
    KRaft cluster, with which its storages were formatted. `half_made` tells whether a command, perhaps a killed one, is
    just making something. `left_data` are the names of the nodes whose data an earlier life left in the user's
    directory, of which no runtime knows.
    """

    name: str
    runtime: str
    software: str = ""
    version: str = ""
    mode: str = ""
    storage: str = ""
    cluster_id: str = ""
    network: bool = False
    half_made: bool = False
    storages: frozenset[str] = frozenset()
    left_data: frozenset[str] = frozenset()
    nodes: tuple[ObservedNode, ...] = ()
    foreign: tuple[str, ...] = ()
    created_s: float | None = None
    ttl_s: float | None = None

    def node(self, name: str) -> ObservedNode | None:
        """The node of that name, if it is there."""
        return next((node for node in self.nodes if node.name == name), None)

    def of_role(self, role: str) -> tuple[ObservedNode, ...]:
        """The nodes of a role, in the order of their numbers."""
        return tuple(sorted((node for node in self.nodes if node.role == role), key=lambda node: node.number))

    @property
    def kept(self) -> frozenset[str]:
        """The nodes that may have data, whether they are there or not."""
        return self.storages | self.left_data

    @property
    def is_nothing(self) -> bool:
        """Whether the runtime has no trace of the environment."""
        return not (self.network or self.half_made or self.storages or self.nodes)

    @property
    def broker_endpoints(self) -> dict[int, str]:
        """Where this machine reaches each broker, by its id."""
        return {node.number: node.endpoint for node in self.of_role(Role.BROKER) if node.endpoint}

    @property
    def bootstrap_servers(self) -> str:
        """Where clients on this machine begin."""
        return ",".join(self.broker_endpoints.values())

    @property
    def zookeeper_connect(self) -> str:
        """The ensemble as this machine reaches it; empty when no port is published."""
        return ",".join(node.endpoint for node in self.of_role(Role.ZOOKEEPER) if node.endpoint)


@dataclass(frozen=True, slots=True)
class Move:
    """A reassignment that is under way: all replicas, the new ones first, those it brings, and those it takes away."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ObservedPartition:
    """A partition: broker ids; `leader` is -1 while there is none; the first replica is the preferred leader.

    While it is reassigned `replicas` is the union of the old and the new ones, the new ones first, and `removing` those
    that will go. `held_bytes` is what each broker has of it on disk, empty where they were not asked.
    """

    number: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    held_bytes: Mapping[int, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What a replica that has everything has on disk; 0 where nobody was asked."""
        return max(self.held_bytes.values(), default=0)

    def is_new_on(self, broker: int) -> bool:
        """Whether the broker has no whole replica: none, or one that a reassignment is bringing."""
        return broker not in self.settled

    @property
    def target(self) -> tuple[int, ...]:
        """The replicas it has, or will have when its reassignment has ended."""
        return tuple(broker for broker in self.replicas if broker not in self.removing)

    @property
    def moves(self) -> bool:
        """Whether it is being reassigned."""
        return bool(self.adding or self.removing)

    @property
    def settled(self) -> tuple[int, ...]:
        """The replicas that no reassignment is bringing."""
        return tuple(broker for broker in self.replicas if broker not in self.adding)

    @property
    def under_replicated(self) -> bool:
        """Whether a replica lags behind that is not just coming, or there is no leader."""
        return self.leader < 0 or not set(self.settled) <= set(self.in_sync)


@dataclass(frozen=True, slots=True)
class ObservedTopic:
    """A topic of the cluster; `config` holds only what is set on the topic itself."""

    name: str
    partitions: tuple[ObservedPartition, ...]
    internal: bool = False
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def replication_factor(self) -> int:
        """The number of replicas of its first partition, as it will be where that is being reassigned."""
        return len(self.partitions[0].target) if self.partitions else 0

    @property
    def under_replicated(self) -> int:
        """How many partitions lack an in-sync replica or a leader."""
        return sum(partition.under_replicated for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class ObservedBroker:
    """A registered broker; `address` is where it says that clients reach it, as `host:port`."""

    id: int
    rack: str | None
    address: str = ""


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """What one broker answers about the whole cluster. `controller` is -1 while there is none."""

    cluster_id: str
    controller: int
    brokers: tuple[ObservedBroker, ...]
    topics: tuple[ObservedTopic, ...]

    def topic(self, name: str) -> ObservedTopic | None:
        """The topic of that name, if it is there."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def with_moves(self, moves: Mapping[tuple[str, int], Move]) -> "ObservedCluster":
        """The cluster with the reassignments that are under way, by topic and partition: metadata do not tell them."""

        def one(topic: ObservedTopic) -> ObservedTopic:
            partitions = (
                replace(p, replicas=move.replicas, adding=move.adding, removing=move.removing)
                if (move := moves.get((topic.name, p.number)))
                else p
                for p in topic.partitions
            )
            return replace(topic, partitions=tuple(partitions))

        moving = {name for name, _ in moves}
        return replace(self, topics=tuple(one(topic) if topic.name in moving else topic for topic in self.topics))


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """What the environment's nodes say of themselves, to class what changes; empty for what is not there.

    `files` are by name those of the nodes that may have changed; `dynamic` the changed keys that a broker takes
    while it runs; `settings` what is set on a running broker and overrides its file. `controller` is the active one's
    id, `ensemble_leader` a node's name.
    """

    files: Mapping[str, tuple[RenderedFile, ...]] = field(default_factory=dict)
    dynamic: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    controller: int = -1
    ensemble_leader: str = ""

    @property
    def active_controller(self) -> str:
        """The node that is the active controller: a broker, or a dedicated controller; empty where none is."""
        return node_with_id(self.controller)
