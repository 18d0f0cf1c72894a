"""A secured environment from `up` to `down`, with fakes in place of an engine and of Kafka."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

# The fake Kafka takes the place of what is loaded; an environment loads its operations only when they are used.
import provision.operations.topics  # noqa: F401
from provision import Environment, Level, UpOptions
from provision.catalogue.versions import KafkaVersion, config_option
from provision.cluster.properties import read
from provision.common.values import replace
from provision.errors import ProvisionError, Refused, UsageError
from provision.events import ActionDone, Event, Notice
from provision.home.secrets import Where, note_where
from provision.kafka.access import Access
from provision.observe.reach import access_to
from provision.operations import apart
from provision.operations.clients import client_variables
from provision.operations.tools import filled_in_config, run_tool
from provision.plan.actions import Verb
from provision.plan.saved import SavedPlan
from provision.runtime.base import SECRET_MODE, JavaCommand, Streams
from provision.runtime.process.java import variables
from provision.security.certificates import Subject, is_good
from provision.security.material import parted
from provision.security.store import SecretStore
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

NAME = "closed"
KRAFT: dict[str, Any] = {"kafka": {"mode": "kraft"}, "controllers": {"nodes": 1}}
MODES: dict[str, dict[str, Any]] = {"zookeeper": {}, "kraft": KRAFT}


class Closed:
    """Its runtimes, its Kafka in memory, and what was told."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.runtime = SpokenRuntime()
        self.runtimes = FakeRuntimes(self.home, self.runtime)
        self.kafka = FakeKafka(self.runtime, NAME)
        self.told: list[Event] = []

    def restarted(self) -> list[str]:
        """The nodes that were restarted since it was last asked, in their order."""
        found = [one.resource for one in self.told if isinstance(one, ActionDone) and one.verb == "restart"]
        self.told.clear()
        return found

    def of(self, security: str = "mtls", **values: Any) -> Environment:  # noqa: ANN401 as the environment takes them
        """The environment, described by these values."""
        described = {"name": NAME, "brokers": {"nodes": 2, "port": "auto"}, "security": security} | values
        return Environment(on_event=self.told.append, runtimes=self.runtimes, **described)

    def looks_away(self) -> None:
        """Let it be brought up by a Kafka that nobody asks, or stopped as a whole."""
        self.runtime.on_verb = lambda _verb, _subject: None

    @property
    def store(self) -> SecretStore:
        """Where its secrets are."""
        return self.runtimes.home.secrets(NAME)

    @property
    def secrets(self) -> list[str]:
        """All lines of its keys."""
        keys = [path.read_text().partition("-----BEGIN CERTIFICATE")[0] for path in self.store.directory.iterdir()]
        return [line for key in keys for line in key.splitlines()[1:-1]]

    def files(self, node: str) -> dict[str, bytes]:
        """The secret files of a node by name."""
        return {file.name: file.content for file in self.runtime.read_files(NAME, node) if file.secret}


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Closed]:
    made = Closed(tmp_path)
    made.kafka.speak(monkeypatch)
    yield made
    assert SECRET_MODE == 0o400


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("security", ["tls", "mtls"])
def test_its_nodes_have_certificates_for_their_names_and_a_second_plan_is_empty(
    tmp_path: Path, mode: str, security: str
) -> None:
    closed = Closed(tmp_path)  # its nodes answer nothing
    closed.looks_away()
    environment = closed.of(security, **MODES[mode])
    environment.up(RUNNING)
    authority = parted(closed.store.read("ca.key") or b"")
    assert authority
    brokers = ["broker-1", "broker-2"]
    for node in [*brokers, *(["controller-1"] if mode == "kraft" else [])]:
        files = closed.files(node)
        assert sorted(files.keys() - {"ensemble.pem", "ensemble-ca.pem"}) == ["ca.pem", "secrets.properties"]
        assert files["ca.pem"] == authority.certificate
        values = read(files["secrets.properties"].decode())
        assert values is not None
        names = sorted({"127.0.0.1", "localhost", f"{NAME}-{node}"})
        pair = replace(authority, key=values["key"].encode(), certificate=values["certificate"].encode())
        assert is_good(pair, authority, Subject("provision", tuple(names)))
    assert not environment.plan().plan.first_wave
    assert not environment.up(RUNNING).changed


