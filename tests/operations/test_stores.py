"""Stores for Java clients: nothing of somebody else's is overwritten, and no link is followed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from provision.errors import ProvisionError, Refused
from provision.operations.stores import Stores, make_stores, stores_beside, stores_in, write_below
from provision.security.certificates import Subject, issue, make_authority

AUTHORITY, OTHER = make_authority("orders"), make_authority("payments")
PAIR = issue(AUTHORITY, Subject("app"))
OWN = PAIR.key + PAIR.certificate


def made(directory: Path) -> Stores:
    """A truststore and a keystore."""
    return stores_in(directory, AUTHORITY.certificate, "user-app", OWN)


def write(file: Path, content: bytes, mode: int = 0o600) -> None:
    file.write_bytes(content)
    file.chmod(mode)


def beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.password")


def sealed_by_another(store: Path) -> None:
    other = store.parent / "other"
    stores_in(other, OTHER.certificate).write()
    (other / "truststore.p12").rename(store)


def sealed_by_another_word(store: Path) -> None:
    sealed_by_another(store)
    write(beside(store), b"a-word")


def link(at: Path) -> None:
    target = at.with_name("target")
    write(target, b"somebody else's")
    at.symlink_to(target)


THERE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no store": (lambda store: write(store, b"a plain file"), "is there already, and is left as it is"),
    "an empty file": (lambda store: write(store, b""), "is there already, and is left as it is"),
    "another's without a password": (sealed_by_another, "is there already, and is left as it is"),
    "another's with another password": (sealed_by_another_word, "is there already, and is left as it is"),
    "a link": (link, "is a link, which is not followed"),
    "a link to nothing": (lambda store: store.symlink_to(store.with_name("nothing")), "is a link"),
    "a link at the password": (lambda store: link(beside(store)), "is a link, which is not followed"),
    "a directory": (lambda store: store.mkdir(), "cannot write"),
    "a directory at the password": (lambda store: beside(store).mkdir(), "cannot write"),
    "a password that others can read": (lambda store: write(beside(store), b"a-word", 0o644), "has no password for a"),
    "an empty password": (lambda store: write(beside(store), b"\n"), "has no password for a"),
    "two lines": (lambda store: write(beside(store), b"one\ntwo\n"), "has no password for a"),
    "other characters": (lambda store: write(beside(store), "wörd".encode()), "has no password for a"),
}


@pytest.mark.parametrize("name", ["truststore.p12", "user-app.p12"])
@pytest.mark.parametrize("case", THERE)
def test_what_was_not_written_so_stays_as_it_is(tmp_path: Path, case: str, name: str) -> None:
    there, message = THERE[case]
    there(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ProvisionError, match=message) as caught:
        made(tmp_path).write()
    assert isinstance(caught.value, Refused) is (message != "cannot write")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_only_the_files_named_like_the_configuration_are_written(tmp_path: Path) -> None:
    for name in ("truststore.p12", "user-app.p12", "other.truststore.p12"):
        write(tmp_path / name, b"the project's own")
    stores = stores_beside(tmp_path / "client.properties", AUTHORITY.certificate, "app", OWN)
    assert len(list(tmp_path.iterdir())) == 3
    names = [f"client.{kind}.p12{suffix}" for kind in ("truststore", "keystore") for suffix in (".password", "")]
    assert [path.name for path in stores.write()] == names
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() != b"the project's own"} == set(names)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_password_of_ones_own_is_taken_whatever_ends_its_line(tmp_path: Path, end: bytes) -> None:
    write(tmp_path / "user-app.p12.password", b"a word of mine" + end)
    for _ in range(2):
        made(tmp_path).write()
        key, _, _ = pkcs12.load_key_and_certificates((tmp_path / "user-app.p12").read_bytes(), b"a word of mine")
        assert key


def test_a_link_in_the_place_of_a_file_in_pem_is_not_followed(tmp_path: Path) -> None:
    link(tmp_path / "ca.pem")
    with pytest.raises(Refused, match="is a link"):
        write_below(tmp_path, {"other.pem": b"", "ca.pem": b"new"})
    assert (tmp_path / "target").read_bytes() == b"somebody else's"
    assert not (tmp_path / "other.pem").exists()


def test_nothing_is_written_before_it_is_asked_for(tmp_path: Path) -> None:
    paths = (tmp_path / "a", tmp_path / "b")
    assert make_stores(paths, AUTHORITY.certificate, "", None).own is None
    assert not list(tmp_path.iterdir())
