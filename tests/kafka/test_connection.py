"""Asking one broker: bounded, and every way of not answering told apart."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from provision.errors import UsageError
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.metadata import observe_cluster
from provision.kafka.readiness import (
    BrokerAnswers,
    ask_brokers,
    missing_for_agreement,
    missing_for_brokers,
    missing_in_metadata,
)
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedPartition, ObservedTopic


@contextmanager
def _listening(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(timeout=5)


def test_nothing_that_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotAnswering, match=r"^it does not listen yet$"):
        observe_cluster(Access.at(f"127.0.0.1:{port}"), -1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"", "^it closes the connection$", id="none"),
        pytest.param(b"\x00\x00", "^it closes the connection$", id="a part"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "Invalid frame length", id="another protocol"),
        pytest.param(b"\x00\x00\x00\x05\x00\x00\x00\x63\x00", "Correlation IDs do not match", id="to another question"),
        pytest.param(b"\x00\x00\x00\x04\x00\x00\x00\x63", ".", id="a frame that is not Kafka's"),
    ],
)
def test_an_answer_that_is_none_is_said(answer: bytes, reason: str) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)

    with _listening(behave) as address, pytest.raises(NotAnswering, match=reason):
        observe_cluster(Access.at(address), -1)


@pytest.mark.parametrize(
    "address",
    ["localhost", "", ":9092", "localhost:", "localhost:http", "h:0", "h:65536", "h:-1", "h:٣", "h:" + "9" * 5000],
)
def test_what_is_no_address_is_named_and_nobody_is_blamed(address: str) -> None:
    with pytest.raises(UsageError) as raised:
        observe_cluster(Access.at(address), -1)
    assert raised.value.what == f"{address!r} is not the address of a broker"
    assert "HOST:PORT" in raised.value.hint


def test_a_name_that_no_host_can_have_is_not_taken_for_another_protocol() -> None:
    with pytest.raises(NotAnswering, match="cannot be the name of a host"):
        observe_cluster(Access.at(f"{'ä' * 80}:9092"), -1)


def test_silence_is_bounded() -> None:
    given_up = threading.Event()

    def behave(_connection: socket.socket) -> None:
        given_up.wait(5)

    began = time.monotonic()
    with _listening(behave) as address:
        with pytest.raises(NotAnswering, match=r"^it does not answer in time$"):
            observe_cluster(Access.at(address), -1, timeout_s=0.2)
        took_s = time.monotonic() - began
        given_up.set()
    assert 0.2 <= took_s < 4


def test_brokers_are_asked_side_by_side_and_each_reason_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answers = ask_brokers(Access({1: f"127.0.0.1:{port}", 2: f"127.0.0.1:{port}"}))
    assert answers.clusters == {}
    assert missing_for_brokers(answers) == {
        "broker-1": "it does not listen yet",
        "broker-2": "it does not listen yet",
    }
    assert ask_brokers(Access({})).best is None


def _cluster(*ids: int, controller: int = 1, topics: tuple[ObservedTopic, ...] = ()) -> ObservedCluster:
    return ObservedCluster("id", controller, tuple(ObservedBroker(broker, None) for broker in ids), topics)


def test_a_broker_that_does_not_know_the_others_is_not_ready() -> None:
    answers = BrokerAnswers({1: _cluster(1, 2), 2: _cluster(2)}, {})
    assert missing_for_brokers(answers) == {"broker-2": "it does not know broker 1 yet"}
    assert missing_for_brokers(BrokerAnswers({1: _cluster(1, controller=-1)}, {})) == {
        "broker-1": "it knows no controller yet"
    }
    assert missing_for_brokers(BrokerAnswers({1: _cluster(1, 2), 2: _cluster(1, 2)}, {})) == {}


@pytest.mark.parametrize(
    ("partition", "reason"),
    [
        (ObservedPartition(0, 1, (1, 2), (1, 2)), None),
        (ObservedPartition(0, 1, (1, 2), (2, 1)), None),
        (ObservedPartition(0, 1, (1, 2), (1,)), "t-0 waits for the replica on broker 2"),
        (ObservedPartition(0, -1, (1, 2), (1, 2)), "t-0 has no leader"),
    ],
)
def test_a_topic_is_ready_when_all_replicas_are_in_sync(partition: ObservedPartition, reason: str | None) -> None:
    answers = BrokerAnswers({1: _cluster(1, 2, topics=(ObservedTopic("t", (partition,)),))}, {})
    assert missing_in_metadata(answers, None) == ({} if reason is None else {"broker-1": reason})


def test_brokers_agree_when_all_know_the_same_partitions() -> None:
    def topic(partitions: int, leader: int = 1) -> ObservedTopic:
        return ObservedTopic("t", tuple(ObservedPartition(n, leader, (1,), (1,)) for n in range(partitions)))

    def missing(*topics: ObservedTopic | None) -> dict[str, str]:
        told = {number: _cluster(1, 2, topics=(one,) if one else ()) for number, one in enumerate(topics, 1)}
        return missing_for_agreement(BrokerAnswers(told, {}))

    assert missing(topic(2), topic(2, leader=2)) == {}
    assert missing(topic(2), topic(1)) == {"broker-2": "it does not know t-1 yet"}
    assert missing(None, topic(1)) == {"broker-1": "it does not know t-0 yet"}