def test_no_secret_is_in_a_plan_an_event_or_a_rendered_file(closed: Closed) -> None:
    environment = closed.of()
    first = json.dumps(environment.plan().plan.as_dict())
    assert not closed.store.is_there
    environment.up()
    closed.of(brokers={"nodes": 3, "port": "auto"}).up()
    shown = [
        first,
        *(f"{event} {event!r}" for event in closed.told),
        repr(environment.observe()),
        repr(environment),
        *(
            file.text
            for node in ("broker-1", "broker-3")
            for file in closed.runtime.read_files(NAME, node)
            if not file.secret
        ),
    ]
    assert len(closed.secrets) > 10
    assert not [line for line in closed.secrets for text in shown if line in text]


def test_down_removes_the_secrets_and_kept_data_keep_them(closed: Closed) -> None:
    environment = closed.of()
    environment.up()
    closed.looks_away()
    before = closed.store.read("ca.pem")
    environment.down(keep_data=True)
    assert closed.store.read("ca.pem") == before
    environment.up(RUNNING)
    assert closed.store.read("ca.pem") == before
    environment.down()
    assert not closed.store.is_there


RUNNING = UpOptions(until=Level.PROCESS)


def test_a_first_up_that_fails_leaves_no_secret(closed: Closed) -> None:
    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise ProvisionError("it does not start")

    closed.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="it does not start"):
        closed.of().up()
    assert not closed.store.directory.exists()


def test_a_plan_and_a_refusal_make_no_secret(closed: Closed) -> None:
    def refuse(_plan: object) -> None:
        raise Refused("no")

    environment = closed.of()
    environment.plan()
    with pytest.raises(Refused):
        environment.up(agree=refuse)
    assert not closed.store.directory.exists()


