"""The status of a ZooKeeper node, by the four-letter word `srvr` (ZooKeeper Administrator's Guide)."""

import re
import socket

from provision.common.patience import Patience

# Sends the same request from inside, if no port is published; part of ZooKeeper.
FOUR_LETTER_WORD_MAIN = "org.apache.zookeeper.client.FourLetterWordMain"
SERVER_STATUS = "srvr"

_MODE = re.compile(r"^Mode: (\w+)$", re.MULTILINE)


def server_status(address: str, timeout_s: float = 2.0) -> str:
    """The answer of the node at `host:port` to `srvr`; empty when there is none in time."""
    host, _, port = address.rpartition(":")
    answer, patience = b"", Patience(timeout_s)
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.sendall(SERVER_STATUS.encode())
            while not patience.is_over and (chunk := connection.recv(4096)):
                answer += chunk
                connection.settimeout(max(patience.left_s, 0.001))
    except OSError:
        return ""
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
