"""A broker on a port of this machine that speaks Kafka's protocol, and answers as a test says."""

import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = Callable[[Any], Any]
"""Makes the response to a request; None hangs up without one."""


class ScriptedBroker(socketserver.ThreadingTCPServer):
    """Knows one kind of request and remembers those that came.

    Args:
        request: the request's class.
        answer: what it says.
    """

    daemon_threads = True

    def __init__(self, request: Any, answer: Answer) -> None:  # noqa: ANN401 the library's classes
        self.request, self.answer = request, answer
        self.asked: list[Any] = []
        self.mistakes: list[BaseException] = []
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def address(self) -> str:
        """`host:port`."""
        host, port = self.server_address[:2]
        return f"{host!s}:{port}"

    def handle_error(self, _request: object, _client: object) -> None:
        """Keep what went wrong, for the test; who asks may go at any time."""
        error = sys.exc_info()[1]
        if error and not isinstance(error, ConnectionError):
            self.mistakes.append(error)


_HANDSHAKE = 17
"""The key of the request that begins with SASL."""


class _Connection(socketserver.StreamRequestHandler):
    """Requests, one after the other, until either side has enough."""

    server: ScriptedBroker

    def handle(self) -> None:
        while frame := self._frame():
            kind, version = struct.unpack(">hh", frame[:4])
            if kind == _HANDSHAKE:  # whoever meets a closed connection asks whether a password is wanted: it is not
                return
            assert kind == self.server.request.API_KEY
            asked = self.server.request.decode(frame, version=version, header=True)
            self.server.asked.append(asked)
            response = self.server.answer(asked)
            if response is None:
                return
            if response.header is None:  # it may be given again
                response.API_VERSION = version
            response.with_header(correlation_id=asked.header.correlation_id)
            self.wfile.write(response.encode(header=True, framed=True))

    def _frame(self) -> bytes:
        size = self.rfile.read(4)
        return self.rfile.read(*struct.unpack(">i", size)) if size else b""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """A server at work in a thread for the length of a block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def listening(request: Any, answer: Answer) -> Iterator[ScriptedBroker]:  # noqa: ANN401 see above
    """A broker for the length of a block."""
    with ScriptedBroker(request, answer) as broker, serving(broker):
        yield broker
    assert not broker.mistakes, broker.mistakes
