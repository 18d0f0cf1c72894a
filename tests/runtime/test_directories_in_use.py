"""What stands where a node's part of a `storage` directory would be: told by the plan, and never touched.

Each row is tried with the program's own command lines, as processes and with an engine.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import provision.environment.described
from provision.cli.run import run
from provision.runtime import directories
from provision.runtime.fake import FakeRuntime
from tests.engine import NO_ENGINE
from tests.runtimes import FakeRuntimes
from tests.users import NOBODY, needs_root

NAME, REFUSED = "occupied", 4
Make = Callable[[Path, Path], object]


def _file(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("somebody's")
    return place


def _pipe(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(place)
    return place


def _link(place: Path, target: Path, *, there: bool = True) -> Path:
    if there:
        target.mkdir(exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target, target_is_directory=True)
    return place


def _ours(storage: Path, *without: str) -> Path:
    """As `down` leaves it, without some parts."""
    directories.create(storage, "broker-1", NAME)
    for part in without:
        (storage / "broker-1" / part).rmdir()
    return storage / "broker-1"


def _strangers(place: Path) -> Path:
    place.mkdir(parents=True)
    os.chown(place, NOBODY, NOBODY)
    return place


def _directory(place: Path, mode: int = 0o700) -> Path:
    place.mkdir(parents=True)
    place.chmod(mode)
    return place


# By what it is: how it comes there, given the storage directory and another one; and what is said.
TABLE: dict[str, tuple[Make, str]] = {
    "a file in the data": (lambda d, _: _file(d / "broker-1/data/notes.txt"), "broker-1 has files that are not of"),
    "a file": (lambda d, _: _file(d / "broker-1/notes.txt"), "broker-1 has files that are not of"),
    "an empty directory": (
        lambda d, _: _directory(d / "broker-1/mine"),
        "broker-1 has files that are not of",
    ),
    "a marker of nobody's": (lambda d, _: _file(d / "broker-1/.provision"), "broker-1 has files that are not of"),
    "a file in its place": (lambda d, _: _file(d / "broker-1"), "broker-1 is not a directory"),
    "a pipe in its place": (lambda d, _: _pipe(d / "broker-1"), "broker-1 is not a directory"),
    "a link in its place": (lambda d, other: _link(d / "broker-1", other), "broker-1 is a link"),
    "a link to nothing": (lambda d, other: _link(d / "broker-1", other, there=False), "broker-1 is a link"),
    "a link for the data": (
        lambda d, other: _link(_ours(d, "data") / "data", other),
        "broker-1/data is a link",
    ),
    "a file for the data": (
        lambda d, _: _file(_ours(d, "data") / "data"),
        "broker-1/data is not a directory",
    ),
    "a link for the configuration": (
        lambda d, other: _link(_ours(d) / "config", other),
        "broker-1/config is a link",
    ),
    "a file for the configuration": (
        lambda d, _: _file(_ours(d) / "config"),
        "broker-1/config is not a directory",
    ),
    "a directory that all may change": (lambda d, _: _directory(d / "broker-1", 0o777), "other users can write to"),
}
NEEDS_ROOT: dict[str, tuple[Make, str]] = {
    "another user's directory": (lambda d, _: _strangers(d / "broker-1"), "broker-1 belongs to another user"),
}
ROWS = [*TABLE, *(pytest.param(what, marks=needs_root) for what in NEEDS_ROOT)]


@pytest.fixture(params=["docker", "process"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment file with a storage directory, for one of the runtimes."""
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
    if request.param == "docker":
        runtime = FakeRuntime()
        monkeypatch.setattr(provision.environment.described, "Runtimes", lambda home: FakeRuntimes(home, runtime))
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(f"runtime: {request.param}\nbrokers: {{nodes: 1, port: auto}}\nstorage: ./storage\n")
    return file


def _all(directory: Path) -> dict[str, tuple[int, int]]:
    found = {str(entry.relative_to(directory)): entry.lstat() for entry in (directory, *directory.rglob("*"))}
    return {name: (one.st_uid, stat.S_IMODE(one.st_mode)) for name, one in found.items()}


@pytest.mark.parametrize("what", ROWS)
def test_what_is_in_the_way_is_told_by_the_plan_and_left_alone(
    file: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    make, said = (TABLE | NEEDS_ROOT)[what]
    storage = file.parent / "storage"
    make(storage, file.parent / "other")
    before = _all(storage)
    assert run(["plan", str(file)]) == REFUSED
    told = " ".join("".join(capsys.readouterr()).split())
    assert said in told
    assert "storage broker-1" in told
    assert "create" not in told
    assert run(["up", str(file)]) == REFUSED
    told = " ".join(capsys.readouterr().err.split())
    assert said in told
    assert f"{NAME} is left as it is" in told
    assert "is removed again" not in told
    assert _all(storage) == before
    assert run(["list"]) == 0
    assert NAME not in capsys.readouterr().out


OWN: dict[str, Make] = {
    "nothing": lambda _, __: None,
    "an empty directory": lambda d, _: _directory(d / "broker-1"),
    "an empty marker": lambda d, _: (_directory(d / "broker-1") / ".provision").write_bytes(b""),
    "its own": lambda d, _: _ours(d),
    "its own without data": lambda d, _: _ours(d, "data"),
    "a file beside it": lambda d, _: _file(_ours(d).with_name("broker-2")),
    "a file in its own": lambda d, _: _file(_ours(d) / "notes.txt"),
    "a link on the way": _link,
}


@pytest.mark.parametrize("what", OWN)
def test_what_is_the_environments_own_or_nobodys_is_not_in_the_way(file: Path, what: str) -> None:
    storage = file.parent / "storage"
    OWN[what](storage, file.parent / "other")
    assert run(["plan", str(file)]) == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place, _: _file(place), "is not a directory"),
        (lambda place, _: _pipe(place), "is not a directory"),
        (_link, "is a link"),
        (lambda place, other: _link(place, other, there=False), "is a link"),
    ],
    ids=["file", "pipe", "link", "link to nothing"],
)
@pytest.mark.parametrize("where", ["environments", f"environments/{NAME}", f"environments/{NAME}/broker-1"])
@pytest.mark.parametrize("file", ["process"], indirect=True)
def test_what_is_in_the_way_in_the_home_is_told_by_the_plan(
    file: Path, capsys: pytest.CaptureFixture[str], make: Make, said: str, where: str
) -> None:
    file.write_text(file.read_text().replace("storage: ./storage\n", ""))
    place = file.parent / "home" / where
    make(place, file.parent / "other")
    for command in ("plan", "up"):
        assert run([command, str(file)]) == REFUSED
        told = " ".join("".join(capsys.readouterr()).split())
        assert f"{place} {said}" in told
        assert "is removed again" not in told
    assert os.path.lexists(place)
