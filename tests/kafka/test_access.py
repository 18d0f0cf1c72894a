"""The way in: what is told to clients and to brokers for each protocol, and that nobody else learns a password."""

import base64
import contextlib
import hashlib
import hmac
import pickle
import shutil
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors as library
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from provision.common.values import replace
from provision.errors import KafkaRefused, ProvisionError, Unavailable
from provision.kafka import connection
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import NotAnswering, ask, ask_any, ask_side_by_side
from tests.certificates import Authority
from tests.kafka.scripted import serving
from tests.refusing import refusing

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PASSWORD = "w0nderland-0f-s3crets"  # noqa: S105 of nobody
ALICE = Credentials("PLAIN", "alice", PASSWORD)
PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL = "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
ASK_S = 20.0

# -- what it is -------------------------------------------------------------------------------------------------------

addresses = st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,8}:[1-9][0-9]{0,4}", fullmatch=True), min_size=1, max_size=6)
passwords = st.text(min_size=1, max_size=40)
credentials = st.builds(Credentials, st.sampled_from(MECHANISMS), st.text(max_size=10), passwords)
accesses = st.builds(
    Access,
    st.dictionaries(st.integers(-5, 1005), st.from_regex(r"[a-z]+:[1-9][0-9]{0,4}", fullmatch=True), max_size=5),
    st.sampled_from([PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL]),
    st.none() | credentials,
    st.none() | st.just("/etc/ca.pem"),
)


@given(access=accesses, known=credentials, other=passwords)
def test_no_text_of_it_depends_on_the_password(access: Access, known: Credentials, other: str) -> None:
    one, another = replace(access, credentials=known), replace(access, credentials=replace(known, password=other))
    for shown in (repr, str, "{}".format, "{!r:>300}".format, lambda value: f"{[value]} { ({1: value}) }"):
        assert shown(one) == shown(another)
        assert shown(known) == shown(replace(known, password=other))
    assert repr(known.mechanism) in repr(one)
    assert repr(known.username) in repr(one)


@given(access=accesses)
def test_it_is_a_value_that_can_be_kept(access: Access) -> None:
    assert pickle.loads(pickle.dumps(access)) == access  # noqa: S301 our own


@given(servers=addresses)
def test_addresses_with_unknown_brokers_come_in_their_order_with_ids_that_no_broker_has(servers: list[str]) -> None:
    access = Access.at(",".join(servers))
    assert list(access.brokers.values()) == servers
    assert all(broker < 0 for broker in access.brokers)
    assert access.bootstrap_servers == ",".join(servers)
    assert (access.protocol, access.credentials, access.ca) == (PLAINTEXT, None, None)


@given(access=accesses, brokers=st.dictionaries(st.integers(1, 9), st.just("x:1")), broker=st.integers(-5, 1005))
def test_another_choice_of_brokers_is_reached_in_the_same_way(
    access: Access, brokers: dict[int, str], broker: int
) -> None:
    assert access.to(brokers) == replace(access, brokers=brokers)
    left = access.without(broker)
    assert left == access.to(left.brokers)
    assert list(left.brokers.items()) == [(one, at) for one, at in access.brokers.items() if one != broker]


# -- what clients are told --------------------------------------------------------------------------------------------

SASL = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "alice", "sasl_plain_password": PASSWORD}
CA = {"ssl_cafile": "/etc/ca.pem"}
OPTIONS = [
    pytest.param(PLAINTEXT, None, None, {}, id="plaintext"),
    pytest.param(PLAINTEXT, None, "/etc/ca.pem", {}, id="plaintext trusts nobody"),
    pytest.param(SSL, None, None, {}, id="tls, by the system's authorities"),
    pytest.param(SSL, None, "/etc/ca.pem", CA, id="tls, by one authority"),
    pytest.param(SASL_PLAINTEXT, ALICE, None, SASL, id="sasl"),
    pytest.param(SASL_PLAINTEXT, ALICE, "/etc/ca.pem", SASL, id="sasl trusts nobody"),
    pytest.param(SASL_SSL, ALICE, None, SASL, id="sasl over tls, by the system's authorities"),
    pytest.param(SASL_SSL, ALICE, "/etc/ca.pem", SASL | CA, id="sasl over tls, by one authority"),
    *(
        pytest.param(SASL_SSL, replace(ALICE, mechanism=name), None, SASL | {"sasl_mechanism": name}, id=name)
        for name in MECHANISMS
    ),
]
SERVERS = {1: "one:9092", 2: "two:9092"}
CLIENT = SimpleNamespace(_cluster=SimpleNamespace(config={}))
OPENERS: Mapping[str, Callable[..., Any]] = {
    "KafkaAdminClient": connection.admin_client,
    "KafkaConsumer": connection.consumer,
}


