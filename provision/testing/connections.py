"""The connections of this process to the brokers that a test leaves open."""

import gc
import os
from collections.abc import Collection

from provision.common.patience import Patience, Pauses


class Connections:
    """Those to ports of this machine that have been opened since this was made."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = frozenset(ports)
        self._before = self._now()

    def left(self, patience_s: float) -> list[str]:
        """What to say of those that are still open after so many seconds; nothing if there are none."""
        if not self._new():
            return []
        # kafka-python (3.0.12) leaves what it is just connecting when it is closed to the garbage collector. A client
        # that is not closed stays: its thread knows it.
        gc.collect()
        patience, pauses = Patience(patience_s), Pauses()
        while new := self._new():
            if not patience.pause(pauses.next_s()):
                break
        servers = sorted({f"{host}:{port}" for _, (host, port) in new})
        count = "1 open connection" if len(new) == 1 else f"{len(new)} open connections"
        return [f"{count} to {', '.join(servers)}: close the client"] if new else []

    def _new(self) -> frozenset[tuple[int, tuple[str, int]]]:
        return self._now() - self._before

    def _now(self) -> frozenset[tuple[int, tuple[str, int]]]:
        """Local port and remote address of each that is open."""
        import psutil

        connections = psutil.Process(os.getpid()).net_connections("tcp")
        return frozenset(
            (one.laddr.port, (one.raddr.ip, one.raddr.port))
            for one in connections
            if one.raddr and one.raddr.port in self._ports and one.status == psutil.CONN_ESTABLISHED
        )
