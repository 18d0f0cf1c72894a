"""Every advertised address, asked from this machine, from the environment's network, and from another network."""

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

from msgspec import Struct

from provision.cluster.layout import LOOPBACK
from provision.cluster.model import Role
from provision.plan.observed import ObservedNode
from provision.runtime.health import Asker, Probe, Reached
from provision.security.ensemble import STATUS_WORD

ASK_S = 3.0
# An ApiVersions request (KIP-35), version 0: any broker answers it, whatever it thinks of the client.
_BROKER = bytes.fromhex("0000000a 0012 0000 00000001 0000".replace(" ", ""))
_ZOOKEEPER = STATUS_WORD.encode()
_CLOSED = "secureClientPort"
"""The key of ZooKeeper's file for a port that is."""
_ADVERTISED = "advertised.listeners"
_LOOPBACKS = (LOOPBACK, "localhost", "::1")
_MOST = 16


class Reach(Struct, frozen=True):
    """Whether an address answers from somewhere, and whether it should.

    `listener` is its name in Kafka; empty for ZooKeeper. `why` is why it does not answer; empty if it does, None if it
    could not be asked from there.
    """

    node: str
    listener: str
    address: str
    asker: Asker
    expected: bool
    why: str | None

    @property
    def answers(self) -> bool | None:
        """Whether it answers; None if it could not be asked."""
        return None if self.why is None else not self.why

    @property
    def differs(self) -> bool:
        """Whether it is not as expected."""
        return self.answers is not None and self.answers != self.expected

    def as_dict(self) -> dict[str, Any]:
        """The row as `doctor -o json` shows it."""
        return {
            "node": self.node,
            "listener": self.listener or None,
            "address": self.address,
            "from": str(self.asker),
            "expected": self.expected,
            "answers": self.answers,
            "why": self.why or None,
        }


class Advertised(Struct, frozen=True):
    """An address that a node advertises to clients or other nodes."""

    node: str
    listener: str
    address: str
    closed: bool = False

    @property
    def probe(self) -> Probe:
        """How it is asked; one that is closed to all without a certificate answers at least whoever begins with TLS."""
        if Role.parse(self.node)[0] is not Role.ZOOKEEPER:
            return Probe(self.address, _BROKER)
        return Probe(self.address, _client_hello() if self.closed else _ZOOKEEPER)


@cache
def _client_hello() -> bytes:
    """What a client of TLS sends first."""
    import ssl

    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(received, sent, server_hostname=LOOPBACK)
    with suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return sent.read()


def advertised(
    node: ObservedNode, settings: Mapping[str, str], told: str, inside: str, asked: str | None = None
) -> Iterator[Advertised]:
    """The addresses of a node.

    Args:
        node: the node.
        settings: those in its file.
        told: the address that clients on this machine are told, which may have been changed since; empty if unknown.
        inside: where it is for the others, which for ZooKeeper is not in its file.
        asked: the address of its listener that told it, if that is not the first one.
    """
    asked = asked or node.endpoint
    listeners = [one.strip().partition("://") for one in settings.get(_ADVERTISED, "").split(",") if one.strip()]
    for listener, _, address in listeners:
        yield Advertised(node.name, listener, told if told and address == asked else address)
    if told and told not in (address for _, _, address in listeners) and not _has(listeners, asked):
        yield Advertised(node.name, "", told)
    if node.role == Role.ZOOKEEPER:
        for address in dict.fromkeys(filter(None, (inside, node.endpoint))):
            yield Advertised(node.name, "", address, closed=_CLOSED in settings)


def _has(listeners: Iterable[tuple[str, str, str]], address: str | None) -> bool:
    return any(one == address for _, _, one in listeners)


def expected(address: str, asker: Asker, *, own_network: bool, names: Collection[str] = ()) -> bool:
    """Whether an address should answer there: published ones on this machine, others in the nodes' network.

    Args:
        address: the address.
        asker: where it is asked.
        own_network: whether the nodes have a network of their own, so that their names are known only there.
        names: those names, if ports are published elsewhere than on the loopback address.
    """
    if not own_network:
        return asker is not Asker.ELSEWHERE
    return asker is (Asker.NETWORK if _is_inside(address, names) else Asker.HOST)


def _is_inside(address: str, names: Collection[str]) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in names if names else host not in _LOOPBACKS


def matrix(
    addresses: Sequence[Advertised],
    answers: Mapping[Asker, Reached | None],
    *,
    own_network: bool,
    names: Collection[str] = (),
) -> tuple[Reach, ...]:
    """The rows: each address from each place; `answers` is None for a place from where nothing could be asked.

    A port of another machine may answer in containers too, or not: that says nothing. The rest is as for `expected`.
    """
    return tuple(
        Reach(
            one.node,
            one.listener,
            one.address,
            asker,
            expected(one.address, asker, own_network=own_network, names=names),
            None if reached is None else reached.get(one.address),
        )
        for one in addresses
        for asker, reached in answers.items()
        if not names or asker is Asker.HOST or _is_inside(one.address, names)
    )


def asked_from_here(probes: Iterable[Probe]) -> Reached:
    """Ask from this machine, all at once."""
    wanted = list(dict.fromkeys(probes))
    with ThreadPoolExecutor(max_workers=_MOST) as pool:
        return dict(zip((one.address for one in wanted), pool.map(_ask, wanted), strict=True))


def _ask(probe: Probe) -> str:
    host, _, port = probe.address.rpartition(":")
    if not port.isdecimal():
        return "it is no address"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_S) as connection:
            connection.settimeout(ASK_S)
            connection.sendall(probe.request)
            return "" if connection.recv(1) else "the connection is closed"
    except TimeoutError:
        return f"no answer within {ASK_S:g} s"
    except (OSError, OverflowError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
