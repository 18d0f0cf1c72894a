"""The one place that opens connections to brokers: the library's clients, and requests to a particular broker.

The library's clients choose the broker they ask. Readiness must ask each broker over a given listener, and give up in
time; so `ask` uses the library's codec (`KafkaProtocol`, which does no I/O) on a plain socket.
"""

import importlib
import re
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from provision.cluster.model import Role
from provision.common.endpoints import LAST_PORT
from provision.common.patience import Patience
from provision.errors import KafkaRefused, Unavailable, UsageError
from provision.kafka import tls
from provision.kafka.access import Access, Credentials
from provision.kafka.proxies import connected, proxied

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

CLIENT_ID = "provision"
REQUEST_TIMEOUT_S = 30.0
"""How long a client waits for a response, and for a first broker to connect to."""
RECONNECT_MS = 1000
"""The longest pause before a client tries again to reach a broker. Only then does it ask others who leads instead.

The libraries' own, 10 and 30 s, double with each attempt: longer than the cluster needs to have another leader.
"""
_LOOK_S = 2.0
_CREATES_NOTHING = {"allow_auto_create_topics": False}
_CHUNK = 64 * 1024
_UNSUPPORTED_MECHANISM = 33
_TLS_ALERT = b"\x15\x03"  # as the length of a response, it would be far too much
_HANDSHAKE_VERSION = _AUTHENTICATE_VERSION = 1

Answer = TypeVar("Answer")


class NotAnswering(Exception):
    """The broker does not answer (yet), or not in time; the text gives the symptom."""


class NotServing(NotAnswering):
    """Nobody serves the connection: it is refused, reset or closed.

    While a container starts, the engine accepts connections to its published port, and resets or closes them, now one
    and now the other.
    """


class NotLettingIn(NotAnswering):
    """The broker asks for what this client does not have, or is not trusted; waiting does not change that."""


class _Closing(NotServing):
    """The connection is closed without a word."""


# -- whole-cluster clients --------------------------------------------------------------------------------------------


def admin_client(access: Access, timeout_s: float | None = None) -> "KafkaAdminClient":
    """A client for changes, which waits so long for each response; the caller closes it.

    Raises:
        Unavailable: no broker answers in time.
        KafkaRefused: the credentials are not accepted.
    """
    from kafka import KafkaAdminClient

    limit_ms = int((timeout_s or REQUEST_TIMEOUT_S) * 1000)
    limits = {"bootstrap_timeout_ms": limit_ms, "request_timeout_ms": limit_ms}
    return cast("KafkaAdminClient", _opened(KafkaAdminClient, access, client_id=CLIENT_ID, **limits))


def consumer(access: Access, **options: object) -> "KafkaConsumer":
    """A client that reads, and never creates a topic; `options` are the library's own. Raises as `admin_client`."""
    from kafka import KafkaConsumer

    client = cast("KafkaConsumer", _opened(KafkaConsumer, access, **options, **_CREATES_NOTHING))
    client._cluster.config |= _CREATES_NOTHING  # noqa: SLF001 the library (3.0.12) does not hand the option on
    client._cluster._last_refresh_ms = 0  # noqa: SLF001 it pauses for 0.1 s after its bootstrap, before any metadata
    return client


def producer(access: Access, **options: object) -> "KafkaProducer":
    """A client that writes, and never creates a topic; `options` are the library's own. Raises as `admin_client`."""
    from kafka import KafkaProducer

    return cast("KafkaProducer", _opened(KafkaProducer, access, client_id=CLIENT_ID, **options, **_CREATES_NOTHING))


def _opened(client: Any, access: Access, **options: object) -> Any:  # noqa: ANN401 the library's classes
    from provision.kafka.library import keep_time

    from provision.kafka.translation import translated

    keep_time()
    if not access.brokers:
        hint = "`provision status` shows the nodes"
        raise Unavailable("no broker can be reached", why=access.why_down, hint=hint)
    doing = f"connecting to {access.bootstrap_servers}"
    symptoms = _symptoms(access, doing)
    access = _answering(access)
    try:
        with translated(doing):
            return client(
                **access.client_options(), **proxied(access), **options, reconnect_backoff_max_ms=RECONNECT_MS
            )
    except Unavailable as error:
        error.add(*symptoms)
        raise


