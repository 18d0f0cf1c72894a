"""ZooKeeper is closed to all but its nodes, the brokers and the program: what each is given, and who gets in by it."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from provision import Level, UpOptions
from provision.cluster.model import MAIN_FILES, Role
from provision.cluster.properties import parse
from provision.errors import InvalidEnvironment, Refused, Unavailable, UsageError
from provision.events import Notice
from provision.home.place import Home
from provision.kafka.promptness import ask_zookeeper
from provision.kafka.zookeeper import Keys, mode, server_status
from provision.observe.ensemble import way_to
from provision.observe.leaders import ensemble_leader
from provision.operations.doctor.reachability import advertised, asked_from_here
from provision.operations.tools import asks_ensemble, run_tool
from provision.plan.actions import Verb
from provision.plan.closing import one_after_the_other
from provision.plan.observed import NodeState
from provision.plan.phases import Stage
from provision.runtime.base import JavaCommand, Streams
from provision.runtime.fake import OnVerb
from provision.security.certificates import Subject, make_authority
from provision.security.ensemble import PREFIX
from provision.security.material import Authority, Material, Rotation, material
from tests.operations.doctor.world import node as doctors_node
from tests.plan.world import cluster_of
from tests.security.test_environments import NAME, Closed

SECURED = ["tls", "mtls", "sasl-plain", "sasl-scram", "sasl-tls"]
RUNNING = UpOptions(until=Level.PROCESS)
APP = [{"name": "app"}]
NODE = Subject("provision", ("localhost",))
ANSWER = b"Zookeeper version: 3.8.4\nMode: standalone\n"
PATIENCE_S = 30.0
STRANGERS_S = 0.5  # whoever is not let in is asked again without TLS, and is not answered at all


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closed:
    made = Closed(tmp_path)
    made.kafka.speak(monkeypatch)
    return made


def settings_of(closed: Closed, node: str, name: str) -> dict[str, str]:
    (text,) = [file.text for file in closed.runtime.read_files(NAME, node) if file.name == name]
    return parse(text)


# -- what nodes are given ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", SECURED)
def test_every_security_but_plaintext_closes_the_ensemble_and_a_second_plan_is_empty(
    closed: Closed, security: str
) -> None:
    environment = closed.of(security, zookeeper={"nodes": 3})
    environment.up()
    trusted = {node: closed.files(node)["ensemble-ca.pem"] for node in ("zookeeper-1", "zookeeper-3", "broker-2")}
    assert set(trusted.values()) == {closed.store.read("ensemble-ca.pem")}
    assert len({closed.files(node)["ensemble.pem"] for node in trusted}) == 3
    assert sorted(closed.files("zookeeper-1")) == ["ensemble-ca.pem", "ensemble.pem"]
    keeper = settings_of(closed, "zookeeper-1", "zookeeper.properties")
    assert not keeper.keys() & {"clientPort", "clientPortAddress"}
    assert (keeper["ssl.clientAuth"], keeper["sslQuorum"], keeper["ssl.quorum.clientAuth"]) == ("need", "true", "need")
    assert (keeper["4lw.commands.whitelist"], keeper["admin.enableServer"]) == ("srvr", "false")
    broker = settings_of(closed, "broker-1", "server.properties")
    assert broker["zookeeper.ssl.client.enable"] == "true"
    assert Path(broker["zookeeper.ssl.keystore.location"]).name == "ensemble.pem"
    assert not environment.plan().plan.first_wave


@pytest.mark.parametrize(
    "secured",
    [
        {"security": {"HOST": "tls", "INTERNAL": "plaintext"}},
        {"security": {"INTERNAL": "sasl-plain"}},
        {"brokers": {"nodes": 2}, "listeners": {"plain": {"security": "plaintext"}, "secure": {"security": "mtls"}}},
    ],
)
def test_any_listener_that_is_secured_closes_it(closed: Closed, secured: dict[str, Any]) -> None:
    file = {"security": "plaintext", **secured}
    environment = closed.of(**file)
    environment.up()
    assert "secureClientPort" in settings_of(closed, "zookeeper-1", "zookeeper.properties")
    assert closed.files("broker-1")["ensemble-ca.pem"] == closed.store.read("ensemble-ca.pem")
    assert way_to(closed.runtime.observe(NAME)).keys
    for file_of_ensemble in closed.store.directory.glob("ensemble-*"):
        file_of_ensemble.unlink()
    with pytest.raises(Refused, match=r"ensemble-ca\.key is missing"):
        environment.plan()


def test_a_plaintext_one_has_no_certificates_and_is_asked_without(closed: Closed) -> None:
    closed.of("plaintext").up()
    assert closed.files("zookeeper-1") == closed.files("broker-1") == {}
    assert settings_of(closed, "zookeeper-1", "zookeeper.properties")["clientPort"] == "2181"
    assert not way_to(closed.runtime.observe(NAME)).closed


def test_in_kraft_mode_there_is_nothing_of_it(tmp_path: Path) -> None:
    closed = Closed(tmp_path)  # its nodes answer nothing
    closed.looks_away()
    closed.of("mtls", kafka={"mode": "kraft"}).up(RUNNING)
    assert not [file for file in closed.store.directory.iterdir() if file.name.startswith("ensemble")]
    assert sorted(closed.files("broker-1")) == ["ca.pem", "secrets.properties"]
    assert not [key for key in settings_of(closed, "broker-1", "server.properties") if "zookeeper" in key]


def test_a_template_that_leaves_it_open_is_an_error(closed: Closed, tmp_path: Path) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "zookeeper.properties.j2").write_text("dataDir={{ node.data_dir }}\nclientPort=2181\n")
    with pytest.raises(InvalidEnvironment, match="clientPort lets everybody in") as caught:
        closed.of("tls", templates=str(own)).plan()
    assert caught.value.problems[0].file == str(own / "zookeeper.properties.j2")
    assert "secureClientPort" in caught.value.problems[0].hint
    closed.of("plaintext", templates=str(own)).plan()


# -- who gets in ------------------------------------------------------------------------------------------------------


class Keeper:
    """A server with a ZooKeeper node's files, which answers the four-letter word to those whom it lets in."""

    def __init__(self, directory: Path, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (directory / name).write_bytes(content)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(directory / "ensemble-ca.pem")
        self._context.load_cert_chain(directory / "ensemble.pem")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.let_in: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            plain.settimeout(PATIENCE_S)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    if connection.recv(4) == b"srvr":
                        shown: Any = connection.getpeercert()
                        self.let_in.append(dict(part for (part,) in shown["subject"])["commonName"])
                        connection.sendall(ANSWER)
            except OSError:
                plain.close()

    def close(self) -> None:
        """Stop it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def keeper(closed: Closed, tmp_path: Path) -> Iterator[Keeper]:
    closed.of("mtls", users=APP).up()
    directory = tmp_path / "keeper"
    directory.mkdir()
    made = Keeper(directory, closed.files("zookeeper-1"))
    yield made
    made.close()


def test_the_program_gets_in(closed: Closed, keeper: Keeper) -> None:
    keys = way_to(closed.runtime.observe(NAME)).keys
    assert keys
    assert mode(server_status(keeper.address, keys, PATIENCE_S)) == "standalone"
    reply = ask_zookeeper(keeper.address, keys, PATIENCE_S)
    assert reply.seconds is not None
    assert keeper.let_in == ["provision", "provision"]


def test_nobody_else_does_not_even_users_and_nodes_by_the_certificates_that_kafka_trusts(
    closed: Closed, keeper: Keeper, tmp_path: Path
) -> None:
    keys = way_to(closed.runtime.observe(NAME)).keys
    assert keys
    assert server_status(keeper.address, None, STRANGERS_S) == ""
    assert ask_zookeeper(keeper.address, None, STRANGERS_S).seconds is None
    for own in ("user-app.pem", "provision.pem", "broker-1.pem"):
        stranger = Keys(keys.authorities, str(closed.store.path(own)))
        assert server_status(keeper.address, stranger, STRANGERS_S) == "", own
    (tmp_path / "none.pem").write_bytes(b"")
    assert server_status(keeper.address, Keys(keys.authorities, str(tmp_path / "none.pem")), STRANGERS_S) == ""
    distrusting = Keys(str(closed.store.path("ca.pem")), keys.own)
    assert server_status(keeper.address, distrusting, STRANGERS_S) == ""
    assert keeper.let_in == []


def test_an_address_of_it_answers_whoever_begins_with_tls(keeper: Keeper) -> None:
    there = doctors_node("zookeeper-1", endpoint=keeper.address)
    (one,) = advertised(there, {"secureClientPort": "2181"}, "", "")
    assert asked_from_here([one.probe]) == {keeper.address: ""}
    (plain,) = advertised(there, {"clientPort": "2181"}, "", "")
    assert plain.probe.request == b"srvr"
    assert asked_from_here([plain.probe])[keeper.address]


def test_members_without_a_port_are_asked_from_inside_with_their_own_certificate(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.of("sasl-tls", zookeeper={"nodes": 3}).up()
    asked: list[JavaCommand] = []
    answer = closed.runtime.run_in_node

    def run(name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        asked.append(command)
        return answer(name, node, command)

    monkeypatch.setattr(closed.runtime, "run_in_node", run)
    assert ensemble_leader(closed.runtime, closed.runtime.observe(NAME)) == "zookeeper-3"
    assert len(asked) == 3
    for command in asked:
        assert command.arguments[-1] == "true"
        assert "-Dzookeeper.ssl.keyStore.location=/config/ensemble.pem" in command.options("/config/{}".format)
        assert "-Dzookeeper.client.secure=true" in command.options("/config/{}".format)


def test_without_the_secrets_of_its_home_it_is_asked_from_inside_and_no_tool_gets_in(closed: Closed) -> None:
    closed.of("tls").up()
    closed.store.forget()
    observed = closed.runtime.observe(NAME)
    way = way_to(observed)
    assert (way.closed, way.keys, way.is_ours) == (True, None, False)
    with pytest.raises(Unavailable, match="what ZooKeeper lets us in with is in"):
        run_tool(closed.runtime, NAME, "zookeeper-shell", ["ls", "/"], Streams(None, BytesIO(), BytesIO()))


# -- Kafka's own tools ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "asks"),
    [
        ("zookeeper-shell", ["ls", "/"], True),
        ("kafka-topics", ["--zookeeper", "OWN", "--list"], True),
        ("kafka-topics", ["--zookeeper=OWN", "--list"], True),
        ("kafka-acls", ["--authorizer-properties", "zookeeper.connect=OWN", "--list"], True),
        ("kafka-topics", ["--list"], False),
        ("kafka-topics", ["--describe", "--topic", "zookeeper"], False),
    ],
)
def test_a_tool_that_connects_to_it_has_a_certificate(
    closed: Closed, monkeypatch: pytest.MonkeyPatch, tool: str, arguments: list[str], *, asks: bool
) -> None:
    closed.of("mtls", users=APP).up()
    ran: list[JavaCommand] = []

    def run(_environment: object, command: JavaCommand, _streams: Streams) -> int:
        ran.append(command)
        return 0

    monkeypatch.setattr(closed.runtime, "run_tool", run)
    streams, own = Streams(None, BytesIO(), BytesIO()), closed.runtime.inside_address(NAME, "zookeeper-1")
    arguments = [argument.replace("OWN", own) for argument in arguments]
    run_tool(closed.runtime, NAME, tool, arguments, streams)
    (command,) = ran
    assert asks_ensemble(tool, arguments) is asks
    assert (sorted(command.secrets) == ["ensemble-ca.pem", "ensemble.pem"]) is asks
    assert ("-Dzookeeper.ssl.keyStore.type=PEM" in command.options("/x/{}".format)) is asks
    assert "PRIVATE KEY" not in repr(command)
    if asks:
        with pytest.raises(UsageError, match="ZooKeeper is closed to users"):
            run_tool(closed.runtime, NAME, tool, arguments, streams, user="app")


def test_no_tool_has_it_at_an_address_that_is_another_ones(closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
    closed.of("mtls").up()
    own = closed.runtime.inside_address(NAME, "zookeeper-1")
    ran: list[JavaCommand] = []

    def run(_environment: object, command: JavaCommand, _streams: Streams) -> int:
        ran.append(command)
        return 0

    monkeypatch.setattr(closed.runtime, "run_tool", run)
    for tool, named, has_it in [
        ("zookeeper-shell", own, True),
        ("zookeeper-shell", f"{own}/kafka ls /", True),
        ("zookeeper-shell", "elsewhere:2181", False),
        ("zookeeper-shell", f"{own},elsewhere:2181 ls /", False),
        ("zookeeper-shell", "-server elsewhere:2181 ls /", False),
        ("kafka-topics", f"--zookeeper {own}/kafka --list", True),
        ("kafka-topics", f"--zook {own} --list", True),
        ("kafka-topics", "--zookeeper elsewhere:2181 --list", False),
        ("kafka-topics", "--zook=elsewhere:2181/kafka --list", False),
        ("kafka-acls", f"--authorizer-properties zookeeper.connect={own} --list", True),
        ("kafka-acls", "--authorizer-properties zookeeper.connect=elsewhere:2181 --list", False),
    ]:
        run_tool(closed.runtime, NAME, tool, named.split(), Streams(None, BytesIO(), BytesIO()))
        assert (bool(ran[-1].secrets), bool(ran[-1].jvm)) == (has_it, has_it), (tool, named)


# -- changes ----------------------------------------------------------------------------------------------------------


def _before(content: bytes) -> bytes:
    lines = content.replace(b"secureClientPort", b"clientPort").splitlines(keepends=True)
    later = (b"zookeeper.ssl", b"zookeeper.clientCnxn", b"ssl.quorum", b"sslQuorum", b"serverCnxn", b"ssl.keyStore")
    return b"".join(line for line in lines if not line.startswith((*later, b"ssl.trustStore", b"ssl.clientAuth=need")))


def opened(closed: Closed, members: int) -> None:
    """Leave it as versions did that could not close it."""
    closed.of("sasl-tls", zookeeper={"nodes": members}).up()
    for node in closed.runtime.observe(NAME).nodes:
        files = [file for file in closed.runtime.read_files(NAME, node.name) if not file.name.startswith("ensemble")]
        plain = [type(file)(file.node, file.name, _before(file.content), file.secret) for file in files]
        closed.runtime.update_files(NAME, node.name, plain)
    for file in closed.store.directory.glob("ensemble-*"):
        file.unlink()
    assert not way_to(closed.runtime.observe(NAME)).closed


class CutOff(Exception):
    """It is killed."""


@pytest.mark.parametrize(("members", "phases"), [(1, ["open", "close"]), (3, ["open", "move", "close"])])
def test_one_that_runs_open_is_closed_in_phases_wherever_that_is_cut_off(
    closed: Closed, members: int, phases: list[str]
) -> None:
    opened(closed, members)
    environment = closed.of("sasl-tls", zookeeper={"nodes": members})
    plan = environment.plan().plan
    assert list(dict.fromkeys(action.phase for action in plan.actions)) == phases
    assert {action.verb for action in plan.actions} == {Verb.RESTART}
    last = [action.resource for action in plan.actions if action.phase == phases[-1]]
    assert sorted(last) == ["zookeeper-1", "zookeeper-2", "zookeeper-3"][:members]
    assert not list(closed.store.directory.glob("ensemble-*"))
    steps, following = len(plan.actions), closed.runtime.on_verb
    seen = []
    for survived in [*range(1, steps, 3), steps]:
        restarts = 0

        def cut(verb: str, subject: str, most: int = survived) -> None:
            nonlocal restarts
            restarts += verb == "stop_node"
            if restarts > most:
                raise CutOff
            following(verb, subject)

        closed.runtime.on_verb = cut
        try:
            environment.up()
        except CutOff:
            seen.append(survived)
        if not seen or seen[-1] != survived:
            break
    closed.runtime.on_verb = following
    environment.up()
    assert seen
    for number in range(1, members + 1):
        settings = settings_of(closed, f"zookeeper-{number}", "zookeeper.properties")
        assert not {"clientPort", "client.portUnification", "portUnification"} & settings.keys()
        assert settings.get("sslQuorum", "true") == "true"
    assert way_to(closed.runtime.observe(NAME)).closed
    assert not environment.plan().plan.changes


def understood(closed: Closed) -> None:
    """Each running broker gets in at every running member in the way that it uses, and so do members among them."""
    running = [node for node in closed.runtime.observe(NAME).nodes if node.state is NodeState.RUNNING]
    members = [settings_of(closed, one.name, "zookeeper.properties") for one in running if one.role == Role.ZOOKEEPER]
    brokers = [settings_of(closed, one.name, "server.properties") for one in running if one.role == Role.BROKER]
    for member in members:
        ways = {False} if "clientPort" in member else {True}
        ways |= {True} if member.get("client.portUnification") == "true" else set()
        assert {broker.get("zookeeper.ssl.client.enable") == "true" for broker in brokers} <= ways
        own = member.get("sslQuorum") == "true"
        peers = {own, not own} if member.get("portUnification") == "true" else {own}
        assert {other.get("sslQuorum") == "true" for other in members} <= peers
    for node in running:
        keys = settings_of(closed, node.name, MAIN_FILES[Role(node.role)])
        if {"zookeeper.ssl.keystore.location", "ssl.keyStore.location"} & keys.keys():
            assert "ensemble-ca.pem" in closed.files(node.name)


TWO_LISTENERS = {"plain": {"security": "plaintext"}, "secure": {"security": "sasl-tls"}}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("way", ["closed", "opened"])
def test_another_listener_closes_or_opens_it_in_phases_wherever_that_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int, way: str
) -> None:
    survived, is_cut = 0, True
    while is_cut:
        closed = Closed(tmp_path / str(survived))
        with monkeypatch.context() as patched:
            closed.kafka.speak(patched)
            file: dict[str, Any] = {"security": "plaintext", "brokers": {"nodes": 2}, "zookeeper": {"nodes": members}}
            plain = closed.of(**file, listeners={"plain": TWO_LISTENERS["plain"]})
            both = closed.of(**file, listeners=TWO_LISTENERS)
            before, after = (plain, both) if way == "closed" else (both, plain)
            before.up()
            following, left, is_cut = closed.runtime.on_verb, survived, False

            def watched(verb: str, subject: str, now: Closed = closed, then: OnVerb = following) -> None:
                nonlocal left, is_cut
                then(verb, subject)
                if verb == "stop_node":
                    understood(now)
                    is_cut = is_cut or left == 0
                    left -= 1
                    if left == -1:
                        raise CutOff

            closed.runtime.on_verb = watched
            with suppress(CutOff):
                after.up()
            going = before if survived % 2 and is_cut else after  # on and back by turns
            going.up()
            understood(closed)
            assert not going.plan().plan.changes
        survived += 2 if members > 1 else 1
    assert survived > members


def test_after_a_stop_it_is_closed_at_once(closed: Closed) -> None:
    opened(closed, 1)
    closed.looks_away()
    closed.of("sasl-tls").stop()
    assert {action.phase for action in closed.of("sasl-tls").plan().plan.actions} == {""}
    closed.of("sasl-tls").up(RUNNING)
    assert "secureClientPort" in settings_of(closed, "zookeeper-1", "zookeeper.properties")


def test_brokers_that_outlived_an_open_one_are_given_certificates_first(closed: Closed) -> None:
    opened(closed, 1)
    following = closed.runtime.on_verb
    closed.looks_away()
    closed.runtime.stop_node(NAME, "zookeeper-1", 1)
    closed.runtime.on_verb = following
    plan = closed.of("sasl-tls").plan().plan
    assert next(action.resource for action in plan.actions if action.phase == "open") == "zookeeper-1"
    assert {action.phase for action in plan.actions if action.resource.startswith("broker")} == {"open"}
    assert [action.resource for action in plan.actions if action.phase == "close"] == ["zookeeper-1"]


def test_a_new_version_waits_until_it_is_closed() -> None:
    upgrade = (Stage(cluster_of()), Stage(cluster_of()))
    (refusal,) = one_after_the_other(cluster_of(), upgrade, upgrade)
    assert refusal.verb is Verb.REFUSE
    assert "one change after the other" in refusal.detail
    assert one_after_the_other(cluster_of(), upgrade, upgrade[:1]) == ()


def test_a_node_that_knows_no_tls_yet_is_asked_without(tmp_path: Path) -> None:
    closed = Closed(tmp_path)  # its nodes answer nothing
    closed.looks_away()
    closed.of("mtls").up(RUNNING)
    keys = way_to(closed.runtime.observe(NAME)).keys
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(4):  # asked twice, each time with TLS first
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(4) == b"srvr":
                        connection.sendall(ANSWER)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert mode(server_status(address, keys, PATIENCE_S)) == "standalone"
        assert ask_zookeeper(address, keys, PATIENCE_S).seconds is not None
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("security", ["sasl-plain", "sasl-tls"])
def test_its_authority_rotates_with_the_environments_or_alone(closed: Closed, security: str) -> None:
    environment = closed.of(security)
    environment.up()
    before = closed.store.read("ensemble-ca.pem")
    for step in Rotation:
        environment.up(UpOptions(rotation=step))
        with pytest.raises(UsageError):
            environment.up(UpOptions(rotation=step))
    assert closed.store.read("ensemble-ca.pem") not in (before, None)
    kinds = [one.kind for one in environment.certificates() if "authority" in one.kind]
    assert kinds == (["authority"] if security == "sasl-tls" else []) + ["zookeeper authority"]


def test_one_that_was_closed_during_a_rotation_has_nothing_to_finish(closed: Closed) -> None:
    environment = closed.of("mtls")
    environment.up()
    environment.up(UpOptions(rotation=Rotation.BEGIN))
    new = Authority.kept(closed.store, PREFIX)
    assert new
    closed.store.keep({"ensemble-ca.key": Authority(new.pair).written})
    environment.up()
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert closed.store.read("ensemble-ca.pem") == new.pair.certificate


@pytest.mark.parametrize("step", Rotation)
def test_a_step_that_was_cut_off_between_two_authorities_is_taken_by_the_other_one(
    tmp_path: Path, step: Rotation
) -> None:
    store = Home.at(tmp_path / "home").secrets(NAME)

    def made(rotation: Rotation | None = None) -> Material:
        return material(store, NAME, {"broker-1": NODE}, {}, ensemble={"broker-1": NODE}, rotation=rotation)

    made().keep()
    if step is Rotation.FINISH:
        made(Rotation.BEGIN).keep()
    after = made(step)
    store.keep({name: content for name, content in after.files.items() if not name.startswith(PREFIX)})
    assert after.files["ca.key"] == store.read("ca.key")
    again = made(step)
    again.keep()
    assert again.files["ca.key"] == after.files["ca.key"]
    chained = [bool(one and one.chain) for one in (Authority.kept(store), Authority.kept(store, PREFIX))]
    assert chained == [step is Rotation.BEGIN] * 2
    with pytest.raises(UsageError):
        made(step)


@pytest.mark.parametrize("security", ["sasl-plain", "sasl-tls"])
def test_a_rotation_that_has_not_reached_its_nodes_is_not_ended(closed: Closed, security: str) -> None:
    environment = closed.of(security)
    environment.up()
    kept = Authority.kept(closed.store, PREFIX)
    assert kept
    closed.store.keep(
        {"ensemble-ca.key": kept.rotated(NAME, Rotation.BEGIN, running=True).written}
    )  # it was cut off at once
    with pytest.raises(Refused, match="has not reached broker-1, 2, zookeeper-1"):
        environment.up(UpOptions(rotation=Rotation.FINISH))
    environment.up()
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert not environment.plan().plan.changes


@pytest.mark.parametrize("security", SECURED)
def test_it_is_not_made_anew_while_nodes_trust_it(closed: Closed, security: str) -> None:
    environment = closed.of(security)
    environment.up()
    lost = list(closed.store.directory.glob("ensemble-*"))
    for file in lost:
        file.unlink()
    with pytest.raises(Refused, match="are not in") as caught:
        environment.plan()
    assert "ensemble-ca.key is missing" in str(caught.value.why)
    assert not list(closed.store.directory.glob("ensemble-*"))
    closed.looks_away()
    environment.stop()
    environment.up(RUNNING)
    assert len(list(closed.store.directory.glob("ensemble-*"))) == len(lost)


def test_the_end_of_its_authority_is_told_of(closed: Closed) -> None:
    environment = closed.of("sasl-plain")
    old = make_authority(NAME, dt.datetime.now(dt.UTC) - dt.timedelta(days=3645))
    closed.store.keep({"ensemble-ca.key": Authority(old).written})
    environment.up()
    assert [event.text for event in closed.told if isinstance(event, Notice)] == [
        "the authority of closed's certificates ends in 4 days: `provision certs rotate closed` makes another"
    ]
