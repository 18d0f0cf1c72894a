"""The status of a ZooKeeper node, by the four-letter word `srvr` (ZooKeeper Administrator's Guide)."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from provision.common.patience import Patience
from provision.kafka.tls import context_of
from provision.security.ensemble import STATUS_WORD

# Sends the same request from inside, if no port is published; part of ZooKeeper.
FOUR_LETTER_WORD_MAIN = "org.apache.zookeeper.client.FourLetterWordMain"
SERVER_STATUS = STATUS_WORD

_MODE = re.compile(r"^Mode: (\w+)$", re.MULTILINE)


class Keys(Struct, frozen=True):
    """What lets us in where ZooKeeper is closed: PEM files of its authorities, and of our key with its certificate."""

    authorities: str
    own: str


@contextmanager
def connected(address: str, keys: Keys | None, timeout_s: float) -> Iterator[socket.socket]:
    """A connection to the node at `host:port`, by TLS if there are keys.

    Raises:
        OSError: there is none, the keys cannot be read, or one of the two does not let the other in.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as plain:
        if keys is None:
            yield plain
            return
        with context_of(keys.authorities, keys.own).wrap_socket(plain, server_hostname=host) as connection:
            yield connection


def server_status(address: str, keys: Keys | None = None, timeout_s: float = 2.0) -> str:
    """The answer of the node at `host:port` to `srvr`; empty when there is none in time.

    One that knows no TLS is asked without: it is still open, and is being closed.
    """
    try:
        return _status(address, keys, timeout_s)
    except TimeoutError:
        return ""
    except OSError:
        return server_status(address, None, timeout_s) if keys else ""


def _status(address: str, keys: Keys | None, timeout_s: float) -> str:
    answer, patience = b"", Patience(timeout_s)
    with connected(address, keys, timeout_s) as connection:
        connection.sendall(SERVER_STATUS.encode())
        while not patience.is_over and (chunk := connection.recv(4096)):
            answer += chunk
            connection.settimeout(max(patience.left_s, 0.001))
    return answer.decode(errors="replace")


def mode(status: str) -> str | None:
    """`standalone`, `leader` or `follower`, or None while the node is not part of a quorum."""
    found = _MODE.search(status)
    return found[1] if found else None


def has_quorum(modes: list[str | None]) -> bool:
    """Whether an ensemble whose nodes are in these modes has a leader and all its members."""
    if len(modes) == 1:
        return modes[0] == "standalone"
    return modes.count("leader") == 1 and modes.count("follower") == len(modes) - 1