@pytest.mark.parametrize(("protocol", "credentials", "ca", "options"), OPTIONS)
@pytest.mark.parametrize("client", OPENERS)
def test_each_client_is_told_what_it_takes_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    client: str,
    protocol: str,
    credentials: Credentials | None,
    ca: str | None,
    options: dict[str, str],
) -> None:
    opened: list[dict[str, Any]] = []

    def opens(**given: object) -> object:
        opened.append(given)
        return CLIENT

    monkeypatch.setattr(f"kafka.{client}", opens)
    access = Access(SERVERS, protocol, credentials, ca)
    expected = {"bootstrap_servers": ["one:9092", "two:9092"], "security_protocol": protocol, **options}
    assert access.client_options() == expected
    assert OPENERS[client](access) is CLIENT
    (given,) = opened
    assert {key: value for key, value in given.items() if key in expected} == expected
    assert not {key for key in given if key.startswith(("sasl_", "ssl_"))} - expected.keys()


def test_options_of_the_library_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []

    def opens(**given: object) -> object:
        opened.append(given)
        return CLIENT

    monkeypatch.setattr("kafka.KafkaConsumer", opens)
    connection.consumer(Access(SERVERS), request_timeout_ms=7)
    own = {"allow_auto_create_topics": False, "reconnect_backoff_max_ms": connection.RECONNECT_MS}
    assert opened == [{**Access(SERVERS).client_options(), **own, "request_timeout_ms": 7}]


def test_the_limit_of_a_client_for_changes_is_that_of_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr("kafka.KafkaAdminClient", lambda **given: opened.append(given))
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_S", 2.5)
    connection.admin_client(Access(SERVERS))
    assert [(one["bootstrap_timeout_ms"], one["request_timeout_ms"]) for one in opened] == [(2500, 2500)]


