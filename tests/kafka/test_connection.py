"""Asking one broker: bounded, and every way of not answering told apart."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from provision.errors import Unavailable, UsageError
from provision.kafka.access import Access
from provision.kafka.admin import connected
from provision.kafka.connection import NotAnswering, ask_any
from provision.kafka.metadata import observe_cluster
from provision.kafka.quorum import ask_for_quorum, describe_quorum
from provision.kafka.readiness import (
    STARTING,
    BrokerAnswers,
    ask_brokers,
    missing_for_agreement,
    missing_for_brokers,
    missing_in_metadata,
)
from provision.kafka.zookeeper import mode, server_status
from provision.observe.reach import NOT_RUNNING, access_to
from provision.plan.observed import (
    ObservedBroker,
    ObservedCluster,
    ObservedEnvironment,
    ObservedNode,
    ObservedPartition,
    ObservedTopic,
)
from tests.refusing import refusing


@contextmanager
def _listening(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(timeout=60)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (33, r"^it asks for a password \(SASL PLAIN, SCRAM-SHA-512\)$"),
        (34, "^it closes the connection$"),  # what a listener without SASL says
        (None, "^it closes the connection$"),
    ],
)
def test_a_listener_that_closes_because_it_wants_a_password_is_asked_for_what_it_takes(
    code: int | None, said: str
) -> None:
    from provision.kafka import library as _library  # noqa: F401 the library first
    from kafka.protocol.sasl import SaslHandshakeResponse  # isort: skip

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
            connection, _ = server.accept()
            with connection:
                request = connection.recv(1024)
                if code is not None:
                    answer = SaslHandshakeResponse(
                        error_code=code, mechanisms=["PLAIN", "SCRAM-SHA-512"], version=1
                    ).encode()
                    connection.sendall(struct.pack(">i", len(answer) + 4) + request[8:12] + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NotAnswering, match=said):
            observe_cluster(Access.at(f"127.0.0.1:{server.getsockname()[1]}"), -1)
        thread.join(timeout=60)


def test_nothing_that_listens_is_said() -> None:
    with refusing() as port, pytest.raises(NotAnswering, match=r"^it does not listen yet$"):
        observe_cluster(Access.at(f"127.0.0.1:{port}"), -1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"", "^it closes the connection$", id="none"),
        pytest.param(b"\x00\x00", "^it closes the connection$", id="a part"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x50", "^it asks for TLS$", id="an alert of TLS"),
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
        given_up.wait(60)

    began = time.monotonic()
    with _listening(behave) as address:
        with pytest.raises(NotAnswering, match=r"^it does not answer in time$"):
            observe_cluster(Access.at(address), -1, timeout_s=0.2)
        took_s = time.monotonic() - began
        given_up.set()
    assert 0.2 <= took_s < 50


def test_brokers_are_asked_side_by_side_and_each_reason_is_kept() -> None:
    with refusing() as port:
        answers = ask_brokers(Access({1: f"127.0.0.1:{port}", 2: f"127.0.0.1:{port}"}), timeout_s=60.0)
    assert answers.clusters == {}
    assert missing_for_brokers(answers) == {
        "broker-1": STARTING,
        "broker-2": STARTING,
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


def _hang_up(connection: socket.socket) -> None:
    connection.recv(1024)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("behave", [_hang_up, _reset])
def test_a_broker_whose_connections_the_engine_resets_or_closes_is_starting(
    behave: Callable[[socket.socket], None],
) -> None:
    with _listening(behave) as address:
        answers = ask_brokers(Access({1: address}))
    assert missing_for_brokers(answers) == {"broker-1": STARTING}


def _silent(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def _flood(frame: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(frame)
        while True:
            connection.sendall(b"\0" * 65536)

    return behave


def _drip(connection: socket.socket) -> None:
    connection.sendall((9000).to_bytes(4, "big"))
    while not _PAUSE.wait(0.05):
        connection.sendall(b"x")


_PAUSE = threading.Event()
# What a stranger on a port may do: never answer, answer without end in one frame or many, or byte by byte.
STRANGERS = (_silent, _flood((90_000_000).to_bytes(4, "big")), _flood(b""), _drip)


@pytest.mark.parametrize("behave", STRANGERS)
@pytest.mark.parametrize("ask", ["broker", "quorum", "zookeeper", "client"])
def test_whatever_a_stranger_does_who_asks_is_not_held_up(behave: Callable[[socket.socket], None], ask: str) -> None:
    def bear(connection: socket.socket) -> None:
        with suppress(OSError):  # who asks hangs up
            behave(connection)

    with _listening(bear) as address:
        asking = threading.Thread(target=_ask_stranger, args=(ask, address), daemon=True)
        asking.start()
        asking.join(20.0)
        assert not asking.is_alive(), "it is asked without end"


def _ask_stranger(ask: str, address: str) -> None:
    access = Access({1: address})
    if ask == "broker":
        assert ask_brokers(access, 0.2).best is None
    elif ask == "quorum":
        assert describe_quorum(access, 1, 0.2) is None
    elif ask == "zookeeper":
        assert mode(server_status(address, timeout_s=0.2)) is None
    else:
        with pytest.raises(Unavailable):
            _list_groups(access)


def _list_groups(access: Access) -> None:
    """Ask something for which the library's client is opened."""
    with connected(access, 0.2) as admin:
        admin.groups.names()


def test_who_is_known_to_be_down_is_not_asked() -> None:
    asked = threading.Event()
    with _listening(lambda _connection: asked.set()) as address:
        access = access_to(observed(address))
        answers = ask_brokers(access)
        assert missing_for_brokers(answers) == {f"broker-{n}": r for n, r in enumerate(NOT_RUNNING.values(), 1)}
        assert ask_for_quorum(access) is None
        for question in (lambda: _list_groups(access), lambda: ask_any(access, lambda: None, "asking")):
            with pytest.raises(Unavailable) as caught:
                question()
            assert "broker-4: it has exited" in caught.value.why
        assert not asked.is_set()
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()


def observed(address: str) -> ObservedEnvironment:
    """Brokers in every state but running, on whose port somebody listens."""
    nodes = [
        ObservedNode(f"broker-{number}", "broker", state, "", address) for number, state in enumerate(NOT_RUNNING, 1)
    ]
    return ObservedEnvironment("odd", "docker", mode="kraft", nodes=tuple(nodes))
