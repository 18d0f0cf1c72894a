"""What the user names to be written: nothing else takes its place, and nothing that is not ours is overwritten."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.common.whole_files import write_output
from provision.environment import Environment
from provision.errors import UsageError
from tests.cli import world
from tests.users import needs_root


@needs_root
@pytest.mark.parametrize("minor", [3, 7], ids=["null", "full"])
def test_a_device_stays_one(tmp_path: Path, minor: int) -> None:
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        device.open("wb").close()
    except OSError as error:
        pytest.skip(f"devices cannot be made here: {error}")
    if minor == 3:
        write_output(device, "content")
    else:
        with pytest.raises(OSError, match="No space left"):
            write_output(device, "content")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert list(tmp_path.iterdir()) == [device]


def test_a_pipe_gets_the_content_and_its_reader_ends(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, "content")
    reader.join(30.0)
    assert read == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path: Path, *, there: bool) -> None:
    target, link = tmp_path / "kept" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("before")
    link.symlink_to(target)
    write_output(link, "content")
    assert (link.is_symlink(), target.read_text(), list(target.parent.iterdir())) == (True, "content", [target])


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_stream_of_the_process_is_written_to(tmp_path: Path, name: str) -> None:
    redirected = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    saved = os.dup(1)
    try:
        os.dup2(redirected, 1)
        write_output(Path(name), "content")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert os.fstat(redirected).st_ino == (tmp_path / "out").stat().st_ino
    os.close(redirected)
    assert (tmp_path / "out").read_text() == "content"


def _no_place(directory: Path) -> Path:
    return directory / "nowhere" / "file"


def _is_directory(directory: Path) -> Path:
    (directory / "file").mkdir()
    return directory / "file"


@pytest.mark.parametrize("place", [_no_place, _is_directory])
def test_what_cannot_be_written_is_named_and_no_draft_of_it(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    file = place(tmp_path)
    with pytest.raises(OSError, match="directory") as caught:
        write_output(file, "content")
    assert caught.value.filename == str(file)


# -- by commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an environment that is up."""
    world.settle(tmp_path, monkeypatch)
    return tmp_path / "environments" / f"{world.NAME}.yaml"


@pytest.mark.parametrize(
    "line",
    [
        ["plan", "ENV", "--out", "FILE"],
        ["plan", "ENV", "--out", "notes.txt"],
        ["logs", "ENV", "--bundle", "FILE"],
        ["up", "ENV", "--yes", "--junit", "FILE"],
        ["wait", "ENV", "--junit", "FILE"],
    ],
)
def test_neither_the_environments_file_nor_what_is_no_plan_is_overwritten(file: Path, line: list[str]) -> None:
    notes = Path("notes.txt")
    notes.write_text("of mine\n")
    before = file.read_text()
    assert run([{"ENV": world.NAME, "FILE": str(file)}.get(word, word) for word in line]) in (4, 64)
    assert (file.read_text(), notes.read_text()) == (before, "of mine\n")


def test_an_earlier_plan_and_an_empty_file_are_written_over(file: Path) -> None:
    Path("empty").touch()
    for name in ("empty", "new", "new"):
        assert run(["plan", world.NAME, "--out", name]) == 0
        assert "provision_plan" in Path(name).read_text()


def test_a_program_does_not_overwrite_it_either(file: Path) -> None:
    with pytest.raises(UsageError, match="own file"):
        Environment(file).bundle(file)


@pytest.mark.parametrize(
    "line",
    [
        ["plan", "shop", "--out"],
        ["up", "shop", "--plan"],
        ["up", "shop", "--junit"],
        ["wait", "shop", "--junit"],
        ["run", "shop", "--bundle"],
        ["logs", "shop", "--bundle"],
        ["render", "shop", "--out"],
        ["produce", "shop", "t", "--from"],
        ["image", "load"],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_a_variable_that_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*line, ""]) == 64
    assert "is empty\n  perhaps it is a variable that is not set" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