@pytest.mark.parametrize("client", OPENERS)
@pytest.mark.parametrize(
    ("error", "ours", "exit_code"),
    [
        (library.KafkaTimeoutError("Unable to bootstrap"), Unavailable, 69),
        (library.KafkaConnectionError("refused"), Unavailable, 69),
        (library.SaslAuthenticationFailedError("Invalid username or password"), KafkaRefused, 1),
        (library.UnsupportedSaslMechanismError("PLAIN"), KafkaRefused, 1),
    ],
)
def test_a_client_that_does_not_open_fails_with_the_addresses_and_without_the_password(
    monkeypatch: pytest.MonkeyPatch, client: str, error: Exception, ours: type[ProvisionError], exit_code: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(f"kafka.{client}", fail)
    with pytest.raises(ProvisionError) as caught:
        OPENERS[client](Access(SERVERS, SASL_SSL, ALICE))
    assert (type(caught.value), caught.value.exit_code) == (ours, exit_code)
    assert "connecting to one:9092,two:9092" in caught.value.what
    assert str(error) in caught.value.why
    assert PASSWORD not in f"{caught.value.what} {caught.value.why} {caught.value.hint}"


# -- what a broker is told --------------------------------------------------------------------------------------------

QUESTION = partial(ApiVersionsRequest, version=0)
HANDSHAKE, AUTHENTICATE, ASKED = SaslHandshakeRequest, SaslAuthenticateRequest, ApiVersionsRequest
REQUESTS: Mapping[int, Any] = {request.API_KEY: request for request in (HANDSHAKE, AUTHENTICATE, ASKED)}
Exchange = Callable[[bytes], "bytes | str"]
"""Answers what a client says of itself; a text is the reason why it is not let in."""


class Door(socketserver.ThreadingTCPServer):
    """A broker that lets somebody in, or not, and knows one question.

    Args:
        mechanisms: those of SASL that it takes.
        exchange: makes what answers one client.
        tls: speaks TLS so.
    """

    daemon_threads = True

    def __init__(
        self,
        mechanisms: tuple[str, ...] = (),
        exchange: Callable[[], Exchange] = lambda: lambda _said: "nobody",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.mechanisms, self.exchange, self.tls = mechanisms, exchange, tls
        self.asked: list[type[Any]] = []
        self.said: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Visit)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """The handshake of TLS is left to the visit: it may take long."""
        visitor, address = super().get_request()
        if self.tls is None:
            return visitor, address
        return self.tls.wrap_socket(visitor, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 as the base has it
        """Whoever does not trust it hangs up."""


class _Visit(socketserver.StreamRequestHandler):
    server: Door

    def handle(self) -> None:
        exchange = self.server.exchange()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        while size := self.rfile.read(4):
            frame = self.rfile.read(*struct.unpack(">i", size))
            kind, version = struct.unpack(">hh", frame[:4])
            asked = REQUESTS[kind].decode(frame, version=version, header=True)
            self.server.asked.append(REQUESTS[kind])
            response = self._response(asked, exchange)
            response.API_VERSION = version
            response.with_header(correlation_id=asked.header.correlation_id)
            self.wfile.write(response.encode(header=True, framed=True))

    def _response(self, asked: Any, exchange: Exchange) -> Any:  # noqa: ANN401 the library's classes
        match asked:
            case SaslHandshakeRequest():
                code = 0 if asked.mechanism in self.server.mechanisms else 33 if self.server.mechanisms else 34
                return SaslHandshakeResponse(error_code=code, mechanisms=list(self.server.mechanisms))
            case SaslAuthenticateRequest():
                self.server.said.append(bytes(asked.auth_bytes))
                answer = exchange(bytes(asked.auth_bytes))
                code, message, said = (58, answer or None, b"") if isinstance(answer, str) else (0, None, answer)
                return SaslAuthenticateResponse(
                    error_code=code, error_message=message, auth_bytes=said, session_lifetime_ms=0
                )
            case _:
                return ApiVersionsResponse(error_code=0, api_keys=[])


@contextmanager
def door(*arguments: Any, **options: Any) -> Iterator[Door]:  # noqa: ANN401 as the class takes them
    with Door(*arguments, **options) as broker, serving(broker):
        yield broker


def answered(access: Access) -> bool:
    """Whether broker 1 answers the question."""
    return bool(ask(access, 1, QUESTION(), ASK_S).error_code == 0)


def at(broker: Door, protocol: str, credentials: Credentials | None = None, ca: str | None = None) -> Access:
    return Access({1: f"localhost:{broker.port}"}, protocol, credentials, ca)


def plain(users: Mapping[str, str]) -> Callable[[], Exchange]:
    """Lets those in who know their password (RFC 4616)."""

    def exchange(said: bytes) -> bytes | str:
        _, user, password = said.decode().split("\0")
        return b"" if users.get(user) == password else "Authentication failed: Invalid username or password"

    return lambda: exchange


def scram(
    users: Mapping[str, str], digest: Callable[..., Any], *, lies: Mapping[int, bytes] | None = None
) -> Callable[[], Exchange]:
    """Lets those in who prove that they know their password, and proves that it knows it too (RFC 5802).

    Args:
        users: their passwords.
        digest: of `hashlib`.
        lies: what it says in place of its first or second answer.
    """

    def exchange() -> Exchange:
        heard: list[bytes] = []

        def keyed(key: bytes, text: bytes) -> bytes:
            return hmac.new(key, text, digest).digest()

        def honest(said: bytes) -> bytes | str:
            first = heard[0].removeprefix(b"n,,")
            user, nonce = (part[2:] for part in first.split(b","))
            challenge = b"r=%sserver,s=%s,i=4096" % (nonce, base64.b64encode(b"salt"))
            if len(heard) == 1:
                return challenge
            salted = hashlib.pbkdf2_hmac(digest().name, users.get(user.decode(), "?").encode(), b"salt", 4096)
            bare, _, proof = said.rpartition(b",p=")
            text = b",".join((first, challenge, bare))
            client_key = keyed(salted, b"Client Key")
            signature = keyed(digest(client_key).digest(), text)
            right = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
            if base64.b64decode(proof) != right:
                return "Authentication failed during authentication due to invalid credentials"
            return b"v=" + base64.b64encode(keyed(keyed(salted, b"Server Key"), text))

        def one(said: bytes) -> bytes | str:
            heard.append(said)
            answer = honest(said)
            return (lies or {}).get(len(heard), answer)

        return one

    return exchange


USERS = {"alice": PASSWORD, "bob": "größer 😀, as=it,is"}
EXCHANGES = {
    "PLAIN": plain(USERS),
    "SCRAM-SHA-256": scram(USERS, hashlib.sha256),
    "SCRAM-SHA-512": scram(USERS, hashlib.sha512),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.at(tmp_path_factory.mktemp("certificates") / "trusted")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.at(tmp_path_factory.mktemp("certificates") / "stranger")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("DNS:localhost"))
    return context


def test_in_plaintext_it_is_only_asked() -> None:
    with door() as broker:
        assert answered(at(broker, PLAINTEXT))
    assert broker.asked == [ASKED]


def test_over_tls_it_is_only_asked(authority: Authority, tls: ssl.SSLContext) -> None:
    with door(tls=tls) as broker:
        assert answered(at(broker, SSL, ca=authority.ca))
    assert broker.asked == [ASKED]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_with_credentials_it_is_told_first_who_asks(
    authority: Authority, tls: ssl.SSLContext, mechanism: str, user: str
) -> None:
    who = Credentials(mechanism, user, USERS[user])
    for protocol, context, ca in ((SASL_PLAINTEXT, None, None), (SASL_SSL, tls, authority.ca)):
        with door((mechanism,), EXCHANGES[mechanism], context) as broker:
            assert answered(at(broker, protocol, who, ca))
        assert broker.asked == [HANDSHAKE, *[AUTHENTICATE] * (1 if mechanism == "PLAIN" else 2), ASKED]
        assert all((USERS[user].encode() in said) is (mechanism == "PLAIN") for said in broker.said)


@pytest.mark.parametrize("protocol", [PLAINTEXT, SSL])
def test_credentials_are_told_to_nobody_over_a_protocol_that_has_none(
    authority: Authority, tls: ssl.SSLContext, protocol: str
) -> None:
    """The library's clients leave them out too."""
    with door(("PLAIN",), EXCHANGES["PLAIN"], tls if protocol == SSL else None) as broker:
        assert answered(at(broker, protocol, ALICE, authority.ca))
    assert broker.asked == [ASKED]
    assert broker.said == []


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("alice", ""), ("nobody", PASSWORD)])
def test_who_is_not_let_in_is_told_so_in_kafkas_words(mechanism: str, user: str, password: str) -> None:
    with door((mechanism,), EXCHANGES[mechanism]) as broker, pytest.raises(KafkaRefused) as caught:
        answered(at(broker, SASL_PLAINTEXT, Credentials(mechanism, user, password)))
    assert caught.value.what == f"Kafka does not let {user} in"
    assert caught.value.why.startswith("Authentication failed")
    assert not password or password not in f"{caught.value.why} {caught.value.hint}"
    assert ASKED not in broker.asked


