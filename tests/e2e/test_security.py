"""The client layer against a real broker that lets nobody in without TLS, a password, or both.

The environment's own template gives its broker a listener for each security protocol beside the one that provision
itself uses.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.cluster.model import Topic
from provision.common.patience import Patience
from provision.common.records import NewRecord
from provision.common.values import replace
from provision.errors import KafkaRefused, ProvisionError, Unavailable, UsageError
from provision.home.ports import port_is_free
from provision.kafka import connection
from provision.kafka.access import Access, Credentials
from provision.kafka.admin import connected
from provision.kafka.connection import NotAnswering
from provision.kafka.leaders import missing_for_leaders
from provision.kafka.metadata import observe_cluster
from provision.kafka.quorum import describe_quorum
from provision.kafka.readiness import ask_brokers, missing_for_brokers
from provision.kafka.reading import ReadOptions, consume
from provision.kafka.roundtrip import roundtrip
from provision.kafka.writing import produce
from provision.plan.actions import BrokerSettings
from provision.plan.observed import ObservedTopic
from provision.plan.topic_changes import PlacedTopic, TopicSettings
from tests.certificates import Authority
from tests.engine import DEFAULT_VERSION, Provision, java, wait_until, write_environment
from tests.socks import proxy

pytestmark = [pytest.mark.process, pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "walled"
SSL, SASL_SSL, SASL_PLAINTEXT = "SSL", "SASL_SSL", "SASL_PLAINTEXT"
PORTS = range(30190, 30230)
PASSWORD, WRONG = "w0nder land", "l00king glass"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
IDLE_S, ROUNDTRIP_S = 30.0, 30.0
ANSWER_S, SOON_S = 20.0, 2.0
# alice may do everything, bob nothing; who has no name (plaintext, TLS without a certificate) is provision itself.
TEMPLATE = """
process.roles=broker,controller
node.id={{ node.id }}
log.dirs={{ node.data_dir }}
controller.quorum.voters={% for one in voters %}{{ one.id }}@{{ one.host }}:{{ one.port }}{{ "," if not loop.last }}{% endfor %}

controller.listener.names=CONTROLLER
listeners={% for one in listeners %}{{ one.name }}://{{ one.bind }}:{{ one.listen_port }},{% endfor %}{% for name, port in vars.ports.items() %}{{ name }}://127.0.0.1:{{ port }}{{ "," if not loop.last }}{% endfor %}

advertised.listeners=HOST://{{ node.endpoint }},{% for name, port in vars.ports.items() %}{{ name }}://localhost:{{ port }}{{ "," if not loop.last }}{% endfor %}

listener.security.protocol.map=HOST:PLAINTEXT,CONTROLLER:PLAINTEXT,{% for name in vars.ports %}{{ name }}:{{ name }}{{ "," if not loop.last }}{% endfor %}

inter.broker.listener.name=HOST
ssl.keystore.type=PEM
ssl.keystore.location={{ vars.store }}
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
{% for listener in ("sasl_ssl", "sasl_plaintext") %}
listener.name.{{ listener }}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{{ vars.password }}" user_bob="{{ vars.password }}";
{% endfor %}
{% for mechanism in ("scram-sha-256", "scram-sha-512") %}
listener.name.sasl_ssl.{{ mechanism }}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
{% endfor %}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:alice
{% for key, value in properties.items() %}
{{ key }}={{ value }}
{% endfor %}
"""  # noqa: E501 a line of a properties file


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Processes, which reach the broker's own files."""
    java(DEFAULT_VERSION)
    return Provision(tmp_path_factory.mktemp("home"), runtime="process")


@dataclass(frozen=True)
class Walled:
    """A running broker with these listeners, and whom it and others have their certificates from."""

    ports: Mapping[str, int]
    authority: Authority
    stranger: Authority

    def access(self, protocol: str, mechanism: str = "", user: str = "alice", password: str = PASSWORD) -> Access:
        """The way in over one of its listeners."""
        who = Credentials(mechanism, user, password) if mechanism else None
        return Access({1: f"localhost:{self.ports[protocol]}"}, protocol, who, self.authority.ca)


