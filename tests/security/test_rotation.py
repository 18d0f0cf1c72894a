"""To another authority: both are trusted from the beginning of a rotation to its end, so that no client breaks."""

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from provision.common.whole_files import write_whole
from provision.errors import ProvisionError, Refused, Unavailable, UsageError
from provision.events import Notice
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.operations.certificates import PEM, PKCS12, ends_soon
from provision.operations.doctor.checks import findings
from provision.operations.doctor.facts import Facts
from provision.pipeline import UpOptions
from provision.plan.actions import Plan
from provision.security.certificates import Subject, issue, make_authority, parts, shown
from provision.security.material import Authority, Material, Rotation, material
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
    made = material(store, NAME, SUBJECTS, {}, rotation=rotation)
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
        if protocol == ssl.PROTOCOL_TLS_SERVER:  # a node: Java trusts what is in its file, whatever is above it
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
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
    wider = material(store, NAME, SUBJECTS | {"broker-2": NODE}, {})
    assert len(parts(wider.files["broker-2.pem"])) == 2  # with the new authority's, which the old one vouches for
    end = taken(store, Rotation.FINISH)
    assert end.authority == parts(both.authority)[0]
    assert [len(parts(store.read(name) or b"")) for name in ("ca.key", "ca.pem", "user-app.pem")] == [1, 1, 1]
    assert taken(store).authority == end.authority
    again = taken(store, Rotation.BEGIN)
    assert len(parts(again.authority)) == 2
    assert len({one.subject for made in (first, both, again) for one in shown(made.authority)}) == 3


class CutOffError(BaseException):
    """The command is killed."""


def cut_off(monkeypatch: pytest.MonkeyPatch, store: SecretStore, rotation: Rotation | None, after: int) -> bool:
    """Take a step, and be killed once so many files are written; whether there were more to write."""
    left = after

    def write(file: Path, content: bytes, mode: int) -> None:
        nonlocal left
        if not left:
            raise CutOffError
        left -= 1
        write_whole(file, content, mode)

    with monkeypatch.context() as patch:
        patch.setattr("provision.security.store.write_whole", write)
        try:
            taken(store, rotation)
        except CutOffError:
            return True
    return False


FILES = ("ca.key", "ca.pem", "broker-1.pem", "user-app.pem")


@pytest.mark.parametrize("written", range(len(FILES)))
@pytest.mark.parametrize("step", Rotation)
def test_a_step_that_is_cut_off_breaks_nobody_and_is_taken_or_not(
    tmp_path: Path, store: SecretStore, monkeypatch: pytest.MonkeyPatch, step: Rotation, written: int
) -> None:
    before = taken(store)
    if step is Rotation.FINISH:
        before = taken(store, Rotation.BEGIN)
    assert cut_off(monkeypatch, store, step, written)
    then = taken(store)
    assert taken(store).files == then.files
    assert then.authority == before.authority if not written else then.authority != before.authority
    old, new = (Side(tmp_path / f"{n}-node", made, "broker-1") for n, made in enumerate((before, then)))
    clients = [Side(tmp_path / f"{n}-client", made, "user-app") for n, made in enumerate((before, then))]
    assert [is_understood(node, client) for node in (old, new) for client in clients] == [True] * 4
    if written and step is Rotation.BEGIN:
        with pytest.raises(UsageError, match="has begun already"):
            taken(store, Rotation.BEGIN)


@pytest.mark.parametrize("written", range(1, len(FILES)))
def test_a_first_step_that_is_cut_off_is_continued_with_the_same_authority(
    tmp_path: Path, store: SecretStore, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    assert cut_off(monkeypatch, store, None, written)
    begun = store.read("ca.key")
    made = taken(store)
    assert made.files["ca.key"] == begun
    assert is_understood(Side(tmp_path / "node", made, "broker-1"), Side(tmp_path / "client", made, "user-app"))


STRANGER = make_authority("stranger")


@pytest.mark.parametrize(
    "damaged",
    [b"", b"nothing", STRANGER.key, STRANGER.certificate, make_authority(NAME).key + STRANGER.certificate],
    ids=["empty", "no PEM", "no certificate", "no key", "another's certificate"],
)
def test_with_a_damaged_authority_nothing_is_made(store: SecretStore, damaged: bytes) -> None:
    taken(store)
    store.keep({"ca.key": damaged})
    for rotation in (None, *Rotation):
        with pytest.raises(Unavailable, match=r"ca\.key is damaged"):
            taken(store, rotation)
    assert store.read("ca.key") == damaged


def test_a_node_whose_key_and_certificate_are_not_one_pair_gets_another(store: SecretStore) -> None:
    first = taken(store)
    key, certificate = make_authority(NAME).key, parts(first.files["broker-1.pem"])[0]
    store.keep({"broker-1.pem": key + certificate, "ca.pem": b"nothing"})
    again = taken(store)
    assert again.files["broker-1.pem"] not in (first.files["broker-1.pem"], key + certificate)
    assert store.read("ca.pem") == first.authority


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closed:
    made = Closed(tmp_path)
    made.kafka.speak(monkeypatch)
    return made


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
    assert closed.restarted() == []
    for step, trusted in ((Rotation.BEGIN, 2), (Rotation.FINISH, 1)):
        environment.up(UpOptions(rotation=step))
        assert closed.restarted() == NODES
        assert len(parts(closed.files("broker-1")["ca.pem"])) == trusted
        for node in NODES:
            assert len(parts(closed.files(node)["ensemble-ca.pem"])) == trusted
        assert not environment.up().changed
    assert closed.store.read("ca.pem") != before


def begin_until(closed: Closed, node: str) -> None:
    """Begin a rotation that ends before it has reached a node."""
    on_verb = closed.runtime.on_verb

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("stop_node", node):
            raise ProvisionError("it fails")
        on_verb(verb, subject)

    closed.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="it fails"):
        closed.of().up(UpOptions(rotation=Rotation.BEGIN))
    closed.runtime.on_verb = on_verb


