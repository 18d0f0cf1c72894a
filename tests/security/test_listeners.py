"""Several listeners for clients on this machine, and security by listener, over fakes of an engine and of Kafka."""

import io
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provision.operations.topics  # noqa: F401 the fake Kafka takes the place of what is loaded
from provision import Environment, Level, UpOptions
from provision.catalogue.versions import KRAFT
from provision.cluster.layout import Layout, LocalLayout, container_layout
from provision.cluster.model import Cluster
from provision.cluster.properties import parse
from provision.cluster.render import render
from provision.cluster.resolve import fixed_ports, resolve, resolve_without_ports
from provision.errors import InvalidEnvironment, ProvisionError, Refused, UsageError
from provision.observe.reach import access_to
from provision.operations.forms import FORMS
from provision.operations.status import status_dict
from provision.plan.actions import Verb
from provision.runtime.base import JavaCommand, Streams
from provision.security.listening import (
    HostListener,
    Security,
    listeners_in,
    own_way,
    security_in,
    strictest,
    written,
)
from provision.security.material import parted
from provision.security.profiles import PROFILES
from provision.spec.listeners import security_of
from provision.spec.loader import load, load_values
from provision.spec.model import EnvironmentSpec
from provision.spec.schema import schema
from tests.examples import many
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.golden import Golden
from tests.runtimes import FakeRuntimes

GOLDEN = Path(__file__).parent / "golden"
NAME = "doors"
THREE: dict[str, Any] = {
    "plain": {"port": 9092, "security": "plaintext"},
    "encrypted": {"port": 9192, "security": "tls"},
    "secure": {"security": "sasl-tls"},
}
APP = [{"name": "app"}]


def spec_of(**values: object) -> EnvironmentSpec:
    return load_values({"name": NAME, **values})


def local() -> LocalLayout:
    return LocalLayout("kafka 3.9.1", "/jars", "/home/doors", "/home/doors")


def resolved(spec: EnvironmentSpec, layout: Layout) -> Cluster:
    """With the leased ports 21000 and so on, in the order of their names."""
    return resolve(spec, layout, {name: 21000 + at for at, name in enumerate(layout.leased_ports(spec))})


def properties_of(cluster: Cluster, node: str = "broker-1") -> dict[str, str]:
    (text,) = [one.text for one in render(cluster) if one.node == node and one.name == "server.properties"]
    return parse(text)


# -- what the file says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({}, "plaintext"),
        ({"security": "sasl-tls"}, "sasl-tls"),
        ({"security": {"HOST": "mtls"}}, "mtls"),
        (
            {"security": {"HOST": "sasl-tls", "INTERNAL": "plaintext"}},
            "HOST=sasl-tls INTERNAL=plaintext CONTROLLER=plaintext",
        ),
        ({"security": {"internal": "tls"}}, "HOST=plaintext INTERNAL=tls CONTROLLER=tls"),
        ({"security": {"host": "tls", "controllers": "mtls"}}, "HOST=tls INTERNAL=tls CONTROLLER=mtls"),
        (
            {"listeners": THREE},
            "PLAIN=plaintext ENCRYPTED=tls SECURE=sasl-tls INTERNAL=sasl-tls CONTROLLER=sasl-tls",
        ),
        (
            {"listeners": THREE, "security": "plaintext"},
            "PLAIN=plaintext ENCRYPTED=tls SECURE=sasl-tls INTERNAL=plaintext CONTROLLER=plaintext",
        ),
        ({"listeners": {"a": {}, "b": {}}, "security": "mtls"}, "A=mtls B=mtls INTERNAL=mtls CONTROLLER=mtls"),
        (
            {"listeners": {"a": {}, "b": {}}, "security": {"B": "tls", "HOST": "sasl-plain"}},
            "A=sasl-plain B=tls INTERNAL=tls CONTROLLER=tls",
        ),
        ({"listeners": {"host": {"port": 9092}}}, "plaintext"),
        (
            {"listeners": {"a": {"security": "sasl-scram"}, "b": {}}},
            "A=sasl-scram B=plaintext INTERNAL=sasl-scram CONTROLLER=sasl-scram",
        ),
    ],
)
def test_each_listener_is_secured_as_the_file_says_or_by_default(said: dict[str, Any], means: str) -> None:
    security = security_of(spec_of(kafka={"mode": "kraft"}, **said))
    assert security.name == means
    assert security_in(means) == security


