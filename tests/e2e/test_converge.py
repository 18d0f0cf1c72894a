"""A running environment becomes what its file says now: settings, topics, replicas, brokers; and stays so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.common.values import replace
from tests.engine import Provision, write_environment

NAME = "converge"
# A short session lets ZooKeeper notice a broker that went sooner than the default of 18 s.
PROPERTIES = {"zookeeper.session.timeout.ms": 6000, "num.io.threads": 4}
ORDERS: dict[str, Any] = {"name": "orders", "partitions": 3, "replication_factor": 3}

# They build on one another: all of them go, and the runtimes differ little here.
pytestmark = pytest.mark.group(docker="matrix", process="soak")


class Environment:
    """The environment under test, rewritten for each change."""

    def __init__(self, provision: Provision, directory: Path) -> None:
        self.provision, self._directory = provision, directory
        self.file = ""

    def want(self, brokers: int = 3, properties: dict[str, Any] | None = None, **keys: Any) -> None:  # noqa: ANN401
        """Write the file."""
        nodes = {"nodes": brokers, "port": "auto", "properties": PROPERTIES | (properties or {})}
        content = {"brokers": nodes, "topics": [ORDERS], **keys}
        self.file = write_environment(self._directory, NAME, json.dumps(content))  # JSON is YAML

    def plan(self) -> list[dict[str, Any]]:
        """What is to be done; nothing is said by `--detailed-exitcode` too."""
        shown = self.provision("plan", self.file, "-o", "json", "--detailed-exitcode")
        actions: list[dict[str, Any]] = json.loads(shown.out)["actions"]
        assert shown.code == {True: 2, False: 0}[bool(actions)] or any(a["verb"] == "refuse" for a in actions)
        return actions

    def up(self) -> None:
        """Make it so; afterwards nothing is left to do."""
        self.provision.ok("up", self.file, "--yes")
        assert self.plan() == []

    def tool(self, name: str, *arguments: str) -> str:
        """What Kafka's own tool says."""
        return self.provision.ok("tool", NAME, name, "--", *arguments)

    def describe(self, topic: str) -> dict[str, Any]:
        """What `topics describe` says."""
        (described,) = json.loads(self.provision.ok("topics", "describe", NAME, topic, "-o", "json"))
        return dict(described)


