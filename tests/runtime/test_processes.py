"""A process is ours by its mark; neither a reused id nor a lost note leads to another."""

import errno
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from provision.errors import ProvisionError
from provision.home.ports import port_is_free
from provision.runtime.process import processes

pytestmark = [pytest.mark.process, pytest.mark.row("apart")]

SLEEP = "import time; time.sleep(120)"


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process that is not ours."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as child:
        yield psutil.Process(child.pid)
        child.kill()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.kill(tmp_path)


def _start(node: Path) -> psutil.Process:
    processes.start([sys.executable, "-c", SLEEP, processes.mark(node)], node, node / "console.log")
    found = processes.find(node)
    assert found is not None
    return found


def test_a_started_process_is_found_stopped_and_gone(node: Path) -> None:
    process = _start(node)
    assert processes.was_started(node)
    assert processes.exit_code(node) is None
    processes.stop(node, patience_s=10)
    assert processes.find(node) is None
    assert processes.exit_code(node) == 128 + 15
    assert not psutil.pid_exists(process.pid)


def test_a_process_without_a_note_is_found_by_its_mark(node: Path) -> None:
    process = _start(node)
    (node / "process.json").unlink()
    assert processes.find(node) == process
    assert json.loads((node / "process.json").read_text())["pid"] == process.pid


@pytest.mark.parametrize("is_noted", [True, False], ids=["noted", "unnoted"])
def test_a_process_is_found_at_the_moment_of_an_exec(tmp_path: Path, is_noted: bool) -> None:
    """It has no command line then. One that does nothing but exec shows that moment to every tenth search."""
    node, again = tmp_path / "broker-1", tmp_path / "again"
    node.mkdir()
    again.write_text('#!/bin/sh\nexec "$0" "$@"\n')
    again.chmod(0o755)
    processes.start([str(again), processes.mark(node)], node, node / "console.log")
    try:
        for _ in range(200):
            if not is_noted:
                (node / "process.json").unlink(missing_ok=True)
            assert processes.find(node) is not None
            assert "broker-1" in processes.marked(tmp_path)
            assert node in dict(processes.all_marked())
    finally:
        processes.kill(node)


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"pid": "x", "created": 1}', '{"pid": 1}'])
def test_a_damaged_note_is_mended_by_a_search(node: Path, damaged: str) -> None:
    process = _start(node)
    (node / "process.json").write_text(damaged)
    assert processes.find(node) == process


def test_a_reused_id_is_not_taken_for_ours_nor_killed(node: Path, stranger: psutil.Process) -> None:
    note = {"pid": stranger.pid, "created": stranger.create_time()}
    (node / "process.json").write_text(json.dumps(note))
    assert processes.find(node) is None
    processes.stop(node, patience_s=1)
    processes.kill(node)
    time.sleep(0.1)
    assert stranger.is_running()
    assert stranger.status() != psutil.STATUS_ZOMBIE


def test_the_mark_of_a_neighbour_is_another_mark(tmp_path: Path) -> None:
    first, second = tmp_path / "broker-1", tmp_path / "broker-11"
    first.mkdir()
    second.mkdir()
    process = _start(second)
    try:
        assert processes.find(first) is None
    finally:
        processes.kill(second)
    assert not psutil.pid_exists(process.pid)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="cannot start /nowhere/java"):
        processes.start(["/nowhere/java"], tmp_path, tmp_path / "console.log")


def test_one_that_does_not_heed_sigterm_is_killed(node: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"
    processes.start([sys.executable, "-c", deaf, processes.mark(node)], node, node / "console.log")
    deadline = time.monotonic() + 20
    while "deaf" not in (node / "console.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    processes.stop(node, patience_s=0.5)
    assert processes.find(node) is None
    assert processes.exit_code(node) == 128 + 9


def test_how_the_last_one_ended_is_not_told_of_the_next(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _start(node)
    processes.stop(node, 20)
    processes.exit_code(node)

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(processes, "write_whole", no_space)
    found = _start(node)  # by its mark
    found.kill()
    found.wait()
    assert processes.exit_code(node) is None


LINGERS = """
import ctypes, os, signal, socket, threading, time

server, told = socket.create_server(("127.0.0.1", 0)), threading.Event()

def linger():
    told.wait()
    time.sleep(1)
    os._exit(0)

def leave(*_):
    told.set()
    ctypes.CDLL(None).pthread_exit(None)

threading.Thread(target=linger).start()
signal.signal(signal.SIGTERM, leave)
print(server.getsockname()[1], flush=True)
while True:
    signal.pause()
"""
# It stops what it did not start: it is no parent, and is told no exit code. It is known then that it was stopped.
ANOTHER_COMMAND = """
import sys
from pathlib import Path
from provision.runtime.process import processes

directory = Path(sys.argv[1])
processes.stop(directory, patience_s=20)
assert processes.find(directory) is None
assert processes.exit_code(directory) == 143
"""
EXIT_CODE = """
import sys
from pathlib import Path
from provision.runtime.process import processes

print(processes.exit_code(Path(sys.argv[1])))
"""


def _end_from_outside(node: Path) -> None:
    process = processes.find(node)
    assert process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda node: processes.stop(node, 20), "143"),
        (processes.kill, "137"),
        (_end_from_outside, "None"),
    ],
)
def test_a_later_command_knows_how_it_was_ended_from_here(node: Path, end: Callable[[Path], None], code: str) -> None:
    for end_it, expected in ((end, code), (_end_from_outside, "None")):  # a new start makes it unknown again
        _start(node)
        end_it(node)
        assert processes.exit_code(node) is not None  # its parent is told anyway
        told = subprocess.run([sys.executable, "-c", EXIT_CODE, node], check=True, capture_output=True, text=True)
        assert told.stdout.strip() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="it is there that a process without its first thread is a zombie")
def test_a_process_has_ended_when_its_last_thread_has_and_its_ports_are_free(node: Path) -> None:
    console = node / "console.log"
    processes.start([sys.executable, "-c", LINGERS, processes.mark(node)], node, console)
    deadline = time.monotonic() + 20
    while not console.read_text().endswith("\n") and time.monotonic() < deadline:
        time.sleep(0.05)
    port = int(console.read_text())
    assert not port_is_free(port)
    subprocess.run([sys.executable, "-c", ANOTHER_COMMAND, node], check=True, timeout=60)
    assert port_is_free(port)
    assert processes.exit_code(node) == 0  # it was not killed