def _answering(access: Access) -> Access:
    """Access to those brokers that answer, or to all if none does.

    The library would wait for one that listens and says nothing as long as it is allowed to wait for all of them.
    """
    if len(access.brokers) == 1:
        return access
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.metadata import ApiVersionsRequest

    answers = ask_side_by_side(
        {broker: partial(ask, access, broker, ApiVersionsRequest(version=0), _LOOK_S) for broker in access.brokers}
    )
    answering = {
        broker: access.brokers[broker] for broker, answer in answers.items() if not isinstance(answer, NotAnswering)
    }
    return access.to(answering) if answering else access


def _symptoms(access: Access, doing: str) -> list[str]:
    """Why secured listeners do not answer, one line each, which the library's clients only log; none if one does.

    Raises:
        Unavailable: with none of them TLS comes about; the library would try again as long as it may.
        KafkaRefused: the credentials are not accepted.
    """
    if not (access.authenticated or access.encrypted):
        return []
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.metadata import ApiVersionsRequest

    found: dict[str, NotAnswering] = {}
    for broker, address in access.brokers.items():
        try:
            ask(access, broker, ApiVersionsRequest(version=0), REQUEST_TIMEOUT_S)
        except NotAnswering as reason:
            found[address] = reason
        else:
            return []
    down = [f"{Role.BROKER.node(broker)}: {reason}" for broker, reason in access.down.items()]
    lines = [*down, *(f"{address}: {reason}" for address, reason in found.items())]
    if all(isinstance(reason, NotLettingIn) for reason in found.values()):
        raise Unavailable(
            f"{doing}: TLS does not come about", why="\n".join(lines), hint="`provision status` shows the brokers"
        )
    return lines


# -- one request to one broker ----------------------------------------------------------------------------------------