@pytest.mark.parametrize(
    ("cut_off_at", "behind"), [("broker-2", "broker-1, 2"), ("broker-1", "broker-1")], ids=["none", "some"]
)
@pytest.mark.parametrize("then", ["continues", "leaves"])
def test_a_rotation_that_has_not_reached_all_nodes_is_not_ended(
    closed: Closed, cut_off_at: str, behind: str, then: str
) -> None:
    environment = closed.of()
    environment.up()
    begin_until(closed, cut_off_at)
    before = {path.name: path.read_bytes() for path in closed.store.directory.iterdir()}
    ending = closed.of(brokers={"nodes": 1, "port": "auto"}) if then == "leaves" else environment
    for attempt in (ending.up, ending.up):
        with pytest.raises(Refused, match="has not reached") as caught:
            attempt(UpOptions(rotation=Rotation.FINISH))
        assert caught.value.what.endswith(f"has not reached {behind}")
        assert "provision up" in caught.value.hint
    assert {path.name: path.read_bytes() for path in closed.store.directory.iterdir()} == before
    environment.up()
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert [len(parts(closed.files(node)["ca.pem"])) for node in ("broker-1", "broker-2")] == [1, 1]


@pytest.mark.parametrize("security", ["tls", "mtls", "sasl-tls"])
def test_every_profile_with_certificates_ends_its_rotation_once_the_nodes_have_it(
    closed: Closed, security: str
) -> None:
    environment = closed.of(security)
    environment.up()
    kept = Authority.kept(closed.store)
    assert kept
    closed.store.keep({"ca.key": kept.rotated(NAME, Rotation.BEGIN, running=True).written})  # it was cut off at once
    with pytest.raises(Refused, match="has not reached broker-1, 2"):
        environment.up(UpOptions(rotation=Rotation.FINISH))
    environment.up()
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert not environment.plan().plan.changes


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
    closed.store.keep({"ca.key": made.key + made.certificate})
    environment.up()
    closed.told.clear()
    environment.plan()
    assert [event.text for event in closed.told if isinstance(event, Notice)] == told
    for step in Rotation:
        environment.up(UpOptions(rotation=step))
    closed.told.clear()
    environment.plan()
    assert [event.text for event in closed.told if isinstance(event, Notice)] == []


def _ends_in(closed: Closed, file: str, subject: Subject, days: float) -> None:
    """Let a certificate be from long ago."""
    kept = Authority.kept(closed.store)
    assert kept
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(days=800)
    pair = issue(kept.pair, subject, begun, dt.timedelta(days=800 + days, hours=1))
    closed.store.keep({file: pair.key + pair.certificate})


@pytest.mark.parametrize(
    ("days", "when"), [(12, "ends in 12 days"), (1, "ends in 1 day"), (-3, "has ended"), (40, None)]
)
def test_up_tells_of_a_users_certificate_that_it_renews(closed: Closed, days: int, when: str | None) -> None:
    environment = closed.of(users=[{"name": "app"}, {"name": "ops"}])
    environment.up()
    _ends_in(closed, "user-app.pem", USER, days)
    old = closed.store.read("user-app.pem")
    for act in (environment.plan, environment.up):
        closed.told.clear()
        act()
        told = [event.text for event in closed.told if isinstance(event, Notice) and "certificate" in event.text]
        expected = (
            f"the certificate of the user app {when}: with this `up` there is a new one, which the user's clients need "
            "(`provision certs export closed --user app`)"
        )
        assert told == ([expected] if when else [])
    assert (closed.store.read("user-app.pem") == old) is (when is None)
    closed.told.clear()
    environment.plan()
    assert not [event for event in closed.told if isinstance(event, Notice)]