@pytest.fixture(scope="module")
def environment(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    made = Environment(provision, tmp_path_factory.mktemp("files"))
    made.want()
    made.up()
    provision.ok("produce", NAME, "orders", stdin="".join(f"record {number}\n" for number in range(100)))
    yield made
    read = provision.ok("consume", NAME, "orders", "--from-beginning", "-n", "100", "--timeout", "30s")
    assert sorted(read.split("\n")) == sorted(["", *(f"record {number}" for number in range(100))])
    provision.ok("down", NAME)
    assert provision.traces(NAME) == []


def test_a_setting_that_brokers_take_while_they_run_restarts_nothing(environment: Environment) -> None:
    before = environment.provision.traces(NAME)
    environment.want(properties={"num.io.threads": 6})
    assert {(a["verb"], a["class"]) for a in environment.plan()} == {("configure", "dynamic")}
    environment.up()
    assert environment.provision.traces(NAME) == before
    said = environment.tool("kafka-configs", "--describe", "--entity-type", "brokers", "--entity-name", "2")
    assert "num.io.threads=6 " in said


def test_what_is_set_beside_the_file_is_taken_back(environment: Environment) -> None:
    broker = ("--alter", "--entity-type", "brokers", "--entity-name", "1")
    environment.tool("kafka-configs", *broker, "--add-config", "log.cleaner.threads=2")
    assert [(a["resource"], a["verb"]) for a in environment.plan()] == [("broker-1", "configure")]
    environment.up()
    described = environment.tool("kafka-configs", "--describe", "--entity-type", "brokers", "--entity-name", "1")
    assert "log.cleaner.threads" not in described


def test_a_restart_is_asked_for_and_goes_one_at_a_time(environment: Environment, tmp_path: Path) -> None:
    environment.want(properties={"queued.max.requests": 600})
    actions = environment.plan()
    rolled = [a["resource"] for a in actions if a["class"] == "rolling"]
    assert sorted(rolled) == ["broker-1", "broker-2", "broker-3"]
    refused = environment.provision("up", environment.file)
    assert refused.code == 4
    assert "--yes" in refused.err

    saved = tmp_path / "saved.plan"
    environment.provision("plan", environment.file, "--out", str(saved))
    environment.want(properties={"queued.max.requests": 700})
    stale = environment.provision("up", environment.file, "--plan", str(saved))
    assert stale.code == 4
    assert "the plan is stale" in stale.err
    environment.want(properties={"queued.max.requests": 600})
    done = environment.provision("up", environment.file, "--plan", str(saved))
    assert done.code == 0, done.err
    order = [line.split()[0] for line in done.err.splitlines() if " restarted (" in line]
    assert order == rolled
    assert environment.plan() == []


def test_topics_become_what_the_file_says_and_kafkas_own_tools_agree(environment: Environment) -> None:
    topics = [
        ORDERS | {"partitions": 5, "replication_factor": 2, "config": {"retention.ms": 3600000}},
        {"name": "placed", "replicas": [[3, 1], [2, 3]]},
    ]
    environment.want(properties={"queued.max.requests": 600}, topics=topics, throttle="10m")
    by_verb = {(a["verb"], a["resource"]): a for a in environment.plan()}
    assert by_verb.keys() == {
        ("create", "topic placed"),
        ("configure", "topic orders"),
        ("reassign", "topic orders"),
        ("grow", "topic orders"),
    }
    assert by_verb["configure", "topic orders"]["changes"] == [
        {"key": "retention.ms", "old": "unset", "new": "3600000"}
    ]
    environment.up()

    for topic, count in (("orders", 5), ("placed", 2)):
        described = environment.describe(topic)
        said = environment.tool("kafka-topics", "--describe", "--topic", topic).splitlines()
        partitions = [dict(pair.split(": ", 1) for pair in line.split("\t") if ": " in pair) for line in said[1:]]
        assert len(partitions) == count
        for ours, theirs in zip(described["assignment"], partitions, strict=True):
            assert theirs["Replicas"] == ",".join(map(str, ours["replicas"]))
            assert sorted(theirs["Isr"].split(",")) == sorted(map(str, ours["in_sync"]))
            assert theirs["Leader"] == str(ours["leader"]) == str(ours["replicas"][0])
            assert len(ours["replicas"]) == 2
    settings = environment.tool("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "orders")
    assert "retention.ms=3600000" in settings
    assert "throttled" not in settings


def test_replicas_come_within_a_throttle_that_goes_again(environment: Environment) -> None:
    environment.want(properties={"queued.max.requests": 600}, topics=[ORDERS | {"partitions": 5}], throttle="10m")
    environment.up()
    assert {len(p["in_sync"]) for p in environment.describe("orders")["assignment"]} == {3}
    for kind, name in (("brokers", "1"), ("brokers", "2"), ("brokers", "3"), ("topics", "orders")):
        said = environment.tool("kafka-configs", "--describe", "--entity-type", kind, "--entity-name", name)
        assert "throttled" not in said
    assert "placed" in environment.provision.ok("topics", "list", NAME)  # left alone without prune


def test_brokers_come_and_go_with_what_they_hold(environment: Environment) -> None:
    topics = [ORDERS | {"partitions": 5}]
    keep: dict[str, Any] = {"properties": {"queued.max.requests": 600}, "topics": topics}
    environment.want(brokers=4, rebalance=True, **keep)
    shown = environment.plan()
    assert ("reassign", "topic orders") in {(a["verb"], a["resource"]) for a in shown}
    environment.up()
    held = [broker for p in environment.describe("orders")["assignment"] for broker in p["replicas"]]
    assert held.count(4) >= 3

    environment.want(brokers=3, prune=True, **keep)
    shown = environment.plan()
    assert {a["class"] for a in shown if a["verb"] in ("remove", "delete")} == {"delete"}
    environment.up()
    assert all(4 not in p["replicas"] for p in environment.describe("orders")["assignment"])
    assert not any("broker-4" in trace for trace in environment.provision.traces(NAME))
    assert "placed" not in environment.provision.ok("topics", "list", NAME)


def test_what_would_lose_something_is_refused_and_nothing_is_touched(environment: Environment) -> None:
    keep: dict[str, Any] = {"properties": {"queued.max.requests": 600}}
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"topics": [ORDERS | {"partitions": 2}]}, "Kafka cannot take partitions away"),
        ({"storage": "memory"}, "its data would be left behind"),
        ({"kafka": {"version": "3.8.1"}}, "an older release cannot read"),
    )
    for change, reason in changes:
        environment.want(**(keep | {"topics": [ORDERS | {"partitions": 5}]} | change))
        version = change.get("kafka", {}).get("version", environment.provision.version)
        refused = replace(environment.provision, version=version)("up", environment.file, "--yes")
        assert refused.code == 4, refused.err
        assert reason in refused.err
    environment.want(**keep, topics=[ORDERS | {"partitions": 5}])
    assert environment.plan() == []


def test_topics_of_a_cluster_that_others_run(environment: Environment, tmp_path: Path) -> None:
    provision = replace(environment.provision, as_written=True)
    address = json.loads(provision.ok("status", NAME, "-o", "json"))["bootstrap_servers"]
    adopted = yaml.safe_load(provision.ok("topics", "adopt", "--bootstrap-servers", address, "--replicas"))
    file = write_environment(tmp_path, "foreign", json.dumps(adopted))
    assert provision("plan", file, "--detailed-exitcode").code == 0
    assert provision("up", file).code == 64  # its nodes are not ours

    topics = [*adopted["topics"], {"name": "mine", "partitions": 2}, {"name": "other"}]
    file = write_environment(tmp_path, "foreign", json.dumps(adopted | {"topics": topics}))
    provision.ok("topics", "apply", file)
    assert json.loads(provision.ok("topics", "describe", NAME, "mine", "-o", "json"))[0]["replication_factor"] == 3
    assert provision("plan", file, "--detailed-exitcode").code == 0

    fewer = [*adopted["topics"], {"name": "mine", "partitions": 3}]
    file = write_environment(tmp_path, "foreign", json.dumps(adopted | {"topics": fewer, "prune": True}))
    provision.ok("topics", "apply", file, "mine")  # what is not looked at is not deleted
    assert "other" in provision.ok("topics", "list", file)
    assert provision("topics", "apply", file).code == 4  # nobody agreed
    provision.ok("topics", "apply", file, "--yes")
    listed = json.loads(provision.ok("topics", "list", file, "-o", "json"))
    assert {topic["name"]: topic["partitions"] for topic in listed} == {"orders": 5, "mine": 3}
    provision.ok("topics", "delete", NAME, "mine")
