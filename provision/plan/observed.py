"""The observed state, as reported by the runtime and Kafka. Desired values never have these types."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from msgspec import Struct, field

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import RenderedFile, Role, StorageKind, node_with_id
from provision.common.values import replace
from provision.plan.about import About
from provision.plan.engines import ObservedEngine, Place
from provision.plan.stored import StoredData
from provision.security.listening import HOST, HostListener, lease_name, second_lease
from provision.security.profiles import PLAIN_TEXT

DOCKER = "docker"
LOST_IN_MEMORY = "it starts empty: what it had in memory is gone"


WAS_ASKED_TO_STOP = 143
"""The exit code of a JVM that SIGTERM has ended; one that ends by itself has another, even without an error."""
WAS_KILLED = 137
"""The exit code of whatever SIGKILL has ended."""


class NodeState(StrEnum):
    """The state of a node.

    A paused node (`docker pause`, SIGSTOP) keeps its process and ports, and answers nothing. A restarting one has
    exited, and the engine is about to start it again (by a restart policy that somebody gave the container). A lost one
    runs, but the files that describe it are gone: it can only be ended.
    """

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    LOST = "lost"


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node that the runtime has. `endpoint` is the `host:port` at which this machine reaches it, if any.

    `listeners` are a broker's for clients on this machine, unless it has only HOST, and is not secured; `endpoint` is
    then that of the first one that stays. They are `published` unless only its network leads to them.

    `version` is the Kafka release it was created with, `software` the image or the jars; empty if its mark is damaged.
    `software_id` is the id of its image; empty for a process, which reads its jars when it starts. `astray` says how a
    running node is not where the others look for it; if it is `cut_off`, they cannot find it at all. `up_s` is for how
    long it has been running, roughly, in seconds. `engine` is the name of the engine that it is on, where there are
    several, and `waits_for` what keeps it from running there.
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
    astray: str = ""
    cut_off: bool = False
    up_s: float | None = dataclasses.field(default=None, compare=False)
    listeners: tuple[HostListener, ...] = ()
    published: bool = True
    engine: str = ""
    waits_for: str = ""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All of its `host:port` on this machine."""
        found = tuple(listener.endpoint for listener in self.listeners)
        return found or ((self.endpoint,) if self.endpoint else ())

    @property
    def ways(self) -> tuple[HostListener, ...]:
        """A broker's listeners for clients on this machine; none if it has no port here."""
        return self.listeners or ((HostListener(HOST, PLAIN_TEXT, self.endpoint),) if self.endpoint else ())

    @property
    def open_ways(self) -> Mapping[str, str]:
        """Their addresses, by their security profile."""
        return {listener.security: listener.endpoint for listener in self.ways}

    @property
    def host_ports(self) -> dict[str, int]:
        """Its ports of this machine, by the names under which they are leased."""
        ways = self.ways if self.endpoint and self.published else ()
        return {(second_lease if one.temporary else lease_name)(self.name, one.known_as): one.port for one in ways}

    @property
    def number(self) -> int:
        """The 2 of `broker-2`."""
        return Role.parse(self.name)[1]

    @property
    def is_alive(self) -> bool:
        """Whether it has a process, even if that is paused; changing it takes something away from its cluster."""
        return self.state in (NodeState.RUNNING, NodeState.PAUSED, NodeState.LOST)

    @property
    def needs_stop(self) -> bool:
        """Whether it would run, now or soon, unless it is stopped."""
        return self.is_alive or self.state is NodeState.RESTARTING


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedEnvironment:
    """What a runtime has of one environment.

    `storages` are the names of the nodes whose data it keeps. `foreign` are things that provision did not create but
    whose names the environment needs, each as `container orders-broker-1`. `created_s` is Unix time. `cluster_id` is
    the id with which a KRaft cluster's storages were formatted, and `unidentified` says why it is not known although
    there are data. `incomplete` is whether something is only partly created, by a running or killed command.
    `orphaned_data` names the nodes whose data an earlier `down` left in the user's directory, which the runtime does
    not know. `stored` is, by node, what the storages contain; empty while every node that has one is running.
    `in_the_way` says, by node or "" for the whole environment, what stands where its directory would be, and what to
    do. `about` is what the environment knows of itself, None if that is not known. `proxy` is the URL of the SOCKS5
    proxy through which this process reaches its brokers, empty if they are reached without one. Where a runtime has
    several engines, `engines` are all of them, and `places` says on which one the data of each node are.
    """

    name: str
    runtime: str
    software: str = ""
    version: str = ""
    mode: str = ""
    storage: str = ""
    cluster_id: str = ""
    unidentified: str = ""
    network: bool = False
    incomplete: bool = False
    storages: frozenset[str] = frozenset()
    orphaned_data: frozenset[str] = frozenset()
    stored: Mapping[str, StoredData] = dataclasses.field(default_factory=dict)
    nodes: tuple[ObservedNode, ...] = ()
    foreign: tuple[str, ...] = ()
    in_the_way: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    created_s: float | None = None
    ttl_s: float | None = None
    about: About | None = None
    proxy: str = dataclasses.field(default="", repr=False)
    engines: tuple[ObservedEngine, ...] = ()
    places: Mapping[str, Place] = dataclasses.field(default_factory=dict)

    def node(self, name: str) -> ObservedNode | None:
        """The node of that name, if it exists."""
        return next((node for node in self.nodes if node.name == name), None)

    def of_role(self, role: str) -> tuple[ObservedNode, ...]:
        """The nodes of a role, in the order of their numbers."""
        return tuple(sorted((node for node in self.nodes if node.role == role), key=lambda node: node.number))

    @property
    def waiting(self) -> dict[str, list[str]]:
        """The names of the nodes that wait for their engine, by what is the matter with it."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.waits_for:
                found.setdefault(node.waits_for, []).append(node.name)
        return found

    @property
    def gone(self) -> tuple[str, ...]:
        """The names of nodes that are not there although their data are, by role and number."""
        absent = sorted(self.storages - {node.name for node in self.nodes}, key=lambda name: (len(name), name))
        return tuple(name for role in Role for name in absent if re.fullmatch(rf"{role}-[1-9][0-9]*", name))

    @property
    def kept(self) -> frozenset[str]:
        """The names of nodes that may have data, whether the nodes exist or not."""
        return self.storages | self.orphaned_data

    def dies_with_its_data(self, name: str) -> bool:
        """Whether a node's data go when it exits: those of a broker on a tmpfs, which in Docker is its process's.

        In KRaft mode data "in memory" are in a volume, and those of a process are in the memory of this machine.
        """
        on_tmpfs = self.runtime == DOCKER and self.mode == ZOOKEEPER and self.storage == StorageKind.MEMORY
        return on_tmpfs and Role.parse(name)[0] is Role.BROKER

    def has_lost(self, name: str) -> bool:
        """Whether what a node had is gone because it exited."""
        node = self.node(name)
        return self.dies_with_its_data(name) and node is not None and node.state is NodeState.EXITED

    def never_ran(self, name: str) -> bool:
        """Whether nothing has ever been written by a node of that name, as far as is known."""
        node, data = self.node(name), self.stored.get(name)
        if node and node.state is NodeState.CREATED:
            return data is None or not data.written
        if node and self.storage == StorageKind.MEMORY:  # what an exited node had in memory is gone
            return False
        return (node is None or node.state is NodeState.EXITED) and data is not None and not data.written

    def without(self, names: Collection[str]) -> "ObservedEnvironment":
        """The environment as it is once those nodes and storages are gone."""
        nodes = tuple(node for node in self.nodes if node.name not in names)
        stored = {name: data for name, data in self.stored.items() if name not in names}
        return replace(self, nodes=nodes, storages=self.storages - frozenset(names), stored=stored)

    @property
    def is_absent(self) -> bool:
        """Whether the runtime has no trace of the environment."""
        return not (self.network or self.incomplete or self.storages or self.nodes)

    @property
    def all_names(self) -> list[str]:
        """The names of its nodes, also of those of which only the data are left: it is not whole without them."""
        return [*(node.name for node in self.nodes), *self.gone]

    @property
    def is_in_directory(self) -> bool:
        """Whether its data are in the user's directory, where they stay when a storage is removed."""
        return self.storage not in ("", *(kind.value for kind in StorageKind))

    @property
    def is_half_removed(self) -> bool:
        """Whether its nodes are gone and some of their data too: what removed them was killed.

        Data in the user's directory only if they were to go: with a storage alone, nothing of them goes.
        """
        if self.about is None or self.nodes or not self.storages:
            return False
        return self.about.removing_directory if self.is_in_directory else self.about.removing

    @property
    def expires_s(self) -> float | None:
        """The Unix time from which on it is no longer wanted, by its `ttl`; None without one."""
        return None if self.created_s is None or self.ttl_s is None else self.created_s + self.ttl_s

    @property
    def broker_endpoints(self) -> dict[int, str]:
        """The address of each broker for this machine, by broker id."""
        return {node.number: node.endpoint for node in self.of_role(Role.BROKER) if node.endpoint}

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap servers for clients on this machine."""
        return ",".join(self.broker_endpoints.values())

    def bootstrap_servers_at(self, listener: str = "") -> str:
        """The bootstrap servers over that listener, of those brokers that have it; the default is the first one."""
        if not listener:
            return self.bootstrap_servers
        brokers = self.of_role(Role.BROKER)
        named = [one.endpoint for node in brokers for one in node.listeners if one.name == listener]
        return ",".join(named) or (self.bootstrap_servers if listener == HOST else "")

    @property
    def zookeeper_connect(self) -> str:
        """The ensemble's addresses for this machine; empty if no port is published."""
        return ",".join(node.endpoint for node in self.of_role(Role.ZOOKEEPER) if node.endpoint)


