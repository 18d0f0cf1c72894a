"""Which open connections a test is blamed for."""

import gc
import socket
from collections.abc import Iterator

import pytest

from provision.testing.connections import Connections

PATIENCE_S = 0.1


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def connections(server: socket.socket) -> Connections:
    return Connections([server.getsockname()[1]])


class Unreachable:
    """What a closed client leaves: a connection that only a cycle of references still knows."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.itself = connection, self


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_not_for_one_that_only_the_garbage_collector_has_to_close(
    server: socket.socket, connections: Connections
) -> None:
    gc.disable()
    try:
        Unreachable(socket.create_connection(server.getsockname()))
        assert connections.left(PATIENCE_S) == []
    finally:
        gc.enable()


def test_for_one_that_somebody_still_has_until_it_is_closed(server: socket.socket, connections: Connections) -> None:
    address, port = server.getsockname()
    with socket.create_connection((address, port)):
        assert connections.left(PATIENCE_S) == [f"1 open connection to {address}:{port}: close the client"]
        with socket.create_connection((address, port)):
            assert connections.left(PATIENCE_S) == [f"2 open connections to {address}:{port}: close the client"]
    assert connections.left(PATIENCE_S) == []


def test_not_for_one_that_was_there_before_or_leads_elsewhere(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()), socket.create_server(("127.0.0.1", 0)) as other:
        connections = Connections([server.getsockname()[1]])
        with socket.create_connection(other.getsockname()):
            assert connections.left(PATIENCE_S) == []