def test_the_strictest_is_encrypted_first_and_then_knows_who_somebody_is() -> None:
    order = ["plaintext", "sasl-plain", "sasl-scram", "tls", "mtls", "sasl-tls"]
    for index, name in enumerate(order):
        assert strictest(PROFILES[one] for one in reversed(order[: index + 1])).name == name


def test_what_is_kept_of_listeners_is_read_back_and_nothing_damaged_is_believed() -> None:
    kept = (HostListener("PLAIN", "plaintext", "127.0.0.1:9092"), HostListener("A-B", "sasl-tls", "127.0.0.1:29001"))
    assert listeners_in(written(kept)) == kept
    damaged = ["", "PLAIN", "PLAIN tls", "PLAIN ssl 127.0.0.1:1", "PLAIN tls 127.0.0.1:99999", "PLAIN tls x:0"]
    for text in [*damaged, f"{written(kept)}, ", f"{written(kept)}, {kept[0]}", "plain tls 127.0.0.1:9092"]:
        assert listeners_in(text) == ()
    for text in ("HOST=ssl", "=", "INTERNAL=tls", "HOST", "a b c"):
        assert security_in(text).names == ("HOST",)


@pytest.mark.parametrize(
    ("listeners", "own"),
    [
        ({"A": "plaintext", "B": "tls"}, "B"),
        ({"A": "plaintext", "B": "sasl-plain", "C": "tls"}, "B"),
        ({"A": "sasl-scram", "B": "sasl-tls"}, "B"),
        ({"A": "mtls", "B": "sasl-plain"}, "A"),
    ],
)
def test_this_program_gets_in_where_it_is_known(listeners: dict[str, str], own: str) -> None:
    assert own_way({name: PROFILES[profile] for name, profile in listeners.items()}) == own


def test_ports_count_up_by_broker_and_others_are_leased() -> None:
    spec = spec_of(listeners=THREE, brokers={"nodes": 3}, zookeeper={"port": 2181})
    assert fixed_ports(spec) == {
        "zookeeper-1": 2181,
        **{f"broker-{n}/PLAIN": 9091 + n for n in (1, 2, 3)},
        **{f"broker-{n}/ENCRYPTED": 9191 + n for n in (1, 2, 3)},
    }
    secure = tuple(f"broker-{n}/SECURE" for n in (1, 2, 3))
    assert container_layout(spec).leased_ports(spec) == secure
    assert local().leased_ports(spec) == (*secure, *(f"broker-{n}/INTERNAL" for n in (1, 2, 3)))
    host = spec_of(listeners={"HOST": {}, "b": {"port": 9092}})
    assert container_layout(host).leased_ports(host) == ("broker-1",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"listeners": {"a": {"port": 9092}, "b": {"port": 9094}}, "brokers": {"nodes": 3}},
            "listeners.b.port: port 9094 is also a port of listeners.a (9092 to 9094); listeners.b takes 9094 to 9096",
        ),
        (
            {"listeners": {"a": {"port": 2180}}, "brokers": {"nodes": 2}, "zookeeper": {"port": 2181}},
            "listeners.a.port: port 2181 is also a port of zookeeper (2181)",
        ),
        (
            {"listeners": {"a": {"port": 65535}}, "brokers": {"nodes": 2}},
            "listeners.a.port: 2 nodes from port 65535 on go beyond 65535",
        ),
        (
            {"bootstrap_servers": "kafka.example:9092", "listeners": THREE},
            "listeners: the cluster behind bootstrap_servers is run by others",
        ),
        ({"listeners": {f"l{n}": {} for n in range(17)}}, "listeners: there are more than 16"),
    ],
)
def test_ports_and_listeners_that_do_not_fit_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        spec_of(**values)
    assert message in "\n".join(map(str, caught.value.problems))


def test_a_listener_is_overridden_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "doors.yaml"
    file.write_text("listeners: {plain: {port: auto}}\nsecurity: {INTERNAL: tls}\n")
    spec = load(file, ("listeners.plain.port=9092", "listeners.secure.security=tls", "security.HOST=sasl-plain"))
    assert security_of(spec).name == "PLAIN=sasl-plain SECURE=tls INTERNAL=tls CONTROLLER=tls"
    assert fixed_ports(spec)["broker-1/PLAIN"] == 9092


def test_the_schema_knows_listeners_and_security_by_listener() -> None:
    known = schema()["properties"]
    assert known["listeners"]["maxProperties"] == 16
    assert {"enum": list(PROFILES)} in known["security"]["anyOf"]


