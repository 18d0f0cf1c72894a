"""A Kafka in memory for the fake runtime: its brokers are those of the nodes that run, and it is strict.

It has what the program asks of `provision.kafka.admin.Admin`, of the brokers' metadata and of ZooKeeper. What nobody
may do to a living cluster fails the test at once: taking down what it cannot do without, removing a broker that still
keeps replicas, demanding more replicas in sync than there are, a majority of an ensemble that begins with nothing.
"""

import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from provision.cluster.model import Node, Role
from provision.cluster.properties import parse, read
from provision.common.records import NewRecord
from provision.common.values import replace
from provision.events import Listener, Progress, silent
from provision.kafka.access import Access, Credentials
from provision.kafka.availability import blockers
from provision.kafka.brokers import BrokerAdmin
from provision.kafka.connection import NotAnswering
from provision.kafka.partitioning import partition_of
from provision.kafka.promptness import UNSERVED, Reply
from provision.kafka.quorum import Quorum
from provision.kafka.quotas import Entity
from provision.kafka.readiness import BrokerAnswers
from provision.kafka.scram import ScramChange
from provision.kafka.settings import SettingsAdmin
from provision.kafka.topics import Created
from provision.plan.observed import Move, NodeState, ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic
from provision.plan.topic_changes import Growth, PlacedTopic, TopicSettings
from provision.resources.topics import DELETE_TOPICS
from provision.runtime.base import JavaCommand
from provision.runtime.fake import FakeRuntime
from provision.security.acls import Acl
from provision.security.profiles import PLAIN, SECRETS, quoted

# With their defaults. `num.network.threads` is not among them: tests want a setting that is never dynamic.
THREAD_POOLS = {
    "num.io.threads": 8,
    "num.replica.fetchers": 1,
    "num.recovery.threads.per.data.dir": 1,
    "background.threads": 10,
}
DYNAMIC = frozenset({*THREAD_POOLS, "log.retention.ms", "min.insync.replicas"})
DYNAMIC_RATES = frozenset({"leader.replication.throttled.rate", "follower.replication.throttled.rate"})
OFFSETS = "__consumer_offsets"
INTERNAL = frozenset({OFFSETS, "__transaction_state", "__news"})
"""Topics that it calls internal, if they are there."""
Row = tuple[int, ...]
At = tuple[str, int]
Entries = dict[str, dict[str, Any]]


