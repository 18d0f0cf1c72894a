"""A cluster that lets nobody in but its users, on real brokers: by what `client-config` says, and not otherwise."""

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import tarfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from confluent_kafka.admin import AdminClient
from kafka import KafkaConsumer, KafkaProducer

from provision.catalogue.versions import KafkaVersion, release_of
from provision.cluster.properties import parse
from provision.common.values import replace
from provision.errors import KafkaRefused
from provision.home.place import Home
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import NotAnswering
from provision.kafka.metadata import observe_cluster
from provision.operations.forms import INLINE
from provision.security.certificates import Pair, Subject, issue, make_authority
from provision.security.material import Authority
from provision.security.store import SecretStore
from tests.engine import Provision, engine, image, java, write_environment
from tests.matrix.test_certificates import REFUSED
from tests.users import NOBODY, needs_root

pytestmark = [pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "closed"
USERS: list[dict[str, Any]] = [{"name": "app"}, {"name": "ops", "password": {"env": "OPS_PASSWORD"}}]
PATIENCE_S, ANSWER_S = 60.0, 20.0
LARGEST = 1024 * 1024
KCAT = shutil.which("kcat")


@dataclass(frozen=True)
class Row:
    """A profile, a version, how it keeps its metadata, and where it runs."""

    security: str
    version: str
    mode: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.security}-{self.version}-{self.mode}-{self.runtime}"

    @property
    def password(self) -> str:
        """What `ops` has chosen; another one in each row, since others run at the same time."""
        return f'a "quoted\\ ${{pass}}-wörd \\${{of}} {self}'

    @property
    def users(self) -> list[str]:
        """Who may get in; an empty name where nobody says who they are."""
        if self.security == "tls":
            return [""]
        return ["app", "ops", "sha"] if self.security == "sasl-tls" else ["app", "ops"]


PROFILES = ("tls", "mtls", "sasl-plain", "sasl-scram", "sasl-tls")
DEDICATED = "dedicated"
"""KRaft with controllers of their own."""
KAFKAS = (
    ("2.8.2", "zookeeper"),
    ("3.9.1", "zookeeper"),
    ("3.9.1", "kraft"),
    ("4.3.0", "kraft"),
    ("4.3.0", DEDICATED),
)
# Each profile, and each version on both runtimes; all the others are tried in the soak run.
SHORT = {
    Row("tls", "2.8.2", "zookeeper", "process"),
    Row("mtls", "3.9.1", "zookeeper", "docker"),
    Row("mtls", "4.3.0", "kraft", "process"),
    Row("sasl-plain", "3.9.1", "zookeeper", "process"),
    Row("sasl-plain", "4.3.0", DEDICATED, "process"),
    Row("sasl-scram", "2.8.2", "zookeeper", "process"),
    Row("sasl-scram", "4.3.0", "kraft", "docker"),
    Row("sasl-tls", "2.8.2", "zookeeper", "docker"),
    Row("sasl-tls", "3.9.1", "kraft", "process"),
}
ROWS = [
    pytest.param(
        row,
        id=str(row),
        marks=[
            pytest.mark.engine if runtime == "docker" else pytest.mark.process,
            pytest.mark.matrix if row in SHORT else pytest.mark.soak,
        ],
    )
    for runtime in ("process", "docker")
    for version, mode in KAFKAS
    for profile in PROFILES
    for row in [Row(profile, version, mode, runtime)]
]


@dataclass(frozen=True)
class Closed:
    """A running environment, and what its users have been given."""

    row: Row
    provision: Provision
    directory: Path

    def given(self, user: str, form: str) -> str:
        """What `client-config` says."""
        who = ["--user", user] if user else []
        return self.provision.ok("client-config", NAME, *who, "--format", form)

    def python(self, user: str) -> dict[str, Any]:
        """The keyword arguments of a Python client."""
        found: dict[str, Any] = json.loads(self.given(user, "kafka-python"))
        return found

    def access(self, **other: Any) -> Access:  # noqa: ANN401 fields of an access
        """The way of its first user, with something else in it."""
        options = self.python(self.row.users[0])
        mechanism = options.get("sasl_mechanism")
        who = Credentials(mechanism, "app", options["sasl_plain_password"]) if mechanism else None
        known = {
            "protocol": options["security_protocol"],
            "credentials": who,
            "ca": options.get("ssl_cafile"),
            "certificate": options.get("ssl_certfile"),
        }
        return Access({1: options["bootstrap_servers"][0]}, **{**known, **other})

    @property
    def secrets(self) -> list[str]:
        """Every password, and a line of each private key, that it has."""
        store = self.provision.home / "secrets" / NAME
        passwords = [file.read_text() for file in store.glob("*.password")]
        keyed = [file.read_text() for file in store.iterdir() if "PRIVATE KEY" in file.read_text()]
        return [*passwords, *(text.splitlines()[1] for text in keyed)]


