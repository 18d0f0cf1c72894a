"""What each short form lets in, as a table: against Kafka's rules here, against its authorizers in the matrix."""

import re

import pytest

from provision.catalogue.versions import KRAFT
from provision.cluster.layout import container_layout
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment, Problem
from provision.events import Event, Warned
from provision.security.acls import EXAMPLE, OPERATIONS, Acl, expanded
from provision.spec.acls import declared_acls
from provision.spec.loader import load_values
from tests.acls import CASES, Case, allowed

APP = "User:app"


def kafkas(text: str) -> set[str]:
    """A short form's expansion as `OPERATION name`."""
    return {f"{acl.operation} {acl.name}{'*' if acl.prefixed else ''}" for acl in expanded(text, APP)}


def test_the_table_has_forty_cases_of_each_kind_and_both_answers() -> None:
    assert len(CASES) >= 40
    assert {case.resource for case in CASES} >= {"topic", "group", "cluster", "transactional-id"}
    assert sum(case.lets_in for case in CASES) >= 15
    assert sum(not case.lets_in for case in CASES) >= 15


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_short_form_lets_in_exactly_what_it_says(case: Case) -> None:
    acls = [acl for text in case.allow for acl in expanded(text, APP)] + list(case.others)
    assert allowed(acls, APP, case.operation, case.resource, case.name) is case.lets_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("read topic orders", {"read orders", "describe orders"}),
        ("write topic orders.*", {"write orders.*", "describe orders.*", "create orders.*"}),
        ("read group app-*", {"read app-*", "describe app-*"}),
        ("write transactional-id app", {"write app", "describe app"}),
        ("create topic orders", {"create orders"}),
        ("all topic *", {"all *"}),
        ("create cluster", {"create kafka-cluster"}),
        ("describe   group    a", {"describe a"}),
    ],
)
def test_a_short_form_stands_for_kafkas_own(text: str, expected: set[str]) -> None:
    assert kafkas(text) == expected


@pytest.mark.parametrize(
    ("resource", "operation"), [(r, operation) for r, operations in OPERATIONS.items() for operation in operations]
)
def test_every_operation_that_kafka_has_can_be_written(resource: str, operation: str) -> None:
    name = "" if resource == "cluster" else " a"
    first, *others = expanded(f"{operation} {resource}{name}", APP)
    assert (first.operation, first.resource) == (operation, resource)
    assert len(others) <= 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", EXAMPLE),
        ("  ", EXAMPLE),
        ("read", EXAMPLE),
        ("read\ttopic x", EXAMPLE),
        ("reed topic x", "did you mean read?"),
        ("READ topic x", "did you mean read?"),
        ("describe_configs topic x", "did you mean describe-configs?"),
        ("read topics x", "did you mean topic?"),
        ("read Topic x", "did you mean topic?"),
        ("write transactional_id x", "did you mean transactional-id?"),
        ("consume topic x", "the first word must be an operation: read, write"),
        ("read queue x", "the second word must be a type of resource: topic, group"),
        ("topic orders read", "the operation comes first"),
        ("read topic", "must name the topic"),
        ("read topic a b", "has an entry of its own"),
        ("read topic a,b", "a topic's name has"),
        ("read topic *a", "`*` can only be the last character"),
        ("read topic a*b", "`*` can only be the last character"),
        ("read topic **", "`*` can only be the last character"),
        ("read topic a**", "`*` can only be the last character"),
        ("write group a", "Kafka has no operation write on a group, which has read, delete"),
        ("read cluster", "Kafka has no operation read on a cluster"),
        ("describe cluster a", "a cluster has no name"),
        (f"read topic {'a' * 250}", "a topic's name has"),
        ("a" * 100_000, "the first word must be an operation"),
    ],
)
def test_what_is_no_short_form_has_a_reason_that_shows_no_word_of_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        expanded(text, APP)
    assert len(str(caught.value)) < 400


