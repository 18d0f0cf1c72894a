"""Quotas on real brokers: what the file says holds, as Kafka's own tools and a client see it, in both modes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.common.values import replace
from tests.engine import SHORT_SESSION, Provision, java, write_environment

NAME = "quotas"
QUOTAS: list[dict[str, Any]] = [
    {"user": "default", "producer_byte_rate": 1048576},
    {"user": "alice", "client_id": "app", "request_percentage": 12.5},
    {"user": "alice", "client_id": "default", "consumer_byte_rate": 2048},
    {"client_id": "slow", "consumer_byte_rate": 1024, "controller_mutation_rate": 5},
    {"ip": "10.0.0.1", "connection_creation_rate": 7},
    {"ip": "default", "connection_creation_rate": 1000},
]
SHOWN = {
    "the default user-principal": "producer_byte_rate=1048576.0",
    "user-principal 'alice', client-id 'app'": "request_percentage=12.5",
    "user-principal 'alice', the default client-id": "consumer_byte_rate=2048.0",
    "client-id 'slow'": "consumer_byte_rate=1024.0, controller_mutation_rate=5.0",
    "ip '10.0.0.1'": "connection_creation_rate=7.0",
    "the default ip": "connection_creation_rate=1000.0",
}
TYPES = (("users",), ("clients",), ("ips",), ("users", "clients"))
OLDEST, NEWEST = "2.8.2", "4.3.0"


class Environment:
    """Two brokers and the quotas of the file."""

    def __init__(self, provision: Provision, directory: Path) -> None:
        self.provision, self._directory = provision, directory
        self.file = ""

    def want(self, quotas: list[dict[str, Any]], **keys: Any) -> None:  # noqa: ANN401 any keys of the file
        """Write the file."""
        properties = yaml.safe_load(SHORT_SESSION) if self.provision.version == OLDEST else {}
        brokers = {"nodes": 2, "port": "auto", "properties": properties}
        topics = [{"name": "written"}]
        text = json.dumps({"brokers": brokers, "topics": topics, "quotas": quotas} | keys)  # JSON is YAML
        self.file = write_environment(self._directory, NAME, text)

    def plan(self) -> list[tuple[str, str]]:
        """Verb and resource of all that is to be done."""
        actions = json.loads(self.provision.ok("plan", self.file, "-o", "json"))["actions"]
        return [(action["verb"], action["resource"]) for action in actions]

    def settle(self, *expected: tuple[str, str]) -> None:
        """The plan is what is expected, and after it there is nothing to do."""
        assert self.plan() == list(expected)
        self.provision.ok("up", self.file, "--yes")
        assert self.plan() == []

    def shown(self) -> dict[str, str]:
        """The limits by whom they are for, in the words of Kafka's own tool."""
        found: dict[str, str] = {}
        for types in TYPES:
            flags = [word for kind in types for word in ("--entity-type", kind)]
            said = self.provision.ok("tool", NAME, "kafka-configs", "--", "--describe", *flags)
            for whom, limits in re.findall(r"^Quota configs for (.*) are (.*)$", said, re.MULTILINE):
                found[whom] = ", ".join(sorted(limits.split(", ")))
        return found

    def throttle_time(self, client: str) -> float:
        """How long a producer was made to wait at most, in milliseconds, for its 2 records of 512 bytes."""
        flags = ("--topic", "written", "--num-records", "2", "--record-size", "512", "--throughput", "-1")
        (servers,) = re.findall(r"^export KAFKA_BOOTSTRAP_SERVERS=(.*)", self.provision.ok("env", NAME), re.MULTILINE)
        properties = ("--producer-props", f"bootstrap.servers={servers}", f"client.id={client}", "batch.size=1")
        said = self.provision.ok("tool", NAME, "kafka-producer-perf-test", "--", *flags, "--print-metrics", *properties)
        metric = rf"produce-throttle-time-max:{{client-id={client}}} *: ([0-9.]+)$"
        return float(re.findall(metric, said, re.MULTILINE)[0])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(OLDEST, id="zookeeper", marks=pytest.mark.soak),
        pytest.param(NEWEST, id="kraft", marks=pytest.mark.group(docker="soak", process="matrix")),
    ],
)
def environment(
    request: pytest.FixtureRequest, provision: Provision, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    version: str = request.param
    if provision.runtime == "process":
        java(version)
    made = Environment(replace(provision, version=version), tmp_path_factory.mktemp("files"))
    made.want(QUOTAS)
    made.provision.ok("up", made.file, "--yes")
    yield made
    made.provision.ok("down", NAME)
    assert made.provision.traces(NAME) == []


def test_quotas_are_there_with_the_cluster_as_kafkas_own_tool_tells_them(environment: Environment) -> None:
    assert environment.shown() == SHOWN
    assert environment.plan() == []


def test_what_is_changed_in_the_file_and_outside_it_becomes_as_the_file_says(environment: Environment) -> None:
    alter = ("kafka-configs", "--", "--alter", "--entity-type", "clients", "--entity-name", "slow")
    environment.provision.ok("tool", NAME, *alter, "--add-config", "producer_byte_rate=9")
    changed = [QUOTAS[0] | {"producer_byte_rate": 2097152}, *QUOTAS[1:]]
    environment.want(changed)
    environment.settle(("configure", "quota default user"), ("configure", "quota client-id slow"))
    assert environment.shown() == SHOWN | {"the default user-principal": "producer_byte_rate=2097152.0"}
    environment.want(QUOTAS)
    environment.settle(("configure", "quota default user"))


def test_what_the_file_does_not_name_goes_only_with_prune(environment: Environment) -> None:
    environment.want(QUOTAS[:2])
    environment.settle()
    assert environment.shown() == SHOWN
    environment.want(QUOTAS[:2], prune=True)
    environment.settle(
        ("delete", "quota client-id slow"),
        ("delete", "quota default ip"),
        ("delete", "quota ip 10.0.0.1"),
        ("delete", "quota user alice, default client-id"),
    )
    assert list(environment.shown().values()) == ["producer_byte_rate=1048576.0", "request_percentage=12.5"]
    environment.want(QUOTAS)
    environment.provision.ok("topics", "apply", environment.file)
    assert environment.shown() == SHOWN


def test_adopt_writes_them_as_a_file_says_them(environment: Environment) -> None:
    environment.want(QUOTAS)
    environment.provision.ok("up", environment.file, "--yes")
    adopted = yaml.safe_load(environment.provision.ok("topics", "adopt", NAME))

    def known(quotas: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(quota, sort_keys=True) for quota in quotas)

    assert known(adopted["quotas"]) == known(QUOTAS)


def test_a_quota_that_is_in_force_slows_its_client_down(environment: Environment) -> None:
    """The brokers tell a producer over its quota how long to wait, and Kafka's own producer shows it as a metric."""
    # A quota of the client id alone would not count: the one of all users is more specific to Kafka.
    environment.want([*QUOTAS, {"user": "default", "client_id": "throttled", "producer_byte_rate": 50}])
    environment.settle(("create", "quota default user, client-id throttled"))
    waited = {client: environment.throttle_time(client) for client in ("throttled", "free")}
    assert waited["free"] == 0
    assert waited["throttled"] > 0