@pytest.fixture(scope="module", params=ROWS)
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    row: Row = request.param
    if row.runtime == "process":
        java(row.version)
    else:
        engine()
    directory = tmp_path_factory.mktemp("closed")
    given = {"OPS_PASSWORD": row.password}
    provision = Provision(directory / "home", runtime=row.runtime, version=row.version, environment=given)
    described = {
        "kafka": {"mode": "kraft" if row.mode == DEDICATED else row.mode},
        "controllers": {"nodes": 1} if row.mode == DEDICATED else {},
        "brokers": {"nodes": 1, "port": "auto"},
        "security": row.security,
        "topics": [{"name": "t", "partitions": 2}],
        "users": [] if row.security == "tls" else _users(row),
    }
    file = write_environment(directory, NAME, yaml.safe_dump(described))
    provision.ok("up", file)
    try:
        yield Closed(row, provision, directory)
        assert "nothing to change" in provision.ok_err("plan", file) + provision.ok("plan", file)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
    assert list((provision.home / "secrets").iterdir()) == []


def _users(row: Row) -> list[dict[str, Any]]:
    if row.security == "sasl-scram":
        return [USERS[0] | {"mechanism": "SCRAM-SHA-256"}, USERS[1] | {"iterations": 8192}]
    if row.security == "sasl-tls":
        by_scram = {"app": "SCRAM-SHA-256", "sha": "SCRAM-SHA-512"}
        return [USERS[1], *({"name": user, "mechanism": mechanism} for user, mechanism in by_scram.items())]
    return [{"name": user["name"]} for user in USERS] if row.security == "mtls" else USERS


def test_its_users_get_in_and_the_programs_own_commands_do(closed: Closed) -> None:
    written = []
    for user in closed.row.users:
        options = closed.python(user)
        producer = KafkaProducer(**options)
        producer.send("t", f"from {user}".encode()).get(timeout=PATIENCE_S)
        producer.close()
        written.append(f"from {user}".encode())
    consumer = KafkaConsumer(
        "t", auto_offset_reset="earliest", consumer_timeout_ms=int(PATIENCE_S * 1000), **closed.python(user)
    )
    read = [next(consumer).value for _ in written]
    consumer.close()
    assert sorted(read) == sorted(written)
    closed.provision.ok("produce", NAME, "t", stdin="by hand\n")
    closed.provision.ok("wait", NAME, "--until", "roundtrip")
    assert "t" in closed.provision.ok("tool", NAME, "kafka-topics", "--", "--list").split()


def test_clients_based_on_librdkafka_get_in(closed: Closed) -> None:
    for user in closed.row.users:
        client = AdminClient(json.loads(closed.given(user, "librdkafka")))
        assert "t" in client.list_topics(timeout=PATIENCE_S).topics
    # With keys and certificates in it, as clients get it that are elsewhere.
    client = AdminClient(json.loads(INLINE["librdkafka"](closed.access())))
    assert "t" in client.list_topics(timeout=PATIENCE_S).topics


def test_a_client_in_a_container_gets_in_with_nothing_but_what_is_said_inside(closed: Closed) -> None:
    if closed.row.runtime == "process":
        pytest.skip("there is no network inside")
    file, user = closed.directory / "inside.properties", closed.row.users[0]
    who = ["--user", user] if user else []
    told = closed.provision.ok_err("client-config", NAME, *who, "--inside", "--out", str(file))
    assert "mount" not in told
    servers = parse(file.read_text())["bootstrap.servers"]
    tool = release_of(KafkaVersion.parse(closed.row.version)).tools["kafka-topics"].split()
    options = ["--list", "--bootstrap-server", servers, "--command-config", "/client.properties"]
    listed = engine().containers.run(
        image(closed.row.version),
        ["java", "-cp", "/opt/kafka/libs/*", *tool, *options],
        network=NAME,
        user="0",
        volumes={str(file): {"bind": "/client.properties", "mode": "ro"}},
        remove=True,
    )
    assert b"t" in listed.split()