def test_a_refusal_without_a_word_has_kafkas_name_for_it() -> None:
    with door(("PLAIN",), lambda: lambda _said: "") as broker, pytest.raises(KafkaRefused) as caught:
        answered(at(broker, SASL_PLAINTEXT, ALICE))
    assert caught.value.why == "SaslAuthenticationFailedError"


@pytest.mark.parametrize(
    ("taken", "why"),
    [(("GSSAPI",), "UnsupportedSaslMechanismError"), ((), "IllegalSaslStateError")],
    ids=["another", "none"],
)
@pytest.mark.parametrize("mechanism", [*MECHANISMS, "OAUTHBEARER", "SCRAM-SHA-1024"])
def test_a_mechanism_that_the_broker_does_not_take_is_refused_before_a_password_is_told(
    mechanism: str, taken: tuple[str, ...], why: str
) -> None:
    with door(taken) as broker, pytest.raises(KafkaRefused) as caught:
        answered(at(broker, SASL_PLAINTEXT, replace(ALICE, mechanism=mechanism)))
    assert (caught.value.what, caught.value.why) == ("Kafka does not let alice in", why)
    assert (broker.asked, broker.said) == ([HANDSHAKE], [])


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param({2: b"v=" + base64.b64encode(b"x" * 32)}, id="it does not know the password"),
        pytest.param({2: b"e=other-error"}, id="an error at the end"),
        pytest.param({2: b"v=?"}, id="a proof that is none"),
        pytest.param({1: b"r=another,s=c2FsdA==,i=4096"}, id="another nonce"),
        pytest.param({1: b"e=other-error"}, id="an error"),
        pytest.param({1: b"nonsense"}, id="nonsense"),
        pytest.param({1: b""}, id="nothing"),
        pytest.param({1: b"\xff\xfe"}, id="no text"),
    ],
)
def test_a_broker_that_cannot_prove_itself_is_not_asked(lies: dict[int, bytes]) -> None:
    """Whoever listens there is not the broker, or not one that can be talked to: a reason, not an accident."""
    who = replace(ALICE, mechanism="SCRAM-SHA-256")
    impostor = scram(USERS, hashlib.sha256, lies=lies)
    with door(("SCRAM-SHA-256",), impostor) as broker, pytest.raises((NotAnswering, KafkaRefused)) as caught:
        answered(at(broker, SASL_PLAINTEXT, who))
    assert PASSWORD not in str(caught.value)
    assert ASKED not in broker.asked


