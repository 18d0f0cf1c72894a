"""Host ports for `port: auto`: leased once for each node of an environment, kept until its `down`.

A lease coordinates the commands of one user; a bind test avoids ports of everybody else. Ports are searched below the
range of the operating system's ephemeral ports, from a position that depends on the environment's name, so that an
environment tends to get the same ports everywhere.

An environment can end without a `down` that knows of this home: by hand, or by another machine. So a lease says where
its environment is, also for one that needs no ports of ours: it is the home's only memory of it if an engine does not
answer. It is reclaimed if nothing of the environment is there, unless a command of this home has its lock: that may not
have created anything yet. No clock decides, nor a process id, which another machine cannot look at.
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
from typing import Annotated, Any

from msgspec import Struct, field
from pydantic import BeforeValidator

from provision.cluster.layout import LOOPBACK
from provision.common.notes import DamagedNote, Note, Port, read_note
from provision.common.patience import Patience
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError
from provision.home.locks import HomeLock
from provision.home.usable import made, unusable

PORTS = range(20000, 30000)
_LOCK_TIMEOUT_S = 30
_PAUSE_S = 0.05
# A port that an ended node had is free a moment later.
_KEPT_S = 1.0

# Linux refuses the loopback address if a socket has the port on all addresses, of IPv4 or both families; other systems
# have to be asked for all addresses too, and see no other loopback address there.
_PROBED = (LOOPBACK,) if sys.platform == "linux" else (LOOPBACK, "0.0.0.0")  # noqa: S104 asked, not served


class _Lease(Note):
    """The ports of an environment by name, and the place of its runtime.

    The place is empty if it is not known, as in old files, or could be several.
    """

    ports: dict[str, Port]
    place: str = ""


def _former(value: Any) -> Any:  # noqa: ANN401 whatever the file has
    """A lease as earlier versions wrote it: only the ports."""
    return {"ports": value} if isinstance(value, dict) and "ports" not in value else value


_Leases = dict[str, _Lease]
_Noted = dict[str, Annotated[_Lease, BeforeValidator(_former)]]

Known = Callable[[str], Collection[str] | None]
"""The environments at the place of a runtime (`Runtime.place`; with an empty one, of all); None if it is not known."""


def _not_known(_place: str) -> None:
    return None


class Situation(Struct, frozen=True):
    """What else matters for the choice of ports.

    `place` is where the environment will be (`Runtime.place`). `present` are its existing nodes, which may be listening
    on their ports; None if they are not known. `taken` are ports that must be given up: they turned out to be somebody
    else's, when a node was started, or the file names them for something else. `known` tells which other environments
    there are. `named` are all that the file names, which are not chosen.
    """

    place: str = ""
    present: frozenset[str] | None = None
    taken: frozenset[int] = frozenset()
    known: Known = field(default=_not_known)
    named: frozenset[int] = frozenset()


ALONE = Situation()


class PortLeases:
    """The leases kept in one home directory."""

    def __init__(self, directory: Path, is_free: Callable[[int], bool] | None = None) -> None:
        self._file = directory / "ports.json"
        self._is_free = is_free or port_is_free
        self._stays_free = is_free or (lambda port: port_becomes_free(port, _KEPT_S))

    def held(self, environment: str) -> frozenset[str]:
        """The names under which the environment has leased ports."""
        return frozenset(self.of(environment))

    def of(self, environment: str) -> Mapping[str, int]:
        """The environment's leased ports, by name."""
        lease = self._read().get(environment)
        return lease.ports if lease else {}

    def propose(
        self, environment: str, nodes: Iterable[str], in_use: Mapping[str, int], situation: Situation = ALONE
    ) -> dict[str, int]:
        """The ports that `lease` would give, without recording them.

        Args:
            environment: its name.
            nodes: the names of the nodes that need a port.
            in_use: ports that nodes of this environment already have, and keep.
            situation: what else matters.
        """
        return self._complete(self._read(), environment, nodes, in_use, situation)

    def lease(
        self, environment: str, nodes: Iterable[str], in_use: Mapping[str, int], situation: Situation = ALONE
    ) -> dict[str, int]:
        """A port for each node, recorded until `release`; nodes that had one keep it. Arguments as for `propose`."""
        with self._locked() as leases:
            given = self._complete(leases, environment, nodes, in_use, situation)
            if given:
                self._put(leases, environment, given, situation.place)
            return given

    def note_place(self, environment: str, place: str) -> None:
        """Note where an environment is (`Runtime.place`), which may need no ports of ours."""
        with self._locked() as leases:
            self._put(leases, environment, {}, place)

    @staticmethod
    def _put(leases: _Leases, environment: str, ports: Mapping[str, int], place: str) -> None:
        before = leases.get(environment) or _Lease(ports={}, place=place)
        at = place if before.place == place else ""  # either may have it
        leases[environment] = _Lease(ports={**before.ports, **ports}, place=at)

    def forget_place(self, environment: str) -> None:
        """Forget where an environment is that is not there after all, unless it still has ports."""
        if os.access(self._file, os.F_OK):
            with self._locked() as leases:
                if environment in leases and not leases[environment].ports:
                    del leases[environment]

    def release(self, environment: str, nodes: Collection[str] | None = None) -> None:
        """Release the ports of these nodes of an environment, or all of its ports."""
        if (nodes is None or nodes) and os.access(self._file, os.F_OK):
            with self._locked() as leases:
                if lease := leases.pop(environment, None):
                    left = {} if nodes is None else {n: p for n, p in lease.ports.items() if n not in nodes}
                    if left:
                        leases[environment] = lease.model_copy(update={"ports": left})

    def reclaim(self, known: Known, *, dry_run: bool = False) -> tuple[str, ...]:
        """Release the ports of environments that are gone; returns their names. With `dry_run` nothing is released."""
        if not os.access(self._file, os.F_OK):
            return ()
        if dry_run:
            return self._gone(self._read(), known)
        with self._locked() as leases:
            return self._drop(leases, known)

    def _drop(self, leases: _Leases, known: Known, spared: str = "") -> tuple[str, ...]:
        gone = tuple(name for name in self._gone(leases, known) if name != spared)
        for name in gone:
            del leases[name]
        return gone

    def _gone(self, leases: Mapping[str, _Lease], known: Known) -> tuple[str, ...]:
        """The environments of which certainly nothing is there.

        Locks are looked at first: what a command created before it ended is there when the runtimes are asked.
        """
        ended = {name: lease for name, lease in leases.items() if not HomeLock(self._file.parent, name).is_held}
        there = {place: known(place) for place in {lease.place for lease in ended.values()}}
        found = ((name, there[lease.place]) for name, lease in ended.items())
        return tuple(sorted(name for name, names in found if names is not None and name not in names))

    def _complete(
        self,
        leases: _Leases,
        environment: str,
        nodes: Iterable[str],
        in_use: Mapping[str, int],
        situation: Situation,
    ) -> dict[str, int]:
        leased = dict(leases[environment].ports) if environment in leases else {}
        kept: dict[str, int] = {}
        for name, port in (*in_use.items(), *leased.items()):  # of two that have the same, the first one keeps it
            if name not in kept and port not in {*kept.values(), *situation.taken}:
                kept[name] = port
        wanted = tuple(nodes)
        if situation.present is not None:
            unused = (name for name in wanted if name in kept and name.partition("/")[0] not in situation.present)
            for name in [name for name in unused if name not in in_use and not self._stays_free(kept[name])]:
                del kept[name]
        if set(wanted) - kept.keys():
            self._drop(leases, situation.known, spared=environment)
        others = (port for name, lease in leases.items() if name != environment for port in lease.ports.values())
        taken = {*others, *leased.values(), *in_use.values(), *situation.taken, *situation.named}
        free = self._free_ports(environment, taken)
        return {node: kept[node] if node in kept else next(free) for node in wanted}

    def place_of(self, environment: str) -> str:
        """The place of the runtime (`Runtime.place`) for which an environment has ports; empty if it is not known.

        Raises:
            ProvisionError: the file with the leases cannot be read.
        """
        lease = self._read().get(environment)
        return lease.place if lease else ""

    def _free_ports(self, environment: str, taken: set[int]) -> Iterator[int]:
        # The same ports each time, but others in another home, so that two users do not try the same at once.
        start = zlib.crc32(os.fsencode(f"{self._file.parent}/{environment}")) % len(PORTS)
        for step in range(len(PORTS)):
            port = PORTS[(start + step) % len(PORTS)]
            if port not in taken and self._is_free(port):
                yield port
        raise ProvisionError(f"no port from {PORTS[0]} to {PORTS[-1]} is free", hint="name ports in the file")

    @contextmanager
    def _locked(self) -> Iterator[_Leases]:
        """The leases, locked against other commands and written back if the block changed them."""
        from filelock import FileLock, Timeout

        try:
            made(self._file.parent)
            with FileLock(f"{self._file}.lock", timeout=_LOCK_TIMEOUT_S):
                leases = self._read()
                before = _as_text(leases)
                yield leases
                if (now := _as_text(leases)) != before:
                    write_whole(self._file, now)
        except Timeout as error:
            raise ProvisionError("another command holds the port leases", why=f"{self._file}.lock") from error
        except OSError as error:
            what = f"{error.filename}: " if error.filename else ""
            raise unusable(self._file.parent, f"{what}{error.strerror or error}") from error

    def _read(self) -> _Leases:
        if not os.access(self._file.parent, os.X_OK):  # where this user cannot look there are no leases of theirs
            return {}
        try:
            return read_note(self._file, _Noted) or {}
        except DamagedNote as error:
            raise ProvisionError(
                f"{self._file} is damaged", why=str(error), hint="delete it; running environments keep their ports"
            ) from error


def _as_text(leases: Mapping[str, _Lease]) -> str:
    noted = {name: lease.model_dump(exclude_none=True) for name, lease in leases.items()}
    return json.dumps(noted, indent=2, sort_keys=True) + "\n"


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
