"""Host ports for `port: auto`: leased once for each node of an environment, kept until its `down`.

A lease coordinates the commands of one user; a bind test avoids ports of everybody else. Ports are searched below the
range of the operating system's ephemeral ports, from a position that depends on the environment's name, so that an
environment tends to get the same ports everywhere.
"""

import errno
import json
import os
import socket
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from provision.cluster.layout import LOOPBACK
from provision.common.notes import DamagedNote, Port, read_note
from provision.common.patience import Patience
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError
from provision.home.usable import made, unusable

PORTS = range(20000, 30000)
_LOCK_TIMEOUT_S = 30
_PAUSE_S = 0.05

# Linux refuses the loopback address if a socket has the port on all addresses, of IPv4 or both families; other systems
# have to be asked for all addresses too, and see no other loopback address there.
_PROBED = (LOOPBACK,) if sys.platform == "linux" else (LOOPBACK, "0.0.0.0")  # noqa: S104 asked, not served

Leases = dict[str, dict[str, int]]
_Noted = dict[str, dict[str, Port]]


class PortLeases:
    """The leases kept in one home directory."""

    def __init__(self, directory: Path, is_free: Callable[[int], bool] | None = None) -> None:
        self._file = directory / "ports.json"
        self._is_free = is_free or port_is_free

    def held(self, environment: str) -> frozenset[str]:
        """The names under which the environment has leased ports."""
        return frozenset(self._read().get(environment, ()))

    def propose(self, environment: str, nodes: Iterable[str], in_use: Mapping[str, int]) -> dict[str, int]:
        """The ports that `lease` would give, without recording them.

        Args:
            environment: its name.
            nodes: the names of the nodes that need a port.
            in_use: ports that nodes of this environment already have, and keep.
        """
        return self._complete(self._read(), environment, nodes, in_use)

    def lease(self, environment: str, nodes: Iterable[str], in_use: Mapping[str, int]) -> dict[str, int]:
        """A port for each node, recorded until `release`; nodes that had one keep it. Arguments as for `propose`."""
        with self._locked() as leases:
            given = self._complete(leases, environment, nodes, in_use)
            if given:
                leases[environment] = {**leases.get(environment, {}), **given}
            return given

    def release(self, environment: str, nodes: Collection[str] | None = None) -> None:
        """Release the ports of these nodes of an environment, or all of its ports."""
        if (nodes is None or nodes) and os.access(self._file, os.F_OK):
            with self._locked() as leases:
                left = {} if nodes is None else {n: p for n, p in leases.get(environment, {}).items() if n not in nodes}
                leases.pop(environment, None)
                if left:
                    leases[environment] = left

    def _complete(
        self, leases: Leases, environment: str, nodes: Iterable[str], in_use: Mapping[str, int]
    ) -> dict[str, int]:
        kept = {**leases.get(environment, {}), **in_use}
        taken = {port for other in leases.values() for port in other.values()} | set(in_use.values())
        free = self._free_ports(environment, taken)
        return {node: kept[node] if node in kept else next(free) for node in nodes}

    def _free_ports(self, environment: str, taken: set[int]) -> Iterator[int]:
        # The same ports each time, but others in another home, so that two users do not try the same at once.
        start = zlib.crc32(os.fsencode(f"{self._file.parent}/{environment}")) % len(PORTS)
        for step in range(len(PORTS)):
            port = PORTS[(start + step) % len(PORTS)]
            if port not in taken and self._is_free(port):
                yield port
        raise ProvisionError(f"no port from {PORTS[0]} to {PORTS[-1]} is free", hint="name ports in the file")

    @contextmanager
    def _locked(self) -> Iterator[Leases]:
        """The leases, locked against other commands and written back if the block changed them."""
        from filelock import FileLock, Timeout

        try:
            made(self._file.parent)
            with FileLock(f"{self._file}.lock", timeout=_LOCK_TIMEOUT_S):
                leases = self._read()
                before = json.dumps(leases)
                yield leases
                if json.dumps(leases) != before:
                    self._write(leases)
        except Timeout as error:
            raise ProvisionError("another command holds the port leases", why=f"{self._file}.lock") from error
        except OSError as error:
            raise unusable(self._file.parent, error.strerror or str(error)) from error

    def _read(self) -> Leases:
        if not os.access(self._file.parent, os.X_OK):  # where this user cannot look there are no leases of theirs
            return {}
        try:
            return read_note(self._file, _Noted) or {}
        except DamagedNote as error:
            raise ProvisionError(
                f"{self._file} is damaged", why=str(error), hint="delete it; running environments keep their ports"
            ) from error

    def _write(self, leases: Leases) -> None:
        write_whole(self._file, json.dumps(leases, indent=2, sort_keys=True) + "\n")


class PortState(Enum):
    """Whether this user can listen on a port of the loopback address."""

    FREE = auto()
    TAKEN = auto()
    FORBIDDEN = auto()


def port_state(port: int) -> PortState:
    """The state of a port, found out by binding it.

    Raises:
        ProvisionError: this machine has no loopback address.
    """
    for address in _PROBED:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # a port that a stopped cluster used a moment ago is free, though the kernel still remembers connections
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return PortState.TAKEN
                if isinstance(error, PermissionError):
                    return PortState.FORBIDDEN
                raise ProvisionError(f"cannot open a port on {address}", why=error.strerror or str(error)) from error
    return PortState.FREE


def port_is_free(port: int) -> bool:
    """Whether nothing else uses that port of the loopback address, and this user may."""
    return port_state(port) is PortState.FREE


def port_becomes_free(port: int, patience_s: float) -> bool:
    """Whether the port is free, now or within that time."""
    patience = Patience(patience_s)
    while not (free := port_is_free(port)) and patience.pause(_PAUSE_S):
        pass
    return free
