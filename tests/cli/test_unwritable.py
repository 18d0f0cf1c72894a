"""Places that the user names and nothing can be written to: one message and one exit code, whatever the command."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision import Environment
from provision.cli.run import run
from provision.common.whole_files import told_as_unwritable, write_output
from provision.errors import UsageError
from provision.operations.stores import write_below
from tests.cli.world import settle
from tests.fake_kafka import SpokenRuntime
from tests.plan.test_saved import MADE


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SpokenRuntime:
    runtime, _ = settle(tmp_path, monkeypatch)
    capsys.readouterr()
    Path("file").touch()
    return runtime


COMMANDS = {
    "render --out file/below": "file/below",
    "plan --out file/below": "file/below",
    "plan --out .": ".",
    "client-config --out file/below": "file/below",
    "client-config --out .": ".",
    "logs --bundle file/below": "file/below",
    "logs --bundle .": ".",
    "wait --junit file/below": "file/below",
    "wait --junit .": ".",
}


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_told_in_one_way(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command.split()) == 64
    what, why, hint = capsys.readouterr().err.splitlines()[-3:]
    assert what == f"error: cannot write {COMMANDS[command]}"
    assert why.strip() in map(os.strerror, range(1, 60))
    assert hint.startswith("hint: name another place")


WRITERS: dict[str, Callable[[Path], object]] = {
    "a plan": MADE.saved.write,
    "certificates": lambda place: write_below(place, {"ca.pem": b""}),
    "an archive": lambda place: Environment.named("shop").bundle(place),
}


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("below", ["file/below", "file/below/it"])
@pytest.mark.parametrize("what", WRITERS)
def test_so_it_is_in_programs(what: str, below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write") as told:
        WRITERS[what](tmp_path / below)
    assert told.value.why == "Not a directory"
    assert told.value.hint


@pytest.mark.parametrize("what", ["certificates"])
def test_a_file_in_the_place_of_a_directory_is_told_as_one(what: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write") as told:
        WRITERS[what](tmp_path / "file")
    assert told.value.why == "Not a directory"


def test_what_can_be_written_is(tmp_path: Path) -> None:
    with told_as_unwritable(tmp_path / "file"):
        write_output(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
