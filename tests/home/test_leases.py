"""Leases of environments that are gone are reclaimed, and no others: not of one that may be there, or is coming."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from provision.home.ports import PortLeases, Situation

HERE = "docker A"
OTHER_HOST = "another-host"


def _free(_port: int) -> bool:
    return True


def _nothing(_place: str) -> Collection[str]:
    return ()


def _holder(pid: int, created: float, host: str = "", since: float = 0.0) -> dict[str, object]:
    return {"pid": pid, "created": created, "host": host or socket.gethostname(), "since": since or time.time()}


def _write(home: Path, **leases: object) -> PortLeases:
    (home / "ports.json").write_text(json.dumps(leases))
    return PortLeases(home, _free)


@pytest.fixture
def living() -> Iterator[dict[str, object]]:
    """A command that is at work."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield _holder(process.pid, psutil.Process(process.pid).create_time())
        process.communicate(b"\n")


@pytest.fixture
def ended() -> dict[str, object]:
    """A command that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created = psutil.Process(process.pid).create_time()
        process.communicate(b"\n")
    return _holder(process.pid, created)


@pytest.fixture
def reused() -> dict[str, object]:
    """A command that has ended, whose pid somebody else has now."""
    return _holder(os.getpid(), psutil.Process().create_time() - 3600)


@pytest.fixture
def lately() -> dict[str, object]:
    """A command on another machine, or in another container, that began just now."""
    return _holder(os.getpid(), 1.0, OTHER_HOST)


@pytest.fixture
def long_ago() -> dict[str, object]:
    """A command on another machine, of yesterday."""
    return _holder(os.getpid(), 1.0, OTHER_HOST, time.time() - 86400)


@pytest.mark.parametrize("there", [None, (), ("others",), ("orders",)])
@pytest.mark.parametrize(
    ("holder", "may_live"),
    [("living", True), ("lately", True), ("ended", False), ("reused", False), ("long_ago", False), ("", False)],
)
def test_a_lease_is_reclaimed_only_if_nothing_is_there_and_nobody_is_at_work(
    request: pytest.FixtureRequest, tmp_path: Path, holder: str, may_live: bool, there: Collection[str] | None
) -> None:
    held = {"holder": request.getfixturevalue(holder)} if holder else {}
    leases = _write(tmp_path, orders={"ports": {"broker-1": 20001}, "place": HERE, **held})
    asked: list[str] = []

    def known(place: str) -> Collection[str] | None:
        asked.append(place)
        return there

    gone = there is not None and "orders" not in there and not may_live
    expected = ("orders",) if gone else ()
    assert leases.reclaim(known, dry_run=True) == expected
    assert leases.of("orders") == {"broker-1": 20001}
    assert leases.reclaim(known) == expected
    assert leases.of("orders") == ({} if gone else {"broker-1": 20001})
    assert asked == ([] if may_live else [HERE, HERE])  # a runtime is asked only if it matters


def test_the_file_of_an_earlier_version_is_read_kept_and_reclaimed(tmp_path: Path) -> None:
    leases = _write(tmp_path, orders={"broker-1": 20001}, others={"broker-1": 20002})
    assert leases.held("orders") == {"broker-1"}
    assert leases.lease("orders", ["broker-1", "broker-2"], {})["broker-1"] == 20001
    asked: list[str] = []
    assert leases.reclaim(lambda place: asked.append(place) or ()) == ("others",)  # type: ignore[func-returns-value]
    assert asked == [""]  # whichever runtime had it
    leases.release("orders")
    assert json.loads((tmp_path / "ports.json").read_text()) == {}


@pytest.mark.parametrize("choose", [PortLeases.propose, PortLeases.lease])
def test_ports_of_what_is_gone_are_given_again(
    tmp_path: Path, choose: Callable[..., dict[str, int]], ended: dict[str, object]
) -> None:
    wished = PortLeases(tmp_path, _free).propose("orders", ["broker-1"], {})["broker-1"]
    leases = _write(tmp_path, others={"ports": {"broker-1": wished}, "place": HERE, "holder": ended})
    assert choose(leases, "orders", ["broker-1"], {}, Situation(HERE))["broker-1"] != wished
    leases = _write(tmp_path, others={"ports": {"broker-1": wished}, "place": HERE, "holder": ended})
    assert choose(leases, "orders", ["broker-1"], {}, Situation(HERE, known=_nothing)) == {"broker-1": wished}
    assert bool(leases.of("others")) is (choose is PortLeases.propose)


def test_the_leases_of_the_environment_that_chooses_are_its_own(tmp_path: Path, ended: dict[str, object]) -> None:
    leases = _write(tmp_path, orders={"ports": {"broker-1": 20001}, "place": HERE, "holder": ended})
    given = leases.lease("orders", ["broker-1", "broker-2"], {}, Situation(HERE, known=_nothing))
    assert given["broker-1"] == 20001
    assert leases.of("orders") == given


def test_who_chooses_holds_the_lease_from_then_on(tmp_path: Path, ended: dict[str, object]) -> None:
    leases = _write(tmp_path, orders={"ports": {"broker-1": 20001}, "place": HERE, "holder": ended})
    leases.lease("orders", ["broker-1"], {}, Situation(HERE))
    assert leases.reclaim(_nothing) == ()  # this process is at work


def test_an_environment_that_may_be_at_two_places_is_looked_for_everywhere(tmp_path: Path) -> None:
    leases = PortLeases(tmp_path, _free)
    leases.lease("orders", ["broker-1"], {}, Situation(HERE))
    assert json.loads((tmp_path / "ports.json").read_text())["orders"]["place"] == HERE
    leases.lease("orders", ["broker-1"], {}, Situation("docker B"))
    assert json.loads((tmp_path / "ports.json").read_text())["orders"]["place"] == ""


@pytest.mark.parametrize(
    ("present", "in_use", "kept"),
    [
        (None, {}, True),  # not known: `render` does not ask
        (frozenset({"broker-1"}), {}, True),  # it may be the one that listens there
        (frozenset(), {"broker-1": 20001, "broker-1/CONTROLLER": 20002}, True),
        (frozenset(), {}, False),
    ],
)
def test_a_leased_port_that_somebody_else_took_since_is_replaced_unless_a_node_has_it(
    tmp_path: Path, present: frozenset[str] | None, in_use: dict[str, int], kept: bool
) -> None:
    _write(tmp_path, orders={"ports": {"broker-1": 20001, "broker-1/CONTROLLER": 20002}, "place": HERE})
    leases = PortLeases(tmp_path, lambda port: port not in (20001, 20002))
    given = leases.lease("orders", ["broker-1", "broker-1/CONTROLLER"], in_use, Situation(HERE, present))
    assert ({20001, 20002} == set(given.values())) is kept
    assert leases.of("orders") == given
    assert len(set(given.values())) == 2


def test_a_port_that_turned_out_to_be_taken_is_given_to_nobody(tmp_path: Path) -> None:
    leases = _write(tmp_path, orders={"ports": {"broker-1": 20001, "broker-2": 20002}, "place": HERE})
    taken = Situation(HERE, frozenset({"broker-1", "broker-2"}), frozenset({20001}))
    given = leases.lease("orders", ["broker-1", "broker-2"], {"broker-2": 20002}, taken)
    assert given["broker-2"] == 20002
    assert given["broker-1"] not in (20001, 20002)


def test_twenty_that_choose_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    together = threading.Barrier(20, timeout=60)

    def choose(number: int) -> list[int]:
        leases = PortLeases(tmp_path, _free)
        together.wait()
        return list(leases.lease(f"orders-{number}", ["broker-1", "broker-2"], {}, Situation(HERE)).values())

    with ThreadPoolExecutor(max_workers=20) as pool:
        given = [port for ports in pool.map(choose, range(20)) for port in ports]
    assert len(set(given)) == 40
    leases = PortLeases(tmp_path, _free)
    for number in range(20):
        assert len(leases.of(f"orders-{number}")) == 2
        leases.release(f"orders-{number}")
    assert json.loads((tmp_path / "ports.json").read_text()) == {}
