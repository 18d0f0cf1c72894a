"""Why TLS fails is said in words: each wrong case is tried with OpenSSL itself on both sides."""

import datetime as dt
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.errors import Unavailable
from provision.kafka import library as _library  # noqa: F401 the library first
from provision.kafka import tls
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, ask, consumer
from provision.kafka.zookeeper import Keys, connected
from provision.security.certificates import Pair, Subject, issue, make_authority

from kafka.protocol.metadata import ApiVersionsRequest  # isort: skip

ASK_S = 20.0
AUTHORITY, STRANGER = make_authority("orders"), make_authority("orders")
HERE = Subject("provision", ("localhost", "127.0.0.1"))
LONG_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(days=1000)


@dataclass(frozen=True)
class Case:
    """What the broker is like, what the client has, and what is said of it."""

    told: str
    broker: Pair | None = issue(AUTHORITY, HERE)  # noqa: RUF009 one pair serves all
    client: Pair | None = None
    trusted: Pair = AUTHORITY
    asks: Pair | None = None
    """The authority whose client certificates it asks for."""
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED


CASES = {
    "a foreign authority": Case("its certificate is not accepted: .*(self.signed|issuer)", trusted=STRANGER),
    "an expired certificate": Case(
        "its certificate is not accepted: certificate has expired", broker=issue(AUTHORITY, HERE, LONG_AGO)
    ),
    "a certificate for another host": Case(
        "its certificate is not accepted: Hostname mismatch, certificate is not valid for 'localhost'",
        broker=issue(AUTHORITY, Subject("provision", ("elsewhere",))),
    ),
    "no client certificate": Case("it asks for a client certificate", asks=AUTHORITY),
    "no client certificate, with TLS 1.2": Case(
        "it asks for a client certificate|it and this client have no cipher .*, or it asks for a client certificate",
        asks=AUTHORITY,
        newest=ssl.TLSVersion.TLSv1_2,
    ),
    "a client certificate of a foreign authority": Case(
        "it asks for a client certificate that it knows", asks=AUTHORITY, client=issue(STRANGER, Subject("app"))
    ),
    "an expired client certificate": Case(
        "the client certificate has ended",
        asks=AUTHORITY,
        client=issue(AUTHORITY, Subject("app"), LONG_AGO),
    ),
    "TLS 1.1": Case("it speaks no version of TLS that is in use here", newest=ssl.TLSVersion.TLSv1_1),
    "a plain listener": Case("it does not speak TLS", broker=None),
}


def stored(file: Path, pair: Pair) -> str:
    file.write_bytes(pair.key + pair.certificate)
    return str(file)


@contextmanager
def listening(case: Case, directory: Path) -> Iterator[str]:
    """The address of a broker that shakes hands, reads something, and says no more; a plain one answers bytes."""
    context = None
    if case.broker:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(stored(directory / "broker.pem", case.broker))
        if case.newest < ssl.TLSVersion.TLSv1_2 and case.newest > 0:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = case.newest
        context.maximum_version = case.newest
        if case.asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(stored(directory / "clients.pem", Pair(b"", case.asks.certificate)))

    def serve() -> None:
        with suppress(OSError):  # the client goes, which is the test
            plain, _ = listener.accept()
            plain.settimeout(ASK_S)
            with context.wrap_socket(plain, server_side=True) if context else plain as connection:
                connection.recv(1024)
                if not context:
                    connection.sendall(b"\0\0\0\6\0\0\0\1\0\0")
                connection.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(ASK_S)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"localhost:{listener.getsockname()[1]}"
        finally:
            thread.join(ASK_S)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_wrong_is_told(case: Case, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(case.trusted.certificate)
    mine = stored(tmp_path / "client.pem", case.client) if case.client else None
    with listening(case, tmp_path) as address:
        access = Access({1: address}, "SSL", ca=str(ca), certificate=mine)
        with pytest.raises(NotAnswering, match=f"^TLS fails: ({case.told})"):
            ask(access, 1, ApiVersionsRequest(version=0), ASK_S)


class _Plain(socket.socket):
    """A connection that notes whether it is read from."""

    read = False

    def recv(self, *_arguments: int) -> bytes:
        self.read = True
        return b""


def test_on_a_connection_without_tls_nothing_is_waited_for_when_it_breaks() -> None:
    with _Plain() as connection, pytest.raises(BrokenPipeError), tls.alerted(connection):
        raise BrokenPipeError
    assert not connection.read


def test_zookeeper_is_asked_with_what_is_kept_of_the_files_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("", asks=AUTHORITY, client=issue(AUTHORITY, HERE))
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate)
    assert case.client
    keys = Keys(str(tmp_path / "ca.pem"), stored(tmp_path / "own.pem", case.client))
    made: list[str | None] = []
    make = ssl.create_default_context

    def counted(*, cafile: str | None = None) -> ssl.SSLContext:
        made.append(cafile)
        return make(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    for _ in range(2):
        with listening(case, tmp_path) as address, connected(address, keys, ASK_S) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            connection.sendall(b"srvr")
    assert len(made) == 1
    os.utime(keys.own, ns=(1, 1))
    with listening(case, tmp_path) as address, connected(address, keys, ASK_S) as connection:
        connection.sendall(b"srvr")
    assert made == [keys.authorities] * 2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_librarys_clients_are_not_opened_where_tls_cannot_come_about(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**_: object) -> None:
        pytest.fail("it would try again until its time is over")

    monkeypatch.setattr("kafka.KafkaConsumer", never)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(case.trusted.certificate)
    mine = stored(tmp_path / "client.pem", case.client) if case.client else None
    with listening(case, tmp_path) as address:
        access = Access({1: address}, "SSL", ca=str(ca), certificate=mine, down={2: "it has exited"})
        with pytest.raises(Unavailable, match="TLS does not come about") as caught:
            consumer(access)
    down, answer = caught.value.why.splitlines()
    assert down == "broker-2: it has exited"
    assert re.match(f"{address}: TLS fails: ({case.told})", answer)
