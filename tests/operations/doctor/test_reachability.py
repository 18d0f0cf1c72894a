"""Which address should answer where, and what is asked."""

import socket
import threading
from collections.abc import Iterator

import pytest

from provision.operations.doctor.reachability import Advertised, advertised, asked_from_here, expected, matrix
from provision.runtime.health import Asker, Probe
from tests.operations.doctor.world import facts, found, node


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.0.0.1:9092", {Asker.HOST}),
        ("localhost:9092", {Asker.HOST}),
        ("[::1]:9092", {Asker.HOST}),
        ("shop-broker-1:9092", {Asker.NETWORK}),
        ("10.1.2.3:9092", {Asker.NETWORK}),
    ],
)
def test_where_an_address_of_a_container_should_answer(address: str, where: set[Asker]) -> None:
    assert {asker for asker in Asker if expected(address, asker, own_network=True)} == where


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("10.1.2.3:9092", {Asker.HOST}),
        ("kafka-1.example:9092", {Asker.HOST}),
        ("127.0.0.1:9092", {Asker.HOST}),
        ("shop-broker-1:9092", {Asker.NETWORK}),
    ],
)
def test_where_an_address_on_a_swarm_should_answer(address: str, where: set[Asker]) -> None:
    names = {"shop-broker-1", "shop-broker-2"}
    assert {asker for asker in Asker if expected(address, asker, own_network=True, names=names)} == where
    answers = {asker: {address: "" if asker in where else "no"} for asker in Asker}
    rows = matrix([Advertised("broker-1", "HOST", address)], answers, own_network=True, names=names)
    assert {row.asker for row in rows} == ({Asker.HOST} if where == {Asker.HOST} else {*Asker})
    assert not [row for row in rows if row.differs]


def test_the_addresses_of_a_broker_are_those_of_its_file_and_what_was_set_since() -> None:
    written = {"advertised.listeners": "INTERNAL://shop-broker-1:9092,HOST://127.0.0.1:9093"}
    broker = node("broker-1", endpoint="127.0.0.1:9093")
    inside = Advertised("broker-1", "INTERNAL", "shop-broker-1:9092")
    for told, address in {
        "": "127.0.0.1:9093",
        "127.0.0.1:9093": "127.0.0.1:9093",
        "127.0.0.1:1": "127.0.0.1:1",
    }.items():
        assert list(advertised(broker, written, told, "x:1")) == [inside, Advertised("broker-1", "HOST", address)]
    edited = {"advertised.listeners": "HOST://127.0.0.1:7"}
    assert [one.address for one in advertised(broker, edited, "127.0.0.1:1", "x")] == ["127.0.0.1:7", "127.0.0.1:1"]
    keeper = node("zookeeper-1", endpoint="127.0.0.1:2181")
    assert [one.address for one in advertised(keeper, {}, "", "shop-zookeeper-1:2181")] == [
        "shop-zookeeper-1:2181",
        "127.0.0.1:2181",
    ]


@pytest.fixture
def server() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening, listening.getsockname()[1]


def test_an_address_answers_if_whoever_serves_it_sends_something(server: tuple[socket.socket, int]) -> None:
    listening, port = server

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(10) == b"srvr"
            connection.sendall(b"Mode: standalone")

    thread = threading.Thread(target=serve)
    thread.start()
    assert asked_from_here([Probe(f"127.0.0.1:{port}", b"srvr")]) == {f"127.0.0.1:{port}": ""}
    thread.join()


def test_a_port_that_is_open_and_closes_at_once_does_not_answer(server: tuple[socket.socket, int]) -> None:
    listening, port = server

    def serve() -> None:
        connection, _ = listening.accept()
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    (why,) = asked_from_here([Probe(f"127.0.0.1:{port}", b"srvr")]).values()
    thread.join()
    assert why


@pytest.mark.parametrize("address", ["127.0.0.1:x", "nowhere", "127.0.0.1:99999", "no.such.host.invalid:9092"])
def test_an_address_that_is_none_is_no_traceback(address: str) -> None:
    (why,) = asked_from_here([Probe(address, b"srvr")]).values()
    assert why


def test_only_what_should_answer_and_does_not_is_a_finding() -> None:
    inside, host = Advertised("broker-1", "INTERNAL", "b:9092"), Advertised("broker-1", "HOST", "127.0.0.1:9092")
    answers = {
        Asker.HOST: {"b:9092": "Name or service not known", "127.0.0.1:9092": "Connection refused"},
        Asker.NETWORK: {"b:9092": "", "127.0.0.1:9092": "Connection refused"},
        Asker.ELSEWHERE: None,
    }
    rows = matrix([inside, host], answers, own_network=True)
    assert [row.differs for row in rows] == [False, False, False, True, False, False]
    assert [row.answers for row in rows] == [False, True, None, False, False, None]
    assert found(facts(node("broker-1"), reachability=rows)) == {}  # it answers nobody: something else is the reason