def test_a_saved_plan_holds_although_the_certificates_are_made_later(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of()
    plan = environment.plan().saved
    plan.write(tmp_path / "plan.json")
    assert "PRIVATE" not in (tmp_path / "plan.json").read_text()
    environment.up(UpOptions(saved=SavedPlan.read(tmp_path / "plan.json")))
    assert closed.store.is_there


def _forget(closed: Closed, name: str) -> None:
    closed.store.keep({name: b""})


@pytest.mark.parametrize(
    ("security", "users", "lost"),
    [
        ("sasl-plain", ["app", "new"], ""),  # a password for another user
        ("sasl-tls", ["app", "new"], ""),
        ("sasl-plain", ["app"], "user-app.password"),
        ("tls", [], "broker-1.pem"),  # a certificate for a node that has one
        ("mtls", ["app", "new"], "broker-2.pem"),
    ],
)
def test_a_saved_plan_holds_that_makes_a_secret_for_a_node_that_is_there(
    closed: Closed, security: str, users: list[str], lost: str
) -> None:
    closed.of(security, users=APP if users else []).up()
    if lost:
        _forget(closed, lost)
    environment = closed.of(security, users=[{"name": user} for user in users])
    planned = environment.plan()
    assert [action.cause for action in planned.plan.actions if action.verb is Verb.RESTART]
    assert environment.up(UpOptions(saved=planned.saved)).changed
    assert not environment.plan().plan.changes


def test_a_saved_plan_is_stale_when_a_secret_has_changed_since(closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [{"name": "app", "password": {"env": "APP_PASSWORD"}}]
    monkeypatch.setenv("APP_PASSWORD", "0pen-s3same")
    environment = closed.of("sasl-plain", users=users)
    environment.up()
    saved = environment.plan().saved
    monkeypatch.setenv("APP_PASSWORD", "cl0se-s3same")
    with pytest.raises(Refused, match="the plan is stale"):
        environment.up(UpOptions(saved=saved))
    saved = environment.plan().saved
    environment.up()
    with pytest.raises(Refused, match="the plan is stale"):
        environment.up(UpOptions(saved=saved))


@pytest.mark.parametrize(("before", "after"), [("plaintext", "tls"), ("tls", "mtls"), ("mtls", "plaintext")])
def test_another_security_is_made_at_once_if_all_nodes_have_stopped(closed: Closed, before: str, after: str) -> None:
    closed.of(before).up()
    closed.looks_away()
    closed.of(before).stop()
    closed.of(after).up(RUNNING)
    assert {action.phase for action in closed.of(after).plan().plan.actions} == set()
    access = access_to(closed.runtime.observe(NAME))
    assert access.protocol == ("PLAINTEXT" if after == "plaintext" else "SSL")


def test_nodes_whose_authority_is_lost_are_not_given_another(closed: Closed) -> None:
    closed.of().up()
    closed.store.forget()
    with pytest.raises(Refused, match=f"the secrets of {NAME} are not in"):
        closed.of().plan()
    access = access_to(closed.runtime.observe(NAME))
    assert (access.brokers, sorted(access.down)) == ({}, [1, 2])
    assert str(closed.home) in access.down[1]
    closed.looks_away()
    closed.of().down()
    assert closed.runtime.observe(NAME).is_absent


def test_commands_get_in_with_the_environments_own_certificate(closed: Closed) -> None:
    closed.of().up()
    access = access_to(closed.runtime.observe(NAME))
    options = access.client_options()
    own = str(closed.store.path("provision.pem"))
    assert options["security_protocol"] == "SSL"
    assert options["ssl_cafile"] == str(closed.store.path("ca.pem"))
    assert (options["ssl_certfile"], options["ssl_keyfile"]) == (own, own)


@pytest.mark.parametrize(
    ("tool", "version", "option"),
    [
        ("kafka-topics", "3.9.1", "--command-config"),
        ("kafka-console-producer", "3.9.1", "--producer.config"),
        ("kafka-console-producer", "4.2.0", "--command-config"),
        ("kafka-console-consumer", "2.8.2", "--consumer.config"),
        ("kafka-leader-election", "4.1.1", "--admin.config"),
        ("kafka-get-offsets", "2.8.2", None),
        ("kafka-get-offsets", "3.9.1", "--command-config"),
        ("kafka-storage", "4.3.0", None),
    ],
)
def test_a_tool_is_told_how_to_get_in(closed: Closed, tool: str, version: str, option: str | None) -> None:
    assert config_option(tool, KafkaVersion.parse(version)) == option
    closed.of().up()
    access = access_to(closed.runtime.observe(NAME))
    given, properties = filled_in_config(access, option, ["--list"])
    assert given == (option or "")
    values = read(properties.decode()) or {}
    if option:
        pair = parted(closed.store.path("provision.pem").read_bytes())
        assert pair
        assert values["ssl.keystore.key"].encode() == pair.key
        assert values["ssl.truststore.certificates"].encode() == closed.store.read("ca.pem")
        assert filled_in_config(access, option, ["--list", option, "mine"]) == ("", b"")
    assert filled_in_config(Access({1: "127.0.0.1:9092"}), option, []) == ("", b"")


class Tool:
    """Remembers what a tool was started with."""

    def __init__(self, closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[JavaCommand] = []
        monkeypatch.setattr(closed.runtime, "run_tool", self._run)

    def _run(self, _environment: object, command: JavaCommand, _streams: object) -> int:
        self.commands.append(command)
        return 0


LETS_IN = {
    "--list": True,
    "--bootstrap-server BROKER-1 --list": True,
    "--bootstrap-server=BROKER-2,BROKER-1": True,
    "--bootstrap-controller CONTROLLER-1": True,
    "--bootstrap-server elsewhere:9092 --list": False,
    "--bootstrap-server=elsewhere:9092": False,
    "--boot elsewhere:9092": False,
    "--bootstrap-server BROKER-1,elsewhere:9092": False,
    "--bootstrap-server BROKER-1 --bootstrap-server elsewhere:9092": False,
    "--command-property bootstrap.servers=elsewhere:9092": False,
    "--bootstrap-server 127.0.0.1:1": False,
}


@pytest.mark.parametrize("security", ["sasl-plain", "mtls"])
def test_a_tool_tells_nobody_else_how_to_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str) -> None:
    closed = Closed(tmp_path)  # its nodes answer nothing
    closed.looks_away()
    closed.of(security, users=APP, **KRAFT).up(RUNNING)
    tool, streams = Tool(closed, monkeypatch), Streams(None, BytesIO(), BytesIO())
    for user in ("", "app"):
        for arguments, lets_in in LETS_IN.items():
            named = arguments
            for node in ("broker-1", "broker-2", "controller-1"):
                named = named.replace(node.upper(), closed.runtime.inside_address(NAME, node))
            run_tool(closed.runtime, NAME, "kafka-topics", named.split(), streams, user=user)
            given = tool.commands[-1]
            assert (given.option, bool(given.properties)) == ("--command-config" if lets_in else "", lets_in), arguments


def test_a_tool_tells_nothing_at_the_address_of_a_node_that_has_stopped(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.of("sasl-plain").up()
    tool, streams = Tool(closed, monkeypatch), Streams(None, BytesIO(), BytesIO())
    addresses = [closed.runtime.inside_address(NAME, node) for node in ("broker-1", "broker-2")]
    closed.looks_away()
    closed.runtime.stop_node(NAME, "broker-2", 1)
    run_tool(closed.runtime, NAME, "kafka-topics", ["--list"], streams)
    run_tool(closed.runtime, NAME, "kafka-topics", ["--bootstrap-server", addresses[1]], streams)
    closed.runtime.stop_node(NAME, "broker-1", 1)
    run_tool(closed.runtime, NAME, "kafka-topics", ["--list"], streams)
    assert [(command.arguments[1], bool(command.option)) for command in tool.commands] == [
        (addresses[0], True),
        (addresses[1], False),
        (",".join(addresses), False),
    ]


# -- passwords, and what clients are told -----------------------------------------------------------------------------

APP = [{"name": "app"}]


@pytest.mark.parametrize("security", ["sasl-plain", "sasl-tls"])
def test_users_have_passwords_that_only_their_brokers_know(closed: Closed, security: str) -> None:
    environment = closed.of(security, users=APP)
    environment.up()
    password = closed.store.path("user-app.password").read_text()
    assert len(password) > 24
    for node in ("broker-1", "broker-2"):
        values = read(closed.files(node)["secrets.properties"].decode()) or {}
        assert values["password.app"] == password
        rendered = [file.text for file in closed.runtime.read_files(NAME, node) if not file.secret]
        assert not [text for text in rendered if password in text]
        (main,) = [text for text in rendered if "listener.security.protocol.map" in text]
        assert (
            "user_app=" in (read(main) or {})[f"listener.name.host_{security.replace('-', '_')}.plain.sasl.jaas.config"]
        )
    assert not environment.plan().plan.changes
    assert password not in "".join(f"{event} {event!r}" for event in closed.told)


def test_another_password_restarts_the_brokers_and_no_plan_tells_it(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [{"name": "app", "password": {"env": "APP_PASSWORD"}}]
    monkeypatch.setenv("APP_PASSWORD", "0pen-s3same")
    closed.of("sasl-tls", users=users).up()
    monkeypatch.setenv("APP_PASSWORD", "cl0se-s3same")
    environment = closed.of("sasl-tls", users=users)
    plan = environment.plan().plan
    assert [(action.verb, action.cause) for action in plan.actions] == [
        (Verb.RESTART, "config changed: secrets.properties changed")
    ] * 2
    assert "s3same" not in json.dumps(plan.as_dict())
    environment.up()
    assert closed.store.path("user-app.password").read_text() == "cl0se-s3same"
    assert not environment.plan().plan.changes


def test_a_fingerprint_of_the_same_password_differs_between_environments(closed: Closed, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guess-me")
    users = [{"name": "app", "password": {"file": str(tmp_path / "password")}}]
    hashes = set()
    for _ in range(2):
        closed.of("sasl-plain", users=users, brokers={"port": 9092}).up()
        hashes.add(closed.runtime.observe(NAME).node("broker-1"))
        closed.looks_away()
        closed.of("sasl-plain", users=users).down()
    assert len({node.config_hash for node in hashes if node}) == 2


@pytest.mark.parametrize("source", ["env", "file"])
def test_no_variable_takes_a_password_on_to_what_works_for_long(
    closed: Closed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    told: list[Mapping[str, str]] = []

    def start_apart(_command: object, chosen: Mapping[str, str]) -> int:
        told.append(chosen)
        return 1

    monkeypatch.setattr("provision.runtime.process.processes.start_apart", start_apart)
    for variable in ("APP_PASSWORD", "KAFKA_SASL_PASSWORD"):
        monkeypatch.setenv(variable, f"0pen-s3same-{source}")
    (tmp_path / "password").write_text(f"0pen-s3same-{source}\n")
    password = {"env": "APP_PASSWORD"} if source == "env" else {"file": str(tmp_path / "password")}
    users = [{"name": "app", "password": password}, {"name": "made"}]
    closed.of("sasl-plain", users=users).up(UpOptions(owner_pid=os.getpid()))  # what removes it then is started
    monkeypatch.setenv("MADE_PASSWORD", closed.store.path("user-made.password").read_text())
    apart.start(closed.home, "warm")
    assert len(told) == 2
    assert "HOME" in told[0].keys() & told[1].keys()
    told += [variables(closed.runtimes.home.passwords)]  # and a node's or a tool's
    values = {value for each in told for value in each.values()}
    assert not values & {f"0pen-s3same-{source}", closed.store.path("user-made.password").read_text()}


EVERY_FORM = ("properties", "librdkafka", "kafka-python", "spring", "env", "kcat")


@pytest.mark.parametrize("form", EVERY_FORM)
@pytest.mark.parametrize("security", ["plaintext", "tls", "mtls", "sasl-plain", "sasl-tls"])
def test_a_client_is_told_all_that_it_needs_in_every_form(closed: Closed, security: str, form: str) -> None:
    known = security not in ("plaintext", "tls")
    environment = closed.of(security, **({"users": APP} if known else {}))
    environment.up()
    config = environment.client_config(form, "app" if known else "")
    servers = closed.runtime.observe(NAME).bootstrap_servers
    assert servers.partition(",")[0] in config.text
    assert ("SSL" in config.text) is (security in ("tls", "mtls", "sasl-tls"))
    assert (str(closed.store.path("ca.pem")) in config.text) is (security in ("tls", "mtls", "sasl-tls"))
    password = closed.store.read("user-app.password")
    assert (password is not None) is security.startswith("sasl")
    assert password is None or password.decode() in config.text
    assert config.secret is (security.startswith("sasl") or (security == "mtls" and form in ("properties", "spring")))
    if form in ("librdkafka", "kafka-python"):
        assert isinstance(json.loads(config.text), dict)
    if form in ("properties", "spring"):
        assert read(config.text) is not None
    assert config.text not in repr(config)


@pytest.mark.parametrize("form", EVERY_FORM)
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_with_tls_a_client_is_told_its_own_mechanism(closed: Closed, mechanism: str, form: str) -> None:
    environment = closed.of("sasl-tls", users=[{"name": "app", "mechanism": mechanism}])
    environment.up()
    text = environment.client_config(form, "app").text
    assert ("SASL_SSL" in text, str(closed.store.path("ca.pem")) in text) == (True, True)
    assert {one for one in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN") if one in text} == {mechanism}
    assert "provision" not in text.replace(str(closed.store.directory), "")


def test_a_client_that_is_not_known_or_not_named_is_refused(closed: Closed) -> None:
    environment = closed.of("mtls", users=APP)
    environment.up()
    for user, why in (("", "wants to know who"), ("nobody", "no user nobody"), ("../ca", "no user ../ca")):
        with pytest.raises(UsageError, match=why):
            environment.client_config("properties", user)
    with pytest.raises(UsageError, match="no format 'xml'"):
        environment.client_config("xml", "app")


@pytest.mark.parametrize("security", ["mtls", "sasl-plain", "sasl-scram", "sasl-tls"])
def test_the_account_of_nodes_and_of_this_program_is_given_to_no_client(closed: Closed, security: str) -> None:
    environment = closed.of(security, users=APP)
    environment.up()
    for form in EVERY_FORM:
        with pytest.raises(UsageError, match="provision is the account of the nodes of closed") as caught:
            environment.client_config(form, "provision")
        assert caught.value.hint == "--user app"
    with pytest.raises(UsageError, match="provision is the account"):
        client_variables(closed.runtime.observe(NAME), "provision")


@pytest.mark.parametrize("places", [[], ["elsewhere"]])
def test_what_is_no_longer_asked_for_is_removed_unless_another_environment_of_the_name_has_it(
    closed: Closed, places: list[str]
) -> None:
    closed.of("sasl-tls", users=APP).up()
    before = closed.store.names
    for place in places:
        note_where(closed.store, place, "")
    closed.of("plaintext").up()
    assert closed.store.names == (before if places else frozenset())
    assert Where.of(closed.store).places == places


BOTH = [{"name": "leaver"}, {"name": "b.c"}]


@pytest.mark.parametrize("security", ["mtls", "sasl-plain", "sasl-tls", "sasl-scram"])
def test_a_user_taken_from_the_file_gets_in_no_more_and_comes_back_as_another(closed: Closed, security: str) -> None:
    closed.of(security, users=BOTH, prune=True).up()
    secret = "user-leaver.pem" if security == "mtls" else "user-leaver.password"
    before = closed.store.read(secret)
    assert before
    environment = closed.of(security, users=BOTH[1:], prune=True)
    plan = environment.plan().plan
    assert [(action.verb, action.resource) for action in plan.actions] == (
        [(Verb.DELETE, "user leaver")]
        if security == "sasl-scram"
        else [(Verb.RESTART, "broker-2"), (Verb.RESTART, "broker-1")]
    )
    assert closed.store.read(secret) == before
    environment.up()
    assert closed.store.read(secret) is None
    with pytest.raises(UsageError, match="has no user leaver"):
        environment.client_config("properties", "leaver")
    assert "leaver" not in [one.name for one in environment.certificates()]
    for node in ("broker-1", "broker-2"):
        assert not [file.name for file in closed.runtime.read_files(NAME, node) if b"leaver" in file.content]
    again = closed.of(security, users=BOTH, prune=True)
    again.up()
    assert closed.store.read(secret) not in (None, before)
    assert not again.plan().plan.changes


def test_who_has_lost_their_user_but_not_their_certificate_is_told_of(closed: Closed) -> None:
    closed.of("mtls", users=BOTH).up()
    closed.told.clear()
    closed.of("mtls", users=[]).up()
    closed.of("mtls", users=[]).up()
    (told,) = [event.text for event in closed.told if isinstance(event, Notice)]
    assert told == (
        "no longer in the file, and refused by name: b.c, leaver; what certificates they have stays valid, for the "
        f"case that the name comes back, until `provision certs rotate {NAME}`"
    )


def test_a_node_that_has_left_leaves_no_key(closed: Closed) -> None:
    closed.of("tls", brokers={"nodes": 3, "port": "auto"}).up()
    assert closed.store.read("broker-3.pem")
    closed.of("tls").up()
    assert closed.store.read("broker-3.pem") is None
    assert [one.name for one in closed.of("tls").certificates() if one.kind == "node"] == ["broker-1", "broker-2"]
    assert closed.store.read("ca.pem")


def stands_for_itself(rule: str, name: str) -> bool:
    """Whether a node's rule knows a common name; what no rule knows is not let in."""
    pattern = rule.removeprefix("RULE:").removesuffix("/$1/")
    return re.fullmatch(pattern, f"CN={name}") is not None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("security", "users", "known", "others"),
    [
        ("mtls", BOTH, ["provision", "leaver", "b.c"], ["leave", "leaver2", "bxc", "leaver,O=x", "x,CN=leaver"]),
        ("mtls", [], ["provision"], ["leaver", "", "provision2", "xprovision"]),
        ("tls", [], ["provision"], ["leaver"]),
        ("sasl-tls", BOTH, ["provision"], ["leaver"]),
    ],
)
def test_certificates_stand_for_their_names_if_the_file_has_them(
    tmp_path: Path, mode: str, security: str, users: list[dict[str, str]], known: list[str], others: list[str]
) -> None:
    closed = Closed(tmp_path)
    closed.looks_away()
    closed.of(security, users=users, **MODES[mode]).up(RUNNING)
    rules = "ssl.principal.mapping.rules"
    for node in ("broker-1", "controller-1")[: 2 if mode == "kraft" else 1]:
        text = next(f.text for f in closed.runtime.read_files(NAME, node) if not f.secret and rules in f.text)
        values = read(text) or {}
        ours = [f"listener.name.{one}_{security.replace('-', '_')}.{rules}" for one in ("internal", "host")]
        expected = dict.fromkeys(ours, known) if node == "broker-1" else {}
        if mode == "kraft" and node == "controller-1":
            expected[f"listener.name.controller_ssl.{rules}"] = ["provision"]
        expected[rules] = ["provision"]
        found = {
            key: [name for name in (*known, *others) if stands_for_itself(rule, name)]
            for key, rule in values.items()
            if key.endswith(rules)
        }
        assert found == expected
