"""Whatever a cycle leaves behind is noticed: the tests of growth could fail."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.footprint import grows_not_by, of_home, of_this_process

LEFT: list[object] = []


def _file(home: Path) -> None:
    LEFT.append((home / "open").open("w"))


def _socket(home: Path) -> None:
    LEFT.append(socket.create_server(("127.0.0.1", 0)))


def _thread(home: Path) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, daemon=True)
    thread.start()
    LEFT.append((thread, ended))


def _child(home: Path) -> None:
    LEFT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))


def _in_home(home: Path) -> None:
    (home / f"left-{len(list(home.iterdir()))}").touch()


def _lease(home: Path) -> None:
    leases = home / "ports.json"
    known = json.loads(leases.read_text()) if leases.exists() else {}
    leases.write_text(json.dumps({**known, str(len(known)): 1}))


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    for one in LEFT:
        match one:
            case subprocess.Popen():
                one.communicate(b"\n")
            case (threading.Thread() as thread, threading.Event() as ended):
                ended.set()
                thread.join()
            case _:
                one.close()  # type: ignore[attr-defined]
    LEFT.clear()


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (_file, {"descriptors", "files"}),
        (_socket, {"descriptors", "sockets"}),
        (_thread, {"threads"}),
        (_child, {"children"}),
        (_in_home, {"home"}),
        (_lease, {"leases"}),
    ],
)
def test_it_is_noticed(tmp_path: Path, leave: Callable[[Path], None], named: set[str]) -> None:
    def footprint() -> dict[str, object]:
        return {**of_this_process(), **of_home(tmp_path), "memory": []}  # others use that, too

    with pytest.raises(AssertionError) as grown:
        grows_not_by(lambda: leave(tmp_path), 4, footprint)
    assert [name for name in named if f"'{name}': " not in str(grown.value)] == []


def test_a_cycle_that_leaves_nothing_passes(tmp_path: Path) -> None:
    def cycle() -> None:
        with (tmp_path / "open").open("w"):
            pass

    grows_not_by(cycle, 4, lambda: {**of_this_process(), **of_home(tmp_path), "memory": []})
