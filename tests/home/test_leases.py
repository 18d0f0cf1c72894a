"""Leases of environments that are gone are reclaimed, and no others: not of one that may be there, or is coming."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.home.holders import Holder
from provision.home.locks import HomeLock
from provision.home.ports import PortLeases, Situation
from tests.cli.program import ROOT
from tests.holders import dead, elsewhere, reused

HERE = "docker A"


def _free(_port: int) -> bool:
    return True


def _nothing(_place: str) -> Collection[str]:
    return ()


def _write(home: Path, **leases: object) -> PortLeases:
    (home / "ports.json").write_text(json.dumps(leases))
    return PortLeases(home, _free)


HOLD = """
import sys
from pathlib import Path
from provision.home.holders import Holder
from provision.home.locks import HomeLock
lock = HomeLock(Path(sys.argv[1]), "orders")
lock.take(Holder.of("up"))
if sys.argv[2] == "unseen":  # its process is of a machine, or in a container, into which nobody can look
    here = Holder.of("up")
    there = here.model_copy(update={"process": here.process.model_copy(update={"boot": "another", "machine": ""})})
    lock.file.write_text(there.model_dump_json())
elif sys.argv[2] == "untold":
    lock.file.write_text("")
print(".", flush=True)
input()
"""


@contextmanager
def _command(home: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of another process that has the environment's lock."""
    command = [sys.executable, "-c", HOLD, str(home), kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, **pipes) as started:  # type: ignore[call-overload]
        assert started.stdout.read(1) == b"."
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def _situation(home: Path, kind: str) -> Iterator[None]:
    """A command that is at work, was killed, or of which only a lock is left, and a clock that has been set."""
    command, _, clock = kind.partition(", ")
    with pytest.MonkeyPatch.context() as patched:
        moved = {"a day later": 86400.0, "a day earlier": -86400.0}.get(clock, 0.0)
        now = time.time
        patched.setattr(time, "time", lambda: now() + moved)
        if command.startswith("at work"):
            with _command(home, command.removeprefix("at work ")):
                yield
            return
        if command == "killed":
            with _command(home, "seen") as started:
                started.kill()
        elif command in LEFT:
            (home / "locks").mkdir(mode=0o700)
            (home / "locks" / "orders").write_text(LEFT[command]().model_dump_json())
        yield


LEFT = {"dead": dead, "reused": reused, "elsewhere": elsewhere}
"""What is left in a lock that nobody has; the last tells only that it was on another machine."""
AT_WORK = ("at work seen", "at work unseen", "at work untold")
CLOCKS = ("", ", a day later", ", a day earlier")


@pytest.mark.parametrize("kind", [f"{of}{clock}" for of in (*AT_WORK, "killed", *LEFT, "no lock") for clock in CLOCKS])
def test_a_lease_is_reclaimed_only_if_nothing_is_there_and_nobody_is_at_work_whatever_the_clock_says(
    tmp_path: Path, kind: str
) -> None:
    is_at_work = kind.startswith("at work")
    asked: list[str] = []

    def known(place: str) -> Collection[str] | None:
        asked.append(place)
        return there

    with _situation(tmp_path, kind):
        for there in (None, (), ("others",), ("orders",)):
            leases = _write(tmp_path, orders={"ports": {"broker-1": 20001}, "place": HERE})
            gone = there is not None and "orders" not in there and not is_at_work
            expected = ("orders",) if gone else ()
            asked.clear()
            assert leases.reclaim(known, dry_run=True) == expected
            assert leases.of("orders") == {"broker-1": 20001}
            assert leases.reclaim(known) == expected
            assert leases.of("orders") == ({} if gone else {"broker-1": 20001})
            assert asked == ([] if is_at_work else [HERE, HERE])  # a runtime is asked only if it matters


def test_whoever_looks_takes_no_lock_away(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path, "orders")
    seen = [lock.is_held]
    assert not (tmp_path / "locks").exists()
    lock.take(Holder.of("up"))
    seen.append(lock.is_held)
    lock.release()
    seen.append(lock.is_held)
    assert seen == [False, True, False]
    assert not lock.file.exists()


def test_the_file_of_an_earlier_version_is_read_kept_and_reclaimed(tmp_path: Path) -> None:
    leases = _write(tmp_path, orders={"broker-1": 20001}, others={"broker-1": 20002})
    assert leases.held("orders") == {"broker-1"}
    assert leases.lease("orders", ["broker-1", "broker-2"], {})["broker-1"] == 20001
    asked: list[str] = []
    assert leases.reclaim(lambda place: asked.append(place) or ("orders",)) == ("others",)  # type: ignore[func-returns-value]
    assert asked == [""]  # whichever runtime had it
    leases.release("orders")
    assert json.loads((tmp_path / "ports.json").read_text()) == {}


@pytest.mark.parametrize("choose", [PortLeases.propose, PortLeases.lease])
def test_ports_of_what_is_gone_are_given_again(tmp_path: Path, choose: Callable[..., dict[str, int]]) -> None:
    wished = PortLeases(tmp_path, _free).propose("orders", ["broker-1"], {})["broker-1"]
    leases = _write(tmp_path, others={"ports": {"broker-1": wished}, "place": HERE})
    assert choose(leases, "orders", ["broker-1"], {}, Situation(HERE))["broker-1"] != wished
    leases = _write(tmp_path, others={"ports": {"broker-1": wished}, "place": HERE})
    assert choose(leases, "orders", ["broker-1"], {}, Situation(HERE, known=_nothing)) == {"broker-1": wished}
    assert bool(leases.of("others")) is (choose is PortLeases.propose)


def test_the_leases_of_the_environment_that_chooses_are_its_own(tmp_path: Path) -> None:
    leases = _write(tmp_path, orders={"ports": {"broker-1": 20001}, "place": HERE})
    given = leases.lease("orders", ["broker-1", "broker-2"], {}, Situation(HERE, known=_nothing))
    assert given["broker-1"] == 20001
    assert leases.of("orders") == given


def test_where_an_environment_is_is_noted_without_ports_of_ours(tmp_path: Path) -> None:
    leases = PortLeases(tmp_path, _free)
    leases.note_place("orders", HERE)
    assert leases.place_of("orders") == HERE
    assert leases.of("orders") == {}
    leases.lease("orders", ["broker-1"], {}, Situation(HERE))
    leases.forget_place("orders")  # it has ports
    assert leases.place_of("orders") == HERE
    leases.release("orders", ["broker-1"])
    assert leases.place_of("orders") == ""
    leases.note_place("orders", HERE)
    leases.note_place("orders", "docker B")
    assert leases.place_of("orders") == ""  # either may have it
    leases.forget_place("orders")
    assert json.loads((tmp_path / "ports.json").read_text()) == {}
    leases.note_place("orders", HERE)
    assert leases.reclaim(_nothing) == ("orders",)


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