# -- what nodes get ---------------------------------------------------------------------------------------------------

CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "listeners": ({"listeners": THREE, "users": APP}, True),
    "listeners-processes": ({"listeners": THREE, "users": APP}, False),
    "listeners-kraft": (
        {
            "kafka": {"version": "4.3.0"},
            "controllers": {"nodes": 1},
            "listeners": {"scram": {"security": "sasl-scram"}, "mutual": {"security": "mtls"}},
            "security": {"INTERNAL": "mtls", "CONTROLLER": "sasl-plain"},
            "users": [{"name": "app", "allow": ["read topic orders"]}],
        },
        True,
    ),
    "security-by-listener-processes": (
        {"kafka": {"mode": "kraft"}, "security": {"HOST": "sasl-tls", "INTERNAL": "plaintext"}, "users": APP},
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_listeners_render_to_their_golden_files(case: str, golden: Golden) -> None:
    values, contained = CASES[case]
    spec = spec_of(**values)
    files = render(resolved(spec, container_layout(spec) if contained else local()))
    golden.directory(GOLDEN / case, {f"{file.node}/{file.name}": file.text for file in files})


@pytest.mark.parametrize("contained", [True, False])
@pytest.mark.parametrize("mode", ["zookeeper", "kraft"])
def test_one_listener_that_is_called_as_it_is_without_the_key_changes_nothing(mode: str, contained: bool) -> None:
    files = [
        render(resolved(spec, container_layout(spec) if contained else local()))
        for values in ({"brokers": {"port": 9092}}, {"listeners": {"Host": {"port": 9092, "security": "plaintext"}}})
        for spec in [spec_of(kafka={"mode": mode}, **values)]
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("mode", ["zookeeper", "kraft"])
def test_the_same_for_each_listener_is_what_one_profile_for_all_means(profile: str, mode: str) -> None:
    by_listener = {"HOST": profile, "INTERNAL": profile} | ({"CONTROLLER": profile} if mode == KRAFT else {})
    files = [
        render(resolve_without_ports(spec, layout))
        for security in (profile, by_listener)
        for spec in [spec_of(kafka={"mode": mode}, security=security)]
        for layout in (container_layout(spec), local())
    ]
    assert files[:2] == files[2:]


# -- a running environment --------------------------------------------------------------------------------------------


class Doors:
    """Its runtimes and its Kafka in memory."""

    def __init__(self, directory: Path) -> None:
        self.runtime = SpokenRuntime()
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.kafka = FakeKafka(self.runtime, NAME)

    def looks_away(self) -> None:
        """Let it be stopped as a whole."""
        self.runtime.on_verb = lambda _verb, _subject: None

    def of(self, listeners: Mapping[str, Any] | None = None, **values: Any) -> Environment:  # noqa: ANN401 as it takes them
        """The environment, described by these values."""
        named: dict[str, Any] = {"brokers": {"nodes": 2}} if listeners else {"brokers": {"nodes": 2, "port": "auto"}}
        described = named | ({"listeners": listeners} if listeners else {}) | values
        return Environment(runtimes=self.runtimes, name=NAME, **described)

    def endpoints(self, node: str = "broker-1") -> dict[str, str]:
        """Where it listens, by listener."""
        there = self.runtime.observe(NAME).node(node)
        assert there
        return {one.name: one.endpoint for one in there.listeners}


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    made = Doors(tmp_path)
    made.kafka.speak(monkeypatch)
    yield made
    made.looks_away()
    if not made.runtime.observe(NAME).is_absent:
        made.of().down()
    assert not made.runtimes.home.ports.held(NAME)


LEASED: dict[str, Any] = {name: {**one, "port": "auto"} for name, one in THREE.items()}


def test_each_listener_has_ports_of_its_own_and_a_second_plan_is_empty(doors: Doors) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    both = [doors.endpoints(node) for node in ("broker-1", "broker-2")]
    assert [list(each) for each in both] == [["PLAIN", "ENCRYPTED", "SECURE"]] * 2
    assert len({endpoint for each in both for endpoint in each.values()}) == 6
    assert not environment.plan().plan.changes
    shown = status_dict(environment.status())
    assert [(one["name"], one["security"]) for one in shown["listeners"]] == [
        ("PLAIN", "plaintext"),
        ("ENCRYPTED", "tls"),
        ("SECURE", "sasl-tls"),
    ]
    for one in shown["listeners"]:
        assert one["bootstrap_servers"] == ",".join(each[one["name"]] for each in both)
    assert shown["bootstrap_servers"] == shown["listeners"][0]["bootstrap_servers"]


def test_a_client_is_told_of_the_listener_that_it_names_or_that_fits(doors: Doors) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()

    def told(user: str = "", **options: Any) -> dict[str, Any]:  # noqa: ANN401
        found: dict[str, Any] = json.loads(environment.client_config("kafka-python", user, **options).text)
        return found

    at = [doors.endpoints(node) for node in ("broker-1", "broker-2")]
    plain = {"bootstrap_servers": [one["PLAIN"] for one in at], "security_protocol": "PLAINTEXT"}
    assert told() == told(listener="plain") == plain
    encrypted = told(listener="Encrypted")
    assert sorted(encrypted) == ["bootstrap_servers", "security_protocol", "ssl_cafile"]
    assert (encrypted["security_protocol"], encrypted["bootstrap_servers"]) == ("SSL", [one["ENCRYPTED"] for one in at])
    for secure in (told("app"), told("app", listener="secure")):
        assert (secure["security_protocol"], secure["sasl_plain_username"]) == ("SASL_SSL", "app")
        assert secure["bootstrap_servers"] == [one["SECURE"] for one in at]
    inside = told("app", inside=True)
    assert inside["bootstrap_servers"] == [f"{NAME}-broker-1:9092", f"{NAME}-broker-2:9092"]
    assert inside["security_protocol"] == "SASL_SSL"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"listener": "other"}, "doors has no listener other", "it has PLAIN, ENCRYPTED, SECURE"),
        ({"listener": "internal"}, "doors has no listener internal", "use --inside"),
        ({"listener": "secure"}, "wants to know who its clients are", "--user app; or --listener PLAIN or ENCRYPTED"),
        ({"listener": "plain", "user": "app"}, "at its listener PLAIN nobody says who they are", "leave the user out"),
        ({"listener": "plain", "inside": True}, "plain is a listener for clients on this machine", "INTERNAL"),
        ({"listener": "secure", "user": "nobody"}, "doors has no user nobody", "--user app"),
    ],
)
def test_a_listener_or_user_that_does_not_fit_is_refused_with_what_does(
    doors: Doors, options: dict[str, Any], message: str, hint: str
) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    with pytest.raises(UsageError) as caught:
        environment.client_config("properties", **options)
    assert message in caught.value.what
    assert hint in (caught.value.hint or "")


