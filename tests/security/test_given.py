"""An authority of the user's own: what is wrong with its files, and an environment whose certificates it issues."""

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from provision import Environment, UpOptions
from provision.cli.run import run
from provision.cluster.model import AuthorityFiles
from provision.errors import InvalidEnvironment, Refused, UsageError
from provision.events import Notice
from provision.operations.securing import authority_in
from provision.security.certificates import Pair, Subject, issue, parts, shown
from provision.security.material import Rotation
from tests.authorities import DAY, NOW, SHA1, Made, made
from tests.security.test_environments import KRAFT, NAME, Closed
from tests.security.test_rotation import NODES, Side, is_understood

USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
LIMITS = x509.NameConstraints(permitted_subtrees=[x509.DNSName("corp.example")], excluded_subtrees=None)
HOUSE, OTHER = made(), made("other")
BELOW = made("below", issuer=HOUSE)


def without(file: str) -> Callable[[Path], object]:
    return lambda directory: (directory / file).unlink()


def holding(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / file).write_bytes(content)


def of(authority: Made) -> Callable[[Path], object]:
    return authority.write


def spoilt(authority: Made, old: bytes, new: bytes) -> Callable[[Path], object]:
    """With other bytes in its certificate."""
    certificate, *issuers = authority.chain
    encoded = certificate.public_bytes(Encoding.DER)
    assert old in encoded
    body = base64.encodebytes(encoded.replace(old, new))
    above = b"".join(one.public_bytes(Encoding.PEM) for one in issuers)
    return lambda directory: (
        authority.write(directory),
        holding(PEM, b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n" + above)(directory),
    )


SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 that it is refused
LONG = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHA256_WITH_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
STRANGE = tuple(x509.UnrecognizedExtension(x509.ObjectIdentifier(one), b"\x05\x00") for one in ("1.2.3.4", "1.2.3.5"))
KEY, PEM = "ca.key", "ca.pem"
WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no key": (without(KEY), KEY, "cannot be read: no such file or directory"),
    "no certificate": (without(PEM), PEM, "cannot be read: no such file or directory"),
    "empty key": (holding(KEY, b""), KEY, "has no private key in PEM that can be read"),
    "certificate as key": (holding(KEY, HOUSE.certificates), KEY, "has no private key in PEM that can be read"),
    "damaged key": (holding(KEY, HOUSE.pem()[:90]), KEY, "has no private key in PEM that can be read"),
    "password": (holding(KEY, HOUSE.pem(BestAvailableEncryption(b"s3same"))), KEY, "is protected by a password"),
    "short key": (
        of(made(key=SHORT)),
        KEY,
        "has only 1024 bits",
    ),
    "new kind": (of(made(key=ed25519.Ed25519PrivateKey.generate())), KEY, "is of a kind that not every client knows"),
    "old kind": (of(made(key=dsa.generate_private_key(2048))), KEY, "is of a kind that not every client knows"),
    "rare curve": (of(made(key=ec.generate_private_key(ec.SECP256K1()))), KEY, "is of a kind that not every client"),
    "key as certificate": (holding(PEM, HOUSE.pem()), PEM, "has no certificates in PEM that can be read"),
    "empty certificate": (holding(PEM, b""), PEM, "has no certificates in PEM that can be read"),
    "damaged certificate": (holding(PEM, HOUSE.certificates[:200]), PEM, "has no certificates in PEM that can be read"),
    "another's certificate": (holding(PEM, OTHER.certificates), KEY, "is not the key of the certificate"),
    "wrong order": (
        of(Made(BELOW.key, BELOW.chain[::-1])),
        PEM,
        "is in the wrong order, or has more after the root: 'CN=house' is issued by itself, and is not the last",
    ),
    "without its issuer": (
        of(Made(BELOW.key, BELOW.chain[:1])),
        PEM,
        "ends in the middle: 'CN=below' is issued by 'CN=house', which does not follow",
    ),
    "another issuer of that name": (
        of(Made(BELOW.key, (BELOW.chain[0], made().chain[0]))),
        PEM,
        "ends in the middle: 'CN=below' is issued by 'CN=house', which does not follow",
    ),
    "ended": (of(made(begins=NOW - 9 * DAY, ends=NOW - DAY)), PEM, "is not valid any more: the certificate 'CN=house'"),
    "not begun": (of(made(begins=NOW + DAY)), PEM, "is not valid yet: the certificate 'CN=house' begins on"),
    "its issuer has ended": (
        of(made("below", issuer=made(begins=NOW - 9 * DAY, ends=NOW - DAY))),
        PEM,
        "is not valid any more: the certificate 'CN=house' ended on",
    ),
    "no authority": (of(made(is_authority=False)), PEM, "is none of an authority: the certificate 'CN=house'"),
    "not for certificates": (of(made(more=(USAGE,))), PEM, "is none of an authority: the certificate 'CN=house' may"),
    "limited": (
        of(made(more=(LIMITS,))),
        PEM,
        "has limits on names: the certificate 'CN=house' could forbid localhost",
    ),
    "more after the root": (
        of(Made(HOUSE.key, (*HOUSE.chain, *OTHER.chain))),
        PEM,
        "is in the wrong order, or has more after the root: 'CN=house' is issued by itself, and is not the last",
    ),
    "short key above": (
        of(made("below", issuer=made(key=SHORT))),
        PEM,
        "cannot be used: the key of the certificate 'CN=house' has only 1024 bits",
    ),
    "new kind above": (
        of(made("below", issuer=made(key=ed25519.Ed25519PrivateKey.generate()))),
        PEM,
        "cannot be used: the key of the certificate 'CN=house' is of a kind that not every client knows",
    ),
    "signed the old way": (
        spoilt(made("below", issuer=made(key=LONG)), SHA256_WITH_RSA, SHA256_WITH_RSA[:-1] + b"\x05"),
        PEM,
        "cannot be used: the certificate 'CN=below' is signed with SHA1, which clients refuse",
    ),
    "for mail": (
        of(made(more=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]),))),
        PEM,
        "is of no use: the certificate 'CN=house' is not for TLS servers and clients",
    ),
    "for servers, above": (
        of(made("below", issuer=made(more=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),)))),
        PEM,
        "is of no use: the certificate 'CN=house' is not for TLS servers and clients",
    ),
    "critical and not known": (
        of(made(more=(STRANGE[0],))),
        PEM,
        "cannot be used: the certificate 'CN=house' has a critical extension that not every client knows (1.2.3.4)",
    ),
    "the same extension twice": (
        spoilt(made(more=STRANGE), b"\x06\x03\x2a\x03\x05", b"\x06\x03\x2a\x03\x04"),
        PEM,
        "cannot be read: certificate 1 in it is damaged",
    ),
    "a name of a kind nobody has": (
        spoilt(made(more=(x509.SubjectAlternativeName([x509.DNSName("xyzzy")]),)), b"\x82\x05xyzzy", b"\xa3\x05xyzzy"),
        PEM,
        "cannot be read: certificate 1 in it is damaged",
    ),
    "a name in no characters": (
        spoilt(made(), b"\x05house", b"\x05\xff\xff\xff\xff\xff"),
        PEM,
        "cannot be read: certificate 1 in it is damaged",
    ),
    "none below": (of(made("below", issuer=made(length=0))), PEM, "is of no use: the certificate 'CN=house' allows 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_its_files_is_told_with_the_file_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    spoil, named, reason = WRONG[case]
    monkeypatch.chdir(tmp_path)
    HOUSE.write(tmp_path)
    spoil(tmp_path)
    authority = {"key": KEY, "certificate": PEM}
    (tmp_path / "closed.yaml").write_text(json.dumps({"security": "tls", "certificates": {"authority": authority}}))
    assert run(["validate", "closed.yaml"]) == 65
    error = capsys.readouterr().err
    assert "closed.yaml:1:" in error
    assert f"{tmp_path / named} {reason}" in error
    content = (tmp_path / KEY).read_text().splitlines()[1:-1] if (tmp_path / KEY).exists() else []
    assert not [line for line in content if line in error]


@pytest.mark.parametrize("security", ["plaintext", "sasl-plain", "sasl-scram"])
def test_without_tls_nobody_needs_it(tmp_path: Path, security: str) -> None:
    with pytest.raises(InvalidEnvironment, match=f"with security: {security} there is no TLS"):
        Environment(name=NAME, security=security, certificates=HOUSE.write(tmp_path)).validate()


@pytest.mark.parametrize("section", [{}, {"authority": {}}, {"authority": {"key": ""}}, {"authority": None}, "ca.pem"])
def test_a_section_of_another_form_is_refused_and_shows_no_value(section: object) -> None:
    with pytest.raises(InvalidEnvironment, match="certificates"):
        Environment(name=NAME, security="tls", certificates=section).validate()
    both = {"key": "-----BEGIN PRIVATE KEY-----\ns3same", "certificate": 5}
    with pytest.raises(InvalidEnvironment) as caught:
        Environment(name=NAME, security="tls", certificates={"authority": both}).validate()
    assert "must be the path of a file" in caught.value.why
    assert "s3same" not in caught.value.why


BODY = HOUSE.pem().decode().splitlines()[1:-1]
IN_PLACE_OF_THE_PATH = {
    "folded": ">-\n        " + HOUSE.pem().decode().strip().replace("\n", "\n        "),
    "plain": HOUSE.pem().decode().strip().replace("\n", "\n        "),
    "literal": "|\n        " + HOUSE.pem().decode().strip().replace("\n", "\n        "),
    "not indented": HOUSE.pem().decode().strip(),
    "quoted": json.dumps(HOUSE.pem().decode()),
    "in one line": HOUSE.pem().decode().replace("\n", ""),
    "its lines alone": "".join(BODY),
    "its lines folded": ">-\n        " + "\n        ".join(BODY),
    "long": "x" * 300,
}
SECRET_PATHS = {
    "key": "certificates:\n  authority:\n    certificate: ca.pem\n    key: ",
    "certificate": "certificates:\n  authority:\n    key: ca.key\n    certificate: ",
    "password": "users:\n  - name: app\n    password:\n      file: ",
}


@pytest.mark.parametrize("form", IN_PLACE_OF_THE_PATH)
@pytest.mark.parametrize("path", SECRET_PATHS)
def test_a_key_in_the_place_of_its_path_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    HOUSE.write(tmp_path)
    value = IN_PLACE_OF_THE_PATH[form]
    (tmp_path / "closed.yaml").write_text(f"security: sasl-tls\n{SECRET_PATHS[path]}{value}\n")
    assert run(["validate", "closed.yaml"]) == 65
    error = "".join(capsys.readouterr())
    assert "closed.yaml:" in error
    assert form == "not indented" or "must be the path of a file" in error
    assert not [line for line in (*BODY, "x" * 20) if line[:20] in error]


@pytest.mark.parametrize(
    "value",
    [
        HOUSE.pem().decode(),
        HOUSE.pem().decode().strip(),
        "".join(BODY),
        f"[{BODY[0]}",
        f"Proc-Type: 4: {BODY[0]}",
        f"{{a: {BODY[0]}}}",
    ],
    ids=["whole", "without its end", "its lines alone", "no YAML", "colons", "mapping"],
)
@pytest.mark.parametrize("key", ["certificates.authority.key", "users.app.password.file", "users.app.password"])
def test_a_key_on_the_command_line_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    authority = HOUSE.write(tmp_path)
    described = {"security": "sasl-tls", "certificates": authority, "users": [{"name": "app"}]}
    (tmp_path / "closed.yaml").write_text(json.dumps(described))
    assert run(["validate", "closed.yaml", "--set", f"{key}={value}"]) in (64, 65)
    error = "".join(capsys.readouterr())
    assert f"--set {key}" in error
    assert not [line for line in BODY if line[:20] in error]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closed:
    found = Closed(tmp_path)
    found.kafka.speak(monkeypatch)
    return found


class Taken(Side):
    """A side as it is now: with the files of a node, or of a client that was given them."""

    def __init__(self, directory: Path, closed: Closed, subject: str, trusted: bytes = b"") -> None:
        directory.mkdir()
        self.ca, self.own = directory / "ca.pem", directory / "own.pem"
        ours = closed.files(subject)["ca.pem"] if subject in NODES else closed.store.read("ca.pem")
        self.ca.write_bytes(trusted or ours or b"")
        self.own.write_bytes(closed.store.read(f"{subject}.pem") or b"")


APP = [{"name": "app"}]
ROOTS: dict[str, Callable[[], Made]] = {
    "EC": lambda: made(key=ec.generate_private_key(ec.SECP384R1())),
    "RSA": lambda: made(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), length=0),
    "below two": lambda: made("lower", issuer=made("upper", issuer=made("root")), length=0),
}


