"""Certificates: what is issued is good for whom it was issued for, and for nobody else, as OpenSSL judges it."""

import datetime as dt
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.common.values import replace
from provision.security.certificates import Pair, Subject, is_good, issue, make_authority, shown
from provision.security.material import parted

AUTHORITY, STRANGER = make_authority("orders"), make_authority("orders")
SERVER = Subject("provision", ("127.0.0.1", "localhost", "orders-broker-1"))
CLIENT = Subject("app")


def stored(directory: Path, name: str, pair: Pair) -> str:
    file = directory / f"{name}.pem"
    file.write_bytes(pair.key + pair.certificate)
    return str(file)


def shaken(directory: Path, *, called: str, trusted: Pair, server: Pair, client: Pair | None) -> str:
    """A TLS handshake in which both show a certificate and ask for one; the common name that the server sees."""
    ca = directory / "ca.pem"
    ca.write_bytes(trusted.certificate)
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_cert_chain(stored(directory, "server", server))
    calling = ssl.create_default_context(cafile=str(ca))
    if client:
        calling.load_cert_chain(stored(directory, "client", client))
    near, far = socket.socketpair()
    seen: list[str] = []

    def serve() -> None:
        try:
            with listening.wrap_socket(far, server_side=True) as connection:
                shown: Any = connection.getpeercert()
                seen.append(dict(part[0] for part in shown["subject"])["commonName"])
                connection.sendall(b"in")
        except ssl.SSLError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with near, calling.wrap_socket(near, server_hostname=called) as connection:
            assert connection.recv(2) == b"in"  # only now is the client's certificate judged in TLS 1.3
    finally:
        thread.join(timeout=30)
    return seen[0]


@pytest.mark.parametrize("called", SERVER.names)
def test_who_is_issued_a_certificate_is_let_in_by_every_name_of_the_server(tmp_path: Path, called: str) -> None:
    server, client = issue(AUTHORITY, SERVER), issue(AUTHORITY, CLIENT)
    assert shaken(tmp_path, called=called, trusted=AUTHORITY, server=server, client=client) == "app"


YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
OVER = (YESTERDAY, dt.timedelta(days=1))


@pytest.mark.parametrize(
    ("called", "server", "client"),
    [
        pytest.param("127.0.0.2", issue(AUTHORITY, SERVER), issue(AUTHORITY, CLIENT), id="another address"),
        pytest.param("orders-broker-2", issue(AUTHORITY, SERVER), issue(AUTHORITY, CLIENT), id="another name"),
        pytest.param("localhost", issue(STRANGER, SERVER), issue(AUTHORITY, CLIENT), id="a stranger's server"),
        pytest.param("localhost", issue(AUTHORITY, SERVER), issue(STRANGER, CLIENT), id="a stranger's client"),
        pytest.param("localhost", issue(AUTHORITY, SERVER), None, id="no certificate"),
        pytest.param("localhost", issue(AUTHORITY, CLIENT), issue(AUTHORITY, CLIENT), id="a client's for a server"),
        pytest.param("localhost", issue(AUTHORITY, SERVER, *OVER), issue(AUTHORITY, CLIENT), id="server's is over"),
        pytest.param("localhost", issue(AUTHORITY, SERVER), issue(AUTHORITY, CLIENT, *OVER), id="client's is over"),
    ],
)
def test_nobody_else_is(tmp_path: Path, called: str, server: Pair, client: Pair | None) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        shaken(tmp_path, called=called, trusted=AUTHORITY, server=server, client=client)


@pytest.mark.parametrize("subject", [SERVER, CLIENT], ids=["server", "client"])
def test_a_certificate_is_kept_until_a_month_before_its_end(subject: Subject) -> None:
    pair = issue(AUTHORITY, subject)
    end = shown(pair.certificate)[0].ends
    assert is_good(pair, AUTHORITY, subject)
    assert is_good(pair, AUTHORITY, subject, end - dt.timedelta(days=31))
    assert not is_good(pair, AUTHORITY, subject, end - dt.timedelta(days=29))


@pytest.mark.parametrize("subject", [SERVER, CLIENT], ids=["server", "client"])
def test_no_certificate_ends_after_its_authority_and_none_is_made_anew_in_vain(subject: Subject) -> None:
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=3640)
    ending = make_authority("orders", long_ago)
    pair = issue(ending, subject)
    (own,), (above,) = shown(pair.certificate), shown(ending.certificate)
    assert own.ends == above.ends
    assert is_good(pair, ending, subject)
    assert not is_good(pair, ending, subject, own.ends)
    later = own.ends + dt.timedelta(days=1)
    assert is_good(issue(ending, subject, later), ending, subject, later)


@pytest.mark.parametrize("subject", [SERVER, CLIENT], ids=["server", "client"])
def test_a_certificate_of_the_future_is_not_kept(subject: Subject) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    pair = issue(AUTHORITY, subject, later)
    (says,) = shown(pair.certificate)
    assert not is_good(pair, AUTHORITY, subject)
    assert not says.has_begun()
    assert not is_good(pair, AUTHORITY, subject, says.begins - dt.timedelta(seconds=1))
    assert is_good(pair, AUTHORITY, subject, says.begins)
    assert says.has_begun(says.begins)


def test_a_certificate_is_not_kept_for_another_subject_or_authority() -> None:
    pair = issue(AUTHORITY, SERVER)
    assert not is_good(pair, STRANGER, SERVER)
    assert not is_good(pair, AUTHORITY, CLIENT)
    assert not is_good(pair, AUTHORITY, replace(SERVER, names=("localhost",)))
    assert not is_good(replace(pair, certificate=b"nothing"), AUTHORITY, SERVER)


def test_no_text_of_a_pair_has_its_key() -> None:
    pair = issue(AUTHORITY, CLIENT)
    assert pair.key.decode().splitlines()[1] not in repr(pair)
    assert "PRIVATE KEY" not in repr(pair)


def test_a_file_with_both_is_parted_and_another_is_not() -> None:
    pair = issue(AUTHORITY, CLIENT)
    assert parted(pair.key + pair.certificate) == pair
    assert [parted(content) for content in (b"", pair.key, pair.certificate, b"\0")] == [None] * 4


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_stands_in_a_certificates_place_is_just_not_good(content: bytes) -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n"
    assert not is_good(Pair(b"", damaged), AUTHORITY, SERVER)
