"""ZooKeeper is closed to all but its nodes, the brokers and the program: real nodes, all their ports, and strangers."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision import Environment
from provision.cluster.properties import parse
from provision.kafka.zookeeper import Keys, mode, server_status
from provision.security.certificates import Subject, issue, make_authority
from tests.engine import Provision, engine, image, java, write_environment

pytestmark = pytest.mark.row("apart")

NAME = "keepers"
ANSWER_S = 3.0
# The request by which a client of ZooKeeper opens a session, as `ZooKeeper.connect` sends it.
SESSION = bytes.fromhex("0000002d 00000000 0000000000000000 00007530 0000000000000000 00000010".replace(" ", "")) + (
    bytes(16) + b"\0"
)
REQUESTS = (b"srvr", b"stat", SESSION)
PORTS = {"client": 2181, "quorum": 2888, "election": 3888}


@dataclass(frozen=True)
class Row:
    """How an environment is secured, its version, where it runs, and how many ZooKeeper nodes it has."""

    security: str
    version: str
    runtime: str
    nodes: int

    def __str__(self) -> str:
        return f"{self.security}-{self.version}-{self.runtime}-{self.nodes}"


# An ensemble of three for each version, and each runtime once; all others are tried in the soak run.
SHORT = {Row("sasl-tls", "2.8.2", "process", 3), Row("mtls", "3.9.1", "docker", 3), Row("mtls", "3.9.1", "process", 1)}
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
    for version in ("2.8.2", "3.9.1")
    for security in ("mtls", "sasl-plain", "sasl-tls")
    for nodes in (1, 3)
    for row in [Row(security, version, runtime, nodes)]
]


@dataclass(frozen=True)
class Closed:
    """A running environment; `file` describes it."""

    row: Row
    provision: Provision
    file: str
    directory: Path

    @property
    def names(self) -> list[str]:
        """Its ZooKeeper nodes."""
        return [f"zookeeper-{number}" for number in range(1, self.row.nodes + 1)]

    @property
    def keys(self) -> Keys:
        """What the program gets in with."""
        return Keys(self.kept("ensemble-ca.pem"), self.kept("ensemble-provision.pem"))

    def kept(self, name: str) -> str:
        """The path of one of its secrets."""
        return str(self.provision.home / "secrets" / NAME / name)

    def ports(self, node: str) -> dict[str, tuple[str, int]]:
        """Where strangers on this machine find a node's ports: those of a container at its address in the network."""
        if self.row.runtime == "docker":
            networks = engine().api.inspect_container(f"{NAME}-{node}")["NetworkSettings"]["Networks"]
            return {name: (networks[NAME]["IPAddress"], port) for name, port in PORTS.items()}
        config = self.provision.home / "environments" / NAME / node / "config" / "zookeeper.properties"
        settings = parse(config.read_text())
        found = {"client": int(settings["secureClientPort"])}
        if self.row.nodes > 1:
            _, quorum, election = settings[f"server.{node.removeprefix('zookeeper-')}"].split(":")
            found |= {"quorum": int(quorum), "election": int(election)}
        return {name: ("127.0.0.1", port) for name, port in found.items()}


@pytest.fixture(scope="module", params=ROWS)
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    row: Row = request.param
    if row.runtime == "process":
        java(row.version)
    else:
        engine()
    directory = tmp_path_factory.mktemp("keepers")
    provision = Provision(directory / "home", runtime=row.runtime, version=row.version, as_written=True)
    described: dict[str, Any] = {
        "runtime": row.runtime,
        "kafka": {"mode": "zookeeper", "version": row.version}
        | ({"image": image(row.version)} if row.runtime == "docker" else {}),
        "zookeeper": {"nodes": row.nodes},
        "brokers": {"nodes": 1, "port": "auto"},
        "security": row.security,
        "users": [{"name": "app"}],
        "topics": [{"name": "t"}],
    }
    file = write_environment(directory, NAME, yaml.safe_dump(described))
    provision.ok("up", file)
    try:
        yield Closed(row, provision, file, directory)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
    assert list((provision.home / "secrets").iterdir()) == []


