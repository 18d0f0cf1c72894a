"""Secrets in files of this user alone."""

import os
import stat
from pathlib import Path

import pytest

from provision.errors import ProvisionError, Refused
from provision.home.place import Home
from provision.security.store import SecretStore


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return Home.at(tmp_path / "home").secrets("orders")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_each_file_is_its_users_alone_whatever_the_umask(store: SecretStore, umask: int) -> None:
    before = os.umask(umask)
    try:
        store.keep({"ca.key": b"one", "app.pem": b"two"})
        store.keep({"ca.key": b"other"})
    finally:
        os.umask(before)
    files = {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in store.directory.iterdir()}
    assert files == {"ca.key": (b"other", 0o600), "app.pem": (b"two", 0o600)}
    for directory in (store.directory, store.directory.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_what_is_kept_is_read_and_forgotten(store: SecretStore) -> None:
    assert (store.is_there, store.read("ca.key")) == (False, None)
    store.keep({"ca.key": b"one"})
    assert (store.is_there, store.read("ca.key"), store.read("other")) == (True, b"one", None)
    store.forget()
    store.forget()
    assert not store.directory.exists()


def test_the_same_content_is_not_written_again(store: SecretStore) -> None:
    store.keep({"ca.key": b"one"})
    written = store.path("ca.key").stat()
    store.keep({"ca.key": b"one"})
    assert store.path("ca.key").stat().st_ino == written.st_ino


def test_no_link_is_followed(store: SecretStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store.directory.parent.mkdir(parents=True, mode=0o700)
    store.directory.symlink_to(elsewhere)
    with pytest.raises(Refused, match="is a link"):
        store.keep({"ca.key": b"one"})
    with pytest.raises(Refused, match="is a link"):
        store.read("ca.key")
    with pytest.raises(Refused, match="is a link"):
        store.forget()
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_a_files_place_is_neither_read_nor_written_through(store: SecretStore, tmp_path: Path) -> None:
    store.keep({"other": b"x"})
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    store.path("ca.key").symlink_to(target)
    with pytest.raises(ProvisionError, match="cannot be read"):
        store.read("ca.key")
    with pytest.raises(ProvisionError, match="cannot be read"):
        store.keep({"ca.key": b"one"})
    assert target.read_bytes() == b"mine"


def test_its_passwords_are_those_of_all_users(store: SecretStore) -> None:
    assert store.passwords == frozenset()
    store.keep({"ca.key": b"one", "provision.password": b"two", "user-app.password": "thr\u00e9\u00e9".encode()})
    assert store.passwords == {"two", "thr\u00e9\u00e9"}
