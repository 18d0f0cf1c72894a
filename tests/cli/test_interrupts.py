"""Ctrl-C and its like at any moment, from the first line of the program to the last: exit code 130, no traceback."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.home.journals import Journal, Run
from tests.cli.program import ROOT
from tests.cli.world import settle

# It interrupts itself at an import: at which one depends on no clock. What comes before `main` is Python's own.
START = """
import os, signal, sys, provision.cli
at, number = int(sys.argv.pop(1)), 0
def on_event(event, _):
    global number
    number += event == "import"
    if event == "import" and number == at:
        os.kill(os.getpid(), signal.SIGINT)
    if event == "socket.connect" and at == {at_first_connection}:
        os.write(1, b".")
    if event == "socket.connect" and at == {count}:
        os.write(1, str(number).encode())
        os._exit(0)
sys.addaudithook(on_event)
provision.cli.main()
"""
AT_FIRST_CONNECTION, COUNT = -1, -2
START = START.format(at_first_connection=AT_FIRST_CONNECTION, count=COUNT)
PARTS = 20
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
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=directory, env=_variables(directory), **streams) as started:  # type: ignore[call-overload]
        assert started.stdout.read(1) == b"."
        time.sleep(after_s)
        started.send_signal(number)
        _, err = started.communicate(timeout=30)
    return started.returncode, err.decode()


def _variables(directory: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PROVISION_HOME": str(directory / "home"), "PATH": "/usr/bin:/bin"}


def _plan(directory: Path, at: int) -> list[str]:
    """A command that does not end by itself: nobody answers at the address, and it waits."""
    (directory / "far.yaml").write_text("name: far\nbootstrap_servers: 127.0.0.1:1\n")
    return [str(at), "plan", "far.yaml"]


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many modules it loads until it does something."""
    directory = tmp_path_factory.mktemp("counted")
    command = [sys.executable, "-c", START, *_plan(directory, COUNT)]
    done = subprocess.run(
        command, cwd=directory, env=_variables(directory), capture_output=True, timeout=60, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("part", range(PARTS))
def test_while_it_starts(tmp_path: Path, imports: int, part: int) -> None:
    command = [sys.executable, "-c", START, *_plan(tmp_path, 1 + imports * part // PARTS)]
    done = subprocess.run(
        command, cwd=tmp_path, env=_variables(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    assert imports > 10 * PARTS
    assert done.returncode == 130, done.stderr
    assert done.stderr.split() in ([], ["interrupted"])


def test_while_it_waits_for_somebody(tmp_path: Path) -> None:
    code, err = interrupted(START, _plan(tmp_path, AT_FIRST_CONNECTION), tmp_path, 0.05)
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


def _under_another_name() -> None:
    try:
        raise KeyboardInterrupt  # noqa: TRY301 as it comes
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error


def _while_another_is_handled() -> None:
    try:
        _under_another_name()
    except RuntimeError:
        raise ImportError("partially initialized module")  # noqa: B904 as it comes


@pytest.mark.parametrize("replace", [_under_another_name, _while_another_is_handled])
def test_what_python_makes_of_ctrl_c_is_still_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], replace: Callable[[], None]
) -> None:
    settle(tmp_path, monkeypatch)
    monkeypatch.setattr("provision.environment.Environment.logs", lambda *_, **__: replace())
    capsys.readouterr()
    assert run(["logs", "broker-1"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("fault", [RuntimeError("a fault"), RuntimeError("again")])
def test_a_fault_without_ctrl_c_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: RuntimeError
) -> None:
    settle(tmp_path, monkeypatch)
    fault.__cause__, fault.__context__ = ValueError("its reason"), fault if str(fault) == "again" else None

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("provision.environment.Environment.logs", fail)
    with pytest.raises(RuntimeError, match=str(fault)):
        run(["logs", "broker-1"])


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_it_ends(tmp_path: Path, late: str, number: int) -> None:
    assert interrupted(END.format(late=LATE[late]), [], tmp_path, 0.05, number) == (130, "")


# -- while it changes something: the first signal ends it in an orderly way, the second at once -----------------------

UP = """
import os, sys, threading
import provision.environment
from pathlib import Path
from provision.cli import streams
from provision.cli.run import run
from provision.common.interrupts import keep_awake
from provision.runtime.fake import FakeRuntime
from tests.runtimes import FakeRuntimes
streams.open_all()
keep_awake()
runtime = FakeRuntime()
verb, holds = sys.argv[1], float(sys.argv[2])
def on_verb(now, subject):
    if now == verb:
        os.write(1, b".")
        threading.Event().wait(holds)
runtime.on_verb = on_verb
provision.environment.described.Runtimes = lambda home: FakeRuntimes(home, runtime)
Path("shop.yaml").write_text("name: shop\\nbrokers: {port: auto}\\n")
code = run(["up", "shop.yaml", "--until", "process"])
os.write(1, b"" if runtime.observe("shop").is_absent else b"left")
os._exit(code)
"""


def up_with_signals(directory: Path, verb: str, holds_s: float, *signals: int) -> tuple[int, str, str]:
    """Interrupt an `up` in one of its verbs, which takes so long; its exit code, what is left, and what it said."""
    command = [sys.executable, "-c", UP, verb, str(holds_s)]
    env = {"PYTHONPATH": str(ROOT), "PROVISION_HOME": str(directory / "home"), "PATH": "/usr/bin:/bin"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=directory, env=env, **streams) as started:  # type: ignore[call-overload]
        assert started.stdout.read(1) == b"."
        for already, number in enumerate(signals):
            while already and b"please wait; again ends it at once" not in started.stderr.readline():
                assert started.poll() is None
            started.send_signal(number)
        out, err = started.communicate(timeout=60)
    return started.returncode, out.decode(), err.decode()


def last_run(directory: Path) -> Run:
    (run,) = Journal(directory / "home", "shop").runs()
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_an_up_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    code, left, said = up_with_signals(tmp_path, "create_node", 0.3, number)
    assert (code, left.strip(".")) == (130, "")
    assert "what was created of shop is removed again" in said
    assert said.endswith("interrupted\n")
    run = last_run(tmp_path)
    assert (run.state, run.rolled_back) == ("interrupted", True)


@pytest.mark.parametrize(
    ("verb", "numbers"), [("create_node", (2, 2)), ("create_node", (15, 1)), ("start_node", (1, 15))]
)
def test_the_second_signal_ends_it_at_once_and_says_what_goes_on(
    tmp_path: Path, verb: str, numbers: tuple[int, int]
) -> None:
    code, _, said = up_with_signals(tmp_path, verb, 50, *numbers)
    assert code == 130
    assert said.endswith(
        "interrupted again: what was being done is left as it is\n"
        "hint: `provision up shop` continues, `provision down shop` removes it\n"
    )
    run = last_run(tmp_path)
    assert (run.state, run.rolled_back) == ("killed", False)


def test_the_second_signal_ends_a_rollback_at_once_too(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("name: shop\n")
    code = UP.replace(
        "if now == verb:", "if now == 'start_node':\n        raise OSError(5, 'broken')\n    if now == verb:"
    )
    command = [sys.executable, "-c", code, "remove_node", "50"]
    env = {"PYTHONPATH": str(ROOT), "PROVISION_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=env, **streams) as started:  # type: ignore[call-overload]
        assert started.stdout.read(1) == b"."
        started.send_signal(signal.SIGTERM)
        while b"still removing, please wait; again ends it at once" not in started.stderr.readline():
            assert started.poll() is None
        started.send_signal(signal.SIGTERM)
        _, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert b"interrupted again: what was being done is left as it is" in err
    assert last_run(tmp_path).state == "killed"


def test_a_closed_terminal_ends_an_up_in_an_orderly_way(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    command = [sys.executable, "-c", UP, "create_node", "0.3"]
    env = {"PYTHONPATH": str(ROOT), "PROVISION_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "TERM": "xterm"}

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        preexec_fn=take_terminal,  # noqa: PLW1509 nothing else runs in this process
    ) as started:
        os.close(terminal)
        assert started.stdout
        assert started.stdout.read(1) == b"."
        os.close(controller)  # as if the window was closed
        out, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert b"left" not in out
    run = last_run(tmp_path)
    assert (run.state, run.rolled_back) == ("interrupted", True)
