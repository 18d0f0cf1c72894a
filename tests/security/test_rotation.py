"""To another authority: both are trusted from the beginning of a rotation to its end, so that no client breaks."""

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from provision.errors import Refused, Unavailable, UsageError
from provision.events import ActionDone, Notice
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.operations.certificates import PKCS12
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.security.certificates import Subject, make_authority, parts, shown
from provision.security.material import Material, Rotation, material
from provision.security.store import SecretStore
from tests.security.test_environments import NAME, Closed

NODE, USER = Subject("provision", ("127.0.0.1", "localhost")), Subject("app")
NODES = ["zookeeper-1", "broker-2", "broker-1"]
SUBJECTS = {"broker-1": NODE, "user-app": USER}


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return Home.at(tmp_path / "home").secrets(NAME)


def taken(store: SecretStore, rotation: Rotation | None = None) -> Material:
    """What is made, and kept."""
    made = material(store, NAME, SUBJECTS, {}, exists=store.is_there, rotation=rotation)
    made.keep()
    return made


class Side:
    """One end of a connection: its own key and certificate, and whom it trusts."""

    def __init__(self, directory: Path, made: Material, subject: str) -> None:
        directory.mkdir()
        self.ca, self.own = directory / "ca.pem", directory / "own.pem"
        self.ca.write_bytes(made.authority)
        self.own.write_bytes(made.files[f"{subject}.pem"])

    def context(self, protocol: int) -> ssl.SSLContext:
        """What it connects with."""
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.own)
        return context


def is_understood(server: Side, client: Side) -> bool:
    """Whether both let the other in; each shows a certificate."""
    (to_server, to_client) = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(to_server, to_client, server_side=True)
    other = client.context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(5):
        for side in (other, one):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    one.write(b"hello")
    return other.read(5) == b"hello"


def test_old_and_new_ones_understand_each_other_until_the_end(tmp_path: Path, store: SecretStore) -> None:
    steps = {"old": taken(store), "both": taken(store, Rotation.BEGIN), "new": taken(store, Rotation.FINISH)}
    servers = {name: Side(tmp_path / f"server-{name}", made, "broker-1") for name, made in steps.items()}
    clients = {name: Side(tmp_path / f"client-{name}", made, "user-app") for name, made in steps.items()}
    understood = {
        (s, c) for s, server in servers.items() for c, client in clients.items() if is_understood(server, client)
    }
    everything = {(s, c) for s in steps for c in steps}
    assert understood == everything - {("old", "new"), ("new", "old")}


def test_each_step_is_taken_once_and_what_is_made_between_them_fits(store: SecretStore) -> None:
    with pytest.raises(UsageError, match="has no certificates that could be rotated"):
        taken(store, Rotation.BEGIN)
    first = taken(store)
    with pytest.raises(UsageError, match="no rotation of the certificates of closed has begun"):
        taken(store, Rotation.FINISH)
    both = taken(store, Rotation.BEGIN)
    assert parts(both.authority)[1] == first.authority
    with pytest.raises(UsageError, match="has begun already"):
        taken(store, Rotation.BEGIN)
    assert taken(store).files == both.files
    wider = material(store, NAME, SUBJECTS | {"broker-2": NODE}, {}, exists=True)
    assert len(parts(wider.files["broker-2.pem"])) == 2  # with the new authority's, which the old one vouches for
    end = taken(store, Rotation.FINISH)
    assert end.authority == parts(both.authority)[0]
    assert not store.path("ca.chain").exists()
    assert taken(store).authority == end.authority
    again = taken(store, Rotation.BEGIN)
    assert len(parts(again.authority)) == 2
    assert len({one.subject for made in (first, both, again) for one in shown(made.authority)}) == 3


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closed:
    made = Closed(tmp_path)
    made.kafka.speak(monkeypatch)
    return made


def restarted(closed: Closed) -> list[str]:
    """The nodes that were restarted since it was last asked, in their order."""
    found = [one.resource for one in closed.told if isinstance(one, ActionDone) and one.verb == "restart"]
    closed.told.clear()
    return found


def test_nodes_restart_one_at_a_time_in_each_step_with_consent(closed: Closed) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    before = closed.store.read("ca.pem")

    def refuse(plan: Plan) -> None:
        assert [action.resource for action in plan.needs_consent] == NODES
        raise Refused("not agreed to")

    with pytest.raises(Refused, match="not agreed to"):
        environment.up(UpOptions(rotation=Rotation.BEGIN), agree=refuse)
    assert closed.store.read("ca.pem") == before
    assert restarted(closed) == []
    for step, trusted in ((Rotation.BEGIN, 2), (Rotation.FINISH, 1)):
        environment.up(UpOptions(rotation=step))
        assert restarted(closed) == NODES
        assert len(parts(closed.files("broker-1")["ca.pem"])) == trusted
        for node in NODES:
            assert len(parts(closed.files(node)["ensemble-ca.pem"])) == trusted
        assert not environment.up().changed
    assert closed.store.read("ca.pem") != before


