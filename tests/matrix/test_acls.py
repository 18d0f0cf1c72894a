"""What ACLs let in, on real brokers: each case of the table asked of Kafka's own authorizer, and a life with them."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka.errors as library
import pytest
import yaml
from kafka import KafkaConsumer, KafkaProducer
from kafka.protocol.admin import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteGroupsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    IncrementalAlterConfigsRequest,
)
from kafka.protocol.consumer import FetchRequest, HeartbeatRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest
from kafka.record.memory_records import MemoryRecordsBuilder

from provision.common.values import replace
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import ask
from provision.security.acls import Acl
from tests.acls import CASES, Case
from tests.engine import Provision, engine, java, write_environment

pytestmark = [pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "permits"
ANSWER_S, PATIENCE_S = 20.0, 60.0
TOPIC_DENIED, GROUP_DENIED, CLUSTER_DENIED, TRANSACTION_DENIED = 29, 30, 31, 53


@dataclass(frozen=True)
class Row:
    """How a cluster is secured, its version, how it keeps its metadata, and where it runs."""

    security: str
    version: str
    mode: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.security}-{self.version}-{self.mode}-{self.runtime}"


ROWS = [
    Row(how, version, mode, runtime)
    for runtime in ("process", "docker")
    for version, mode in [("2.8.2", "zookeeper"), ("3.9.1", "zookeeper"), ("3.9.1", "kraft"), ("4.3.0", "kraft")]
    for how in ("mtls", "sasl-plain", "sasl-scram", "sasl-tls")
]
# Each way to say who one is, each authorizer, each version, and both runtimes.
SHORT = {
    Row("mtls", "2.8.2", "zookeeper", "process"),
    Row("sasl-plain", "3.9.1", "zookeeper", "process"),
    Row("sasl-scram", "3.9.1", "kraft", "process"),
    Row("sasl-tls", "4.3.0", "kraft", "process"),
    Row("sasl-tls", "3.9.1", "kraft", "docker"),
}


def on(short: Collection[Row]) -> pytest.MarkDecorator:
    """On clusters of all rows: those of a few rows in the matrix, the others in the soak run."""
    return pytest.mark.parametrize(
        "permits",
        [
            pytest.param(
                row,
                id=str(row),
                marks=[
                    pytest.mark.engine if row.runtime == "docker" else pytest.mark.process,
                    pytest.mark.matrix if row in short else pytest.mark.soak,
                ],
            )
            for row in ROWS
        ],
        indirect=True,
    )


# -- the table --------------------------------------------------------------------------------------------------------

# Each set of permissions gets a user and names of its own, so that one cluster has all of them at once.
GROUPS = list(dict.fromkeys((case.allow, case.others) for case in CASES))


def user_of(case: Case) -> str:
    """The user of the case's permissions."""
    return f"user-{GROUPS.index((case.allow, case.others))}"


def own(user: str, name: str) -> str:
    """A name in the table as that user's own."""
    return name if name in ("*", "kafka-cluster") else f"{user}.{name}"


# Whoever may not delete one but describe it is told whether it exists, so that it has to; nobody may delete these.
KEPT = sorted(
    {
        own(user_of(case), case.name)
        for case in CASES
        if (case.operation, case.resource) == ("delete", "topic") and not case.lets_in
    }
)


def text_of(user: str, text: str) -> str:
    """A short form in the table with the user's own names."""
    operation, resource, *names = text.split()
    return " ".join([operation, resource, *(own(user, name) for name in names)])


def entry_of(user: str, acl: Acl) -> dict[str, Any]:
    """Another ACL in the table, for the user, in full."""
    return {
        "principal": f"User:{user}" if acl.principal == "User:app" else acl.principal,
        "operation": acl.operation,
        "resource": acl.resource,
        "name": own(user, acl.name),
        "pattern": "prefixed" if acl.prefixed else "literal",
        "host": acl.host,
        "permission": "allow" if acl.allowed else "deny",
    }


def sections() -> dict[str, Any]:
    """Users and ACLs of the whole table."""
    users, acls = [], []
    for index, (allow, others) in enumerate(GROUPS):
        name = f"user-{index}"
        users.append({"name": name, "allow": [text_of(name, text) for text in allow]})
        acls += [entry_of(name, acl) for acl in others]
    return {"users": [*users, {"name": "admin", "super": True}, {"name": "app", "allow": []}], "acls": acls}


def _records() -> bytes:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1024)
    builder.append(timestamp=None, key=None, value=b"v")
    builder.close()
    return bytes(builder.buffer())


def _produce(name: str) -> ProduceRequest:
    topic = ProduceRequest.TopicProduceData
    data = [topic(name=name, partition_data=[topic.PartitionProduceData(index=0, records=_records())])]
    return ProduceRequest(transactional_id=None, acks=1, timeout_ms=5000, topic_data=data, version=3)


def _fetch(name: str) -> FetchRequest:
    topic = FetchRequest.FetchTopic
    partition = topic.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1024)
    return FetchRequest(
        replica_id=-1,
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=1024,
        isolation_level=0,
        topics=[topic(topic=name, partitions=[partition])],
        version=4,
    )


