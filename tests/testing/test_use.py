"""Tests share an environment, or one has it alone; also if a process dies."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provision.errors import NotReady
from provision.testing import use
from provision.testing.use import Use


def test_many_use_it_together(tmp_path: Path) -> None:
    uses = [Use(tmp_path / "use") for _ in range(3)]
    for one in uses:
        one.release()
        one.release()


def test_who_is_interrupted_does_not_keep_it(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Use(tmp_path / "use") as one:
            one.alone()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    Use(tmp_path / "use").release()


def test_one_that_wants_it_alone_waits_for_the_others(tmp_path: Path) -> None:
    one, other = Use(tmp_path / "use"), Use(tmp_path / "use")
    alone = threading.Event()

    def take() -> None:
        one.alone()
        alone.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not alone.wait(0.3)
    other.release()
    assert alone.wait(30)
    thread.join()
    one.alone()
    one.release()


def test_two_that_want_it_alone_get_it_in_turn(tmp_path: Path) -> None:
    got: list[int] = []

    def take(number: int, mine: Use) -> None:
        mine.alone()
        got.append(number)
        mine.release()

    uses = [Use(tmp_path / "use") for _ in range(4)]
    threads = [threading.Thread(target=take, args=pair) for pair in enumerate(uses)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == [0, 1, 2, 3]


def test_who_comes_later_does_not_get_ahead_of_one_that_wants_it_alone(tmp_path: Path) -> None:
    first, wanting = Use(tmp_path / "use"), Use(tmp_path / "use")
    got: list[str] = []

    def alone() -> None:
        wanting.alone()
        got.append("alone")
        time.sleep(0.2)
        wanting.release()

    def come() -> None:
        late = Use(tmp_path / "use")
        got.append("late")
        late.release()

    threads = [threading.Thread(target=alone), *(threading.Thread(target=come) for _ in range(3))]
    threads[0].start()
    time.sleep(0.3)  # until it waits
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.3)
    assert got == []
    first.release()
    for thread in threads:
        thread.join(30)
    assert got == ["alone", *["late"] * 3]


def test_what_a_dead_process_has_taken_down_is_known(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib\nfrom provision.testing.use import Use\n"
        "use = Use(pathlib.Path(sys.argv[1]))\nuse.alone()\nuse.note_down({'broker-1'})\n"
        "use.note_down({'broker-2', 'broker-3'})\nos._exit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path / "use"], check=False).returncode == 1
    use = Use(tmp_path / "use")
    assert use.down == {"broker-2", "broker-3"}
    use.alone()
    use.note_down(())
    use.release()
    assert Use(tmp_path / "use").down == set()


def test_a_dead_process_does_not_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys, pathlib\nfrom provision.testing.use import Use\n"
        "use = Use(pathlib.Path(sys.argv[1]))\nuse.alone()\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "use"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with monkeypatch.context() as patched:
            patched.setattr(use, "ALONE_S", 0.1)
            with pytest.raises(NotReady, match="another test"):
                Use(tmp_path / "use")
        holder.kill()
        holder.wait(30)
    Use(tmp_path / "use").release()
