"""Connections through a SOCKS5 proxy (RFC 1928), which finds the host by its name; with a password (RFC 1929)."""

import socket
from urllib.parse import urlsplit

from provision.kafka.access import Access

_CONNECT_BY_NAME = b"\x05\x01\x00\x03"
_BY_PASSWORD, _KNOWN, _CONNECTED = b"\x05\x02", b"\x01\x00", b"\x05\x00"
_REST_BYTES = 8  # of the answer: an IPv4 address and a port, of no use


def proxied(access: Access) -> dict[str, str]:
    """The option with which a client of kafka-python uses the proxy, if there is one."""
    return {"proxy_url": access.proxy} if access.proxy else {}


def connected(host: str, port: int, proxy: str, timeout_s: float) -> socket.socket:
    """A connection to a host, through the proxy with that URL if it is not empty.

    Raises:
        OSError: there is none; `ConnectionRefusedError` also if the proxy cannot connect.
    """
    if not proxy:
        return socket.create_connection((host, port), timeout=timeout_s)
    at = urlsplit(proxy)
    connection = socket.create_connection((at.hostname, at.port or 0), timeout=timeout_s)
    try:
        _ask(connection, b"\x05\x01\x02", _BY_PASSWORD)
        _ask(connection, b"\x01" + _sized(at.username or "") + _sized(at.password or ""), _KNOWN)
        _ask(connection, _CONNECT_BY_NAME + _sized(host) + port.to_bytes(2, "big"), _CONNECTED)
        _read(connection, _REST_BYTES)
    except BaseException:
        connection.close()
        raise
    return connection


def _sized(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _ask(connection: socket.socket, request: bytes, wanted: bytes) -> None:
    connection.sendall(request)
    if _read(connection, len(wanted)) != wanted:
        raise ConnectionRefusedError("the proxy does not connect")


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = connection.recv(size - len(found))
        if not data:
            raise ConnectionRefusedError("the proxy closes the connection")
        found += data
    return found
