"""Commands that need what does not run: one state has one message and one exit code, whichever command meets it."""

from pathlib import Path

import pytest

from provision.cli.run import run
from tests.cli.test_help import COMMANDS
from tests.cli.world import NAME, line_of, settle
from tests.fake_kafka import SpokenRuntime

NEED_BROKERS = [
    ["consume", NAME, "orders"],
    ["produce", NAME, "orders"],
    ["topics", "list", NAME],
    ["topics", "describe", NAME, "orders"],
    ["topics", "create", NAME, "new"],
    ["topics", "delete", NAME, "orders"],
]
NEED_NODES = [["endpoints", NAME], ["logs", NAME], ["logs", NAME, "--follow"], ["start", NAME], ["restart", NAME]]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SpokenRuntime:
    made, _ = settle(tmp_path, monkeypatch)
    capsys.readouterr()
    return made


@pytest.mark.parametrize("line", [*NEED_BROKERS, *NEED_NODES], ids=" ".join)
@pytest.mark.usefixtures("runtime")
def test_where_only_data_are_left_nothing_else_is_said(capsys: pytest.CaptureFixture[str], line: list[str]) -> None:
    assert run(["down", NAME, "--keep-data"]) == 0
    told = capsys.readouterr().err
    assert f"its data are kept: `provision up {NAME}` goes on with them" in told
    assert run(line) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"error: {NAME} has no nodes, only kept data",
        f"hint: `provision up {NAME}` creates them",
    ]


@pytest.mark.parametrize("line", NEED_BROKERS, ids=" ".join)
@pytest.mark.usefixtures("runtime")
def test_where_no_broker_runs_each_command_says_so_in_the_same_words(
    capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert run(["stop", NAME]) == 0
    capsys.readouterr()
    assert run(line) == 69
    err = capsys.readouterr().err.splitlines()
    assert err[0] == f"error: no broker of {NAME} can be reached"
    assert err[1].startswith("  broker-1: ")
    assert err[-1] == f"hint: `provision status {NAME}` shows its nodes"


@pytest.mark.parametrize("command", ["stop", "start", "restart"])
def test_a_node_that_is_named_twice_is_meant_once(runtime: SpokenRuntime, command: str) -> None:
    if command == "start":
        assert run(["stop", NAME, "broker-1"]) == 0
    verbs: list[tuple[str, str]] = []
    runtime.on_verb = lambda verb, subject: verbs.append((verb, subject))
    assert run([command, NAME, "broker-1", "broker-1"]) == 0
    assert len(verbs) == len(set(verbs)) > 0


@pytest.mark.usefixtures("runtime")
def test_an_environment_that_is_named_twice_is_removed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", NAME, NAME]) == 0
    assert capsys.readouterr().err.count(NAME) == 1


DURATIONS = [
    (path, option.opts[0])
    for path, command in sorted(COMMANDS.items())
    for option in command.params
    if option.metavar == "DURATION"
]
BESIDE = {"--every": ["--watch"], ("doctor", "--lock-timeout"): ["--fix"]}
"""What such an option goes with."""


@pytest.mark.parametrize("value", ["5", "0s"])
@pytest.mark.parametrize(
    ("path", "option"), DURATIONS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
@pytest.mark.usefixtures("runtime")
def test_what_is_no_duration_names_its_option(
    capsys: pytest.CaptureFixture[str], path: tuple[str, ...], option: str, value: str
) -> None:
    line = line_of(path)
    place = line.index("--") if "--" in line else len(line)
    beside = BESIDE.get(option) or BESIDE.get((path[0], option), [])
    assert run([*line[:place], *beside, option, value, *line[place:]]) == 64
    assert capsys.readouterr().err.startswith(f"error: {option}: '{value}' is ")
