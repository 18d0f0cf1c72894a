"""`status --watch` shows what changes until Ctrl-C, which ends it without a word."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from provision.cli import watch as watching
from provision.cli.run import run
from provision.cluster.model import Topic
from provision.common.patience import Patience
from provision.common.values import replace
from provision.environment import Environment
from provision.errors import NodeGone, Unavailable
from provision.observe.readiness import Assessment
from tests.cli.world import NAME, settle
from tests.fake_kafka import SpokenRuntime

NODES = ["zookeeper-1", "broker-1", "broker-2", "broker-3"]
Step = Callable[[], object]
Watched = Callable[..., tuple[str, str]]


class Turns:
    """What happens between two looks, one step after the other; then somebody presses Ctrl-C."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.paused_s: list[float] = []

    def __call__(self, seconds: float) -> "Turns":
        """In place of a `Patience`."""
        self.paused_s.append(seconds)
        return self

    def pause(self, _seconds: float) -> bool:
        """The next step."""
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()
        return True


def _nothing() -> None:
    pass


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpokenRuntime:
    runtime, _ = settle(tmp_path, monkeypatch)
    kept = runtime._environments[NAME].nodes  # noqa: SLF001 nothing listens where they say
    for name, node in kept.items():
        kept[name] = replace(node, endpoint=None)
    return runtime


@pytest.fixture
def watched(runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Watched:
    """Watch while steps are taken; returns standard output and standard error."""

    def watch(*steps: Step, options: tuple[str, ...] = ()) -> tuple[str, str]:
        monkeypatch.setattr(watching, "Patience", Turns(*steps))
        capsys.readouterr()
        assert run(["status", NAME, "--watch", *options]) == 130
        told = capsys.readouterr()
        return told.out, told.err

    return watch


def _changes(out: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in out.splitlines()]


def test_elsewhere_than_on_a_terminal_each_change_is_a_line(runtime: SpokenRuntime, watched: Watched) -> None:
    out, err = watched(
        _nothing,
        lambda: runtime.pause_node(NAME, "broker-2"),
        _nothing,
        lambda: runtime.start_node(NAME, "broker-2"),
        lambda: runtime.exit_node(NAME, "broker-3", 1),
        lambda: runtime.remove_node(NAME, "broker-3"),
    )
    changes = _changes(out)
    assert [line.partition(":")[0] for line in changes[:5]] == ["environment", *NODES]
    assert all(line.endswith(": running") for line in changes[1:5])
    assert [line for line in changes[5:] if not line.startswith("environment")] == [
        "broker-2: paused: it is paused (`provision start` resumes it) (was running)",
        "broker-2: running (was paused)",
        "broker-3: exited: it has exited (was running)",
        "broker-3: gone: it is not there (was exited)",
    ]
    assert err == ""


def test_an_environment_that_loses_everything_says_so(runtime: SpokenRuntime, watched: Watched) -> None:
    def lose() -> None:
        for node in NODES:
            runtime.remove_node(NAME, node)
            runtime.remove_storage(NAME, node, delete_data=True)

    changes = _changes(watched(lose)[0])
    left = f"{NAME} has neither nodes nor storages, only what was made around them"
    assert changes[5] == f"environment: not ready (level none): {left} (was not ready (level quorum))"
    assert len(changes) == 10
    assert all(line.endswith(": gone (was running)") for line in changes[6:])


def test_a_change_during_the_first_look_does_not_end_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    look, changing = Environment.status, [NodeGone(NAME, "broker-1")]

    def status(environment: Environment, topics: Sequence[Topic] | None) -> Assessment:
        if changing:
            raise changing.pop()
        return look(environment, topics)

    monkeypatch.setattr(Environment, "status", status)
    changes = _changes(watched(_nothing)[0])
    assert changes[0] == f"environment: {NAME} has no node broker-1"
    assert [line.partition(":")[0] for line in changes[1:]] == ["environment", *NODES]


def test_as_json_each_change_is_a_line_that_says_all(runtime: SpokenRuntime, watched: Watched) -> None:
    out, _ = watched(_nothing, lambda: runtime.pause_node(NAME, "broker-2"), _nothing, options=("-o", "json"))
    first, second = map(json.loads, out.splitlines())
    states = [{node["name"]: node["state"] for node in shown["nodes"]} for shown in (first, second)]
    assert states[0] == dict.fromkeys(NODES, "running")
    assert states[1] == states[0] | {"broker-2": "paused"}


def test_what_goes_or_does_not_answer_may_come_back(
    runtime: SpokenRuntime,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = runtime.observe

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the Docker engine stopped answering")

    out, _ = watched(
        lambda: monkeypatch.setattr(runtime, "observe", fail),
        lambda: monkeypatch.setattr(runtime, "observe", real),
    )
    environment = [line for line in _changes(out) if line.startswith("environment")]
    assert environment[1].startswith("environment: the Docker engine stopped answering (was ")
    assert environment[2].startswith("environment: not ready")
    assert environment[2].endswith("(was the Docker engine stopped answering)")
    assert len(environment) == 3


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--every", "2s"], 64, "--every goes with --watch"),
        (["--watch", "--every", "2"], 64, "is not a duration"),
        (["--watch", "--every", "0s"], 64, "nothing at all"),
    ],
)
def test_wrong_options_are_told(
    runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    assert run(["status", NAME, *options]) == code
    assert said in capsys.readouterr().err


def test_what_is_not_there_is_told_at_once(runtime: SpokenRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "nowhere", "--watch"]) == 64
    assert "there is no environment nowhere" in capsys.readouterr().err


def test_the_pause_is_what_is_asked_for(
    runtime: SpokenRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = Turns(_nothing)
    monkeypatch.setattr(watching, "Patience", turns)
    assert run(["status", NAME, "--watch", "--every", "500ms"]) == 130
    assert run(["status", NAME, "--watch"]) == 130
    assert turns.paused_s == [0.5, 0.5, 2.0]


_PROGRAM = f"""
import sys
from pathlib import Path
import pytest
from provision.cli import main
from tests.cli.world import settle
out, sys.stdout = sys.stdout, sys.stderr
with pytest.MonkeyPatch.context() as patch:
    settle(Path.cwd(), patch)
    sys.stdout = out
    sys.argv = ["provision", "status", "{NAME}", "--watch", "--every", "50ms"]
    main()
"""


def test_on_a_terminal_the_table_is_redrawn_and_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(terminal)
        shown, patience = b"", Patience(60.0)
        while shown.count(b"LACKS") < 3 and not patience.is_over:
            if select.select([master], [], [], 0.2)[0]:
                shown += os.read(master, 65536)
        process.send_signal(signal.SIGINT)
        drained = threading.Thread(target=_drain, args=(master,))
        drained.start()
        assert process.stderr is not None
        complaints = process.stderr.read().decode()
        assert process.wait(timeout=60) == 130
        drained.join(timeout=60)
    os.close(master)
    text = shown.decode()
    assert "broker-1" in text
    assert "\x1b[" in text  # it moves the cursor
    assert "interrupted" not in complaints
    assert "Traceback" not in complaints


def _drain(master: int) -> None:
    try:
        while os.read(master, 65536):
            pass
    except OSError:  # the other side is closed
        return