class Move(Struct, frozen=True):
    """An ongoing reassignment: all replicas, the new ones first, those being added, and those being removed."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class ObservedPartition(Struct, frozen=True):
    """A partition: broker ids; `leader` is -1 while there is none; the first replica is the preferred leader.

    During a reassignment `replicas` is the union of the old and the new ones, the new ones first, and `removing` those
    being removed. `held_bytes` is its size on each broker's disk, empty if that was not asked.
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
        """The size of a complete replica on disk; 0 if that was not asked."""
        return max(self.held_bytes.values(), default=0)

    def is_new_on(self, broker: int) -> bool:
        """Whether the broker has no complete replica: none, or one that a reassignment is adding."""
        return broker not in self.settled

    @property
    def target(self) -> tuple[int, ...]:
        """The replicas it has, or will have once its reassignment has ended."""
        if not self.removing:  # nearly always
            return self.replicas
        return tuple(broker for broker in self.replicas if broker not in self.removing)

    @property
    def moves(self) -> bool:
        """Whether it is being reassigned."""
        return bool(self.adding or self.removing)

    @property
    def settled(self) -> tuple[int, ...]:
        """The replicas that no reassignment is adding."""
        if not self.adding:
            return self.replicas
        return tuple(broker for broker in self.replicas if broker not in self.adding)

    @property
    def under_replicated(self) -> bool:
        """Whether there is no leader, or a replica lags that no reassignment is adding."""
        return self.leader < 0 or not set(self.settled) <= set(self.in_sync)


