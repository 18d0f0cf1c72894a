"""Connections with TLS, and why one fails: in words, not in codes of OpenSSL alone."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import UsageError
from provision.kafka.access import Access

if TYPE_CHECKING:
    import ssl

_ALERT_S = 0.1
_CAUSES = (
    (r"WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE", "it does not speak TLS"),
    (r"ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL", "it speaks no version of TLS that is in use here"),
    (r"ALERT_CERTIFICATE_REQUIRED", "it asks for a client certificate"),
    (r"ALERT_CERTIFICATE_EXPIRED", "the client certificate has ended"),
    (r"ALERT_(UNKNOWN_CA|.*CERTIFICATE)", "it asks for a client certificate that it knows"),
    (r"ALERT_HANDSHAKE_FAILURE", "it and this client have no cipher in common, or it asks for a client certificate"),
    (r"UNEXPECTED_EOF_WHILE_READING", "the connection is closed"),
)
"""What is wrong, by what OpenSSL (1.1 to 3) calls the reason; alerts are what the broker says."""


def cause(error: "ssl.SSLError") -> str:
    """What is wrong, from this client's point of view, and what OpenSSL says of it."""
    if said := getattr(error, "verify_message", ""):
        return f"its certificate is not accepted: {said.rstrip('.')}"
    reason = error.reason or ""
    known = next((words for pattern, words in _CAUSES if re.search(pattern, reason)), "")
    return f"{known} ({reason})" if known else reason or str(error)


def is_final(error: "ssl.SSLError") -> bool:
    """Whether it comes again however often it is tried: not if the connection was just closed."""
    reason = error.reason or ""
    return bool(getattr(error, "verify_message", "")) or any(re.search(pattern, reason) for pattern, _ in _CAUSES[:-1])


def wrapped(plain: socket.socket, host: str, access: Access) -> "ssl.SSLSocket":
    """The connection with TLS, after the handshake.

    Args:
        plain: connected, with a timeout.
        host: the name or address that the broker's certificate must have.
        access: has the files.

    Raises:
        UsageError: the files cannot be read.
        OSError: the handshake fails (`ssl.SSLError`), or the connection.
    """
    files = (access.ca, access.certificate)
    try:
        context = context_of(*files)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "strerror", None) or str(error)
        named = " or ".join(file for file in files if file)
        raise UsageError(f"the certificates cannot be read from {named}", why=why) from error
    return context.wrap_socket(plain, server_hostname=host)


def context_of(ca: str | None, certificate: str | None) -> "ssl.SSLContext":
    """By which authorities a client trusts others, and its own key and certificate, if it has any.

    What is in the files is read once, and again when they have changed.

    Raises:
        OSError: they cannot be read, or are no certificates (`ssl.SSLError`).
        ValueError: their paths are none.
    """
    return _context(ca, certificate, tuple(Path(file).stat().st_mtime_ns if file else 0 for file in (ca, certificate)))


@contextmanager
def alerted(connection: socket.socket) -> Iterator[None]:
    """While something is sent: an error gives way to what the broker has said, if it has.

    With TLS 1.3 a broker looks at a client's certificate only after the handshake, so that it is the first request that
    meets a closed connection; the reason has come before that and waits to be read.

    Raises:
        ssl.SSLError: the broker's alert.
        OSError: anything else, as it was raised inside.
    """
    try:
        yield
    except OSError as error:
        if alert := _alert(connection):
            raise alert from error
        raise


def _alert(connection: socket.socket) -> OSError | None:
    import ssl

    if not isinstance(connection, ssl.SSLSocket):
        return None
    try:
        connection.settimeout(_ALERT_S)
        connection.recv(1)
    except OSError as said:
        return said if "_ALERT_" in (getattr(said, "reason", None) or "") else None
    return None


@lru_cache(maxsize=8)
def _context(ca: str | None, certificate: str | None, changed_ns: tuple[int, ...]) -> "ssl.SSLContext":  # noqa: ARG001 other versions of the files are read again
    import ssl

    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(certificate)
    return context