def test_each_acl_has_a_text_of_its_own() -> None:
    acls = [
        Acl(APP, "topic", "a", "read"),
        Acl(APP, "topic", "a", "read", prefixed=True),
        Acl(APP, "topic", "a", "read", host="10.0.0.1"),
        Acl(APP, "topic", "a", "read", allowed=False),
        Acl(APP, "group", "a*", "read"),
        Acl(APP, "group", "a", "read", prefixed=True),
        Acl(APP, "group", "a from 10.0.0.1", "read"),
        Acl(APP, "group", "a", "read", host="10.0.0.1"),
        Acl(APP, "group", "*", "read"),
        Acl(APP, "group", "*", "read", prefixed=True),
        Acl("User:app read", "group", "a", "read"),
        Acl(APP, "cluster", "kafka-cluster", "read"),
        Acl(APP, "cluster", "other", "read"),
        Acl("User:*", "group", "", "read"),
    ]
    assert len({str(acl) for acl in acls}) == len(acls)
    assert str(acls[0]) == "allow User:app read topic a"
    assert str(acls[3]) == "deny User:app read topic a"


@pytest.mark.parametrize(
    ("mode", "version", "name"),
    [
        ("zookeeper", "2.8.2", "kafka.security.authorizer.AclAuthorizer"),
        ("zookeeper", "3.9.1", "kafka.security.authorizer.AclAuthorizer"),
        (KRAFT, "3.3.2", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        (KRAFT, "4.3.0", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ],
)
@pytest.mark.parametrize("security", ["mtls", "sasl-plain", "sasl-tls"])
@pytest.mark.parametrize(
    "said",
    [
        {"users": [{"name": "app", "allow": []}, {"name": "admin", "super": True}]},
        {"users": [{"name": "app"}, {"name": "admin", "super": True}]},
        {"users": [{"name": "admin", "super": True}], "acls": []},
    ],
    ids=["allow", "super", "acls"],
)
def test_every_node_of_kafkas_asks_for_permission_and_knows_who_needs_none(
    mode: str, version: str, name: str, security: str, said: dict[str, object]
) -> None:
    controllers = {"controllers": {"nodes": 1}} if mode == KRAFT else {}
    kafka = {"version": version, "mode": mode}
    spec = load_values({"name": "orders", "security": security, "kafka": kafka, **controllers, **said})
    nodes = [node for node in resolve_without_ports(spec, container_layout(spec)).nodes if node.role != "zookeeper"]
    assert len(nodes) == (2 if mode == KRAFT else 1)
    by_certificate = "" if security == "sasl-plain" else "User:CN=provision;"
    for node in nodes:
        assert node.properties["authorizer.class.name"] == name
        assert node.properties["super.users"] == f"User:provision;{by_certificate}User:admin"
        assert node.properties["allow.everyone.if.no.acl.found"] == "false"


def test_without_a_word_of_permissions_nobody_is_asked_for_one() -> None:
    spec = load_values({"name": "orders", "security": "sasl-tls", "users": [{"name": "app", "super": False}]})
    (broker,) = resolve_without_ports(spec, container_layout(spec)).brokers
    assert not {"authorizer.class.name", "super.users"} & broker.properties.keys()


@pytest.mark.parametrize(
    ("listeners", "known"),
    [
        ({"plain": "plaintext", "secure": "sasl-tls"}, True),
        ({"encrypted": "tls", "secure": "mtls"}, True),
        ({"secure": "sasl-tls", "certified": "mtls"}, False),
    ],
)
def test_who_connects_without_a_name_is_known_where_a_listener_lets_them_in(
    listeners: dict[str, str], *, known: bool
) -> None:
    told: list[Event] = []
    load_values(
        {
            "name": "orders",
            "security": "sasl-tls",
            "listeners": {name: {"port": "auto", "security": profile} for name, profile in listeners.items()},
            "users": [{"name": "app"}],
            "acls": [{"principal": "User:ANONYMOUS", "operation": "read", "resource": "topic", "name": "a"}],
        },
        tell=told.append,
    )
    assert [event.problem.path for event in told if isinstance(event, Warned)] == (
        [] if known else ["acls[0].principal"]
    )


def test_a_cluster_of_others_may_have_users_that_the_file_does_not_know() -> None:
    acls = [{"user": "app", "allow": ["read topic orders"]}, {"user": "app", "operation": "all", "resource": "cluster"}]
    spec = load_values({"name": "shared", "bootstrap_servers": "kafka.example:9092", "acls": acls})
    assert [str(acl) for acl in declared_acls(spec) or ()] == [
        "allow User:app read topic orders",
        "allow User:app describe topic orders",
        "allow User:app all cluster",
    ]
    with pytest.raises(InvalidEnvironment, match="1 problem"):
        load_values({"name": "own", "security": "mtls", "acls": acls[:1]})


@pytest.mark.parametrize(
    ("principal", "message", "hint"),
    [
        ("user:app", "the entry would never have an effect", "did you mean User:app?"),
        ("USER:nobody-else", "the entry would never have an effect", "begin it with `User:`"),
        ("Group:app", "the entry would never have an effect", "did you mean User:app?"),
        ("User:CN=app", "there is no user of that name", "did you mean User:app?"),
        ("User:ap", "there is no user of that name", "did you mean User:app?"),
        ("User:App", "there is no user of that name", "did you mean User:app?"),
        ("User:CN=nobody-else", "there is no user of that name", "name one of users, or add it there"),
        ("User:ANONYMOUS", "there is no user of that name", "name one of users, or add it there"),
        ("User:app", "", ""),
        ("User:*", "", ""),
    ],
)
@pytest.mark.parametrize("security", ["mtls", "sasl-plain", "sasl-scram", "sasl-tls"])
@pytest.mark.parametrize("permission", ["allow", "deny"])
def test_a_principal_that_no_client_has_is_told(
    security: str, permission: str, principal: str, message: str, hint: str
) -> None:
    entry = {"principal": principal, "operation": "read", "resource": "topic", "name": "a", "permission": permission}
    found: list[Problem] = []
    told: list[Event] = []
    try:
        load_values(
            {"name": "orders", "security": security, "users": [{"name": "app"}], "acls": [entry]}, tell=told.append
        )
    except InvalidEnvironment as error:
        found = list(error.problems)
    found += [event.problem for event in told if isinstance(event, Warned)]
    assert [(problem.path, problem.hint) for problem in found] == ([("acls[0].principal", hint)] if message else [])
    assert all(message in problem.message for problem in found)
    assert all(problem.warning is principal.startswith("User:") for problem in found)
    foreign = {"name": "shared", "bootstrap_servers": "kafka.example:9092", "acls": [entry]}
    assert load_values(foreign).acls[0].who == principal  # of whom others know


@pytest.mark.parametrize(
    ("runtime", "host", "told"),
    [
        ("docker", "127.0.0.1", True),
        ("docker", "127.1.2.3", True),
        ("docker", "::1", True),
        ("docker", "::ffff:127.0.0.1", True),
        ("auto", "127.0.0.1", True),
        ("docker", "172.17.0.1", False),
        ("docker", "*", False),
        ("process", "127.0.0.1", False),
        ("process", "::ffff:127.0.0.1", False),
        ("process", "*", False),
        ("process", "::1", True),
        ("process", "10.0.0.1", True),
    ],
)
@pytest.mark.parametrize("permission", ["allow", "deny"])
def test_an_address_that_no_client_of_this_machine_has_is_told(
    runtime: str, host: str, permission: str, *, told: bool
) -> None:
    entry = {"user": "*", "operation": "read", "resource": "topic", "name": "a", "host": host, "permission": permission}
    events: list[Event] = []
    values = {"name": "orders", "runtime": runtime, "security": "mtls", "acls": [entry]}
    load_values(values, tell=events.append)
    found = [event.problem for event in events if isinstance(event, Warned)]
    assert [problem.path for problem in found] == (["acls[0].host"] if told else [])
    load_values({"name": "shared", "bootstrap_servers": "kafka.example:9092", "acls": [entry]}, tell=events.append)
    assert len([event for event in events if isinstance(event, Warned)]) == len(found)