@pytest.mark.parametrize("root", ROOTS)
def test_it_issues_the_certificates_of_nodes_and_users_and_clients_need_only_its_root(
    closed: Closed, tmp_path: Path, root: str
) -> None:
    authority = ROOTS[root]()
    environment = closed.of(users=APP, certificates=authority.write(tmp_path / "ca"))
    environment.up()
    uppermost = authority.chain[-1].public_bytes(Encoding.PEM)
    node, client = Taken(tmp_path / "n", closed, "broker-1"), Taken(tmp_path / "c", closed, "user-app", uppermost)
    assert is_understood(node, client)
    assert closed.files("broker-1")["ca.pem"] == authority.chain[0].public_bytes(Encoding.PEM)
    assert {
        one.issuer for one in shown(node.own.read_bytes()[node.own.read_bytes().index(b"-----BEGIN CERT") :])[:1]
    } == {authority.chain[0].subject.rfc4514_string().removeprefix("CN=")}
    kinds = [(one.kind, one.name) for one in environment.certificates() if one.kind.endswith("authority")]
    ours = [("authority", one.subject.rfc4514_string().removeprefix("CN=")) for one in authority.chain]
    assert sorted(kinds[: len(ours)]) == sorted(ours)
    assert not environment.plan().plan.changes
    mode = stat.S_IMODE(closed.store.path("ca.key").stat().st_mode)
    assert mode == 0o600
    closed.looks_away()
    environment.down()
    assert not closed.store.is_there


