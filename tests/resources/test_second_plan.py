"""After any `up` a second plan is empty: random sequences of valid files, on the fake runtime and a Kafka in memory."""

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.cluster.properties import parse
from provision.errors import Refused
from provision.kafka.quotas import Entity
from provision.security.acls import expanded, principal_of
from tests.examples import examples
from tests.fake_kafka import DYNAMIC
from tests.test_converge import Living, living_in


@dataclass
class TopicWish:
    """A topic of the file, before it is made to fit the number of brokers."""

    partitions: int
    factor: int
    minimum: int
    retention: int | None
    compacted: bool
    consent: bool
    named: bool


@dataclass
class File:
    """What an environment file says, in a form in which parts of it can change."""

    brokers: int = 3
    members: int = 1
    version: str = "3.8.1"
    heap: str = "256m"
    racks: tuple[str, ...] = ()
    properties: dict[str, int] = field(default_factory=dict)
    topics: dict[str, TopicWish] = field(default_factory=dict)
    quotas: dict[str, dict[str, float]] = field(default_factory=dict)
    permissions: dict[str, list[str]] = field(default_factory=dict)
    policy: dict[str, object] = field(default_factory=dict)

    def sections(self) -> dict[str, object]:
        """As it is written; always valid."""
        return {
            "kafka": {"version": self.version},
            "zookeeper": {"nodes": self.members},
            "brokers": {
                "nodes": self.brokers,
                "heap": self.heap,
                "racks": list(self.racks),
                "properties": self.properties,
            },
            "topics": [self._topic(name, wish) for name, wish in self.topics.items()],
            **({"quotas": self._quotas()} if self.quotas else {}),
            "security": "sasl-plain",
            "users": [{"name": name, "allow": allow} for name, allow in self.permissions.items()],
            "prune": False,
            "rebalance": False,
            "throttle": "100m",
            **self.policy,
        }

    def _quotas(self) -> list[dict[str, object]]:
        return [
            {**dict(zip(("user", "client_id"), whom.split("/"), strict=False)), **limits}
            for whom, limits in self.quotas.items()
        ]

    def _topic(self, name: str, wish: TopicWish) -> dict[str, object]:
        factor = min(wish.factor, self.brokers)
        config: dict[str, object] = {"min.insync.replicas": min(wish.minimum, factor)}
        if wish.retention:
            config["retention.ms"] = wish.retention
        if wish.compacted:
            config["cleanup.policy"] = "compact"
        topic = {"name": name, "config": config, "grow_compacted": wish.consent}
        if wish.named:
            row = range(wish.partitions)
            replicas = [[(first + further) % self.brokers + 1 for further in range(factor)] for first in row]
            return topic | {"replicas": replicas}
        return topic | {"partitions": wish.partitions, "replication_factor": factor}


@dataclass(frozen=True)
class Change:
    """A part of the file, or the entry `key` of a part, gets a value; None takes an entry away."""

    part: str
    value: object
    key: str = ""

    def apply(self, file: File) -> None:
        """Make it."""
        if not self.key:
            setattr(file, self.part, self.value)
            return
        entries = getattr(file, self.part)
        entries.pop(self.key, None)
        if self.value is not None:
            entries[self.key] = self.value


def part(name: str, *values: object) -> st.SearchStrategy[Change]:
    return st.builds(Change, st.just(name), st.sampled_from(values))


