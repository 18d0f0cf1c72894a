"""A file is written whole, or stays as it was; and is read without trust in what stands in its place."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.common.whole_files import is_draft, read_whole, write_whole
from provision.errors import ProvisionError
from provision.home.place import Home
from provision.plan.saved import SavedPlan
from provision.runtime import directories
from provision.runtime.process.notes import EnvironmentNote, NodeNote
from provision.software import pins_file
from provision.software.pins import Pins
from tests.mutations import REPLACED

ENDED = 999_999_999
"""The id of a process that does not run: there are not so many."""


@contextmanager
def space_for(size: int) -> Iterator[None]:
    """No file gets longer than so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # it would be cut off, and kept for everybody
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "orders.lock.yaml"
    write_whole(file, "before\n")
    with space_for(1000), pytest.raises(OSError, match="File too large"):
        write_whole(file, "after\n" * 1000)
    assert file.read_text() == "before\n"
    assert list(tmp_path.iterdir()) == [file]
    write_whole(file, "after\n")
    assert file.read_text() == "after\n"


def _environment(root: Path) -> None:
    EnvironmentNote(
        software="kafka 3.9.1", libs="/libs/*", version="3.9.1", mode="kraft", storage="volume", created_s=1.5
    ).write(root / "environment")


def _node(root: Path) -> None:
    try:
        NodeNote(config_hash="", endpoint=None, version="3.9.1", ports=(9092,), arguments=("x",)).write(root)
    except OSError as error:
        raise ProvisionError("no") from error


WRITERS: dict[str, Callable[[Path], object]] = {
    "environment.json": _environment,
    "node.json": _node,
    "marker of a storage": lambda root: directories.create(root / "storage", "broker-1", "orders"),
    "ports.json": lambda root: Home.at(root).ports.lease("orders", ["broker-1"], {}),
    "throttle": lambda root: Home.at(root).throttle("orders").write("one", {}),
    "plan": lambda root: SavedPlan("orders", "", "", {"actions": []}).write(root / "plan.json"),
    "lock": lambda root: pins_file.write(Pins("3.9.1", "kraft"), root / "orders.lock.yaml"),
}


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("what", WRITERS)
def test_on_a_full_disk_nothing_half_is_left_and_with_space_it_works(tmp_path: Path, what: str, size: int) -> None:
    with space_for(size), pytest.raises(ProvisionError):
        WRITERS[what](tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.endswith(".lock")] == []
    WRITERS[what](tmp_path)


@pytest.mark.parametrize("what", WRITERS)
def test_what_a_killed_command_left_of_a_file_misleads_nobody_and_is_removed(tmp_path: Path, what: str) -> None:
    WRITERS[what](tmp_path)
    whole = [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.endswith(".lock")]
    before = {file: file.read_bytes() for file in whole}
    drafts = [file.with_name(f"{file.name}.{ENDED}-1.new") for file in whole]
    for draft in drafts:
        draft.write_text("ha")
    if what == "ports.json":
        Home.at(tmp_path).ports.lease("others", ["broker-1"], {})
    else:
        WRITERS[what](tmp_path)
        assert {file: file.read_bytes() for file in whole} == before
    assert not any(draft.exists() for draft in drafts)


def test_the_draft_of_a_command_that_runs_is_left_alone(tmp_path: Path) -> None:
    draft = tmp_path / f"a.json.{os.getppid()}-1.new"
    draft.write_text("ha")
    write_whole(tmp_path / "a.json", "{}")
    assert draft.exists()
    assert is_draft(draft.name)
    assert not any(map(is_draft, ("a.json", "mine.new", "a.json.new", "a.json.x-1.new")))


KILLED = """
import os, signal, sys
from pathlib import Path
from provision.runtime import directories

Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
directories.create(Path(sys.argv[1]), "broker-1", "orders")
"""


def test_a_storage_whose_creation_was_killed_can_be_created(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    (draft,) = (tmp_path / "broker-1").iterdir()
    assert is_draft(draft.name)
    directories.create(tmp_path, "broker-1", "orders")
    assert sorted(entry.name for entry in (tmp_path / "broker-1").iterdir()) == [".provision", "data"]


def test_a_link_in_the_place_of_a_draft_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: ENDED - 1)
    monkeypatch.setattr("threading.get_ident", lambda: 7)
    monkeypatch.setattr("psutil.pid_exists", lambda _pid: True)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f"a.json.{ENDED - 1}-7.new").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.json", "{}")
    assert victim.read_text() == "kept"


@pytest.mark.parametrize("what", [what for what in REPLACED if what != "unreadable"])
def test_only_a_file_of_moderate_size_is_read(tmp_path: Path, what: str) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    assert read_whole(file) == b"{}"
    REPLACED[what](file)
    with pytest.raises(OSError) as caught:  # noqa: PT011 which one differs
        read_whole(file)
    assert caught.value.strerror


def test_init_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with space_for(100):
        assert run(["init", "dev"]) == 64
    assert list((tmp_path / "environments").iterdir()) == []
    assert run(["init", "dev"]) == 0
