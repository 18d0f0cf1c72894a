"""Every command with standard streams in every state: the work is done, and the exit code is the work's."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.program import CLOSED, FULL, LEFT, PIPE, ROOT, Case, Ended, results
from tests.cli.world import LEAVES, line_of

LINES = [
    *([*line_of(path)] for path in LEAVES),
    ["--help"],
    ["--version"],
    ["topics"],
    ["nonsense"],
    ["plan", "-o", "json"],
]
ACTING = {"up", "lock", "warm", "topics apply", "image build", "image load"}
"""They report what they have done on standard output. For all others, what is there is what they are asked for."""


def called(line: list[str]) -> str:
    """The command's name."""
    return " ".join(line[:2] if line[0] in ("topics", "image") else line[:1])


def compare(line: list[str], case: Case, ended: Ended, before: Ended) -> list[str]:
    """What is wrong with the end of a case, compared with the command whose streams are in order."""
    expected = before.code
    if case.stdout == FULL and before.out and called(line) not in ACTING:
        expected = before.code or 1
    wrong = []
    if ended.code != expected:
        wrong.append(f"exit code {ended.code}, not {expected}")
    if ended.state != before.state:
        wrong.append(f"state {ended.state}, not {before.state}")
    if any("Traceback" in text or "Error:" in text for text in (ended.out, ended.err)):
        wrong.append(ended.out + ended.err)
    if (
        case.stdout == FULL
        and before.out
        and case.stderr == PIPE
        and "standard output cannot be written" not in ended.err
    ):
        wrong.append(f"says nothing: {ended.err!r}")
    return [f"{' '.join(line)} with {case.stdin}, {case.stdout}, {case.stderr}: {one}" for one in wrong]


EVERY: list[dict[str, str]] = [
    {"stdout": FULL},
    {"stdout": LEFT},
    {"stderr": FULL},
    {"stdin": CLOSED, "stdout": CLOSED, "stderr": CLOSED},
]
SOME: list[dict[str, str]] = [
    *({name: kind} for name in ("stdout", "stderr") for kind in (CLOSED, FULL, LEFT)),
    {"stdin": CLOSED},
    {"stdout": FULL, "stderr": FULL},
    {"stdout": LEFT, "stderr": CLOSED},
]
SHORT = [[*line_of(path)] for path in (("up",), ("down",), ("plan",), ("produce",), ("logs",))]


@pytest.mark.parametrize(("lines", "streams"), [(LINES, EVERY), (SHORT, SOME)], ids=["every command", "every stream"])
def test_whatever_the_streams_are_the_work_is_done(
    tmp_path: Path, lines: list[list[str]], streams: list[dict[str, str]]
) -> None:
    cases = [Case(line, **kinds) for kinds in streams for line in lines]
    ended = results([*map(Case, lines), *cases], tmp_path)
    before, after = ended[: len(lines)], ended[len(lines) :]
    for line, one in zip(lines, before, strict=True):
        assert one.code == (64 if line == ["nonsense"] else 0), (line, one)
    rows = zip(lines * len(streams), cases, after, before * len(streams), strict=True)
    assert [one for row in rows for one in compare(*row)] == []


def test_whatever_the_encoding_is_everything_is_shown(tmp_path: Path) -> None:
    cases = [*(Case(line, encoding="ascii") for line in LINES)]
    cases += [Case(line, encoding=encoding) for line in SHORT for encoding in ("latin-1", "cp1252", "utf-16")]
    ended = results([*(Case(case.line) for case in cases), *cases], tmp_path)
    for case, before, after in zip(cases, ended, ended[len(cases) :], strict=False):
        assert (after.code, after.state) == (before.code, before.state), case
        assert "Traceback" not in after.err
        assert len(after.out.splitlines()) == len(before.out.splitlines())


def test_values_can_be_read_back_whatever_the_encoding_is(tmp_path: Path) -> None:
    lines = [["plan", "-o", form] for form in ("json", "yaml")]
    ended = results(
        [Case(line, encoding=encoding) for encoding in ("utf-8", "ascii", "latin-1") for line in lines], tmp_path
    )
    first, *others = [(yaml.safe_load if one.out.startswith("changes") else json.loads)(one.out) for one in ended]
    assert first["changes"]
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    "redirected", ["", ">&-", "2>&-", "<&-", ">/dev/full", "2>/dev/full", "| true", ">&- 2>&- <&-"]
)
def test_the_program_itself(tmp_path: Path, redirected: str) -> None:
    script = f"{sys.executable} -m provision init dévé {redirected}\nexit ${{PIPESTATUS[0]}}"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 64
    assert b"Traceback" not in done.stdout + done.stderr
    if "2>" not in redirected:
        assert b"cannot be an environment's name" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "{} --help",
        "{} --version",
        "{} --show-completion",
        "{} up --help",
        "{} schema",
        "_PROVISION_COMPLETE=complete_bash COMP_WORDS='provision ' COMP_CWORD=1 {}",
    ],
)
def test_what_shows_something_fails_if_nobody_can_have_it(tmp_path: Path, words: str) -> None:
    # bash goes on after it, so that it is there to be recognized as the shell.
    script = f"{words.format(f'{sys.executable} -m provision')} >/dev/full\nexit $?"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b"error: standard output cannot be written: No space left on device\n"


WAITING = """
import sys, threading
from provision.cli import streams
streams.open_all()
from provision.cli.run import run
from provision.cli import run as running
from provision.common.interrupts import keep_awake
keep_awake()

def command(*_):
    streams.write_as(streams.Purpose.STREAM)
    with streams.leaving_with_reader():
        print("ready", flush=True)
        {waits}
    return 7

running.called = lambda arguments: lambda **_: command()
unheeded = threading.Timer(20, __import__("os")._exit, [3])
unheeded.daemon = True
unheeded.start()
sys.exit(run(["status"]))
"""


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize(
    "waits",
    [
        "threading.Event().wait(25)",
        "[threading.Event().wait(0.01) for _ in range(2500)]",
        "streams.select.select([], [], [], 25)",
    ],
)
def test_what_waits_with_nothing_to_write_ends_when_its_reader_has_left(waits: str, kind: str) -> None:
    ours, its = _channel(kind)
    program = [sys.executable, "-c", WAITING.format(waits=waits)]
    with its, subprocess.Popen(program, stdout=its.fileno(), stderr=subprocess.PIPE, cwd=ROOT) as process:
        its.close()  # the program alone has it then
        with ours:
            assert os.read(ours.fileno(), 10) == b"ready\n"
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(30)) == (b"", 0)


@pytest.mark.parametrize("waits", ["pass", "streams.sys.stdout.write('more')", "threading.Event().wait(0.05)"])
def test_a_reader_who_leaves_at_the_end_changes_no_exit_code(waits: str) -> None:
    """Whichever comes first: the block's end, or the news that the reader has left."""
    program = [sys.executable, "-c", WAITING.format(waits=waits)]
    for _ in range(4):
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"ready\n"
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(30) in (0, 7)


def _channel(kind: str) -> tuple[io.FileIO, io.FileIO] | tuple[socket.socket, socket.socket]:
    """The reader's end, and the writer's."""
    if kind == "socket":
        return socket.socketpair()
    ours, its = os.pipe()
    return io.FileIO(ours), io.FileIO(its, "w")