# -- whom it trusts ---------------------------------------------------------------------------------------------------


def test_a_broker_of_another_authority_is_not_trusted(stranger: Authority, tls: ssl.SSLContext) -> None:
    for ca in (stranger.ca, None):  # the system's do not know it either
        with door(tls=tls) as broker, pytest.raises(NotAnswering, match="TLS fails: its certificate is not accepted: "):
            answered(at(broker, SASL_SSL, ALICE, ca))
        assert (broker.asked, broker.said) == ([], [])


def test_a_broker_under_another_name_is_not_trusted(authority: Authority, tls: ssl.SSLContext) -> None:
    with door(("PLAIN",), EXCHANGES["PLAIN"], tls) as broker:
        access = at(broker, SASL_SSL, ALICE, authority.ca)
        assert answered(access)
        with pytest.raises(NotAnswering, match="TLS fails: its certificate is not accepted: IP address mismatch"):
            answered(access.to({1: f"127.0.0.1:{broker.port}"}))
    assert broker.asked.count(HANDSHAKE) == 1


def test_another_file_in_the_place_of_the_authoritys_is_read(
    authority: Authority, stranger: Authority, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """The library's clients read it whenever they connect."""
    ca = tmp_path / "ca.pem"
    with door(tls=tls) as broker:
        shutil.copy(stranger.ca, ca)
        with pytest.raises(NotAnswering, match="TLS fails"):
            answered(at(broker, SSL, ca=str(ca)))
        shutil.copy(authority.ca, ca)
        assert answered(at(broker, SSL, ca=str(ca)))


@pytest.mark.parametrize("content", [None, "", "no certificate\n"], ids=["missing", "empty", "something else"])
def test_a_file_without_an_authority_is_named(tls: ssl.SSLContext, tmp_path: Path, content: str | None) -> None:
    """It is the user's file that is wrong: no broker will answer better if it is asked again."""
    ca = tmp_path / "authority.pem"
    if content is not None:
        ca.write_text(content)
    with door(tls=tls) as broker, pytest.raises((ProvisionError, NotAnswering)) as caught:
        answered(at(broker, SSL, ca=str(ca)))
    assert "authority.pem" in f"{caught.value} {getattr(caught.value, 'why', '')}"


def test_tls_and_plaintext_do_not_understand_each_other(authority: Authority, tls: ssl.SSLContext) -> None:
    with door(tls=tls) as broker, pytest.raises(NotAnswering):
        answered(at(broker, PLAINTEXT))
    with door() as broker, pytest.raises(NotAnswering):
        ask(at(broker, SSL, ca=authority.ca), 1, QUESTION(), 1.0)
    assert broker.asked == []


@pytest.mark.parametrize("protocol", [PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL])
def test_silence_is_bounded_whatever_is_spoken(authority: Authority, protocol: str) -> None:
    who = ALICE if protocol.startswith("SASL") else None
    with socket.create_server(("127.0.0.1", 0)) as server:
        access = Access({1: f"127.0.0.1:{server.getsockname()[1]}"}, protocol, who, authority.ca)
        with pytest.raises(NotAnswering, match="it does not answer in time"):
            ask(access, 1, QUESTION(), 0.2)


@pytest.mark.parametrize("protocol", [PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL])
def test_nobody_there_is_the_same_whatever_is_spoken(authority: Authority, unused: int, protocol: str) -> None:
    access = Access({1: f"127.0.0.1:{unused}"}, protocol, ALICE, authority.ca)
    with pytest.raises(NotAnswering, match="it does not listen yet"):
        answered(access)


def test_an_address_of_ipv6_is_written_with_brackets() -> None:
    """As Kafka's own clients have it; a broker that is not there is told from a name that is none."""
    with contextlib.ExitStack() as stack:
        try:
            port = stack.enter_context(refusing("::1"))
        except OSError:
            pytest.skip("there is no IPv6 here")
        with pytest.raises(NotAnswering, match="it does not listen yet"):
            answered(Access({1: f"[::1]:{port}"}))


# -- several of them --------------------------------------------------------------------------------------------------


@pytest.fixture
def unused() -> Iterator[int]:
    """A port on which nobody listens."""
    with refusing() as port:
        yield port


def test_the_first_that_answers_is_asked_and_no_other(unused: int) -> None:
    with door() as first, door() as second:
        access = Access({n: f"127.0.0.1:{port}" for n, port in enumerate((unused, first.port, second.port), start=1)})
        assert ask_any(access, QUESTION, "asking").error_code == 0
    assert (first.asked, second.asked) == ([ASKED], [])


def test_where_none_answers_each_has_its_reason(unused: int) -> None:
    with refusing() as other:
        access = Access({1: f"127.0.0.1:{unused}", 2: f"localhost:{other}"})
        with pytest.raises(Unavailable) as caught:
            ask_any(access, QUESTION, "reading quotas")
    assert caught.value.what == "reading quotas: no broker answers"
    assert caught.value.why.splitlines() == [f"{one}: it does not listen yet" for one in access.brokers.values()]
    assert caught.value.exit_code == 69


def test_who_is_refused_by_one_is_not_announced_to_the_next() -> None:
    wrong = replace(ALICE, password="wrong")  # noqa: S106 of nobody
    with door(("PLAIN",), EXCHANGES["PLAIN"]) as first, door(("PLAIN",), EXCHANGES["PLAIN"]) as second:
        access = Access({1: f"127.0.0.1:{first.port}", 2: f"127.0.0.1:{second.port}"}, SASL_PLAINTEXT, wrong)
        with pytest.raises(KafkaRefused, match="Kafka does not let alice in"):
            ask_any(access, QUESTION, "reading quotas")
    assert (first.asked, second.asked) == ([HANDSHAKE, AUTHENTICATE], [])


def test_side_by_side_silence_is_an_answer_and_a_refusal_is_not(unused: int) -> None:
    wrong = replace(ALICE, password="wrong")  # noqa: S106 of nobody
    with door(("PLAIN",), EXCHANGES["PLAIN"]) as broker:
        good = at(broker, SASL_PLAINTEXT, ALICE)
        silent = good.to({1: f"127.0.0.1:{unused}"})
        answers = ask_side_by_side({1: partial(answered, good), 2: partial(answered, silent)})
        assert answers[1] is True
        assert isinstance(answers[2], NotAnswering)
        refused = replace(good, credentials=wrong)
        with pytest.raises(KafkaRefused, match="Kafka does not let alice in"):
            ask_side_by_side({1: partial(answered, refused)})
        with pytest.raises(KafkaRefused, match="Kafka does not let alice in"):
            ask_side_by_side({1: partial(answered, refused), 2: partial(answered, silent)})
        (alone,) = ask_side_by_side({2: partial(answered, silent)}).values()
        assert isinstance(alone, NotAnswering)
    assert ask_side_by_side({}) == {}


def test_for_a_single_question_no_thread_is_started() -> None:
    assert ask_side_by_side({1: threading.get_ident}) == {1: threading.get_ident()}
    assert threading.get_ident() not in ask_side_by_side({1: threading.get_ident, 2: threading.get_ident}).values()