def _alter_configs(name: str) -> IncrementalAlterConfigsRequest:
    resource = IncrementalAlterConfigsRequest.AlterConfigsResource
    config = resource.AlterableConfig(name="retention.ms", config_operation=0, value="1000000")
    resources = [resource(resource_type=2, resource_name=name, configs=[config])]
    return IncrementalAlterConfigsRequest(resources=resources, validate_only=True, version=0)


def _create(name: str) -> CreateTopicsRequest:
    topic = CreateTopicsRequest.CreatableTopic
    topics = [topic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[])]
    return CreateTopicsRequest(topics=topics, timeout_ms=5000, validate_only=True, version=4)


def _alter(name: str) -> CreatePartitionsRequest:
    topics = [CreatePartitionsRequest.CreatePartitionsTopic(name=name, count=9, assignments=None)]
    return CreatePartitionsRequest(topics=topics, timeout_ms=5000, validate_only=True, version=1)


def _describe_configs(name: str) -> DescribeConfigsRequest:
    resource = DescribeConfigsRequest.DescribeConfigsResource
    resources = [resource(resource_type=2, resource_name=name, configuration_keys=None)]
    return DescribeConfigsRequest(resources=resources, include_synonyms=False, version=1)


# A filter that no ACL fits.
NOTHING: dict[str, Any] = {
    "resource_type_filter": 2,
    "resource_name_filter": "nothing-has-this-name",
    "pattern_type_filter": 3,
    "principal_filter": "User:nobody",
    "host_filter": "*",
    "operation": 3,
    "permission_type": 3,
}


def _metadata(name: str) -> MetadataRequest:
    topics = [MetadataRequest.MetadataRequestTopic(name=name)]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=False, version=4)


def _heartbeat(name: str) -> HeartbeatRequest:
    return HeartbeatRequest(group_id=name, generation_id=1, member_id="nobody", version=1)


def _transaction(name: str) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=10000, version=1)


# By operation and resource: a request that needs that permission and changes nothing, and its answer's error code.
QUESTIONS: dict[tuple[str, str], tuple[Callable[[str], Any], Callable[[Any], int], int]] = {
    ("read", "topic"): (_fetch, lambda a: a.responses[0].partitions[0].error_code, TOPIC_DENIED),
    ("write", "topic"): (_produce, lambda a: a.responses[0].partition_responses[0].error_code, TOPIC_DENIED),
    ("describe", "topic"): (_metadata, lambda a: a.topics[0].error_code, TOPIC_DENIED),
    ("create", "topic"): (_create, lambda a: a.topics[0].error_code, TOPIC_DENIED),
    ("delete", "topic"): (
        lambda name: DeleteTopicsRequest(topic_names=[name], timeout_ms=5000, version=3),
        lambda a: a.responses[0].error_code,
        TOPIC_DENIED,
    ),
    ("alter", "topic"): (_alter, lambda a: a.results[0].error_code, TOPIC_DENIED),
    ("alter-configs", "topic"): (_alter_configs, lambda a: a.responses[0].error_code, TOPIC_DENIED),
    ("describe-configs", "topic"): (_describe_configs, lambda a: a.results[0].error_code, TOPIC_DENIED),
    ("read", "group"): (_heartbeat, lambda a: a.error_code, GROUP_DENIED),
    ("describe", "group"): (
        lambda name: DescribeGroupsRequest(groups=[name], version=1),
        lambda a: a.groups[0].error_code,
        GROUP_DENIED,
    ),
    ("delete", "group"): (
        lambda name: DeleteGroupsRequest(groups_names=[name], version=1),
        lambda a: a.results[0].error_code,
        GROUP_DENIED,
    ),
    ("describe", "cluster"): (
        lambda _: DescribeAclsRequest(**NOTHING, version=1),
        lambda a: a.error_code,
        CLUSTER_DENIED,
    ),
    ("alter", "cluster"): (
        lambda _: DeleteAclsRequest(filters=[DeleteAclsRequest.DeleteAclsFilter(**NOTHING)], version=1),
        lambda a: a.filter_results[0].error_code,
        CLUSTER_DENIED,
    ),
    ("write", "transactional-id"): (_transaction, lambda a: a.error_code, TRANSACTION_DENIED),
}


@dataclass(frozen=True)
class Permits:
    """A running environment with the whole table in it."""

    row: Row
    provision: Provision
    directory: Path
    described: dict[str, Any]

    def options(self, user: str) -> dict[str, Any]:
        """The keyword arguments of a user's client."""
        found: dict[str, Any] = json.loads(
            self.provision.ok("client-config", NAME, "--user", user, "--format", "kafka-python")
        )
        return found

    def ways(self, users: Collection[str]) -> dict[str, Access]:
        """The ways in of users, who differ in nothing but their names and secrets."""
        options, secrets = self.options("admin"), self.provision.home / "secrets" / NAME
        mechanism, certified = options.get("sasl_mechanism"), "ssl_certfile" in options
        found = {}
        for user in users:
            who = Credentials(mechanism, user, (secrets / f"user-{user}.password").read_text()) if mechanism else None
            certificate = str(secrets / f"user-{user}.pem") if certified else None
            at, protocol = {1: options["bootstrap_servers"][0]}, options["security_protocol"]
            found[user] = Access(at, protocol, who, options.get("ssl_cafile"), certificate)
        return found

    def becomes(self, **changed: object) -> str:
        """Apply a file with other sections; returns what was told."""
        file = write_environment(self.directory, NAME, yaml.safe_dump(self.described | changed))
        return self.provision.ok_err("up", file, "--yes")

    def plan(self) -> list[dict[str, Any]]:
        """The actions of the last file."""
        file = str(self.directory / f"{NAME}.yaml")
        found: list[dict[str, Any]] = json.loads(self.provision.ok("plan", file, "-o", "json"))["actions"]
        return found