@pytest.mark.skipif(KCAT is None, reason="there is no kcat")
def test_kcat_gets_in(closed: Closed) -> None:
    told = subprocess.run([str(KCAT), "-V"], capture_output=True, text=True, check=True).stdout
    library = tuple(map(int, re.findall(r"librdkafka (\d+)\.(\d+)\.(\d+)", told)[0]))
    too_old = closed.row.version.startswith("4.") and library < (2, 6, 1)
    for user in closed.row.users:
        if too_old and "SCRAM" in closed.given(user, "librdkafka"):
            continue  # such a librdkafka gets into no Kafka 4 with SCRAM (confluentinc/librdkafka#4895)
        file = closed.directory / "kcat.conf"
        who = ["--user", user] if user else []
        closed.provision.ok("client-config", NAME, *who, "--format", "kcat", "--out", str(file))
        command = [str(KCAT), "-F", str(file), "-L", "-m", str(int(PATIENCE_S))]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 'topic "t" with 2 partitions' in shown.stdout, shown.stderr


def test_kafkas_own_tools_get_in_with_the_properties(closed: Closed) -> None:
    for user in closed.row.users:
        file = closed.directory / "client.properties"
        closed.provision.ok("client-config", NAME, *(["--user", user] if user else []), "--out", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        if closed.row.runtime == "process":  # a tool of the engine's is in a container of its own, without the file
            told = ("--list", "--command-config", str(file))
            assert "t" in closed.provision.ok("tool", NAME, "kafka-topics", "--", *told).split()
            file.write_text(closed.given(user, "spring").replace("spring.kafka.properties.", ""))
            assert "${" not in file.read_text()  # Spring would replace it
            assert "t" in closed.provision.ok("tool", NAME, "kafka-topics", "--", *told).split()
    who = ["--user", closed.row.users[0]] if closed.row.users[0] else []
    assert "t" in closed.provision.ok("tool", NAME, "kafka-topics", *who, "--", "--list").split()


def test_nobody_else_gets_in_and_is_told_why(closed: Closed) -> None:
    stranger = closed.directory / "stranger.pem"
    stranger.write_bytes(make_authority("stranger").certificate)
    row = closed.row
    for other in [{"protocol": "PLAINTEXT", "credentials": None}, {"protocol": "SSL", "credentials": None}]:
        if row.security != "tls" or other["protocol"] == "PLAINTEXT":
            with pytest.raises(NotAnswering):
                observe_cluster(closed.access(certificate=None, **other), 1, ANSWER_S)
    if row.security == "mtls":
        kept = Authority.kept(SecretStore(closed.provision.home / "secrets" / NAME))
        assert kept
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        expired = issue(kept.pair, Subject("app"), long_ago, dt.timedelta(days=1))
        for bad in (expired, issue(make_authority(NAME), Subject("app"))):
            shown = closed.directory / "bad.pem"
            shown.write_bytes(bad.key + bad.certificate)
            with pytest.raises(NotAnswering, match=REFUSED):
                observe_cluster(closed.access(certificate=str(shown)), 1, ANSWER_S)
        for name in ("leaver", "app2"):  # of a user who was taken from the file
            pair = issue(kept.pair, Subject(name))
            shown.write_bytes(pair.key + pair.certificate)
            with pytest.raises(NotAnswering):
                observe_cluster(closed.access(certificate=str(shown)), 1, ANSWER_S)
        pair = issue(kept.pair, Subject("app"))
        shown.write_bytes(pair.key + pair.certificate)
        assert observe_cluster(closed.access(certificate=str(shown)), 1, ANSWER_S)
    if row.security.startswith("sasl"):
        mechanism = closed.python("app")["sasl_mechanism"]
        assert (mechanism == "PLAIN") is (row.security == "sasl-plain")
        for user, password in (("app", "wrong"), ("nobody", "app"), ("ops", "")):
            with pytest.raises(KafkaRefused, match=f"does not let {user} in"):
                observe_cluster(closed.access(credentials=Credentials(mechanism, user, password)), 1, ANSWER_S)
        if row.security != "sasl-plain":  # a password that is sent as it is lets none of these users in
            known = closed.access().credentials
            assert known is not None
            with pytest.raises(KafkaRefused, match="does not let app in"):
                observe_cluster(closed.access(credentials=replace(known, mechanism="PLAIN")), 1, ANSWER_S)
    if row.security in ("tls", "mtls", "sasl-tls"):
        with pytest.raises(NotAnswering, match="TLS fails: its certificate is not accepted: "):
            observe_cluster(closed.access(ca=str(stranger)), 1, ANSWER_S)
        host, _, port = closed.access().brokers[1].partition(":")
        trusting = ssl.create_default_context(cafile=closed.access().ca)
        with (
            socket.create_connection((host, int(port)), timeout=ANSWER_S) as plain,
            pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
        ):
            trusting.wrap_socket(plain, server_hostname="elsewhere")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection((host, int(port)), timeout=ANSWER_S) as plain,
            pytest.raises((ssl.SSLError, OSError)),
        ):
            old.wrap_socket(plain)