def told(address: tuple[str, int], request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """What a port answers, by TLS with a context: nothing if it closes the connection or does not let us in."""
    answer = b""
    with socket.create_connection(address, timeout=ANSWER_S) as plain:
        try:
            with context.wrap_socket(plain) if context else plain as connection:
                connection.sendall(request)
                deadline = time.monotonic() + ANSWER_S
                while time.monotonic() < deadline and (chunk := connection.recv(4096)):
                    answer += chunk
        except (ssl.SSLError, ConnectionError, TimeoutError):  # it may also wait for what no stranger can send
            return answer
    return answer


def stranger(own: Path | str | None) -> ssl.SSLContext:
    """A client that trusts anybody, with the certificate of that file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own:
        context.load_cert_chain(own)
    return context


def is_listening(address: tuple[str, int]) -> bool:
    """Whether anybody listens there: only the leader does on its quorum port."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_S)
        return probe.connect_ex(address) == 0


def test_the_programs_commands_and_kafkas_tools_get_in(closed: Closed) -> None:
    provision = closed.provision
    status = json.loads(provision.ok("status", NAME, "-o", "json"))
    states = {node["name"]: node["state"] for node in status["nodes"]}
    assert {states[node] for node in closed.names} == {"running"}
    provision.ok("wait", NAME, "--until", "roundtrip")
    doctor = json.loads(provision("doctor", NAME, "-o", "json").out)
    wrong = [one["id"] for one in doctor["findings"]]
    assert not [one for one in wrong if "zookeeper" in one or "unreachable" in one or "advertised" in one], doctor
    rows = [row for row in doctor["reachability"] if row["node"] in closed.names and row["expected"]]
    assert rows
    assert all(row["answers"] for row in rows), rows
    assert "[1]" in provision.ok("tool", NAME, "zookeeper-shell", "--", "ls", "/brokers/ids")
    if closed.row.version == "2.8.2":
        host, port = closed.ports("zookeeper-1")["client"]
        # The certificate has the name of a container, by which the others find it, and not its address.
        address = f"{NAME}-zookeeper-1:{port}" if closed.row.runtime == "docker" else f"{host}:{port}"
        assert "t" in provision.ok("tool", NAME, "kafka-topics", "--", "--zookeeper", address, "--list").split()
    refused = provision("tool", NAME, "zookeeper-shell", "--user", "app", "--", "ls", "/")
    assert refused.code == 64
    assert "ZooKeeper is closed to users" in refused.err


def test_the_program_gets_in_at_the_client_port_and_there_is_one_leader(closed: Closed) -> None:
    if closed.row.runtime == "docker":
        pytest.skip("its ports are in the network of its containers")
    modes = [mode(server_status(f"127.0.0.1:{closed.ports(node)['client'][1]}", closed.keys)) for node in closed.names]
    assert sorted(str(one) for one in modes) == (
        ["standalone"] if closed.row.nodes == 1 else ["follower", "follower", "leader"]
    )


def test_strangers_get_nothing_out_of_any_port(closed: Closed) -> None:
    foreign = closed.directory / "foreign.pem"
    made = issue(make_authority("foreign"), Subject("provision", ("127.0.0.1", "localhost")))
    foreign.write_bytes(made.key + made.certificate)
    contexts: dict[str, ssl.SSLContext | None] = {
        "without TLS": None,
        "without a certificate": stranger(None),
        "of a foreign authority": stranger(foreign),
    }
    if closed.row.security in ("mtls", "sasl-tls"):  # those whom the brokers trust
        contexts["of the environment's authority"] = stranger(closed.kept("provision.pem"))
        contexts["of a node"] = stranger(closed.kept("broker-1.pem"))
    if closed.row.security == "mtls":
        contexts["of a user"] = stranger(closed.kept("user-app.pem"))
    seen = set()
    for node in closed.names:
        for port, address in closed.ports(node).items():
            if not is_listening(address):
                continue
            seen.add(port)
            for who, context in contexts.items():
                for request in REQUESTS if port == "client" else REQUESTS[:1]:
                    answer = told(address, request, context)
                    assert len(answer) <= 7, (node, port, who, request, answer)  # an alert of TLS at most
                    assert b"ookeeper" not in answer
    assert seen == (set(PORTS) if closed.row.nodes > 1 else {"client"})


def test_a_client_with_the_right_certificate_would_get_an_answer_by_the_same_way(closed: Closed) -> None:
    (answer, *_) = [
        told(closed.ports(node)["client"], b"srvr", stranger(closed.kept("ensemble-provision.pem")))
        for node in closed.names
    ]
    assert b"Mode: " in answer
    session = told(closed.ports("zookeeper-1")["client"], SESSION, stranger(closed.kept("ensemble-broker-1.pem")))
    assert len(session) > 30  # the id and the password of a session


def test_nothing_listens_beyond_this_machine_and_nothing_that_the_file_does_not_name(closed: Closed) -> None:
    if closed.row.runtime == "docker":
        pytest.skip("containers have a network of their own; what they publish is tested elsewhere")
    found = listening(closed.provision)
    assert {host for host, _ in found} == {"127.0.0.1"}
    known = {port for node in closed.names for _, port in closed.ports(node).values()}
    broker = listening(closed.provision, "broker-1")
    assert len(broker) == 1
    assert {port for _, port in found - broker} <= known
    assert len(found - broker) == (1 if closed.row.nodes == 1 else 3 + 3 + 1)  # clients, election, the leader


def test_it_changes_one_node_at_a_time_and_its_certificates_rotate(closed: Closed) -> None:
    provision = closed.provision
    changed = closed.file, "--set", "zookeeper.properties.syncLimit=6"
    said = provision.ok_err("up", *changed, "--yes", "--timeout", "240s")
    for node in closed.names:
        assert f"{node} restarted" in said
    before = Path(closed.kept("ensemble-ca.pem")).read_bytes()
    provision.ok("certs", "rotate", *changed, "--yes", "--timeout", "240s")
    kinds = [one["kind"] for one in json.loads(provision.ok("certs", "show", NAME, "-o", "json"))]
    assert {"zookeeper authority", "old zookeeper authority", "zookeeper"} <= set(kinds)
    provision.ok("certs", "rotate", *changed, "--finish", "--yes", "--timeout", "240s")
    assert Path(closed.kept("ensemble-ca.pem")).read_bytes() != before
    provision.ok("wait", NAME, "--until", "roundtrip")
    said = provision.ok_err("plan", *changed) + provision.ok("plan", *changed)
    assert "nothing to change" in said


@pytest.mark.process
@pytest.mark.parametrize("nodes", [pytest.param(1, marks=pytest.mark.matrix), pytest.param(3, marks=pytest.mark.soak)])
def test_one_that_runs_open_is_closed_while_clients_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    java("3.9.1")
    provision = Provision(tmp_path / "home", runtime="process", version="3.9.1", as_written=True)
    described = {
        "runtime": "process",
        "kafka": {"mode": "zookeeper", "version": "3.9.1"},
        "zookeeper": {"nodes": nodes},
        "brokers": {"nodes": 1, "port": "auto"},
        "security": "sasl-tls",
        "topics": [{"name": "t"}],
    }
    file = write_environment(tmp_path, NAME, yaml.safe_dump(described))
    with monkeypatch.context() as before:  # as it was before ZooKeeper could be closed
        before.setattr("provision.security.ensemble.closes", lambda _profile: False)
        environment = Environment(file, home=tmp_path / "home")
        with contextlib.closing(environment):
            environment.up()
    try:
        provision.ok("produce", NAME, "t", stdin="before\n")
        assert not list((provision.home / "secrets" / NAME).glob("ensemble-*"))
        phases = [one["phase"] for one in json.loads(provision("plan", file, "-o", "json").out)["actions"]]
        assert list(dict.fromkeys(phases)) == (["open", "close"] if nodes == 1 else ["open", "move", "close"])
        provision.ok("up", file, "--yes", "--timeout", "240s")
        provision.ok("produce", NAME, "t", stdin="after\n")
        read = provision.ok("consume", NAME, "t", "--from-beginning", "-n", "2", "--timeout", "30s")
        assert read.split() == ["before", "after"]
        closed = Closed(Row("sasl-tls", "3.9.1", "process", nodes), provision, file, tmp_path)
        for node in closed.names:
            for address in closed.ports(node).values():
                assert not is_listening(address) or len(told(address, b"srvr")) <= 7
        assert "nothing to change" in provision.ok_err("plan", file) + provision.ok("plan", file)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.process
@pytest.mark.matrix
def test_in_kraft_mode_nothing_listens_beyond_this_machine_either_nor_does_a_jmx_port(tmp_path: Path) -> None:
    java("3.9.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        jmx = free.getsockname()[1]
    remote = [f"-Dcom.sun.management.jmxremote.{one}" for one in (f"port={jmx}", "authenticate=false", "ssl=false")]
    provision = Provision(tmp_path / "home", runtime="process", version="3.9.1")
    described: dict[str, Any] = {
        "kafka": {"mode": "kraft"},
        "controllers": {"nodes": 1},
        "brokers": {"nodes": 1, "port": "auto"},
        "security": "sasl-tls",
    }
    file = write_environment(tmp_path, NAME, yaml.safe_dump(described))
    provision.ok("up", file)
    try:
        assert {host for host, _ in listening(provision)} == {"127.0.0.1"}
        assert len(listening(provision)) == 2
        described["brokers"]["java"] = {"options": remote}
        write_environment(tmp_path, NAME, yaml.safe_dump(described))
        provision.ok("up", file, "--yes")
        assert ("127.0.0.1", jmx) in listening(provision, "broker-1")
        # Java opens one more for tools of this machine, which takes no connection from another one, and has no address.
        assert len([host for host, _ in listening(provision) if host != "127.0.0.1"]) == 1
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.process
@pytest.mark.matrix
def test_a_jmx_port_of_a_variable_is_bound_to_this_machine_too(tmp_path: Path) -> None:
    java("3.9.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        jmx = free.getsockname()[1]
    remote = [f"-Dcom.sun.management.jmxremote.{one}" for one in (f"port={jmx}", "authenticate=false", "ssl=false")]
    variables = {"JAVA_TOOL_OPTIONS": " ".join(remote)}
    provision = Provision(tmp_path / "home", runtime="process", version="3.9.1", environment=variables)
    described = {"kafka": {"mode": "kraft"}, "brokers": {"nodes": 1, "port": "auto"}}
    provision.ok("up", write_environment(tmp_path, NAME, yaml.safe_dump(described)))
    try:
        assert ("127.0.0.1", jmx) in listening(provision, "broker-1")
        assert len([host for host, _ in listening(provision) if host != "127.0.0.1"]) == 1  # as above
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


def listening(provision: Provision, node: str = "") -> set[tuple[str, int]]:
    """Where nodes listen, with addresses of IPv4 as such."""
    return {(host.removeprefix("::ffff:"), port) for host, port in provision.listening(NAME, node)}