@pytest.fixture(scope="module")
def permits(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permits]:
    row: Row = request.param
    if row.runtime == "process":
        java(row.version)
    else:
        engine()
    directory = tmp_path_factory.mktemp("permits")
    provision = Provision(directory / "home", runtime=row.runtime, version=row.version)
    described = {
        "kafka": {"mode": row.mode},
        "brokers": {"nodes": 1, "port": "auto"},
        "security": row.security,
        "topics": [{"name": name} for name in ("t", *KEPT)],
        **sections(),
    }
    found = Permits(row, provision, directory, described)
    found.becomes()
    try:
        yield found
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@on(SHORT)
def test_kafkas_authorizer_lets_in_exactly_what_the_table_says(permits: Permits) -> None:
    assert permits.plan() == []
    ways = permits.ways({user_of(case) for case in CASES})
    wrong = []
    for case in CASES:
        user = user_of(case)
        request, code_of, denied = QUESTIONS[case.operation, case.resource]
        code = code_of(ask(ways[user], 1, request(own(user, case.name)), ANSWER_S))
        if (code != denied) is not case.lets_in:
            wrong.append(f"{case}: {code}")
    assert wrong == []


@on(SHORT)
def test_a_client_is_refused_until_it_is_allowed_and_no_node_restarts(permits: Permits) -> None:
    options = permits.options("app")
    producer = KafkaProducer(**options, enable_idempotence=False, max_block_ms=int(PATIENCE_S * 1000))
    with pytest.raises(library.TopicAuthorizationFailedError):
        producer.send("t", b"refused").get(timeout=PATIENCE_S)
    producer.close()
    users = [user for user in permits.described["users"] if user["name"] != "app"]
    app = {"name": "app", "allow": ["write topic t", "read topic t", "read group app-*"]}
    told = permits.becomes(users=[*users, app])  # what is done to nodes would be told, too
    assert "acl allow User:app write topic t created" in told
    assert "restarted" not in told
    producer = KafkaProducer(**options, enable_idempotence=permits.row.version >= "3")
    producer.send("t", b"allowed").get(timeout=PATIENCE_S)
    producer.close()
    consumer = KafkaConsumer(
        "t", group_id="app-1", auto_offset_reset="earliest", consumer_timeout_ms=int(PATIENCE_S * 1000), **options
    )
    assert next(consumer).value == b"allowed"
    consumer.close()


@on({Row("sasl-plain", "3.9.1", "zookeeper", "process")})
def test_drift_made_by_kafkas_own_tool_is_shown_and_mended_and_pruned(permits: Permits) -> None:
    tool = ("tool", NAME, "kafka-acls", "--")
    one = ("--allow-principal", "User:user-1", "--operation", "READ", "--topic", "user-1.orders")
    permits.becomes()
    permits.provision.ok(*tool, "--remove", "--force", *one)
    permits.provision.ok(*tool, "--add", "--deny-principal", "User:stranger", "--operation", "ALL", "--cluster")
    assert [(action["verb"], action["resource"]) for action in permits.plan()] == [
        ("create", "acl allow User:user-1 read topic user-1.orders")
    ]
    permits.becomes()
    assert permits.plan() == []
    permits.becomes(prune=True)
    assert permits.plan() == []
    listed = permits.provision.ok(*tool, "--list")
    assert "User:stranger" not in listed
    assert "user-1.orders" in listed


@on({Row("sasl-tls", "4.3.0", "kraft", "process")})
def test_permissions_come_to_a_running_cluster_and_go_again(permits: Permits) -> None:
    everybody = [{"name": user["name"]} for user in permits.described["users"]]
    without = {key: value for key, value in permits.described.items() if key != "acls"}
    open_file = replace(permits, described=without | {"users": everybody})
    told = open_file.becomes()
    assert "broker-1 restarted" in told
    options = permits.options("app")
    producer = KafkaProducer(**options, enable_idempotence=False)
    producer.send("t", b"open").get(timeout=PATIENCE_S)
    producer.close()
    told = permits.becomes(prune=True)  # what other tests have allowed goes as well
    assert "broker-1 restarted" in told
    producer = KafkaProducer(**options, enable_idempotence=False)
    with pytest.raises(library.TopicAuthorizationFailedError):
        producer.send("t", b"refused").get(timeout=PATIENCE_S)
    producer.close()
    assert permits.plan() == []
    permits.provision.ok("wait", NAME, "--until", "roundtrip")