def _issued(closed: Closed, authority: Pair | None, begun_days_ago: int = 0) -> bytes:
    """A key of `app` with a certificate, of its own authority or of another one, which was valid for a day."""
    kept = Authority.kept(SecretStore(closed.provision.home / "secrets" / NAME))
    assert kept
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(days=begun_days_ago)
    pair = issue(authority or kept.pair, Subject("app"), begun, dt.timedelta(days=1))
    return pair.key + pair.certificate


@pytest.mark.parametrize(
    ("profiles", "file", "wrong", "told"),
    [
        (
            ("sasl-plain", "sasl-scram", "sasl-tls"),
            "user-app.password",
            lambda _: b"wrong",
            "Kafka does not let app in",
        ),
        (("tls", "mtls", "sasl-tls"), "ca.pem", lambda _: make_authority("other").certificate, "is not accepted: "),
        (("mtls",), "user-app.pem", lambda closed: _issued(closed, make_authority(NAME)), REFUSED),
        (("mtls",), "user-app.pem", lambda closed: _issued(closed, None, begun_days_ago=9), REFUSED),
    ],
    ids=["password", "authority", "foreign certificate", "expired certificate"],
)
def test_what_is_wrong_with_a_client_is_told_by_every_command(
    closed: Closed, profiles: tuple[str, ...], file: str, wrong: Callable[[Closed], bytes], told: str
) -> None:
    if closed.row.security not in profiles:
        pytest.skip("it is not asked for here")
    who = ["--user", closed.row.users[0]] if closed.row.users[0] else []
    kept = closed.provision.home / "secrets" / NAME / file
    right = kept.read_bytes()
    kept.write_bytes(wrong(closed))
    try:
        for command in (["topics", "list", NAME], ["topics", "describe", NAME, "t"], ["consume", NAME, "t", "-n", "1"]):
            result = closed.provision(*command, *who)
            assert result.code in (1, 69), result.err
            assert re.search(told, result.err)
        result = closed.provision("produce", NAME, "t", *who, stdin="one\n")
        assert re.search(told, result.err)
    finally:
        kept.write_bytes(right)


def test_a_client_that_says_nothing_of_itself_is_told_that_it_has_to(closed: Closed) -> None:
    address = closed.python(closed.row.users[0])["bootstrap_servers"][0]
    file = write_environment(closed.directory, "outside", f"bootstrap_servers: {address}\ntopics: [{{name: t}}]\n")
    for command in (["topics", "list", file], ["topics", "apply", file, "--yes"], ["consume", file, "t", "-n", "1"]):
        result = closed.provision(*command)
        assert result.code in (1, 69), result.err
        assert re.search("asks for TLS|asks for a password", result.err), result.err