def entry(name: str, keys: list[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[Change]:
    return st.builds(Change, st.just(name), values, st.sampled_from(keys))


TOPICS = st.builds(
    TopicWish,
    partitions=st.integers(1, 6),
    factor=st.integers(1, 4),
    minimum=st.integers(1, 3),
    retention=st.sampled_from([None, 5, 6]),
    compacted=st.booleans(),
    consent=st.booleans(),
    named=st.sampled_from([False, False, False, True]),
)
LIMITS = st.dictionaries(
    st.sampled_from(["producer_byte_rate", "consumer_byte_rate"]), st.sampled_from([1, 1024, 2**31]), min_size=1
)
PERMISSIONS = st.lists(st.sampled_from(["read topic a", "read topic *", "write topic a*", "read group g"]), max_size=3)
CHANGES = st.one_of(
    part("brokers", 1, 2, 3, 4, 5),
    part("racks", (), ("a", "b"), ("a", "b", "c")),
    part("members", 1, 3, 5),
    part("version", "3.8.1", "3.9.1"),
    part("heap", "256m", "300m"),
    entry(
        "properties",
        ["num.io.threads", "background.threads", "num.network.threads", "num.partitions"],
        st.sampled_from([None, 5, 6, 12, 30]),
    ),
    entry("topics", ["a", "b", "c"], st.one_of(st.none(), TOPICS, TOPICS)),
    entry("quotas", ["default", "alice", "alice/app", "alice/default"], st.one_of(st.none(), LIMITS, LIMITS)),
    entry("permissions", ["alice", "bob"], st.one_of(st.none(), PERMISSIONS, PERMISSIONS)),
    entry("policy", ["prune", "rebalance"], st.booleans()),
    entry("policy", ["throttle"], st.sampled_from([None, "10m"])),
)


def as_the_file_says(living: Living, file: File) -> None:
    """Kafka has what the file says, whatever plans say of it."""
    sections = file.sections()
    topics = sections["topics"]
    assert isinstance(topics, list)
    for topic in topics:
        rows = living.replicas(topic["name"])
        if "replicas" in topic:
            assert rows == [tuple(row) for row in topic["replicas"]]
        else:
            assert [len(row) for row in rows] == [topic["replication_factor"]] * topic["partitions"]
        assert living.kafka.topics[topic["name"]].config == {k: str(v) for k, v in topic["config"].items()}
    wanted = {entity(whom): limits for whom, limits in file.quotas.items()}
    assert living.kafka.quotas.items() >= wanted.items()
    if wanted and sections["prune"]:
        assert living.kafka.quotas == wanted
    permitted = {
        acl for name, allow in file.permissions.items() for text in allow for acl in expanded(text, principal_of(name))
    }
    assert living.kafka.acls >= permitted
    if file.permissions and sections["prune"]:
        assert living.kafka.acls == permitted
    assert sorted(living.kafka.brokers) == list(range(1, file.brokers + 1))
    for broker in living.kafka.brokers:
        assert effective(living, broker) >= {(key, str(value)) for key, value in file.properties.items()}
        assert living.kafka.static[broker].get("broker.rack") == (
            file.racks[(broker - 1) % len(file.racks)] if file.racks else None
        )


def entity(whom: str) -> Entity:
    """As Kafka names it."""
    names = [None if name == "default" else name for name in whom.split("/")]
    return tuple(sorted(zip(("user", "client-id"), names, strict=False)))


def effective(living: Living, broker: int) -> set[tuple[str, str]]:
    """What a broker works with; a property in its file that it has not read yet must be dynamic."""
    files = living.runtime.read_files("living", f"broker-{broker}")
    (on_disk,) = (parse(file.text) for file in files if file.name == "server.properties")
    read: Mapping[str, str] = living.kafka.static[broker]
    assert {key for key in on_disk.keys() | read.keys() if on_disk.get(key) != read.get(key)} <= DYNAMIC
    return set({**read, **living.kafka.set_on_brokers.get(broker, {})}.items())


@settings(max_examples=examples(of=2))
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=4), min_size=3, max_size=6), st.integers(0, 5))
def test_a_second_plan_after_any_up_is_empty(steps: list[list[Change]], used: int) -> None:
    """From step `used` on Kafka has a topic of its own. A file that is refused changes nothing and is given up."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        living = living_in(Path(directory), monkeypatch)
        file = File()
        living.want(**file.sections()).up()
        for number, changes in enumerate(steps):
            if number == used:
                living.kafka.use()
            wanted = copy.deepcopy(file)
            for change in changes:
                change.apply(wanted)
            before = living.state
            try:
                living.want(**wanted.sections()).up()
            except Refused:
                assert living.state == before
                continue
            file = wanted
            assert [str(action) for action in living.plan().plan.actions] == []
            as_the_file_says(living, file)