class Unfilled(Struct, frozen=True):
    """A topic whose filling was interrupted: what it was to be filled with, and how many records came in.

    `digest` is that of the file and of how it is read, `written` counts by partition.
    """

    partitions: int
    digest: str
    written: tuple[int, ...]


class ObservedTopic(Struct, frozen=True):
    """A topic of the cluster; `config` holds only what is set on the topic itself."""

    name: str
    partitions: tuple[ObservedPartition, ...]
    internal: bool = False
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def replication_factor(self) -> int:
        """The number of replicas of its first partition; during a reassignment, its target."""
        return len(self.partitions[0].target) if self.partitions else 0

    @property
    def under_replicated(self) -> int:
        """How many partitions lack an in-sync replica or a leader."""
        return sum(partition.under_replicated for partition in self.partitions)


class ObservedBroker(Struct, frozen=True):
    """A registered broker; `address` is its advertised `host:port`."""

    id: int
    rack: str | None
    address: str = ""


class ObservedCluster(Struct, frozen=True):
    """The whole cluster as one broker reports it. `controller` is -1 while there is none."""

    cluster_id: str
    controller: int
    brokers: tuple[ObservedBroker, ...]
    topics: tuple[ObservedTopic, ...]

    def topic(self, name: str) -> ObservedTopic | None:
        """The topic of that name, if it exists."""
        return next((topic for topic in self.topics if topic.name == name), None)

    def with_moves(self, moves: Mapping[tuple[str, int], Move]) -> "ObservedCluster":
        """The cluster with ongoing reassignments, by topic and partition, which the metadata do not include."""

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


class NodeDetails(Struct, frozen=True):
    """What the environment's nodes report about themselves, needed to classify changes; empty for missing nodes.

    `files` are, by name, those of the nodes that may have changed, or leave; `dynamic` the changed keys that a running
    broker accepts; `settings` the dynamic settings of a running broker that override its file. `controller` is the
    active controller's id, `ensemble_leader` a node's name.
    """

    files: Mapping[str, tuple[RenderedFile, ...]] = field(default_factory=dict)
    dynamic: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    controller: int = -1
    ensemble_leader: str = ""

    @property
    def active_controller(self) -> str:
        """The name of the active controller's node, a broker or a dedicated controller; empty if there is none."""
        return node_with_id(self.controller)