RSA = made("below", issuer=HOUSE, key=LONG)
CURVE = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
FORMS: dict[str, tuple[Made, Callable[[bytes, bytes], tuple[bytes, bytes]]]] = {
    "ends of lines": (BELOW, lambda key, pem: (key.replace(b"\n", b"\r\n"), pem.replace(b"\n", b"\r\n"))),
    "both in both": (BELOW, lambda key, pem: (key + pem, pem + key)),
    "remarks": (BELOW, lambda key, pem: (b"the key\n" + key, pem.replace(b"-----BEGIN", b"Subject: x\n-----BEGIN"))),
    "no last end of line": (BELOW, lambda key, pem: (key.rstrip(), pem.rstrip())),
    "another name of it": (BELOW, lambda key, pem: (key, pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE"))),
    "old form": (BELOW, lambda _, pem: (of_old(BELOW), pem)),
    "old form of OpenSSL": (BELOW, lambda _, pem: (CURVE + of_old(BELOW), pem)),
    "old form of RSA": (RSA, lambda _, pem: (of_old(RSA), pem)),
}


def of_old(authority: Made) -> bytes:
    """Its key in the form before PKCS #8."""
    return bytes(authority.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


@pytest.mark.parametrize("form", FORMS)
def test_however_its_files_are_written_nodes_and_clients_get_what_they_can_read(
    closed: Closed, tmp_path: Path, form: str
) -> None:
    authority, as_written = FORMS[form]
    section = authority.write(tmp_path)
    key, pem = as_written(authority.pem(), authority.certificates)
    (tmp_path / KEY).write_bytes(key)
    (tmp_path / PEM).write_bytes(pem)
    environment = closed.of(users=APP, certificates=section)
    environment.validate()
    environment.up()
    assert not environment.plan().plan.changes
    assert [one.name for one in environment.certificates() if one.kind == "authority"]
    assert closed.store.read("ca.key") == authority.pem() + authority.certificates
    assert is_understood(Taken(tmp_path / "n", closed, "broker-1"), Taken(tmp_path / "c", closed, "user-app"))


def test_its_key_is_in_no_plan_no_event_and_no_rendered_file(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=HOUSE.write(tmp_path / "ca"))
    planned = environment.plan()
    rendered = environment.render()
    assert not closed.store.is_there
    environment.up()
    planned.saved.write(tmp_path / "saved")
    texts = [repr(planned), (tmp_path / "saved").read_text()]
    texts += [repr(one) + one.text for one in rendered] + [repr(one) for one in closed.told]
    for line in HOUSE.pem().decode().splitlines()[1:-1]:
        assert not [text for text in texts if line in text]
        assert not any(line.encode() in content for content in closed.files("broker-1").values())


@pytest.mark.parametrize("identifier", [b"", SHA1, b"another way"], ids=["none", "of the key", "another"])
def test_another_one_comes_by_a_rolling_restart_and_breaks_nobody(
    closed: Closed, tmp_path: Path, identifier: bytes
) -> None:
    first = made("below", issuer=made(identifier=identifier), identifier=identifier)
    other = made("other", identifier=identifier)
    environment = closed.of(users=APP, certificates=first.write(tmp_path / "ca"))
    environment.up()
    sides = {"old": [Taken(tmp_path / f"old {name}", closed, name) for name in ("broker-1", "user-app")]}
    other.write(tmp_path / "ca")
    plan = environment.plan().plan
    assert [(action.resource, action.verb) for action in plan.actions] == [
        (name, "restart") for name in NODES if name.startswith("broker")
    ]
    closed.told.clear()
    environment.up()
    assert closed.restarted() == ["broker-2", "broker-1"]
    sides["both"] = [Taken(tmp_path / f"both {name}", closed, name) for name in ("broker-1", "user-app")]
    own = [one.chain[0].public_bytes(Encoding.PEM) for one in (other, first)]
    assert closed.files("broker-1")["ca.pem"] == b"".join(own)
    assert closed.store.read("ca.pem") == other.certificates + first.certificates
    environment.plan()
    assert "--finish" in next(one.text for one in closed.told if isinstance(one, Notice))
    with pytest.raises(Refused, match="go to another authority than that of the file already"):
        closed.of(users=APP, certificates=HOUSE.write(tmp_path / "third")).plan()
    closed.told.clear()
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert "broker-1" in closed.restarted()
    sides["new"] = [Taken(tmp_path / f"new {name}", closed, name) for name in ("broker-1", "user-app")]
    understood = {
        (s, c) for s, (node, _) in sides.items() for c, (_, user) in sides.items() if is_understood(node, user)
    }
    assert understood == {(s, c) for s in sides for c in sides} - {("old", "new"), ("new", "old")}
    assert closed.store.read("ca.pem") == other.certificates
    assert not environment.plan().plan.changes


@pytest.mark.parametrize("way", ["files", "directory", "as in Kubernetes", "the other file"])
def test_links_to_its_files_are_followed(closed: Closed, tmp_path: Path, way: str) -> None:
    there, named = tmp_path / "there", tmp_path / "named"
    HOUSE.write(there)
    (there / "word").write_text("s3same-word\n")
    if way == "directory":
        named.symlink_to("there")
    elif way == "the other file":
        (there / KEY).write_bytes(HOUSE.pem() + HOUSE.certificates)
        (there / PEM).unlink()
        (there / PEM).symlink_to(KEY)
        named.symlink_to(there)
    else:
        named.mkdir()
        data = named / "..data"
        data.symlink_to(there)
        for name in (KEY, PEM, "word"):
            (named / name).symlink_to(f"..data/{name}" if way == "as in Kubernetes" else there / name)
    section = {"authority": {"key": str(named / KEY), "certificate": str(named / PEM)}}
    users = [{"name": "app", "password": {"file": str(named / "word")}}]
    environment = closed.of("sasl-tls", users=users, certificates=section)
    environment.validate()
    environment.up()
    assert closed.store.read("ca.pem") == HOUSE.certificates
    assert closed.store.read("user-app.password") == b"s3same-word"


SPOILT_LATER: dict[str, Callable[[Path], object]] = {
    "gone": lambda _place: None,
    "a directory": lambda place: place.mkdir(),
    "a loop": lambda place: place.symlink_to(place.name),
    "a pipe": os.mkfifo,
    "too large": lambda place: place.write_bytes(b"x" * (1024 * 1024 + 1)),
}


@pytest.mark.parametrize("name", [KEY, PEM])
@pytest.mark.parametrize("case", SPOILT_LATER)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str, name: str
) -> None:
    section = HOUSE.write(tmp_path)
    (tmp_path / name).unlink()
    SPOILT_LATER[case](tmp_path / name)
    files = AuthorityFiles(*section["authority"].values())
    with pytest.raises(UsageError, match=f"{tmp_path / name} cannot be read"):
        authority_in(files)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed.yaml").write_text(json.dumps({"security": "tls", "certificates": section}))
    assert run(["validate", "closed.yaml"]) == 65
    assert f"{tmp_path / name} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("first", [True, False], ids=["before it is there", "while it runs"])
@pytest.mark.parametrize("other", [made("house"), made("other")], ids=["same name", "another"])
def test_a_saved_plan_is_for_the_authority_that_it_was_made_with(
    closed: Closed, tmp_path: Path, other: Made, first: bool
) -> None:
    environment = closed.of(users=APP, certificates=HOUSE.write(tmp_path / "ca"))
    if not first:
        environment.up()
        BELOW.write(tmp_path / "ca")
    saved = environment.plan().saved
    other.write(tmp_path / "ca")
    with pytest.raises(Refused, match="the plan is stale"):
        environment.up(UpOptions(saved=saved))
    (BELOW if not first else HOUSE).write(tmp_path / "ca")
    assert environment.up(UpOptions(saved=saved)).changed


def leads_to(sent: bytes, root: bytes) -> bool:
    """Whether any way leads from the first certificate to the root, as Java looks for it: every one is tried."""
    leaf, *others = x509.load_pem_x509_certificates(sent[sent.index(b"-----BEGIN CERT") :])
    (trusted,) = x509.load_pem_x509_certificates(root)

    def is_issued(one: x509.Certificate, by: x509.Certificate) -> bool:
        try:
            one.verify_directly_issued_by(by)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def leads(one: x509.Certificate, left: list[x509.Certificate]) -> bool:
        above = [other for other in left if is_issued(one, other)]
        return is_issued(one, trusted) or any(leads(each, [one for one in left if one != each]) for each in above)

    return leads(leaf, others)


def test_somebody_else_below_the_same_root_issues_no_way_in(closed: Closed, tmp_path: Path) -> None:
    root = made("root")
    first, second, foreign = (made(name, issuer=root) for name in ("first", "second", "foreign"))
    foreign_pair = issue(Pair(foreign.pem(), foreign.certificates), Subject("app"))
    intruder = Side.__new__(Side)
    intruder.ca, intruder.own = tmp_path / "root.pem", tmp_path / "intruder.pem"
    intruder.ca.write_bytes(root.certificates)
    environment = closed.of("mtls", users=APP, certificates=first.write(tmp_path / "ca"))
    environment.up()
    for step, more in (("one", b""), ("two", closed.store.read("user-app.pem") or b"")):
        public = (
            more[more.index(b"-----BEGIN CERT") :] if more else b""
        )  # also what others are sent, which is no secret
        intruder.own.write_bytes(foreign_pair.key + foreign_pair.certificate + foreign.certificates + public)
        node, user = (Taken(tmp_path / f"{step} {name}", closed, name) for name in ("broker-1", "user-app"))
        assert is_understood(node, user)
        assert not is_understood(node, intruder)
        assert is_understood(Taken(tmp_path / f"{step} open", closed, "broker-1", root.certificates), intruder)
        second.write(tmp_path / "ca")
        environment.up()


def test_those_who_trust_only_the_new_root_find_a_way_during_a_rotation(closed: Closed, tmp_path: Path) -> None:
    first, second = (made(f"{name} 1", issuer=made(f"{name} 2", issuer=made(name))) for name in ("first", "second"))
    roots = [one.chain[-1].public_bytes(Encoding.PEM) for one in (first, second)]
    environment = closed.of(users=APP, certificates=first.write(tmp_path / "ca"))
    environment.up()
    second.write(tmp_path / "ca")
    environment.up()
    sent = closed.store.read("broker-1.pem") or b""
    assert [leads_to(sent, root) for root in roots] == [True, True]
    environment.up(UpOptions(rotation=Rotation.FINISH))
    sent = closed.store.read("broker-1.pem") or b""
    assert [leads_to(sent, root) for root in roots] == [False, True]


def test_the_old_one_may_come_back_before_the_end(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=BELOW.write(tmp_path / "ca"))
    environment.up()
    node_old, old = (Taken(tmp_path / f"old {name}", closed, name) for name in ("broker-1", "user-app"))
    OTHER.write(tmp_path / "ca")
    environment.up()
    node_both, both = (Taken(tmp_path / f"both {name}", closed, name) for name in ("broker-1", "user-app"))
    BELOW.write(tmp_path / "ca")
    closed.told.clear()
    environment.up()
    assert closed.restarted() == ["broker-2", "broker-1"]
    assert closed.store.read("ca.pem") == BELOW.certificates + OTHER.certificates
    node_back, back = (Taken(tmp_path / f"back {name}", closed, name) for name in ("broker-1", "user-app"))
    for node in (node_old, node_both, node_back):
        for client in (old, both, back):
            assert is_understood(node, client)
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert closed.store.read("ca.pem") == BELOW.certificates
    assert is_understood(Taken(tmp_path / "end", closed, "broker-1"), old)
    assert not environment.plan().plan.changes


def test_a_third_one_is_refused_and_the_hint_leads_to_it(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=BELOW.write(tmp_path / "ca"))
    environment.up()
    OTHER.write(tmp_path / "ca")
    environment.up()
    made("third").write(tmp_path / "ca")
    for attempt in (None, Rotation.FINISH):
        with pytest.raises(Refused, match="go to another authority than that of the file already") as caught:
            environment.up(UpOptions(rotation=attempt))
        assert "put the files of that one back, or remove `certificates`; then" in caught.value.hint
    closed.of(users=APP).up(UpOptions(rotation=Rotation.FINISH))
    environment.up()
    assert [one.name for one in environment.certificates() if one.kind == "authority"] == ["third"]


@pytest.mark.parametrize("order", [1, -1], ids=["to a root of others", "to one of its own"])
def test_the_same_key_and_name_below_another_root_comes_with_an_overlap(
    closed: Closed, tmp_path: Path, order: int
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first, second = [made("same", key=key, issuer=made("one")), made("same", key=key, issuer=made("two"))][::order]
    environment = closed.of(users=APP, certificates=first.write(tmp_path / "ca"))
    environment.up()
    old = Taken(tmp_path / "old", closed, "user-app")
    second.write(tmp_path / "ca")
    environment.up()
    sent = closed.store.read("broker-1.pem") or b""
    assert all(leads_to(sent, one.chain[-1].public_bytes(Encoding.PEM)) for one in (first, second))
    node, user = (Taken(tmp_path / f"both {name}", closed, name) for name in ("broker-1", "user-app"))
    assert is_understood(node, old)
    assert is_understood(node, user)
    assert closed.store.read("ca.pem") == second.certificates + first.certificates
    assert not environment.plan().plan.changes
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert closed.store.read("ca.pem") == second.certificates
    assert is_understood(Taken(tmp_path / "end", closed, "broker-1"), user)


def test_a_self_signed_one_that_a_root_issues_anew_comes_with_an_overlap(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=HOUSE.write(tmp_path / "ca"))
    environment.up()
    old = Taken(tmp_path / "old", closed, "user-app")
    below = made("house", key=HOUSE.key, issuer=OTHER)
    below.write(tmp_path / "ca")
    environment.up()
    assert closed.store.read("ca.pem") == below.certificates + HOUSE.certificates
    assert is_understood(Taken(tmp_path / "node", closed, "broker-1"), old)
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert closed.store.read("ca.pem") == below.certificates


def test_one_that_may_not_vouch_is_left_by_a_rotation_while_nothing_runs(closed: Closed, tmp_path: Path) -> None:
    closed.of(users=APP, certificates=made("final", length=0).write(tmp_path / "ca"), **KRAFT).up()
    environment = closed.of(users=APP, **KRAFT)
    with pytest.raises(Refused, match="cannot be replaced while nodes run") as caught:
        environment.up(UpOptions(rotation=Rotation.BEGIN))
    assert caught.value.hint.endswith(f"`provision stop {NAME}`, then `provision certs rotate {NAME}`")
    closed.looks_away()
    environment.stop()
    environment.up(UpOptions(rotation=Rotation.BEGIN))
    (says,) = shown(closed.store.read("ca.pem") or b"")
    assert says.subject.startswith(f"provision {NAME}")
    assert closed.files("broker-1")["ca.pem"] == closed.store.read("ca.pem")


@pytest.mark.parametrize("own", [True, False], ids=["own", "made"])
def test_until_when_the_certificate_of_a_removed_user_is_valid_is_told_as_it_is(
    closed: Closed, tmp_path: Path, own: bool
) -> None:
    section = {"certificates": HOUSE.write(tmp_path / "ca")} if own else {}
    closed.of("mtls", users=[*APP, {"name": "gone"}], **section, **KRAFT).up()
    closed.told.clear()
    closed.of("mtls", users=APP, **section, **KRAFT).plan()
    (said,) = [one.text for one in closed.told if isinstance(one, Notice) and "gone" in one.text]
    ends = "another authority is in the file's `certificates`" if own else f"`provision certs rotate {NAME}`"
    assert said.endswith(f"until {ends}")


def test_it_takes_the_place_of_the_one_that_was_made_and_the_other_way_round(closed: Closed, tmp_path: Path) -> None:
    closed.of().up()
    first = closed.store.read("ca.pem") or b""
    own = closed.of(certificates=HOUSE.write(tmp_path / "ca"))
    own.up()
    assert closed.store.read("ca.pem") == HOUSE.certificates + first
    own.up(UpOptions(rotation=Rotation.FINISH))
    made_again = closed.of()
    assert not made_again.plan().plan.changes  # it stays until it is rotated
    made_again.up(UpOptions(rotation=Rotation.BEGIN))
    then = parts(closed.store.read("ca.pem") or b"")
    assert [one.subject for one in shown(b"".join(then))][1] == "house"
    assert len(then) == 2


def test_one_that_may_not_vouch_for_others_is_replaced_only_while_nothing_runs(closed: Closed, tmp_path: Path) -> None:
    final = made("final", length=0)
    environment = closed.of(users=APP, certificates=final.write(tmp_path / "ca"))
    environment.up()
    before = {path.name: path.read_bytes() for path in closed.store.directory.iterdir()}
    OTHER.write(tmp_path / "ca")
    for attempt in (environment.plan, environment.up):
        with pytest.raises(Refused, match="cannot be replaced while nodes run") as caught:
            attempt()
        assert "provision stop" in caught.value.hint
    assert {path.name: path.read_bytes() for path in closed.store.directory.iterdir()} == before
    closed.looks_away()
    environment.stop()
    environment.up()
    assert closed.files("broker-1")["ca.pem"] == closed.store.read("ca.pem") == OTHER.certificates
    assert is_understood(Taken(tmp_path / "n", closed, "broker-1"), Taken(tmp_path / "c", closed, "user-app"))


def test_a_newer_certificate_of_the_same_is_handed_out_and_needs_no_rotation(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=HOUSE.write(tmp_path / "ca"))
    environment.up()
    old = Taken(tmp_path / "old", closed, "user-app")
    own = closed.store.read("broker-1.pem")
    renewed = made(key=HOUSE.key, ends=NOW + 1800 * DAY)
    renewed.write(tmp_path / "ca")
    closed.told.clear()
    environment.up()
    assert closed.restarted() == ["broker-2", "broker-1"]
    assert closed.files("broker-1")["ca.pem"] == renewed.certificates
    assert closed.store.read("broker-1.pem") == own
    assert is_understood(Taken(tmp_path / "node", closed, "broker-1"), old)


def test_a_newer_certificate_with_another_identifier_comes_with_new_ones(closed: Closed, tmp_path: Path) -> None:
    section = made(key=HOUSE.key, identifier=SHA1).write(tmp_path / "ca")
    environment = closed.of(users=APP, certificates=section)
    environment.up()
    own = closed.store.read("broker-1.pem")
    made(key=HOUSE.key, identifier=b"another way").write(tmp_path / "ca")
    environment.up()
    assert closed.store.read("broker-1.pem") != own
    assert is_understood(Taken(tmp_path / "n", closed, "broker-1"), Taken(tmp_path / "c", closed, "user-app"))
    assert not environment.plan().plan.changes


def test_an_old_one_that_ends_soon_asks_for_no_other(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(users=APP, certificates=made(ends=NOW + 9 * DAY).write(tmp_path / "ca"))
    environment.up()
    OTHER.write(tmp_path / "ca")
    environment.up()
    closed.told.clear()
    environment.plan()
    (said,) = [one.text for one in closed.told if isinstance(one, Notice)]
    assert "--finish" in said


def test_one_without_a_common_name_is_shown_by_all_of_its_name(closed: Closed, tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "House")])
    environment = closed.of(users=APP, certificates=made(name).write(tmp_path / "ca"))
    environment.up()
    found = environment.certificates()
    assert [one.name for one in found if one.kind == "authority"] == ["O=House"]
    assert {one.says.issuer for one in found if one.kind in ("node", "user")} == {"O=House"}


def test_a_file_at_home_is_told_to_be_written_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    authority = {"key": "~/ca.key", "certificate": "~/ca.pem"}
    (tmp_path / "closed.yaml").write_text(json.dumps({"security": "tls", "certificates": {"authority": authority}}))
    assert run(["validate", "closed.yaml"]) == 65
    assert capsys.readouterr().err.count("write the whole path: ~ does not stand for your home directory here") == 2


def test_a_cluster_that_others_run_has_none_and_says_so_once(tmp_path: Path) -> None:
    section = HOUSE.write(tmp_path)
    with pytest.raises(InvalidEnvironment) as caught:
        Environment(name=NAME, bootstrap_servers="localhost:9092", certificates=section).validate()
    assert caught.value.why.count("certificates") == 1


def test_only_the_file_leads_to_another_one(closed: Closed, tmp_path: Path) -> None:
    section = HOUSE.write(tmp_path / "ca")
    kraft = closed.of(certificates=section, **KRAFT)
    kraft.up()
    with pytest.raises(UsageError, match="the file names the authority") as caught:
        kraft.up(UpOptions(rotation=Rotation.BEGIN))
    assert "`certificates`" in caught.value.hint


def test_the_one_of_zookeeper_rotates_alone(closed: Closed, tmp_path: Path) -> None:
    environment = closed.of(certificates=HOUSE.write(tmp_path / "ca"))
    environment.up()
    environment.up(UpOptions(rotation=Rotation.BEGIN))
    assert closed.files("zookeeper-1")["ensemble-ca.pem"].count(b"BEGIN CERTIFICATE") == 2
    environment.up(UpOptions(rotation=Rotation.FINISH))
    assert closed.files("zookeeper-1")["ensemble-ca.pem"].count(b"BEGIN CERTIFICATE") == 1
    assert closed.files("broker-1")["ca.pem"] == HOUSE.certificates


def test_one_that_ends_soon_and_one_that_others_can_read_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: Closed
) -> None:
    section = made(ends=NOW + 9 * DAY).write(tmp_path)
    environment = closed.of(certificates=section)
    environment.plan()
    assert [one.text for one in closed.told if isinstance(one, Notice)] == [
        "the authority of closed's certificates ends in 8 days: name another one in the file's `certificates`"
    ]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed.yaml").write_text(json.dumps({"security": "tls", "certificates": section}))
    assert run(["validate", "closed.yaml"]) == 0
    assert "others can read" not in capsys.readouterr().err
    (tmp_path / KEY).chmod(0o640)
    assert run(["validate", "closed.yaml"]) == 0
    assert f"others can read {tmp_path / KEY}" in capsys.readouterr().err
