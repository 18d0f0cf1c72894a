"""Ctrl-C and its like at any moment, from the first line of the program to the last: exit code 130, no traceback."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.cli.run import run
from tests.cli.program import ROOT
from tests.cli.world import settle

# The sign of life comes from the first import inside of `main`; what is before it is Python's own.
START = """
import os, sys, provision.cli
class Sign:
    def find_spec(self, name, *_):
        if name == "provision.cli.streams":
            os.write(1, b".")
sys.meta_path.insert(0, Sign())
provision.cli.main()
"""
END = (
    "import atexit, os, sys, threading, provision.cli, provision.cli.run\n"
    "provision.cli.run.run = lambda _: 0\n"
    "{late}\n"
    "provision.cli.main()"
)
LATE = {
    "atexit": "atexit.register(lambda: (os.write(1, b'.'), threading.Event().wait(20)))",
    "a thread": "later = threading.Event().wait\n"
    "threading.Thread(target=lambda: (later(0.2), os.write(1, b'.'), later(20))).start()",
}


def interrupted(
    code: str, line: list[str], directory: Path, after_s: float, number: int = signal.SIGINT
) -> tuple[int, str]:
    """Run a program, send it a signal so long after its first sign of life; the exit code, and what it said."""
    command = [sys.executable, "-c", code, *line]
    env = {"PYTHONPATH": str(ROOT), "PROVISION_HOME": str(directory / "home"), "PATH": "/usr/bin:/bin"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=directory, env=env, **streams) as started:  # type: ignore[call-overload]
        assert started.stdout.read(1) == b"."
        time.sleep(after_s)
        started.send_signal(number)
        _, err = started.communicate(timeout=30)
    return started.returncode, err.decode()


@pytest.mark.parametrize("after_ms", range(0, 400, 20))
def test_while_it_starts(tmp_path: Path, after_ms: int) -> None:
    # A command that does not end by itself: nobody answers at the address, and it waits.
    (tmp_path / "far.yaml").write_text("name: far\nbootstrap_servers: 127.0.0.1:1\n")
    code, err = interrupted(START, ["plan", "far.yaml"], tmp_path, after_ms / 1000)
    assert "Traceback" not in err
    # 69: it had nothing left to do. Once Python has dismantled itself, the signal kills, which shells show as 130 too.
    assert code in (130, 69, -signal.SIGINT)
    if code == 130:
        assert err.split() in ([], ["interrupted"])


@pytest.mark.parametrize(
    "line", [["consume", "orders"], ["logs", "-f"], ["logs", "broker-1"], ["tool", "kafka-topics"]]
)
def test_what_goes_on_and_on_is_ended_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    settle(tmp_path, monkeypatch)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("provision.environment.Environment.consume", interrupt)
    monkeypatch.setattr("provision.environment.Environment.logs", interrupt)
    monkeypatch.setattr("provision.environment.Environment.tool", interrupt)
    monkeypatch.setattr("sys.stdin", sys.__stdin__)
    capsys.readouterr()
    assert run(line) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_it_ends(tmp_path: Path, late: str, number: int) -> None:
    assert interrupted(END.format(late=LATE[late]), [], tmp_path, 0.05, number) == (130, "")
