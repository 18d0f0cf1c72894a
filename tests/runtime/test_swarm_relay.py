"""The way into a network without published ports: what a client asks of the proxy, and what the engine carries."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from provision.errors import ProvisionError
from provision.kafka.proxies import connected
from provision.runtime.swarm.relay import Relay
from tests.engine import wait_until

TIMEOUT_S = 10


class _Engine:
    """Runs one container, in which each process is connected to what repeats what it is told, or to nothing."""

    def __init__(self, *, refuses: str = "") -> None:
        self._refuses = refuses
        self.asked: list[str] = []
        self.containers: dict[str, Mapping[str, Any]] = {}
        self.removed: list[str] = []
        self._streams: list[socket.socket] = []

    def inspect_image(self, _image: str) -> Mapping[str, Any]:
        return {"Config": {"Volumes": None}}

    def create_host_config(self, **options: object) -> Mapping[str, object]:
        return options

    def create_container(self, image: str, **options: object) -> Mapping[str, str]:
        if self._refuses:
            raise APIError(self._refuses, explanation=self._refuses)
        identity = f"c{len(self.containers) + len(self.removed)}"
        self.containers[identity] = {"image": image, **options}
        return {"Id": identity}

    def attach_socket(self, _container: str, params: Mapping[str, int]) -> socket.socket:
        assert params == {"stdin": 1, "stream": 1}
        return self._pair()

    def start(self, _container: str) -> None:
        pass

    def exec_create(self, container: str, _command: list[str], **_options: bool) -> Mapping[str, str]:
        self._require(container)
        return {"Id": "e"}

    def exec_start(self, _identity: str, *, socket: bool) -> socket.socket:
        assert socket
        ours = self._pair()
        threading.Thread(target=self._serve, args=(self._streams[-1],), daemon=True).start()
        return ours

    def remove_container(self, container: str, **_options: bool) -> None:
        self._require(container)
        del self.containers[container]
        self.removed.append(container)

    def _require(self, container: str) -> None:
        if container not in self.containers:
            gone = requests.Response()
            gone.status_code = HTTPStatus.NOT_FOUND
            raise NotFound(f"No such container: {container}", response=gone)

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def _pair(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._streams.append(theirs)
        return ours

    def _serve(self, stream: socket.socket) -> None:
        """As what runs in a node's container would: first it is told where."""
        with stream:
            line = b""
            while not line.endswith(b"\n"):
                line += stream.recv(1)
            self.asked.append(line.decode().strip())
            if line.startswith(b"nobody"):
                return
            stream.sendall(_frame(b"+"))
            while data := stream.recv(4096):
                if data == b"bye":
                    return
                stream.sendall(_frame(data))


def _frame(data: bytes) -> bytes:
    return b"\x01\0\0\0" + len(data).to_bytes(4, "big") + data


@contextmanager
def relay_to(engine: _Engine) -> Iterator[Relay]:
    relay = Relay(engine, "fleet", "apache/kafka:3.9.1", {"provision.role": "tool"})
    try:
        yield relay
    finally:
        relay.close()
        engine.close()


def test_a_client_reaches_hosts_by_the_names_that_they_have_in_the_network() -> None:
    engine = _Engine()
    with relay_to(engine) as relay:
        for host in ("fleet-broker-1", "fleet-broker-2"):
            with connected(host, 19092, relay.url, TIMEOUT_S) as connection:
                for said in (b"hello", b"x" * 3000):
                    connection.sendall(said)
                    assert connection.recv(len(said), socket.MSG_WAITALL) == said
        assert engine.asked == ["fleet-broker-1 19092", "fleet-broker-2 19092"]
        ((identity, container),) = engine.containers.items()
        assert container["host_config"]["network_mode"] == "fleet"
    assert (engine.removed, engine.containers) == ([identity], {})


def test_a_client_of_the_library_gets_in_the_same_way() -> None:
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.net.inet import KafkaNetSocket  # isort: skip
    import kafka.net.socks5  # noqa: F401 which registers itself

    engine = _Engine()
    with relay_to(engine) as relay:
        through = KafkaNetSocket(relay.url)
        ((family, kind, protocol, _, address),) = through.dns_lookup("fleet-broker-1", 19092)
        with through.socket(family, kind, protocol) as connection:
            connection.settimeout(TIMEOUT_S)
            assert through.connect_ex(connection, address) == 0
            connection.sendall(b"hello")
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
    assert engine.asked == ["fleet-broker-1 19092"]


def test_whoever_does_not_know_its_password_or_speaks_another_way_gets_nothing() -> None:
    engine = _Engine()
    with relay_to(engine) as relay:
        _, _, end = relay.url.rpartition("@")
        with pytest.raises(ConnectionRefusedError):
            connected("fleet-broker-1", 19092, f"socks5h://provision:guessed@{end}", TIMEOUT_S)
        port = int(end.rpartition(":")[2])
        for said in (b"\x05\x01\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x04\x01"):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
                connection.sendall(said)
                assert connection.recv(100) in (b"", b"\x05\xff")
    assert (engine.asked, engine.containers) == ([], {})


def test_a_host_that_does_not_listen_refuses_and_one_that_ends_the_connection_ends_it() -> None:
    engine = _Engine()
    with relay_to(engine) as relay:
        with pytest.raises(ConnectionRefusedError):
            connected("nobody", 19092, relay.url, TIMEOUT_S)
        with connected("fleet-broker-1", 19092, relay.url, TIMEOUT_S) as connection:
            connection.sendall(b"bye")
            assert connection.recv(100) == b""


def test_a_container_that_has_gone_with_its_network_is_started_again() -> None:
    engine = _Engine()
    with relay_to(engine) as relay:
        for _ in range(2):
            with connected("fleet-broker-1", 19092, relay.url, TIMEOUT_S) as connection:
                connection.sendall(b"hello")
                assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            (identity,) = engine.containers
            engine.remove_container(identity)
        assert engine.removed == ["c0", "c1"]
        assert relay.url


def test_what_cannot_be_started_is_told_at_the_next_look() -> None:
    with relay_to(_Engine(refuses="network fleet not found")) as relay:
        with pytest.raises(ConnectionRefusedError):
            connected("fleet-broker-1", 19092, relay.url, TIMEOUT_S)
        with pytest.raises(ProvisionError, match="connecting to the network fleet") as caught:
            _ = relay.url
        assert "network fleet not found" in caught.value.why
        assert relay.url  # and tried again then


def test_nothing_is_started_unless_something_is_asked() -> None:
    engine, before = _Engine(), threading.active_count()
    with relay_to(engine) as relay:
        assert relay.url.startswith("socks5h://provision:")
    assert (engine.containers, engine.removed) == ({}, [])
    assert wait_until(lambda: threading.active_count() <= before)
