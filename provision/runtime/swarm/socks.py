"""What a client tells a SOCKS5 proxy before its connection begins (RFC 1928), with a password (RFC 1929)."""

import hmac
import socket

_VERSION, _CONNECT, _NAME, _IPV4 = 5, 1, 3, 1
_BY_PASSWORD, _BY_NOTHING_KNOWN, _PASSWORD_VERSION = 2, 0xFF, 1
SUCCEEDED, REFUSED, _NOT_SUPPORTED = 0, 5, 7


class NotProxied(Exception):
    """What a client asks for is not to be had: it is no SOCKS, of another kind, or from somebody else."""


def requested(client: socket.socket, password: str) -> tuple[str, int]:
    """The host, by its name, and the port to which a client wants to be connected; it is not answered yet.

    Raises:
        NotProxied: it does not know the password, or wants something else.
    """
    version, count = _read(client, 2)
    if version != _VERSION or _BY_PASSWORD not in _read(client, count):
        client.sendall(bytes([_VERSION, _BY_NOTHING_KNOWN]))
        raise NotProxied
    client.sendall(bytes([_VERSION, _BY_PASSWORD]))
    _, length = _read(client, 2)
    _read(client, length)
    given = _read(client, _read(client, 1)[0])
    is_known = hmac.compare_digest(given, password.encode())
    client.sendall(bytes([_PASSWORD_VERSION, 0 if is_known else 1]))
    if not is_known:
        raise NotProxied
    _, command, _, kind = _read(client, 4)
    if command != _CONNECT or kind != _NAME:
        answer(client, _NOT_SUPPORTED)
        raise NotProxied
    host = _read(client, _read(client, 1)[0]).decode("ascii", "replace")
    return host, int.from_bytes(_read(client, 2), "big")


def answer(client: socket.socket, code: int) -> None:
    """Tell a client what became of its request."""
    client.sendall(bytes([_VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0]))


def _read(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = client.recv(size - len(found))
        if not data:
            raise NotProxied
        found += data
    return found
