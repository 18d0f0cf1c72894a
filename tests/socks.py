"""A SOCKS5 proxy on this machine, which notes to whom it was asked to connect."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from provision.runtime.swarm import socks

_PASSWORD = "known-to-both"  # noqa: S105 of tests


@dataclass
class Proxy:
    """Its URL, and the hosts and ports that were asked for."""

    url: str
    asked: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def proxy() -> Iterator[Proxy]:
    """One that connects to whatever it is asked for."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            with suppress(socks.NotProxied, OSError):
                target = socks.requested(client, _PASSWORD)
                found.asked.append(target)
                with socket.create_connection(target, 10) as broker:
                    broker.settimeout(None)
                    socks.answer(client, socks.SUCCEEDED)
                    back = threading.Thread(target=_copy, args=(broker, client))
                    back.start()
                    _copy(client, broker)
                    back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Proxy(f"socks5h://test:{_PASSWORD}@127.0.0.1:{server.server_address[1]}")
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield found
        finally:
            server.shutdown()
            serving.join()


def _copy(source: Any, target: Any) -> None:  # noqa: ANN401 sockets
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
