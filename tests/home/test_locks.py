"""The lock of a home: one holder, dead ones do not count, and who is taken over knows it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.common.patience import Patience
from provision.errors import Busy
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from tests.cli.program import ROOT

HOLD = """
import sys, threading
from pathlib import Path
from provision.home.holders import Holder
from provision.home.locks import HomeLock
lock = HomeLock(Path(sys.argv[1]), "orders")
lock.take(Holder.of("up"))
print(".", flush=True)
threading.Event().wait(30)
"""


@contextmanager
def another_process(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(home)]
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as started:
        assert started.stdout
        assert started.stdout.read(1) == b"."
        try:
            yield started
        finally:
            started.kill()


def files(home: Path) -> list[str]:
    return sorted(str(file.relative_to(home)) for file in home.rglob("*") if file.is_file())


def test_one_holds_it_and_the_other_is_told_who(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        with pytest.raises(Busy, match=r"orders is being changed by `provision up` \(.+, pid \d+ on .+, since") as busy:
            HomeLock(tmp_path, "orders").take(Holder.of("down"))
        assert f"pid {other.pid} on" in busy.value.what
        assert "`provision down orders --force`" in busy.value.hint
        HomeLock(tmp_path, "payments").take(Holder.of("down"))  # another environment


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    lock = HomeLock(tmp_path, "orders")
    assert lock.holder()
    lock.take(Holder.of("up"))
    lock.require_held()
    lock.release()
    assert files(tmp_path) == []


def test_a_lock_that_is_given_up_leaves_no_file(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path, "orders")
    lock.take(Holder.of("up"))
    assert files(tmp_path) == ["locks/orders"]
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
    assert lock.file.stat().st_mode & 0o777 == 0o600
    lock.release()
    lock.release()
    assert files(tmp_path) == []


def test_never_two_hold_it_however_they_meet(tmp_path: Path) -> None:
    inside: list[int] = []
    met: list[int] = []

    def hold_often(number: int) -> int:
        lock, taken, patience = HomeLock(tmp_path, "orders"), 0, Patience(60)
        while taken < 15 and not patience.is_over:
            try:
                lock.take(Holder.of("up"))
            except Busy:
                continue
            inside.append(number)
            met.append(len(inside))
            inside.remove(number)
            lock.release()
            taken += 1
        return taken

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(hold_often, range(6))) == [15] * 6
    assert set(met) == {1}
    assert files(tmp_path) == []


def test_who_is_taken_over_knows_it_and_removes_nothing_of_the_others(tmp_path: Path) -> None:
    mine, theirs = HomeLock(tmp_path, "orders"), HomeLock(tmp_path, "orders")
    mine.take(Holder.of("up"))
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(theirs.take_over, Holder.of("down"), Patience(20))
        patience = Patience(20)
        while not over.done() and patience.pause(0.01):
            try:
                mine.require_held()
            except Busy as lost:
                assert "orders was taken over by `provision down`" in lost.what  # noqa: PT017 it comes at some time
                mine.release()
                break
        assert over.result(20) is True
    theirs.require_held()
    with pytest.raises(Busy, match="`provision down`"):
        HomeLock(tmp_path, "orders").take(Holder.of("up"))
    theirs.release()
    assert files(tmp_path) == []


def test_who_does_not_end_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    mine, theirs = HomeLock(tmp_path, "orders"), HomeLock(tmp_path, "orders")
    mine.take(Holder.of("up"))
    assert theirs.take_over(Holder.of("down"), Patience(0)) is False
    theirs.require_held()
    mine.release()
    theirs.require_held()
    theirs.release()
    assert files(tmp_path) == []


@pytest.mark.parametrize("after", ["given up", "taken again", "taken and given up", "taken over again and given up"])
def test_who_was_frozen_while_it_lost_its_lock_does_not_take_it_again(tmp_path: Path, after: str) -> None:
    """Whatever others have done meanwhile: what is there now is theirs."""
    mine, theirs, next_one = (HomeLock(tmp_path, "orders") for _ in range(3))
    mine.take(Holder.of("up"))
    theirs.take_over(Holder.of("down"), Patience(0))
    if after == "taken over again and given up":
        next_one.take_over(Holder.of("down"), Patience(0))
    theirs.release()
    if after.startswith("taken and") or after == "taken again":
        next_one.take(Holder.of("up"))
    if after != "taken again":
        next_one.release()
    for _ in range(2):
        with pytest.raises(Busy, match="orders was taken over by `provision"):
            mine.require_held()
    mine.release()
    assert files(tmp_path) == (["locks/orders"] if after == "taken again" else [])


def test_a_lock_that_was_only_removed_is_taken_again_also_after_a_holder_with_more_to_say(tmp_path: Path) -> None:
    """What another one, which was killed, has left in the file does not make it theirs."""
    lock = HomeLock(tmp_path, "orders")
    lock.file.parent.mkdir(mode=0o700)
    lock.file.write_text(Holder.of("restart", "--rolling broker-1 broker-2").model_dump_json())
    lock.take(Holder.of("up"))
    lock.file.unlink()
    lock.require_held()
    lock.file.unlink()
    lock.require_held()
    lock.release()
    assert files(tmp_path) == []


def test_a_lock_that_nobody_holds_is_taken_over_at_once(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path, "orders")
    assert lock.take_over(Holder.of("down"), Patience(0)) is True
    lock.require_held()
    lock.release()
    assert files(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"token": 1}', b"x" * 100_000])
def test_whatever_stands_in_the_file_the_lock_counts(tmp_path: Path, content: bytes) -> None:
    lock = HomeLock(tmp_path, "orders")
    lock.take(Holder.of("up"))
    lock.file.write_bytes(content)
    with pytest.raises(Busy, match="orders is being changed by another command"):
        HomeLock(tmp_path, "orders").take(Holder.of("down"))
    lock.release()
    assert files(tmp_path) == []


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir(mode=0o700)
    (tmp_path / "locks" / "orders").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="orders"):
        HomeLock(tmp_path, "orders").take(Holder.of("up"))
    assert not os.path.lexists(tmp_path / "victim")


def test_a_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path, "orders")
    lock.file.parent.mkdir(mode=0o700)
    os.mkfifo(lock.file)
    assert not lock.is_held
    lock.take(Holder.of("up"))
    assert HomeLock(tmp_path, "orders").is_held
    with pytest.raises(Busy):
        HomeLock(tmp_path, "orders").take(Holder.of("up"))
    lock.require_held()
    lock.release()
    assert files(tmp_path) == []