@pytest.fixture(scope="module")
def walled(provision: Provision, tmp_path_factory: pytest.TempPathFactory) -> Walled:
    directory = tmp_path_factory.mktemp("walled")
    authority, stranger = (Authority.at(directory / name) for name in ("authority", "stranger"))
    free = (port for port in PORTS if port_is_free(port))
    ports = {protocol: next(free) for protocol in (SSL, SASL_SSL, SASL_PLAINTEXT)}
    (directory / "server.kraft.properties.j2").write_text(TEMPLATE)
    described = {
        "kafka": {"mode": "kraft"},
        "brokers": {"port": "auto"},
        "templates": ".",
        "vars": {"ports": ports, "store": authority.issue("DNS:localhost"), "password": PASSWORD},
        "topics": [{"name": "t", "partitions": 2}],
    }
    provision.ok("up", write_environment(directory, NAME, yaml.safe_dump(described)))
    for mechanism in SCRAM:  # Kafka alters one credential of a user in a request
        alter = ("--alter", "--entity-type", "users", "--entity-name", "alice")
        added = f"{mechanism}=[password={PASSWORD}]"
        provision.ok("tool", NAME, "kafka-configs", "--", *alter, "--add-config", added)
    return Walled(ports, authority, stranger)


WAYS = [
    pytest.param(SSL, "", id="tls"),
    pytest.param(SASL_PLAINTEXT, "PLAIN", id="password"),
    *(pytest.param(SASL_SSL, mechanism, id=f"tls and {mechanism}") for mechanism in ("PLAIN", *SCRAM)),
]
every_way = pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
# What cannot be opened is given up soon: why, each has asked before, with all the time that takes.
OPENERS: Mapping[str, Callable[[Access], Any]] = {
    "admin": lambda access: connection.admin_client(access, SOON_S),
    "consumer": lambda access: connection.consumer(access, bootstrap_timeout_ms=int(SOON_S * 1000)),
}