def test_its_secrets_are_in_no_command_line_environment_output_log_plan_or_bundle(closed: Closed) -> None:
    secrets = closed.secrets
    assert len(secrets) >= 2
    described, rendered = str(closed.directory / f"{NAME}.yaml"), closed.directory / "rendered"
    saved = str(closed.directory / "saved.plan")
    commands = [
        ["logs", NAME],
        *([command, NAME, "-o", "json"] for command in ("status", "history", "endpoints")),
        *(["certs", "show", NAME, "-o", "json"], ["doctor", NAME, "-o", "json"], ["env", NAME], ["list", "-o", "json"]),
        *(["plan", described, "-o", "json"], ["plan", described, "--out", saved], ["up", described, "-o", "json"]),
        ["render", described, "--out", str(rendered)],
        *(["validate", described], ["lock", described], ["schema"], ["gc", "--dry-run"]),
    ]
    shown = []
    for command in commands:
        told = closed.provision(*command)
        assert told.code == 0 or command[0] == "doctor", (command, told.err)  # that finds fault with a slow machine
        shown += [told.out, told.err]
    beside = [*rendered.rglob("*"), *closed.directory.glob("*.lock*"), Path(saved)]
    shown += [path.read_text() for path in beside if path.is_file()]
    shown += [path.read_text(errors="replace") for path in _kept_in_the_cache()]
    bundle = closed.directory / "bundle.tar.gz"
    closed.provision.ok("logs", NAME, "--bundle", str(bundle))
    with tarfile.open(bundle) as archive:
        files = [archive.extractfile(member) for member in archive.getmembers()]
        shown += [file.read().decode(errors="replace") for file in files if file]
    if closed.row.runtime == "docker":
        api = engine().api
        shown += [
            json.dumps(api.inspect_container(one["Id"]))
            for one in api.containers(all=True, filters={"label": f"provision.environment={NAME}"})
        ]
        shown += [json.dumps(api.volumes()), json.dumps(api.networks())]
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error):
                shown += [
                    " ".join(process.cmdline()),
                    *process.environ().values(),
                ]
    assert not [secret[:6] for secret in secrets for text in shown if secret in text]


def _kept_in_the_cache() -> list[Path]:
    """What this program has written there, but for jars and archives of classes."""
    files = (path for path in Home.of_user().cache.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if path.suffix not in (".jar", ".jsa", ".so") and path.stat().st_size < LARGEST]


def _in_volumes() -> list[Path]:
    """The files of its volumes, where the engine is on this machine."""
    volumes = engine().volumes.list(filters={"label": f"provision.environment={NAME}"})
    return [path for volume in volumes for path in Path(volume.attrs["Mountpoint"]).rglob("*") if path.is_file()]


def _content(path: Path) -> bytes:
    """What is in a file; nothing if it has gone, as those in which Kafka writes what replaces another."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


@needs_root
def test_another_user_can_read_none_of_them(closed: Closed) -> None:
    files = [path for path in closed.provision.home.rglob("*") if path.is_file() and not path.is_symlink()]
    files += _in_volumes() if closed.row.runtime == "docker" else []
    secrets = [secret.encode() for secret in closed.secrets]
    holding = [str(path) for path in files if any(secret in _content(path) for secret in secrets)]
    assert len(holding) >= 2
    kept = closed.provision.home / "secrets" / NAME
    others = {Path(path).name for path in holding if Path(path).parent != kept}
    assert others <= {"secrets.properties", "ensemble.pem"}
    command = ["sh", "-c", 'for file do head -c 1 "$file" 2> /dev/null && echo "$file"; done; true', "sh", *holding]
    read = subprocess.run(command, user=NOBODY, group=NOBODY, capture_output=True, text=True, check=True, cwd="/")
    assert read.stdout == ""
    command = ["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null; true"]
    seen = subprocess.run(command, user=NOBODY, group=NOBODY, capture_output=True, check=True, cwd="/").stdout
    assert b"java" in seen
    assert not [secret[:6] for secret in secrets if secret in seen]


def test_a_user_who_is_not_there_or_not_named_is_refused(closed: Closed) -> None:
    result = closed.provision("client-config", NAME, "--user", "nobody")
    assert result.code == 64
    assert "nobody" in result.err
    result = closed.provision("client-config", NAME)
    assert result.code == (0 if closed.row.security == "tls" else 64)