@pytest.mark.parametrize(
    ("lived_days", "told"),
    [
        (3600, []),
        (
            3645,
            ["the authority of closed's certificates ends in 4 days: `provision certs rotate closed` makes another"],
        ),
        (3660, ["the authority of closed's certificates has ended: `provision certs rotate closed` makes another"]),
    ],
)
def test_an_authority_that_ends_soon_is_told_of_and_can_be_rotated(
    closed: Closed, lived_days: int, told: list[str]
) -> None:
    environment = closed.of(users=[{"name": "app"}])
    made = make_authority(NAME, dt.datetime.now(dt.UTC) - dt.timedelta(days=lived_days))
    closed.store.keep({"ca.pem": made.certificate, "ca.key": made.key})
    environment.up()
    closed.told.clear()
    environment.plan()
    assert [event.text for event in closed.told if isinstance(event, Notice)] == told
    for step in Rotation:
        environment.up(UpOptions(rotation=step))
    closed.told.clear()
    environment.plan()
    assert [event.text for event in closed.told if isinstance(event, Notice)] == []


@pytest.mark.parametrize("security", ["plaintext", "sasl-plain", "sasl-scram"])
def test_without_tls_there_is_nothing_to_rotate_show_or_export(tmp_path: Path, security: str) -> None:
    closed = Closed(tmp_path)  # its nodes answer nothing
    closed.looks_away()
    environment = closed.of(security, kafka={"mode": "kraft"})
    environment.up(UpOptions(until=Level.PROCESS))
    with pytest.raises(UsageError, match="no certificates that could be rotated"):
        environment.up(UpOptions(rotation=Rotation.BEGIN))
    assert environment.certificates() == []
    with pytest.raises(UsageError, match="closed has no certificates"):
        environment.export_certificates(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_of_them_are_shown_with_their_ends(closed: Closed) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    shown_now = environment.certificates()
    assert [one.kind for one in shown_now if "authority" in one.kind] == ["authority", "zookeeper authority"]
    issued = [one for one in shown_now if "authority" not in one.kind]
    assert [(one.kind, one.name) for one in issued] == [
        ("node", "broker-1"),
        ("node", "broker-2"),
        ("provision", "provision"),
        ("user", "app"),
        *(("zookeeper", name) for name in ("broker-1", "broker-2", "provision", "zookeeper-1")),
    ]
    assert {one.says.days_left() for one in issued} == {824}
    assert len({one.says.issuer for one in issued}) == 2
    environment.up(UpOptions(rotation=Rotation.BEGIN))
    new, old, node, *_ = environment.certificates()
    assert (new.kind, old.kind, node.kind) == ("authority", "old authority", "node")
    assert new.name == node.says.issuer != old.name
    closed.store.keep({"broker-1.pem": b"nothing"})
    with pytest.raises(Unavailable, match=r"broker-1\.pem is damaged"):
        environment.certificates()


def test_exported_files_are_this_users_alone_and_java_reads_the_stores(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    written = environment.export_certificates(tmp_path / "pem", "app")
    assert {path.name: path.read_bytes() for path in written} == {
        "ca.pem": closed.store.read("ca.pem"),
        "app.pem": closed.store.read("user-app.pem"),
    }
    stores = environment.export_certificates(tmp_path / "p12", "app", PKCS12)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*written, *stores)} == {0o600}
    word = (tmp_path / "p12" / "password").read_bytes()
    key, own, _ = pkcs12.load_key_and_certificates((tmp_path / "p12" / "app.p12").read_bytes(), word)
    assert key
    assert own
    assert own.subject.rfc4514_string() == "CN=app"
    trusted = pkcs12.load_pkcs12((tmp_path / "p12" / "truststore.p12").read_bytes(), word)
    assert [one.friendly_name for one in trusted.additional_certs] == [b"ca-1"]
    assert [path.name for path in environment.export_certificates(tmp_path / "ca")] == ["ca.pem"]


@pytest.mark.parametrize("user", ["nobody", "provision", "../ca", "broker-1"])
def test_a_certificate_that_is_no_users_is_not_exported(closed: Closed, tmp_path: Path, user: str) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    with pytest.raises(UsageError) as caught:
        environment.export_certificates(tmp_path / "out", user)
    assert caught.value.hint == "--user app"
    with pytest.raises(UsageError, match="there is no format 'jks'"):
        environment.export_certificates(tmp_path / "out", "app", "jks")
    assert not (tmp_path / "out").exists()