def ask(access: Access, broker: int, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 the library's request and response classes
    """Send one request to one broker and return its response.

    Args:
        access: how it is reached.
        broker: which of `access.brokers`.
        request: a request of `kafka.protocol`, with its version set.
        timeout_s: for the whole exchange, from connecting to the last byte.

    Raises:
        NotServing: nothing listens, or the connection is closed.
        NotLettingIn: it asks for TLS, for a certificate or for a password, or this client does not trust it.
        NotAnswering: anything else is wrong, or the timeout has passed.
        KafkaRefused: the credentials are not accepted.
        UsageError: it is no address.
    """
    try:
        return _asked(access, broker, request, timeout_s)
    except _Closing as error:
        if mechanisms := _asks_for(access, broker):
            raise NotLettingIn(f"it asks for a password (SASL {', '.join(mechanisms)})") from error
        raise


def _asks_for(access: Access, broker: int) -> Sequence[str]:
    """By which SASL mechanisms a listener lets clients in that closes the connection of one without a password."""
    if access.authenticated:
        return ()
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.sasl import SaslHandshakeRequest

    handshake = SaslHandshakeRequest(mechanism="none of them", version=_HANDSHAKE_VERSION)
    try:
        answer = _asked(access, broker, handshake, _LOOK_S)
    except NotAnswering:  # it has no SASL, or does not serve
        return ()
    return list(answer.mechanisms) if answer.error_code == _UNSUPPORTED_MECHANISM else ()


def _asked(access: Access, broker: int, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 as above
    # Loading the library takes 0.15 s, which commands that ask no broker are spared.
    import ssl

    import provision.kafka.library  # noqa: F401 the library first
    from kafka.errors import KafkaError

    host, port = _host_and_port(access.brokers[broker])
    patience = Patience(timeout_s)
    try:
        with connected(host, port, access.proxy, timeout_s) as plain:
            connection = tls.wrapped(plain, host, access) if access.encrypted else plain
            with connection:
                conversation = _Conversation(connection, patience)
                conversation.authenticate(access)
                return conversation.ask(request)
    except ssl.SSLError as error:
        kind = NotLettingIn if tls.is_final(error) else NotAnswering
        raise kind(f"TLS fails: {tls.cause(error)}") from error
    except TimeoutError as error:
        raise NotAnswering("it does not answer in time") from error
    except ConnectionRefusedError as error:
        raise NotServing("it does not listen yet") from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise NotServing((error.strerror or str(error)).lower()) from error
    except OSError as error:
        raise NotAnswering((error.strerror or str(error)).lower()) from error
    except KafkaError as error:
        raise NotAnswering(str(error) or type(error).__name__) from error
    except UnicodeError as error:  # of the host's name
        raise NotAnswering(f"{host} cannot be the name of a host") from error
    except (struct.error, ValueError, LookupError) as error:  # what the library's codec makes of other bytes
        raise NotAnswering("it does not speak Kafka's protocol") from error


def ask_any(access: Access, request: Callable[[], Any], doing: str) -> Any:  # noqa: ANN401 the library's classes
    """Send a request to the brokers in turn, until one answers.

    Args:
        access: how they are reached.
        request: creates the request; each broker gets a new one.
        doing: names the operation in an error, for example `reading quotas`.

    Raises:
        Unavailable: none answers; gives the reason for each.
        KafkaRefused: the credentials are not accepted.
    """
    silent = {Role.BROKER.node(broker): reason for broker, reason in access.down.items()}
    for broker, address in access.brokers.items():
        try:
            return ask(access, broker, request(), REQUEST_TIMEOUT_S)
        except NotAnswering as reason:
            silent[address] = str(reason)
    why = "\n".join(f"{address}: {reason}" for address, reason in silent.items())
    raise Unavailable(f"{doing}: no broker answers", why=why, hint="`provision status` shows them")


def _host_and_port(address: str) -> tuple[str, int]:
    bracketed, _, port = address.rpartition(":")
    if not bracketed or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= LAST_PORT:
        hint = "an address is HOST:PORT, for example 127.0.0.1:9092"
        raise UsageError(f"{address!r} is not the address of a broker", hint=hint)
    return bracketed.strip("[]"), int(port)  # brackets of an IPv6 address


class _Conversation:
    """Requests and their responses, one at a time, over one connection."""

    def __init__(self, connection: socket.socket, patience: Patience) -> None:
        import provision.kafka.library  # noqa: F401 the library first
        from kafka.protocol.parser import KafkaProtocol

        self._connection, self._patience = connection, patience
        self._protocol = KafkaProtocol(client_id=CLIENT_ID)

    def ask(self, request: Any) -> Any:  # noqa: ANN401 the library's classes
        self._protocol.send_request(request)
        with tls.alerted(self._connection):
            self._connection.sendall(self._protocol.send_bytes())
        while True:
            self._connection.settimeout(max(self._patience.left_s, 0.001))
            data = self._connection.recv(_CHUNK)
            if not data:
                raise _Closing("it closes the connection")
            if data.startswith(_TLS_ALERT):
                raise NotLettingIn("it asks for TLS")
            for _, response in self._protocol.receive_bytes(data):
                return response
            if self._patience.is_over:  # it may send for ever
                raise TimeoutError

    def authenticate(self, access: Access) -> None:
        """Authenticate if the listener's protocol has SASL and there are credentials (KIP-43, KIP-152)."""
        if access.credentials is None or not access.authenticated:
            return
        import provision.kafka.library  # noqa: F401 the library first
        from kafka.errors import KafkaConfigurationError
        from kafka.net.sasl import get_sasl_mechanism
        from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

        mechanism = access.credentials.mechanism
        handshake = SaslHandshakeRequest(mechanism=mechanism, version=_HANDSHAKE_VERSION)
        self._require_accepted(self.ask(handshake), access.credentials)
        try:
            client = get_sasl_mechanism(mechanism)(**access.sasl_options(), security_protocol=access.protocol)
        except (KeyError, KafkaConfigurationError) as error:
            raise UsageError(f"provision cannot authenticate with {mechanism}") from error
        while not client.is_done():
            request = SaslAuthenticateRequest(auth_bytes=client.auth_bytes(), version=_AUTHENTICATE_VERSION)
            answer = self.ask(request)
            self._require_accepted(answer, access.credentials)
            client.receive(answer.auth_bytes)

    @staticmethod
    def _require_accepted(answer: Any, credentials: Credentials) -> None:  # noqa: ANN401 the library's classes
        if code := answer.error_code:
            import provision.kafka.library  # noqa: F401 the library first
            from kafka.errors import for_code

            why = getattr(answer, "error_message", None) or for_code(code).__name__
            raise KafkaRefused(f"Kafka does not let {credentials.username} in", why=why)


def ask_side_by_side(questions: Mapping[int, Callable[[], Answer]]) -> dict[int, Answer | NotAnswering]:
    """Ask several brokers concurrently; for each that does not answer, its `NotAnswering` takes the answer's place.

    Args:
        questions: what to call for each, by broker id. The modules of the client library that it needs must be loaded
            already: they import each other in a circle, which several threads at once would trip over.
    """

    def asked(question: Callable[[], Answer]) -> Answer | NotAnswering:
        try:
            return question()
        except NotAnswering as reason:
            return reason

    if not questions:
        return {}
    importlib.import_module("provision.kafka.library")
    if len(questions) == 1:  # no thread is started for it
        return {broker: asked(question) for broker, question in questions.items()}
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        return dict(zip(questions, pool.map(asked, questions.values()), strict=True))
