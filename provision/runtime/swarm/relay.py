"""The way from this machine into an overlay network of which no port is published.

A SOCKS5 proxy on the loopback address, for this process alone: only it knows the password. A container attached to the
network opens each connection, in a process of its own, whose standard streams the engine's API carries. So it works
wherever the engine is. The container has the environment's image, of which no more is asked than bash.
"""

import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, DockerException
from docker.utils.socket import frames_iter
from requests.exceptions import RequestException

from provision.cluster.layout import LOOPBACK
from provision.errors import ProvisionError, Unavailable
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending
from provision.runtime.docker.client import translated
from provision.runtime.docker.images import volumes_of
from provision.runtime.swarm import socks

_USER = "provision"
_CHUNK = 64 * 1024
_HANDSHAKE_S = 10.0
_POLL_S = 0.05
_MEMORY_BYTES = 256 * 1024**2
_CONNECTED = b"+"
# Ends with its standard input, which ends with the command. Bash waits for what connections leave behind.
_STAY = "cat >/dev/null; exit 0"
# Is told where, so that it writes nothing before somebody reads.
_CONNECT = r"""
read -r host port
exec 3<>"/dev/tcp/$host/$port" || exit 1
printf +
exec 4<&0
{ cat <&4 >&3; kill $$; } >/dev/null 2>&1 &
exec cat <&3
"""


class Relay:
    """One for each environment that a command looks at; its container is started by the first connection."""

    def __init__(self, api: Any, environment: str, image: str, labels: Mapping[str, str]) -> None:  # noqa: ANN401 the SDK's client has no types
        self._api, self._environment, self._image, self._labels = api, environment, image, dict(labels)
        self._password = secrets.token_hex(16)
        self._starting = threading.Lock()
        self._container = ""
        self._attached: Any = None
        self._is_closed = False
        self._trouble: ProvisionError | None = None
        self._server = _Server(self)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self._serving.start()

    @property
    def url(self) -> str:
        """Where the proxy is.

        Raises:
            ProvisionError: a connection was asked for since, and no process could be started for it.
        """
        trouble, self._trouble = self._trouble, None
        if trouble:
            raise trouble
        return f"socks5h://{_USER}:{self._password}@{LOOPBACK}:{self._server.server_address[1]}"

    def close(self) -> None:
        """End it with all connections."""
        self._server.shutdown()
        self._server.server_close()
        self._serving.join()
        with self._starting:
            self._is_closed = True
            with suppress(Unavailable):  # then the container ends with its standard input
                self._end()

    def serve(self, client: socket.socket) -> None:
        """Carry one client's connection until either side ends it."""
        with suppress(socks.NotProxied, OSError):
            client.settimeout(_HANDSHAKE_S)
            host, port = socks.requested(client, self._password)
            with self._process() as stream:
                if stream is None or not _is_connected(stream, host, port):
                    socks.answer(client, socks.REFUSED)
                    return
                socks.answer(client, socks.SUCCEEDED)
                client.settimeout(None)
                _carry(client, stream)

    @contextmanager
    def _process(self) -> Iterator[Any]:
        """The streams of a process in the container; None if there cannot be one."""
        try:
            with translated(f"connecting to the network {self._environment}"):
                stream = self._api.exec_start(self._created(), socket=True)
        except ProvisionError as error:
            self._trouble = error
            yield None
            return
        try:
            yield stream
        finally:
            _close(stream)

    def _created(self) -> str:
        """A process that is not started yet; the container may have gone with its network since it was started."""
        with self._starting:
            if self._is_closed:
                raise socks.NotProxied
            if self._container:
                try:
                    return self._exec()
                except APIError as error:
                    if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                        raise
                    self._end()
            self._start()
            return self._exec()

    def _exec(self) -> str:
        made = self._api.exec_create(self._container, ["bash", "-c", _CONNECT], stdin=True, stderr=False)
        return str(made["Id"])

    def _end(self) -> None:
        container, attached = self._container, self._attached
        self._container, self._attached = "", None
        if attached is not None:
            _close(attached)
        if container:
            ending.remove(self._api, container, "what connects to the network")

    def _start(self) -> None:
        host = spec.hardening(memory_bytes=_MEMORY_BYTES, image_volumes=volumes_of(self._api, self._image))
        made = self._api.create_container(
            self._image,
            entrypoint=["bash", "-c", _STAY],
            command=[],
            stdin_open=True,
            labels=self._labels,
            host_config=self._api.create_host_config(**host, network_mode=self._environment, auto_remove=True),
        )
        self._container = made["Id"]
        self._attached = self._api.attach_socket(self._container, params={"stdin": 1, "stream": 1})
        self._api.start(self._container)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # connections end with the container
    request_queue_size = 64

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        super().__init__((LOOPBACK, 0), socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 as in the base class
        self._relay.serve(request)


def _is_connected(stream: Any, host: str, port: int) -> bool:  # noqa: ANN401 differs by transport
    """Tell a process where to connect to; whether it is."""
    _socket_of(stream).sendall(f"{host} {port}\n".encode())
    return next(_frames(stream), b"") == _CONNECTED


def _carry(client: socket.socket, stream: Any) -> None:  # noqa: ANN401 differs by transport
    """Copy what either side sends to the other, until one of them has ended."""
    connection = _socket_of(stream)

    def send() -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                connection.sendall(data)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    try:
        for data in _frames(stream):
            client.sendall(data)
    finally:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        sending.join()


def _frames(stream: Any) -> Iterator[bytes]:  # noqa: ANN401 as above
    """What a process writes, in pieces."""
    with suppress(OSError, ValueError, DockerException, RequestException):  # it has just been closed
        for _, data in frames_iter(stream, tty=False):
            yield data


def _close(stream: Any) -> None:  # noqa: ANN401 as above
    with suppress(OSError):
        _socket_of(stream).close()
        stream.close()


def _socket_of(stream: Any) -> Any:  # noqa: ANN401 as above
    return getattr(stream, "_sock", stream)  # the SDK's wrapper does not close its socket