class SpokenRuntime(FakeRuntime):
    """Its brokers have endpoints, and its ensemble says what it is."""

    def endpoint_of(self, node: Node) -> str | None:
        """Where this machine would reach it."""
        return node.endpoint

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Only the four-letter word is asked: the one of the highest number leads."""
        assert command.arguments[2] == "srvr"
        running = [there for there in self.observe(name).of_role(Role.ZOOKEEPER) if there.state is NodeState.RUNNING]
        members = members_of(self, name, node)
        if members == 1:
            return 0, "Mode: standalone\n"
        if len(running) <= members // 2:
            return 0, "This ZooKeeper instance is not currently serving requests\n"
        return 0, f"Mode: {'leader' if node == running[-1].name else 'follower'}\n"


def members_of(runtime: FakeRuntime, name: str, node: str) -> int:
    """How many members a node of the ensemble was told of."""
    files = FakeRuntime.read_files(runtime, name, node)  # those that it runs with, whatever a test lets others read
    (content,) = (file.text for file in files if file.name == "zookeeper.properties")
    return max(sum(key.startswith("server.") for key in parse(content)), 1)


@dataclass
class Partition:
    """Its replicas, those it goes to, and those that are in sync though not all of them need to be.

    A replica has `size` bytes, one that is on its way `arrived` of them.
    """

    replicas: Row
    target: Row | None = None
    lagging: frozenset[int] = frozenset()
    size: int = 1024
    arrived: int = 0

    @property
    def all(self) -> Row:
        """While it moves the new ones first, as Kafka tells it."""
        return tuple(dict.fromkeys((*self.target, *self.replicas))) if self.target else self.replicas


@dataclass
class Topic:
    """What a topic has."""

    partitions: list[Partition]
    config: dict[str, str] = field(default_factory=dict)
    records: list[list[NewRecord]] = field(default_factory=list)


class FakeKafka:
    """The cluster of one environment.

    `paces` is how often a move must be asked for until it has arrived, `refusals` the reasons by the name of what is
    refused, `hidden` the topics of which its brokers do not know yet, `unserved` the number of times each leader still
    says that it does not serve them.
    """

    def __init__(self, runtime: FakeRuntime, name: str) -> None:
        self.runtime, self.name = runtime, name
        self.topics: dict[str, Topic] = {}
        self.set_on_brokers: dict[int, dict[str, str]] = {}
        self.static: dict[int, dict[str, str]] = {}
        self.quotas: dict[Entity, dict[str, float]] = {}
        self.acls: set[Acl] = set()
        self.users: dict[str, dict[str, tuple[int, str]]] = {}
        self.calls: list[tuple[str, object]] = []
        self.on_call: Callable[[str, object], None] = lambda _what, _about: None
        self.paces = 0
        self.late = 0
        self.refusals: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.unserved = 0
        self.members_with_data: set[str] = set()
        self._lock = threading.RLock()
        runtime.on_verb = self._on_verb

    # -- what its nodes do ------------------------------------------------------------------------------------------

    def _on_verb(self, verb: str, subject: str) -> None:
        with self._lock:
            if verb == "start_node" and subject.startswith(Role.ZOOKEEPER):
                self._member_starts(subject)
            elif verb == "start_node" and subject.startswith(Role.BROKER):
                (file,) = (f for f in self.runtime.read_files(self.name, subject) if f.name == "server.properties")
                self.static[Role.parse(subject)[1]] = parse(file.text)
            elif verb == "stop_node":
                self._node_stops(subject)
            elif verb == "remove_storage" and subject.startswith(Role.BROKER):
                broker = Role.parse(subject)[1]
                kept = [at for at, partition in self.each() if broker in partition.all]
                assert not kept, f"{subject} is removed and keeps {kept}"
                self.set_on_brokers.pop(broker, None)

    def _member_starts(self, node: str) -> None:
        observed = self.runtime.observe(self.name)
        others = [n.name for n in observed.of_role(Role.ZOOKEEPER) if n.state is NodeState.RUNNING and n.name != node]
        members = members_of(self.runtime, self.name, node)
        up = [*others, node]
        empty = [name for name in up if name not in self.members_with_data]
        if self.members_with_data:
            assert len(empty) <= members // 2, f"{empty} could begin an empty history"
        if len(up) > members // 2 and (members > 1 or len(up) == 1):
            self.members_with_data |= set(up)

    def _node_stops(self, node: str) -> None:
        observed = self.runtime.observe(self.name)
        role, number = node.rsplit("-", 1)
        down = [n.name for n in observed.of_role(role) if n.state is NodeState.EXITED and n.name != node]
        assert not down, f"{node} goes down while {down} is down"
        if role == Role.BROKER:
            found = blockers(self.cluster(), {name: self.minimum(name) for name in self.topics}, int(number))
            assert not found, found

    def each(self) -> Iterator[tuple[At, Partition]]:
        """Every partition."""
        for name, topic in sorted(self.topics.items()):
            for number, partition in enumerate(topic.partitions):
                yield (name, number), partition

    # -- what it says -----------------------------------------------------------------------------------------------

    @property
    def brokers(self) -> dict[int, str]:
        """Those that run, with their endpoints."""
        there = self.runtime.observe(self.name).of_role(Role.BROKER)
        return {node.number: node.endpoint or "" for node in there if node.state is NodeState.RUNNING}

    @property
    def ways(self) -> set[tuple[int, str]]:
        """Those that run, with each of their endpoints."""
        return {(broker, at) for broker in self.brokers for at in self.at(broker)}

    def at(self, broker: int) -> tuple[str, ...]:
        """Where one of its brokers listens."""
        node = self.runtime.observe(self.name).node(Role.BROKER.node(broker))
        return node.endpoints if node else ()

    def minimum(self, topic: str) -> int:
        """`min.insync.replicas` as it holds."""
        return int(self.topics[topic].config.get("min.insync.replicas", "1"))

    def require_writable(self, topic: str) -> None:
        """No writer with acks=all may be stopped by a change."""
        fewest = min(len(partition.replicas) for partition in self.topics[topic].partitions)
        assert self.minimum(topic) <= fewest, f"{topic} has {fewest} replicas and demands {self.minimum(topic)}"

    def cluster(self) -> ObservedCluster:
        """As each of its brokers tells it."""
        up = self.brokers
        return ObservedCluster(
            cluster_id="fake",
            controller=min(up, default=-1) if self._has_quorum() else -1,
            brokers=tuple(ObservedBroker(broker, self.static[broker].get("broker.rack")) for broker in sorted(up)),
            topics=tuple(
                ObservedTopic(
                    name,
                    tuple(self._observed(number, p, up) for number, p in enumerate(topic.partitions)),
                    internal=name in INTERNAL,
                )
                for name, topic in sorted(self.topics.items())
                if name not in self.hidden
            ),
        )

    def _has_quorum(self) -> bool:
        there = self.runtime.observe(self.name).of_role(Role.ZOOKEEPER)
        up = [node.name for node in there if node.state is NodeState.RUNNING]
        return not there or any(len(up) > members_of(self.runtime, self.name, node) // 2 for node in up)

    @staticmethod
    def _observed(number: int, partition: Partition, up: Collection[int]) -> ObservedPartition:
        in_sync = tuple(b for b in partition.replicas if b in up and b not in partition.lagging)
        return ObservedPartition(number, in_sync[0] if in_sync else -1, partition.all, in_sync)

    def ask(self, access: Access, timeout_s: float = 2.0, *, topics: bool = True) -> BrokerAnswers:
        """Instead of `ask_brokers`."""
        assert timeout_s > 0
        ways, cluster = self.ways, self.cluster()
        said = cluster if topics else replace(cluster, topics=())
        answering = {broker: said for broker, at in access.brokers.items() if (broker, at) in ways}
        unserved = frozenset(access.brokers) - answering.keys()
        silent = {**access.down, **dict.fromkeys(unserved, "it does not listen yet")}
        return BrokerAnswers(answering, silent, unserved)

    def missing_for_leaders(
        self, cluster: ObservedCluster, access: Access, topics: Collection[str] | None
    ) -> dict[str, str]:
        """Instead of `missing_for_leaders`: leaders serve once they were asked often enough."""
        led = {p.leader for t in cluster.topics if topics is None or t.name in topics for p in t.partitions}
        asked = {Role.BROKER.node(broker) for broker in led & access.brokers.keys()}
        self.note("serving", sorted(asked))
        if asked:
            self.unserved -= 1
        return dict.fromkeys(sorted(asked), "it does not serve t-0 yet") if self.unserved >= 0 else {}

    def produce(
        self,
        access: Access,
        topic: str,
        records: Iterable[NewRecord],
        *,
        told: Callable[[int], None] = lambda _count: None,
        **_options: object,
    ) -> int:
        """Instead of `produce`, a record at a time; each is noted before it is written."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        count = 0
        for count, record in enumerate(records, start=1):
            self.note("produce", (topic, record.value))
            rows = self.topics[topic].records
            at = partition_of(record.key or b"", len(rows)) if record.partition is None else record.partition
            rows[at].append(record)
            told(count)
        return count

    def describe_quotas(self, access: Access) -> dict[Entity, dict[str, float]]:
        """Instead of `describe_quotas`."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        self.note("describe quotas", None)
        return {entity: dict(limits) for entity, limits in self.quotas.items()}

    def quotas_of(self, access: Access, broker: int) -> dict[Entity, dict[str, float]]:
        """Instead of `quotas_of`: the first `late` answers are from before the change."""
        assert (broker, access.brokers[broker]) in self.ways
        self.note("quotas of", broker)
        self.late -= 1
        return {} if self.late >= 0 else self.describe_quotas(access)

    def alter_quotas(self, access: Access, changes: Mapping[Entity, Mapping[str, float | None]]) -> dict[Entity, str]:
        """Instead of `alter_quotas`: an entity whose last limit goes is gone; one is refused by any of its names."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        self.note("alter quotas", {entity: dict(limits) for entity, limits in changes.items()})
        refused = {e: r for e in changes for _, name in e if name and (r := self.refusals.get(name))}
        for entity, limits in changes.items():
            assert limits
            if entity not in refused:
                there = {**self.quotas.get(entity, {}), **limits}
                self.quotas[entity] = {key: value for key, value in there.items() if value is not None}
                if not self.quotas[entity]:
                    del self.quotas[entity]
        return refused

    def describe_acls(self, access: Access) -> frozenset[Acl] | None:
        """Instead of `describe_acls`: a broker without an authorizer has none."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        self.note("describe acls", None)
        return frozenset(self.acls) if self.asks_for_permission else None

    def acls_of(self, access: Access, broker: int) -> frozenset[Acl] | None:
        """Instead of `acls_of`: the first `late` answers are from before the change."""
        assert (broker, access.brokers[broker]) in self.ways
        self.note("acls of", broker)
        self.late -= 1
        if not self.has_authorizer(broker):
            return None
        return frozenset() if self.late >= 0 else self.describe_acls(access)

    def create_acls(self, access: Access, acls: Sequence[Acl]) -> dict[Acl, str]:
        """Instead of `create_acls`: they are refused by their principal."""
        return self._change_acls(access, "create acls", acls, self.acls.add)

    def delete_acls(self, access: Access, acls: Sequence[Acl]) -> dict[Acl, str]:
        """Instead of `delete_acls`: only those that are there."""
        assert set(acls) <= self.acls
        return self._change_acls(access, "delete acls", acls, self.acls.remove)

    def _change_acls(
        self, access: Access, what: str, acls: Sequence[Acl], change: Callable[[Acl], None]
    ) -> dict[Acl, str]:
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        assert self.asks_for_permission, "a broker without an authorizer has no ACLs"
        self.note(what, list(acls))
        refused = {acl: reason for acl in acls if (reason := self.refusals.get(acl.principal))}
        for acl in acls:
            if acl not in refused:
                change(acl)
        return refused

    @property
    def asks_for_permission(self) -> bool:
        """Whether its first broker has an authorizer; another one that leaves may have none."""
        return self.has_authorizer(min(self.brokers))

    def has_authorizer(self, broker: int) -> bool:
        """Whether a broker has one."""
        return "authorizer.class.name" in self.static[broker]

    @contextmanager
    def connected(self, access: Access, timeout_s: float = 30.0) -> Iterator["FakeAdmin"]:
        """Instead of `provision.kafka.admin.connected`."""
        assert timeout_s > 0
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        yield FakeAdmin(self)

    def describe_scram(self, access: Access) -> dict[str, dict[str, int]]:
        """Instead of `describe_scram`."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        self.note("describe users", None)
        return {
            user: {mechanism: iterations for mechanism, (iterations, _) in known.items()}
            for user, known in self.users.items()
        }

    def scram_of(self, access: Access, broker: int) -> dict[str, dict[str, int]]:
        """Instead of `scram_of`: the first `late` answers are from before the change."""
        assert (broker, access.brokers[broker]) in self.ways
        self.late -= 1
        if self.late >= 0:
            raise NotAnswering("it starts")
        return self.describe_scram(access)

    def alter_scram(self, access: Access, changes: Sequence[ScramChange]) -> dict[str, str]:
        """Instead of `alter_scram`: users are refused by their names."""
        assert set(access.brokers.values()) & {at for _, at in self.ways}
        self.note("alter users", [change.user for change in changes])
        refused = {change.user: reason for change in changes if (reason := self.refusals.get(change.user))}
        for change in changes:
            if change.user not in refused:
                known = self.users.setdefault(change.user, {})
                for mechanism in change.remove:
                    del known[mechanism]
                if change.mechanism:
                    known[change.mechanism] = (change.iterations, change.password)
                if not known:
                    del self.users[change.user]
        return refused

    def lets_in(self, access: Access, broker: int, who: Credentials) -> bool:
        """Instead of `lets_in`."""
        assert (broker, access.brokers[broker]) in self.ways
        if who.mechanism == PLAIN:
            files = self.runtime.read_files(self.name, f"broker-{broker}")
            (has,) = [read(file.text) or {} for file in files if file.name == SECRETS]
            return has.get(f"password.{who.username}") == quoted(who.password)
        return self.users.get(who.username, {}).get(who.mechanism, (0, None))[1] == who.password

    def speak(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one, wherever that is asked."""
        monkeypatch.setattr("provision.kafka.admin.connected", self.connected)
        monkeypatch.setattr("provision.kafka.writing.produce", self.produce)
        for name, module in list(sys.modules.items()):
            for function, fake in self._instead.items():
                if name.startswith("provision.") and hasattr(module, function):
                    monkeypatch.setattr(module, function, fake)

    @property
    def _instead(self) -> dict[str, Callable[..., Any]]:
        return {
            "ask_brokers": self.ask,
            "is_gone": lambda _access, topic: topic not in self.topics or topic in self.hidden,
            "ask_broker": self.reply,
            "ask_for_quorum": lambda access: Quorum(min(access.brokers), {}, {}) if access.brokers else None,
            "ask_zookeeper": lambda _address, _keys, _timeout_s: Reply(0.001),
            "missing_for_leaders": self.missing_for_leaders,
            "describe_quotas": self.describe_quotas,
            "quotas_of": self.quotas_of,
            "alter_quotas": self.alter_quotas,
            "describe_acls": self.describe_acls,
            "acls_of": self.acls_of,
            "create_acls": self.create_acls,
            "delete_acls": self.delete_acls,
            "describe_scram": self.describe_scram,
            "scram_of": self.scram_of,
            "alter_scram": self.alter_scram,
            "lets_in": self.lets_in,
        }

    def reply(self, access: Access, broker: int, _timeout_s: float) -> Reply:
        """How soon one of its brokers answers: at once, or not at all."""
        return Reply(0.001) if broker in self.ask(access).clusters else UNSERVED

    def note(self, what: str, about: object) -> None:
        """Remember a call, and let a test do something with it."""
        with self._lock:
            self.calls.append((what, about))
        self.on_call(what, about)

    def use(self) -> None:
        """Let somebody consume: Kafka makes its own topic."""
        if OFFSETS not in self.topics:
            up = sorted(self.brokers)
            rows = [tuple(up[(n + k) % len(up)] for k in range(min(3, len(up)))) for n in range(3)]
            self.topics[OFFSETS] = Topic([Partition(row) for row in rows], {"cleanup.policy": "compact"})


class FakeAdmin:
    """The parts of the connection."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.settings = FakeSettings(kafka)
        self.topics = FakeTopics(kafka, self.settings)
        self.brokers = BrokerAdmin(cast(SettingsAdmin, self.settings))
        self.partitions = FakePartitions(kafka)


@dataclass
class FakeSettings:
    """Settings of topics and brokers."""

    kafka: FakeKafka

    def alter(
        self, changes: Mapping[tuple[str, str], Mapping[str, str | None]], *, validate_only: bool = False
    ) -> dict[tuple[str, str], str]:
        """Each resource as a whole or not at all."""
        if changes and not validate_only:
            self.kafka.note("alter", {at: dict(values) for at, values in changes.items()})
        failed = {at: reason for at, values in changes.items() if (reason := self._reason(*at, values))}
        for (kind, name), values in changes.items():
            if (kind, name) in failed or validate_only:
                continue
            present = (
                self.kafka.topics[name].config
                if kind == "topic"
                else self.kafka.set_on_brokers.setdefault(int(name), {})
            )
            for key, value in values.items():
                present.pop(key, None)
                if value is not None:
                    present[key] = value
            if kind == "topic":
                self.kafka.require_writable(name)
        return failed

    def _reason(self, kind: str, name: str, values: Mapping[str, str | None]) -> str:
        if reason := self.kafka.refusals.get(name):
            return reason
        if kind == "topic":
            return "" if name in self.kafka.topics else f"The topic '{name}' does not exist."
        assert int(name) in self.kafka.brokers, f"broker {name} is asked and does not run"
        fixed = [key for key, value in values.items() if value is not None and key not in DYNAMIC | DYNAMIC_RATES]
        if fixed:
            return f"Cannot update these configs dynamically: {fixed}"
        too_far = [key for key in THREAD_POOLS if not self._in_reach(int(name), key, values)]
        return "Invalid dynamic configuration" if too_far else ""

    def _in_reach(self, broker: int, key: str, values: Mapping[str, str | None]) -> bool:
        """Kafka's `DynamicThreadPool` compares what would hold with what holds: half of it, rounded down, to double."""
        beneath = int(self.kafka.static[broker].get(key, THREAD_POOLS[key]))
        now = int(self.kafka.set_on_brokers.get(broker, {}).get(key, beneath))
        then = now if key not in values else int(values[key] or beneath)
        return then > 0 and now // 2 <= then <= now * 2

    def describe(
        self, kind: str, names: Collection[str], keys: Collection[str] | None = None, *, synonyms: bool = False
    ) -> dict[str, Entries]:
        """As Kafka describes them, here always with `synonyms`."""
        assert kind == "broker" or not synonyms
        found = {name: self._topic(name) if kind == "topic" else self._broker(int(name)) for name in names}
        return {
            name: {key: entry for key, entry in entries.items() if keys is None or key in keys}
            for name, entries in found.items()
        }

    def _topic(self, name: str) -> Entries:
        return {
            "min.insync.replicas": _entry("1", "DEFAULT_CONFIG"),
            **{key: _entry(value, "DYNAMIC_TOPIC_CONFIG") for key, value in self.kafka.topics[name].config.items()},
        }

    def _broker(self, broker: int) -> Entries:
        assert broker in self.kafka.brokers, f"broker {broker} is asked and does not run"
        values = {DELETE_TOPICS: _entry("true", "DEFAULT_CONFIG", read_only=True)}
        values |= {key: _entry(str(THREAD_POOLS.get(key, 0)), "DEFAULT_CONFIG") for key in DYNAMIC}
        static = self.kafka.static[broker]
        values |= {k: _entry(v, "STATIC_BROKER_CONFIG", read_only=k not in DYNAMIC) for k, v in static.items()}
        on_broker = self.kafka.set_on_brokers.get(broker, {})
        beneath = {key: values[key]["synonyms"] for key in on_broker if key in values}
        return values | {k: _entry(v, "DYNAMIC_BROKER_CONFIG", beneath.get(k, ())) for k, v in on_broker.items()}


def _entry(value: str, source: str, beneath: Collection[object] = (), *, read_only: bool = False) -> dict[str, Any]:
    synonyms = [{"value": value, "source": source}, *beneath]
    return {"value": value, "config_source": source, "read_only": read_only, "synonyms": synonyms}


@dataclass
class FakeTopics:
    """Topics."""

    kafka: FakeKafka
    settings: FakeSettings

    def create(
        self, placed: Sequence[PlacedTopic], tell: Listener = silent, check: Callable[[], None] = lambda: None
    ) -> Created:
        """With their replicas."""
        check()
        tell(Progress("topics created", 0, len(placed)))
        self.kafka.note("create", [item.topic.name for item in placed])
        existing = {item.topic.name for item in placed if item.topic.name in self.kafka.topics}
        failures = {i.topic.name: r for i in placed if (r := self.kafka.refusals.get(i.topic.name))}
        for item in placed:
            if item.topic.name not in existing | failures.keys():
                self._require_brokers(item.assignment)
                assert len(item.assignment) == item.topic.partitions
                rows = [Partition(row) for row in item.assignment]
                self.kafka.topics[item.topic.name] = Topic(rows, dict(item.topic.config), [[] for _ in rows])
        self.kafka.note("created", [item.topic.name for item in placed])
        return Created(frozenset(existing), failures)

    def _require_brokers(self, rows: Sequence[Row]) -> None:
        for row in rows:
            assert row
            assert len(set(row)) == len(row)
            assert set(row) <= self.kafka.brokers.keys()

    def grow(self, growths: Mapping[str, Growth], check: Callable[[], None] = lambda: None) -> dict[str, str]:
        """With the replicas of the new ones."""
        check()
        self.kafka.note("grow", list(growths))
        failures: dict[str, str] = {}
        for name, growth in growths.items():
            topic = self.kafka.topics[name]
            self._require_brokers(growth.assignment)
            if any(partition.target for partition in topic.partitions):
                failures[name] = "A partition reassignment is in progress for the topic"
            elif growth.count != len(topic.partitions) + len(growth.assignment):
                failures[name] = "the assignment does not fit"
            else:
                topic.partitions += [Partition(row) for row in growth.assignment]
        return failures

    def configure(self, settings: Mapping[str, TopicSettings]) -> dict[str, str]:
        """Set and take back."""
        changes: dict[tuple[str, str], dict[str, str | None]] = {
            ("topic", name): {**wanted.values, **dict.fromkeys(wanted.reset)} for name, wanted in settings.items()
        }
        return {name: reason for (_, name), reason in self.settings.alter(changes).items()}

    def delete(self, names: Sequence[str]) -> dict[str, str]:
        """If the brokers do that."""
        self.kafka.note("delete", list(names))
        failures = {name: reason for name in names if (reason := self.kafka.refusals.get(name))}
        for name in set(names) - failures.keys():
            assert name not in INTERNAL
            del self.kafka.topics[name]
        return failures

    def with_settings(self, topics: Sequence[ObservedTopic]) -> tuple[ObservedTopic, ...]:
        """What is set on each."""
        return tuple(replace(topic, config=dict(self.kafka.topics[topic.name].config)) for topic in topics)

    def minimum_in_sync(self, names: Sequence[str]) -> dict[str, int]:
        """As it holds."""
        return {name: self.kafka.minimum(name) for name in names}


@dataclass
class FakePartitions:
    """Partitions. Those that move arrive when they have been asked for often enough."""

    kafka: FakeKafka

    def moves(self) -> dict[At, Move]:
        """What has not arrived."""
        self.kafka.note("moving", None)
        self.kafka.paces -= 1
        found: dict[At, Move] = {}
        for at, partition in self.kafka.each():
            if partition.target and self.kafka.paces < 0:
                partition.replicas, partition.target = partition.target, None
                self.kafka.require_writable(at[0])
            if partition.target:
                adding = tuple(broker for broker in partition.target if broker not in partition.replicas)
                removing = tuple(broker for broker in partition.replicas if broker not in partition.target)
                found[at] = Move(partition.all, adding, removing)
        return found

    def end_offsets(self, topic: str, partitions: int) -> tuple[int, ...]:
        """How many records each was given."""
        assert partitions == len(self.kafka.topics[topic].partitions)
        return tuple(map(len, self.kafka.topics[topic].records)) or (0,) * partitions

    def sizes(self, brokers: Collection[int]) -> dict[At, dict[int, int]]:
        """Of each replica."""
        held = {
            at: {b: p.size if b in p.replicas else p.arrived for b in p.all if b in brokers}
            for at, p in self.kafka.each()
        }
        return {at: sizes for at, sizes in held.items() if sizes}

    def reassign(self, replicas: Mapping[str, Mapping[int, Row]]) -> dict[str, str]:
        """Begin."""
        self.kafka.note("reassign", {name: dict(rows) for name, rows in replicas.items()})
        for name, rows in replicas.items():
            for number, row in rows.items():
                assert len(set(row)) == len(row) > 0
                assert set(row) <= self.kafka.brokers.keys()
                if name not in self.kafka.refusals:
                    self.kafka.topics[name].partitions[number].target = tuple(row)
        return {name: reason for name, reason in self.kafka.refusals.items() if name in replicas}

    def elect_preferred_leaders(self, partitions: Mapping[str, Collection[int]]) -> None:
        """Here they always lead."""
        self.kafka.note("elect", {name: sorted(numbers) for name, numbers in partitions.items()})
