"""A Docker engine that is an HTTP server: it answers what a test gives it, on a Unix socket or a port."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

API_VERSION = "1.41"
Answer = tuple[int, Any]


class FakeEngine:
    """What it was asked, as `METHOD /path?query` without the API's version, and what it answers by method and path."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: dict[str, Answer] = {
            "GET /version": (200, {"ApiVersion": API_VERSION, "Version": "20.10.24"}),
            "GET /containers/json": (200, []),
            "GET /networks": (200, []),
            "GET /volumes": (200, {"Volumes": []}),
            **(answers or {}),
        }

    def answer(self, method: str, url: str) -> Answer:
        """What it answers; 404 for what no test gave it."""
        path = urlsplit(url).path.removeprefix(f"/v{API_VERSION}")
        self.asked.append(f"{method} {unquote(url.removeprefix(f'/v{API_VERSION}'))}")
        return self.answers.get(f"{method} {path}", (404, {"message": f"no such thing: {method} {path}"}))

    @contextmanager
    def on_socket(self, path: Path) -> Iterator[str]:
        """Serve on a Unix socket; yields its address."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_UNIX

            def server_bind(self) -> None:
                self.socket.bind(str(path))

        with self._served(Server(str(path), self._handler(), bind_and_activate=True)):  # type: ignore[arg-type]
            yield f"unix://{path}"

    @contextmanager
    def on_port(self, certificate: str = "") -> Iterator[str]:
        """Serve on a free port of this machine, with TLS if there is a certificate; yields its address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign] # who distrusts it hangs up
        with self._served(server):
            yield f"tcp://127.0.0.1:{server.server_address[1]}"

    @contextmanager
    def _served(self, server: ThreadingHTTPServer) -> Iterator[None]:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                engine.headers.append(dict(self.headers))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, content = engine.answer(self.command, self.path)
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = handle_any  # noqa: N815 the library's names

            def address_string(self) -> str:
                return "a client"

            def log_message(self, *_: object) -> None:
                pass

        return Handler