@pytest.mark.parametrize(
    ("days", "said", "entry"),
    [
        (12, "1 certificate will have ended in 30 days", ("certificate-ends-soon", "warning")),
        (-3, "1 of them already", ("certificate-ended", "error")),
        (40, "", None),
    ],
)
def test_status_and_doctor_tell_of_certificates_that_end(
    closed: Closed, days: int, said: str, entry: tuple[str, str] | None
) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    _ends_in(closed, "broker-2.pem", NODE, days)
    told = ends_soon(closed.runtime.observe(NAME))
    assert said in told
    assert bool(told) is bool(said)
    facts = Facts(NAME, closed.runtime.observe(NAME), certificates=tuple(environment.certificates()))
    found = [one for one in findings(facts) if one.id.startswith("certificate")]
    assert [(one.id, str(one.severity)) for one in found] == ([entry] if entry else [])
    for one in found:
        assert [line.partition(":")[0] for line in one.evidence] == ["node broker-2"]
        assert one.fix == "`provision up closed` makes new ones"


def test_of_certificates_that_are_elsewhere_status_says_nothing(closed: Closed) -> None:
    environment = closed.of(users=[{"name": "app"}])
    environment.up()
    closed.store.forget()
    assert ends_soon(closed.runtime.observe(NAME)) == ""
    with pytest.raises(Unavailable):
        environment.certificates()


def test_a_clock_that_was_wrong_is_told_of_and_what_it_dated_is_made_anew(closed: Closed) -> None:
    environment = closed.of(users=[{"name": "app"}])
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    made = make_authority(NAME, later)
    app = issue(made, USER, later)
    closed.store.keep({"ca.key": made.key + made.certificate, "user-app.pem": app.key + app.certificate})
    environment.up()
    assert shown(closed.store.read("user-app.pem") or b"")[0].has_begun()
    closed.told.clear()
    environment.plan()
    (told,) = [event.text for event in closed.told if isinstance(event, Notice)]
    assert told.startswith(f"the authority of {NAME}'s certificates is not valid before {later:%Y-}")
    assert f"provision certs rotate {NAME}" in told
    for step in Rotation:
        environment.up(UpOptions(rotation=step))
    closed.told.clear()
    environment.plan()
    assert not [event for event in closed.told if isinstance(event, Notice)]


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
        "user-app.pem": closed.store.read("user-app.pem"),
    }
    stores = environment.export_certificates(tmp_path / "p12", "app", PKCS12)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*written, *stores)} == {0o600}
    files = {path.name: path.read_bytes() for path in stores}
    assert len(files) == 4
    key, own, _ = pkcs12.load_key_and_certificates(files["user-app.p12"], files["user-app.p12.password"])
    assert key
    assert own
    assert own.subject.rfc4514_string() == "CN=app"
    trusted = pkcs12.load_pkcs12(files["truststore.p12"], files["truststore.p12.password"])
    assert [one.friendly_name for one in trusted.additional_certs] == [b"ca-1"]
    assert [path.name for path in environment.export_certificates(tmp_path / "ca")] == ["ca.pem"]


@pytest.mark.parametrize("form", [PEM, PKCS12])
def test_no_users_files_are_taken_for_others(closed: Closed, tmp_path: Path, form: str) -> None:
    users = ["ca", "truststore", "password", "app", "app.p12", "app.p12.password", "user-app"]
    environment = closed.of(users=[{"name": user} for user in users])
    environment.up()
    (tmp_path / "password").write_text("somebody else's")
    written = [path.name for user in users for path in environment.export_certificates(tmp_path, user, form)]
    shared = 1 if form == PEM else 2
    assert len(set(written)) == len(users) * shared + shared
    assert (tmp_path / "password").read_text() == "somebody else's"
    if form == PEM:
        assert (tmp_path / "ca.pem").read_bytes() == closed.store.read("ca.pem")
    for user in users:
        own = (closed.store.read(f"user-{user}.pem") or b"").partition(b"-----BEGIN CERTIFICATE")[0]
        assert (
            own in (tmp_path / f"user-{user}.pem").read_bytes()
            if form == PEM
            else _opened(tmp_path / f"user-{user}.p12") == f"CN={user}"
        )


def _opened(store: Path) -> str:
    """Whose key a store has, which the password beside it opens."""
    word = store.with_name(f"{store.name}.password").read_bytes()
    _, own, _ = pkcs12.load_key_and_certificates(store.read_bytes(), word)
    return own.subject.rfc4514_string() if own else ""


def test_stores_that_are_written_again_have_the_password_that_clients_know(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=[{"name": "app"}, {"name": "b"}])
    environment.up()
    environment.export_certificates(tmp_path, "app", PKCS12)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.password")}
    environment.export_certificates(tmp_path, "b", PKCS12)
    environment.export_certificates(tmp_path, "app", PKCS12)
    assert len(set(before.values())) == 2
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert [_opened(tmp_path / f"user-{user}.p12") for user in ("app", "b")] == ["CN=app", "CN=b"]
    word = tmp_path / "user-app.p12.password"
    word.chmod(0o644)  # others may know it
    environment.export_certificates(tmp_path, "app", PKCS12)
    assert word.read_bytes() != before[word.name]
    assert stat.S_IMODE(word.stat().st_mode) == 0o600
    assert _opened(tmp_path / "user-app.p12") == "CN=app"


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
