"""Port leases: kept, shared out, released, and never two environments on one port."""

import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.layout import LOOPBACK
from provision.errors import ProvisionError
from provision.home.place import Home
from provision.home.ports import PORTS, PortLeases, PortState, port_becomes_free, port_is_free, port_state
from tests.mutations import REPLACED, mutated


def _always_free(_port: int) -> bool:
    return True


def test_a_lease_is_kept_until_it_is_released(tmp_path: Path) -> None:
    leases = PortLeases(tmp_path, _always_free)
    first = leases.lease("one", ["broker-1", "broker-2"], {})
    assert set(first) == {"broker-1", "broker-2"}
    assert set(first.values()) <= set(PORTS)
    assert PortLeases(tmp_path, _always_free).lease("one", ["broker-1", "broker-2"], {}) == first
    leases.release("one")
    assert "one" not in (tmp_path / "ports.json").read_text()


def test_two_environments_never_share_a_port(tmp_path: Path) -> None:
    leases = PortLeases(tmp_path, _always_free)
    given = [port for name in ("a", "b", "c") for port in leases.lease(name, ["x", "y"], {}).values()]
    assert len(given) == len(set(given))


def test_a_proposal_is_what_a_lease_gives_and_records_nothing(tmp_path: Path) -> None:
    leases = PortLeases(tmp_path / "home", _always_free)
    proposed = leases.propose("one", ["broker-1"], {})
    assert not (tmp_path / "home").exists()
    assert leases.lease("one", ["broker-1"], {}) == proposed


def test_ports_in_use_stay_and_taken_ports_are_passed_over(tmp_path: Path) -> None:
    taken = PortLeases(tmp_path, _always_free).propose("one", ["broker-1"], {})["broker-1"]
    leases = PortLeases(tmp_path, lambda port: port != taken)
    given = leases.lease("one", ["broker-1", "broker-2"], {"broker-2": 9999})
    assert given["broker-2"] == 9999
    assert given["broker-1"] not in (taken, 9999)


def test_when_no_port_is_free_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="no port from 20000 to 29999 is free"):
        PortLeases(tmp_path, lambda _port: False).lease("one", ["broker-1"], {})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"one": 3}',
        *(
            f'{{"one": {{"broker-1": {port}}}}}'
            for port in ('"x"', '"9092"', "0", "-1", "65536", "9e9", "9092.5", "true")
        ),
        f'{{"one": {{"broker-1": {"9" * 5000}}}}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content)
    with pytest.raises(ProvisionError, match=r"ports\.json is damaged") as caught:
        PortLeases(tmp_path, _always_free).lease("one", ["broker-1"], {})
    assert "delete it" in caught.value.hint


@given(data=st.data())
def test_whatever_has_become_of_the_file_no_port_is_given_that_is_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("home")
    leases = PortLeases(home, _always_free)
    content = json.dumps({"one": {"broker-1": 20001, "broker-2": 20002}, "two": {"broker-1": 20003}})
    (home / "ports.json").write_bytes(data.draw(mutated(content.encode())))
    for attempt in (leases.propose, leases.lease):
        with suppress(ProvisionError):
            assert all(1 <= port <= 65535 for port in attempt("one", ["broker-1", "broker-2"], {}).values())
    with suppress(ProvisionError):
        leases.release("one")


@pytest.mark.parametrize("what", REPLACED)
def test_whatever_stands_in_its_place_is_told(tmp_path: Path, what: str) -> None:
    leases = PortLeases(tmp_path, _always_free)
    leases.lease("one", ["broker-1"], {})
    REPLACED[what](tmp_path / "ports.json")
    try:
        assert leases.lease("one", ["broker-1"], {})
    except ProvisionError as error:
        assert "ports.json is damaged" in error.what  # noqa: PT017 root can read what nobody may


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProvisionError, match="cannot be used"):
        PortLeases(tmp_path / "file" / "home", _always_free).lease("one", ["broker-1"], {})


@pytest.mark.parametrize("make", [Path.mkdir, lambda file: file.symlink_to("/nowhere")], ids=["directory", "link"])
def test_a_lock_of_the_leases_that_is_no_file_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "ports.json.lock")
    with pytest.raises(ProvisionError, match="cannot be used") as raised:
        PortLeases(tmp_path, _always_free).lease("one", ["broker-1"], {})
    assert str(tmp_path / "ports.json.lock") in raised.value.why


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not port_is_free(server.getsockname()[1])


def test_the_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROVISION_CACHE", str(tmp_path / "cache"))
    assert Home.of_user() == Home(tmp_path / "home", tmp_path / "cache")
    monkeypatch.delenv("PROVISION_HOME")
    monkeypatch.delenv("PROVISION_CACHE")
    assert Home.of_user().directory.name == Home.of_user().cache.name == "provision"
    assert Home.of_user().directory != Home.of_user().cache


def test_a_port_that_is_given_up_soon_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not port_becomes_free(port, 0.1)
        closing = threading.Timer(0.2, server.close)
        closing.start()
        assert port_becomes_free(port, 20)
        closing.join()


def _that_nobody_is_given() -> int:
    """A free port below those that systems give by themselves, for which others would only have to ask for any."""
    first = 15_000 + os.getpid() % 100 * 100
    return next(port for port in range(first, first + 100) if port_is_free(port))


# What holds the port, and whether Kafka could still listen on it on the loopback address.
@pytest.mark.skipif(sys.platform != "linux", reason="systems differ")
@pytest.mark.parametrize(
    ("family", "address", "only_its_family", "free"),
    [
        (socket.AF_INET, "127.0.0.1", None, False),
        (socket.AF_INET, "127.0.0.2", None, True),
        (socket.AF_INET, "0.0.0.0", None, False),  # noqa: S104 taken by a test
        (socket.AF_INET6, "::", 0, False),
        (socket.AF_INET6, "::", 1, True),
        (socket.AF_INET6, "::1", 1, True),
        (socket.AF_INET6, "::ffff:127.0.0.1", 0, False),
    ],
)
def test_a_port_is_taken_only_if_the_loopback_address_is(
    family: socket.AddressFamily, address: str, only_its_family: int | None, free: bool
) -> None:
    port = _that_nobody_is_given()
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if only_its_family is not None:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_its_family)
        try:
            holder.bind((address, port))
        except OSError:
            pytest.skip(f"this machine has no address {address}")
        holder.listen()
        assert port_is_free(port) is free
        if free:
            socket.create_server((LOOPBACK, port)).close()


def test_a_port_remembers_no_connections() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)):
            server.accept()[0].close()  # who closes first waits
    assert port_state(port) is PortState.FREE


def test_the_port_of_a_connection_is_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert port_state(client.getsockname()[1]) is PortState.TAKEN


def test_a_port_that_this_user_may_not_open_is_forbidden_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert port_state(80) is PortState.FORBIDDEN
    assert not port_is_free(80)
    assert not port_becomes_free(80, 0.0)


def test_another_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ProvisionError, match="cannot open a port") as caught:
        port_state(80)
    assert "Cannot assign" in caught.value.why