def _in_form(text: str, form: str) -> dict[str, str]:
    """What a form says, by the keys of its client."""
    if form in ("properties", "spring"):
        return {key.removeprefix("spring.kafka.properties."): value for key, value in parse(text).items()}
    if form == "env":
        shell = ["/bin/sh", "-c", f"{text}env -0"]
        printed = subprocess.run(shell, env={"PATH": os.defpath}, capture_output=True, text=True, check=True)
        return dict(one.split("=", 1) for one in printed.stdout.rstrip("\0").split("\0") if "=" in one)
    found: dict[str, str] = json.loads(text)
    return found


_CONTENT = {
    "properties": ("ssl.truststore.certificates", "ssl.keystore.certificate.chain", "ssl.keystore.key"),
    "spring": ("ssl.truststore.certificates", "ssl.keystore.certificate.chain", "ssl.keystore.key"),
    "librdkafka": ("ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem"),
    "env": ("KAFKA_SSL_CA_PEM", "KAFKA_SSL_CERTIFICATE_PEM", "KAFKA_SSL_KEY_PEM"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("security", ["tls", "mtls", "sasl-tls", "sasl-plain"])
def test_inside_a_client_needs_no_file_of_this_machine_or_is_told_which(doors: Doors, security: str, form: str) -> None:
    environment = doors.of(security=security, users=[] if security == "tls" else APP)
    environment.up()
    store = doors.runtimes.home.secrets(NAME)
    user = "" if security == "tls" else "app"
    config = environment.client_config(form, user, inside=True)
    assert f"{NAME}-broker-2" in config.text
    files = [store.path("ca.pem")] * (security != "sasl-plain") + [store.path("user-app.pem")] * (security == "mtls")
    assert environment.client_config(form, user).mounts == ()
    if form not in _CONTENT:
        assert list(config.mounts) == files
        assert all(str(file) in config.text for file in files)
        return
    assert config.mounts == ()
    assert str(store.directory) not in config.text
    assert config.secret is (security != "tls")
    said, (trusted, certificate, key) = _in_form(config.text, form), _CONTENT[form]
    own = parted(store.read("user-app.pem") or b"")
    expected = {trusted: (store.read("ca.pem") or b"").decode() if files else None}
    expected |= {certificate: own.certificate.decode() if own else None, key: own.key.decode() if own else None}
    assert {name: said.get(name) for name in (trusted, certificate, key)} == expected


def _in_store(said: Mapping[str, str], kind: str) -> pkcs12.PKCS12KeyAndCertificates:
    """What is in the store that a Java client is told of, opened with the password that it is told."""
    assert said[f"ssl.{kind}store.type"] == "PKCS12"
    path = Path(said[f"ssl.{kind}store.location"])
    assert path.is_absolute()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return pkcs12.load_pkcs12(path.read_bytes(), said[f"ssl.{kind}store.password"].encode())


@pytest.mark.parametrize("form", ["properties", "spring"])
@pytest.mark.parametrize("listener", ["encrypted", "mutual", "secure"])
def test_a_java_client_may_have_its_keys_and_certificates_in_stores(
    doors: Doors, tmp_path: Path, listener: str, form: str
) -> None:
    environment = doors.of(LEASED | {"mutual": {"security": "mtls"}}, users=APP)
    environment.up()
    user = "" if listener == "encrypted" else "app"
    file = tmp_path / "for java" / "app.properties"
    config = environment.client_config(form, user, listener=listener, stores=file)
    assert config.secret
    kinds = ["truststore", "keystore"] if listener == "mutual" else ["truststore"]
    names = [f"app.{kind}.p12{suffix}" for kind in kinds for suffix in (".password", "")]
    assert list(config.files) == [file.with_name(name) for name in names]
    assert sorted(path.name for path in file.parent.iterdir()) == sorted(names)
    assert "PEM" not in config.text
    said = {key.removeprefix("spring.kafka.properties."): value for key, value in parse(config.text).items()}
    trusted = [one.certificate.public_bytes(Encoding.PEM) for one in _in_store(said, "trust").additional_certs]
    store = doors.runtimes.home.secrets(NAME)
    assert b"".join(trusted) == store.read("ca.pem")
    assert ("ssl.keystore.location" in said) is (listener == "mutual")
    if listener == "mutual":
        own = _in_store(said, "key").cert
        assert own
        assert own.certificate.public_bytes(Encoding.PEM) in (store.read("user-app.pem") or b"")
        assert said["ssl.key.password"] == said["ssl.keystore.password"]
    assert ("sasl.jaas.config" in said) is (listener == "secure")
    assert environment.client_config(form, user, listener=listener, stores=file) == config


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"properties", "spring"}))
def test_only_java_clients_read_stores(doors: Doors, tmp_path: Path, form: str) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    with pytest.raises(UsageError, match="is for clients that read no PKCS12 stores"):
        environment.client_config(form, "app", stores=tmp_path / "out")
    with pytest.raises(UsageError, match="has no TLS, so that there is nothing to store"):
        environment.client_config("properties", listener="plain", stores=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_for_a_form_that_cannot_refer_to_it(doors: Doors, tmp_path: Path) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    with pytest.raises(UsageError, match="Spring would take the value"):
        environment.client_config("spring", listener="encrypted", stores=tmp_path / "${name}" / "app.properties")
    assert not (tmp_path / "${name}").exists()


def test_addresses_and_commands_go_over_the_chosen_listener(doors: Doors) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    at = [doors.endpoints(node) for node in ("broker-1", "broker-2")]
    assert environment.addresses().bootstrap_servers == ",".join(one["PLAIN"] for one in at)
    assert environment.cluster().access.protocol == "SASL_SSL"
    environment.listener = "encrypted"
    assert environment.addresses().bootstrap_servers == ",".join(one["ENCRYPTED"] for one in at)
    assert environment.cluster().access.protocol == "SSL"
    environment.user, environment.listener = "app", "secure"
    assert environment.cluster().access.brokers == {1: at[0]["SECURE"], 2: at[1]["SECURE"]}
    environment.listener = "nowhere"
    with pytest.raises(UsageError, match="no listener nowhere"):
        environment.cluster()


def test_a_tool_gets_in_between_brokers_or_over_the_chosen_listener(doors: Doors) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    at = [doors.endpoints(node) for node in ("broker-1", "broker-2")]

    def servers(*arguments: str, listener: str = "") -> str:
        environment.listener, out = listener, io.BytesIO()
        assert environment.tool("kafka-topics", arguments, Streams(None, out, io.BytesIO())) == 0
        return out.getvalue().decode().split("--bootstrap-server ")[1].split()[0]

    inside = f"{NAME}-broker-1:9092,{NAME}-broker-2:9092"
    assert servers("--list") == inside
    for one in at[0].values():
        assert servers("--list", "--bootstrap-server", one) == f"{NAME}-broker-1:9092"
    assert servers("--list", listener="Secure") == ",".join(one["SECURE"] for one in at)
    assert servers("--list", "--command-config", "mine") == ",".join(one["PLAIN"] for one in at)
    with pytest.raises(UsageError, match="no listener other"):
        servers("--list", listener="other")
    doors.runtime.kind = "docker"  # type: ignore[misc]
    assert servers("--list", "--command-config", "mine") == inside
    with pytest.raises(UsageError, match="runs in the environment's network"):
        servers("--list", listener="secure")


def test_a_listener_comes_and_goes_while_brokers_run_one_at_a_time(doors: Doors) -> None:
    doors.of({"plain": LEASED["plain"]}, security="plaintext").up()
    before = doors.endpoints()["PLAIN"]
    two = doors.of({"plain": LEASED["plain"], "secure": {"security": "sasl-tls"}}, security="plaintext", users=APP)
    plan = two.plan().plan
    assert [(action.phase, action.verb, action.name) for action in plan.first_wave] == [
        ("open", Verb.RESTART, "zookeeper-1"),
        ("open", Verb.RECREATE, "broker-2"),
        ("open", Verb.RECREATE, "broker-1"),
        ("close", Verb.RESTART, "zookeeper-1"),
    ]
    assert "listeners" in plan.first_wave[1].cause
    two.up()
    assert doors.endpoints()["PLAIN"] == before
    assert not two.plan().plan.changes
    assert access_to(two.observe()).protocol == "SASL_SSL"
    one = doors.of({"plain": LEASED["plain"]}, security="plaintext")
    assert [(action.phase, action.name) for action in one.plan().plan.first_wave] == [
        ("open", "zookeeper-1"),
        ("move", "broker-2"),
        ("move", "broker-1"),
        ("close", "zookeeper-1"),
        ("close", "broker-2"),
        ("close", "broker-1"),
    ]
    one.up()
    assert not one.plan().plan.changes
    assert not [name for name in doors.runtimes.home.secrets(NAME).names if name.startswith("ensemble-")]
    assert doors.endpoints() == {"PLAIN": before}
    assert access_to(one.observe()).protocol == "PLAINTEXT"


def test_a_dedicated_controller_has_nothing_to_do_with_the_listeners_of_brokers(tmp_path: Path) -> None:
    doors = Doors(tmp_path)  # its nodes answer nothing
    doors.looks_away()
    values: dict[str, Any] = {"kafka": {"mode": "kraft"}, "controllers": {"nodes": 1}, "security": "plaintext"}
    doors.of({"plain": LEASED["plain"]}, **values).up(UpOptions(until=Level.PROCESS))
    two = doors.of({"plain": LEASED["plain"], "secure": {"security": "sasl-tls"}}, users=APP, **values)
    assert {action.name for action in two.plan().plan.first_wave} == {"broker-1", "broker-2"}
    doors.of({"plain": LEASED["plain"]}, **values).stop()
    two.up(UpOptions(until=Level.PROCESS))
    secret = {
        node: sorted(file.name for file in doors.runtime.read_files(NAME, node) if file.secret)
        for node in ("controller-1", "broker-1")
    }
    assert secret == {"controller-1": [], "broker-1": ["ca.pem", "secrets.properties"]}


def test_the_one_listener_keeps_its_port_when_others_come(doors: Doors) -> None:
    doors.of(security="plaintext").up()
    node = doors.runtime.observe(NAME).node("broker-1")
    assert node
    two = doors.of({"host": {}, "other": {"security": "tls"}}, security="plaintext")
    assert {action.name for action in two.plan().plan.first_wave} == {"zookeeper-1", "broker-1", "broker-2"}
    two.up()
    assert doors.endpoints()["HOST"] == node.endpoint


@pytest.mark.parametrize(
    ("before", "after", "why", "way_out"),
    [
        (
            {"listeners": {"a": {"security": "tls"}}},
            {"listeners": {"a": {"security": "mtls"}}, "security": {"INTERNAL": "tls"}, "users": APP},
            "A (mtls) would be secured otherwise under the same name, and no other listener leads to all brokers",
            "give it another name",
        ),
        (
            {"listeners": {"a": {}, "b": {"security": "sasl-plain"}}, "users": APP},
            {"listeners": {"a": {}, "b": {"security": "mtls"}}, "users": [{"name": "app", "super": True}]},
            "nodes ask who may do what, and no listener that stays or comes knows who is there: A",
            "let another one stay",
        ),
        (
            {"listeners": {"a": {"port": 21092}}},
            {"listeners": {"b": {"port": 21093}}},
            "broker-1 would listen at port 21093 (B), which broker-2 has until the end of the change (A)",
            "choose another port",
        ),
    ],
)
def test_a_change_over_which_nobody_gets_in_is_refused_while_a_node_runs(
    doors: Doors, before: dict[str, Any], after: dict[str, Any], why: str, way_out: str
) -> None:
    doors.of(**before).up()
    (refusal,) = doors.of(**after).plan().plan.actions
    assert refusal.verb is Verb.REFUSE
    assert why in refusal.cause
    assert way_out in refusal.detail
    assert f"`provision stop {NAME}` first" in refusal.detail
    doors.looks_away()
    doors.of(**before).stop()
    doors.of(**after).up(UpOptions(until=Level.PROCESS))
    assert not doors.of(**after).plan().plan.first_wave


def test_a_broker_that_is_silent_at_one_of_its_listeners_is_not_ready(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    closed = doors.endpoints("broker-2")["ENCRYPTED"]
    at = doors.kafka.at
    monkeypatch.setattr(doors.kafka, "at", lambda broker: tuple(one for one in at(broker) if one != closed))
    found = environment.status()
    lacking = {node: why.partition(":")[0] for node, why in found.missing.items()}
    assert lacking == {"broker-2": "at its listener ENCRYPTED"}
    assert not status_dict(found)["ready"]


def test_no_listener_shows_a_password(doors: Doors) -> None:
    environment = doors.of(LEASED, users=APP)
    environment.up()
    password = doors.runtimes.home.secrets(NAME).path("user-app.password").read_text()
    files = [file.text for file in doors.runtime.read_files(NAME, "broker-1") if not file.secret]
    shown = [*files, repr(environment.observe()), json.dumps(status_dict(environment.status()))]
    assert not [text for text in shown if password in text]


# -- whatever the file says -------------------------------------------------------------------------------------------

WORD = "xyzzy-0pen-s3same"
_anything = st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=4) | st.just(WORD) | st.just([WORD])
_profile = st.sampled_from([*PROFILES]) | _anything
_key = st.sampled_from(["plain", "PLAIN", "secure", "HOST", "internal", "CONTROLLER", "controllers", "a b", ""])
_listener = st.fixed_dictionaries(
    {}, optional={"port": st.sampled_from(["auto", 9092, 9093]) | _anything, "security": _profile}
)
_listeners = st.dictionaries(_key | st.integers(0, 3), _listener | _anything, max_size=4) | _anything
_security = st.dictionaries(_key | st.integers(0, 3), _profile, max_size=3) | _profile
_right = st.dictionaries(
    st.sampled_from(["plain", "secure", "host", "third"]),
    st.fixed_dictionaries({}, optional={"security": st.sampled_from([*PROFILES])}),
    min_size=1,
)
_by_listener = st.dictionaries(
    st.sampled_from(["HOST", "INTERNAL", "CONTROLLER"]), st.sampled_from([*PROFILES]), min_size=1
)


@settings(
    max_examples=many(200, thorough=1000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(listeners=_listeners | _right, security=_security | _by_listener, mode=st.sampled_from(["zookeeper", "kraft"]))
def test_there_is_a_cluster_or_a_clear_error_and_no_message_shows_a_value(
    tmp_path: Path, listeners: object, security: object, mode: str
) -> None:
    file = tmp_path / "doors.yaml"
    file.write_text(yaml.safe_dump({"listeners": listeners, "security": security, "kafka": {"mode": mode}}))
    try:
        spec = load(file)
    except InvalidEnvironment as error:
        shown = [str(problem) for problem in error.problems]
    else:
        shown = [
            file.text
            for layout in (container_layout(spec), local())
            for file in render(resolve_without_ports(spec, layout))
        ]
    assert shown
    assert WORD not in "\n".join(shown)


@settings(max_examples=many(100, thorough=500), deadline=None)
@given(listeners=_right, security=_by_listener, supers=st.booleans())
def test_every_listener_gets_what_its_profile_needs(
    listeners: dict[str, Any],
    security: dict[str, str],
    supers: bool,
) -> None:
    values = {"listeners": listeners, "security": security, "kafka": {"mode": "kraft"}}
    try:
        spec = spec_of(**values, **({"users": [{"name": "app", "super": True}]} if supers else {}))
    except ProvisionError:
        return
    found: Security = security_of(spec)
    for layout in (container_layout(spec), local()):
        cluster = resolve_without_ports(spec, layout)
        properties = properties_of(cluster)
        protocols = dict(pair.split(":") for pair in properties["listener.security.protocol.map"].split(","))
        internal = found.named("INTERNAL")
        host = [(found.named(name), profile) for name, profile in found.host]
        for name, profile in (*host, *([(internal, found.internal)] if internal in protocols else [])):
            prefix = f"listener.name.{name.lower()}."
            assert protocols[name] == profile.protocol
            assert (f"{prefix}plain.sasl.jaas.config" in properties) is bool(profile.mechanism)
            assert (f"{prefix}scram-sha-512.sasl.jaas.config" in properties) is profile.scram
            if profile.encrypted and not profile.mechanism:
                asked = properties[f"{prefix}ssl.client.auth"]
                assert asked == ("required" if profile.asks_certificate else "none")
                known = properties[f"{prefix}ssl.principal.mapping.rules"]
                assert ("app" in known) is (supers and profile.asks_certificate)
        assert ("ssl.keystore.key" in properties) is found.encrypted
        assert ("sasl.mechanism.inter.broker.protocol" in properties) is bool(found.internal.mechanism)


@pytest.mark.parametrize("lost", ["ca.key", "provision.password", "ensemble-ca.key"])
def test_what_nodes_trust_at_any_listener_is_not_made_anew(doors: Doors, lost: str) -> None:
    environment = doors.of({"plain": {}, "secure": {"security": "sasl-tls"}}, security="plaintext", users=APP)
    environment.up()
    doors.runtimes.home.secrets(NAME).path(lost).unlink()
    with pytest.raises(Refused, match=f"{re.escape(lost)} is missing"):
        environment.plan()


def test_a_tool_tells_nothing_at_another_address_whatever_listener_it_uses(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = doors.of({"plain": {}, "secure": {"security": "sasl-tls"}}, security="plaintext", users=APP)
    environment.up()
    own, told = doors.endpoints()["SECURE"], []

    def run(_environment: object, command: JavaCommand, _streams: Streams) -> int:
        told.append(bool(command.option))
        return 0

    monkeypatch.setattr(doors.runtime, "run_tool", run)
    environment.listener = "secure"
    for arguments in ([], ["--bootstrap-server", own], ["--bootstrap-server", "elsewhere:9092"]):
        environment.tool("kafka-topics", ["--list", *arguments], Streams(None, io.BytesIO(), io.BytesIO()))
    doors.looks_away()
    doors.runtime.stop_node(NAME, "broker-1", 1.0)
    environment.tool("kafka-topics", ["--list", "--bootstrap-server", own], Streams(None, io.BytesIO(), io.BytesIO()))
    assert told == [True, True, False, False]


@pytest.mark.parametrize("name", ["host", "HOST"])
def test_the_one_listener_has_the_name_of_the_file_however_it_is_secured(doors: Doors, name: str) -> None:
    environment = doors.of(security="sasl-tls", users=APP)
    environment.up()
    assert "SASL_SSL" in environment.client_config("properties", "app", listener=name).text
    (listener,) = status_dict(environment.status())["listeners"]
    assert (listener["name"], listener["security"]) == ("HOST", "sasl-tls")
    assert listener["bootstrap_servers"] == environment.observe().bootstrap_servers


@pytest.mark.parametrize("name", ["host_tls", "INTERNAL_X", "controller_"])
def test_names_that_begin_like_those_of_nodes_are_taken(name: str) -> None:
    with pytest.raises(InvalidEnvironment, match="may be called so in Kafka"):
        spec_of(listeners={name: {}, "other": {}})