@pytest.fixture
def unlogged(swept: None) -> Iterator[None]:
    """The log of a client that does not open would keep what it leaves open."""
    log = logging.getLogger("kafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@every_way
def test_a_broker_answers_who_may_ask(walled: Walled, protocol: str, mechanism: str) -> None:
    access = walled.access(protocol, mechanism)
    answers = ask_brokers(access, timeout_s=10.0)
    assert answers.silent == {}
    assert missing_for_brokers(answers) == {}
    cluster = observe_cluster(access, 1)
    assert [(broker.id, broker.address) for broker in cluster.brokers] == [(1, access.bootstrap_servers)]
    assert "t" in {topic.name for topic in cluster.topics}
    assert missing_for_leaders(cluster, access, ["t"]) == {}
    quorum = describe_quorum(access, 1, 10.0)
    assert quorum is not None
    assert quorum.leader == 1


@every_way
def test_whoever_is_let_in_can_change_write_and_read(walled: Walled, protocol: str, mechanism: str) -> None:
    access = walled.access(protocol, mechanism)
    topic = Topic(f"by-{protocol}-{mechanism}".lower().replace("_", "-"), 2, 1, {"retention.ms": "60000"})
    with connected(access) as admin:
        created = admin.topics.create([PlacedTopic(topic, ((1,), (1,)))])
        assert (created.existing, created.failures) == (frozenset(), {})
        assert admin.topics.configure({topic.name: TopicSettings({"retention.ms": "70000"})}) == {}
        described: list[ObservedTopic] = []

        def is_as_set() -> bool:  # a moment later, when the broker has learned of it from the controller
            observed = [one for one in observe_cluster(access, 1).topics if one.name == topic.name]
            described[:] = admin.topics.with_settings(observed)
            return [(one.config, len(one.partitions)) for one in described] == [({"retention.ms": "70000"}, 2)]

        assert wait_until(is_as_set), described
        assert admin.brokers.configure(BrokerSettings(1, {"log.retention.ms": "600000"})) == ""
        assert wait_until(lambda: admin.brokers.settings([1])[1]["log.retention.ms"]["value"] == "600000")
        assert admin.brokers.configure(BrokerSettings(1, {}, ("log.retention.ms",))) == ""
        assert set(admin.partitions.sizes([1])) >= {(topic.name, 0), (topic.name, 1)}
    records = [NewRecord(f"value {n}".encode(), f"key {n}".encode()) for n in range(20)]
    assert produce(access, topic.name, records, cluster=NAME) == len(records)
    read = list(consume(access, topic.name, ReadOptions(limit=len(records), idle_s=IDLE_S), cluster=NAME))
    assert sorted((record.key, record.value) for record in read) == sorted((new.key, new.value) for new in records)
    roundtrip(access, Patience(ROUNDTRIP_S))
    with connected(access) as admin:
        assert admin.topics.delete([topic.name]) == {}


@pytest.mark.parametrize(("protocol", "mechanism"), [WAYS[1], WAYS[-1]])
def test_everything_goes_through_a_proxy_if_there_is_one(walled: Walled, protocol: str, mechanism: str) -> None:
    with proxy() as through:
        access = replace(walled.access(protocol, mechanism), proxy=through.url)
        topic = f"proxied-{protocol}-{mechanism}".lower().replace("_", "-")
        assert ask_brokers(access, timeout_s=10.0).silent == {}
        with connected(access) as admin:
            assert admin.topics.create([PlacedTopic(Topic(topic, 2, 1, {}), ((1,), (1,)))]).failures == {}
        records = [NewRecord(f"value {n}".encode(), None, (("n", b"1"),), n % 2) for n in range(500)]
        told: list[int] = []
        assert produce(access, topic, records, cluster=NAME, compression="gzip", told=told.append) == len(records)
        options = ReadOptions(limit=len(records), idle_s=IDLE_S)
        read = list(consume(access, topic, options, cluster=NAME))
        assert sorted((one.partition, one.value) for one in read) == sorted(
            (one.partition, one.value) for one in records
        )
        with pytest.raises(ProvisionError, match="does not have the partition of record 1"):
            produce(access, topic, [NewRecord(b"nowhere", partition=7)], cluster=NAME)
        with pytest.raises(UsageError, match="no topic"):
            produce(access, "not-there", [NewRecord(b"nowhere")], cluster=NAME)
        roundtrip(access, Patience(ROUNDTRIP_S))
    assert set(through.asked) == {("localhost", walled.ports[protocol])}
    assert len(through.asked) > 5


def test_the_environment_knows_nothing_of_the_wall(walled: Walled, provision: Provision, tmp_path: Path) -> None:
    status = json.loads(provision.ok("status", NAME, "-o", "json"))
    assert status["ready"]
    provision.ok("produce", NAME, "t", stdin="over the open listener\n")
    over_tls = consume(walled.access(SSL), "t", ReadOptions(limit=1, idle_s=IDLE_S), cluster=NAME)
    assert [record.value for record in over_tls] == [b"over the open listener"]


# -- who is not let in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS[1:])
@pytest.mark.parametrize(("user", "password"), [("alice", WRONG), ("nobody", PASSWORD)])
def test_whoever_cannot_prove_who_they_are_is_refused_in_kafkas_words(
    walled: Walled, protocol: str, mechanism: str, user: str, password: str
) -> None:
    access = walled.access(protocol, mechanism, user, password)
    for ask in (lambda: observe_cluster(access, 1, 10.0), lambda: ask_brokers(access, 10.0)):
        with pytest.raises(KafkaRefused) as caught:
            ask()
        assert caught.value.what == f"Kafka does not let {user} in"
        assert caught.value.why.startswith("Authentication failed")
        assert password not in f"{caught.value.why} {caught.value.hint}"


def test_a_mechanism_that_the_listener_does_not_take_is_refused(walled: Walled) -> None:
    for mechanism in SCRAM:
        with pytest.raises(KafkaRefused) as caught:
            observe_cluster(walled.access(SASL_PLAINTEXT, mechanism), 1, 10.0)
        assert caught.value.why == "UnsupportedSaslMechanismError"


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("client", OPENERS)
@pytest.mark.parametrize(
    ("protocol", "mechanism", "password"),
    [
        pytest.param(SASL_SSL, "SCRAM-SHA-512", WRONG, id="wrong password"),
        pytest.param(SASL_PLAINTEXT, "SCRAM-SHA-512", PASSWORD, id="mechanism that is not taken"),
    ],
)
def test_a_client_that_is_not_let_in_says_so(
    walled: Walled, client: str, protocol: str, mechanism: str, password: str
) -> None:
    """As each of them promises: the brokers do answer, and asking again would not help."""
    with pytest.raises(ProvisionError) as caught:
        OPENERS[client](walled.access(protocol, mechanism, password=password))
    assert password not in f"{caught.value.what} {caught.value.why} {caught.value.hint}"
    assert isinstance(caught.value, KafkaRefused), caught.value.why


UNTRUSTED = "TLS fails: its certificate is not accepted: unable to get local issuer certificate"


def test_a_broker_of_an_unknown_authority_is_told_nothing(walled: Walled) -> None:
    for protocol, mechanism in ((SSL, ""), (SASL_SSL, "PLAIN")):
        access = walled.access(protocol, mechanism)
        for ca in (walled.stranger.ca, None):
            untrusting = Access(access.brokers, protocol, access.credentials, ca)
            with pytest.raises(NotAnswering, match=f"^{UNTRUSTED}$"):
                observe_cluster(untrusting, 1, ANSWER_S)
            assert ask_brokers(untrusting, ANSWER_S).silent == {1: UNTRUSTED}


@pytest.mark.usefixtures("unlogged")
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("client", OPENERS)
def test_a_client_that_does_not_trust_the_broker_says_so(walled: Walled, client: str) -> None:
    untrusting = Access(walled.access(SSL).brokers, SSL, ca=walled.stranger.ca)
    with pytest.raises(Unavailable) as caught:
        OPENERS[client](untrusting)
    assert UNTRUSTED in caught.value.why


@pytest.mark.parametrize(
    ("listener", "spoken"),
    [
        pytest.param(SSL, "PLAINTEXT", id="plaintext to tls"),
        pytest.param(SASL_SSL, "PLAINTEXT", id="plaintext to tls and password"),
        pytest.param(SASL_PLAINTEXT, SSL, id="tls to plaintext"),
        pytest.param(SASL_PLAINTEXT, "PLAINTEXT", id="no password where one is asked for"),
        pytest.param(SASL_SSL, SSL, id="no password where one is asked for over tls"),
    ],
)
def test_another_protocol_than_the_listeners_gets_no_answer(walled: Walled, listener: str, spoken: str) -> None:
    access = Access(walled.access(listener).brokers, spoken, ca=walled.authority.ca)
    with pytest.raises(NotAnswering):
        observe_cluster(access, 1, 10.0)


# -- who is let in and may do nothing ---------------------------------------------------------------------------------


def test_who_may_not_change_anything_has_kafkas_reason(walled: Walled) -> None:
    access = walled.access(SASL_SSL, "PLAIN", "bob")
    with connected(access) as admin:
        failures = admin.topics.create([PlacedTopic(Topic("of-bob", 1, 1, {}), ((1,),))]).failures
        altered = admin.settings.alter({("broker", "1"): {"log.retention.ms": "1"}})
    assert list(failures) == ["of-bob"]
    assert list(altered) == [("broker", "1")]
    assert all("uthoriz" in reason for reason in (*failures.values(), *altered.values()))
    with pytest.raises(ProvisionError) as caught:
        produce(access, "t", [NewRecord(b"from bob")], cluster=NAME)
    assert "TopicAuthorizationFailedError" in caught.value.why


def test_who_may_not_read_settings_is_refused_and_not_asked_to_try_again(walled: Walled) -> None:
    with connected(walled.access(SASL_SSL, "PLAIN", "bob")) as admin, pytest.raises(ProvisionError) as caught:
        admin.brokers.settings([1])
    assert isinstance(caught.value, KafkaRefused), caught.value.what


def test_who_may_not_change_a_broker_has_kafkas_reason_and_no_other(walled: Walled) -> None:
    with connected(walled.access(SASL_SSL, "PLAIN", "bob")) as admin:
        assert "uthoriz" in admin.brokers.configure(BrokerSettings(1, {"num.io.threads": "6"}))
