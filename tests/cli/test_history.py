"""What `history` and `status` tell of the commands before, and what a command says that is kept off."""

import json
import re
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.errors import Unavailable
from provision.home.holders import Holder
from provision.home.journals import Journal
from provision.home.locks import HomeLock
from tests.cli.world import NAME, settle
from tests.fake_kafka import SpokenRuntime
from tests.holders import dead, elsewhere

CHANGING = (
    ["up", "--yes"],
    ["down", NAME],
    ["stop"],
    ["start"],
    ["restart"],
    ["restart", "--rolling"],
    ["topics", "create", NAME, "more"],
    ["topics", "delete", NAME, "orders"],
    ["topics", "apply", "--yes"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """That of an environment that is up."""
    settle(tmp_path, monkeypatch)
    capsys.readouterr()
    return tmp_path / "home"


@pytest.mark.parametrize("line", CHANGING, ids=" ".join)
def test_a_command_that_is_kept_off_names_who_is_at_work(
    home: Path, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    lock, holder = HomeLock(home, NAME), Holder.of("up")
    lock.take(holder)
    assert run(line) == 75
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"error: {NAME} is being changed by {holder}\n"
        f"hint: wait for it (`--lock-timeout 5m`), or end it and remove all: `provision down {NAME} --force`\n"
    )
    assert run([*line, "--lock-timeout", "500ms"]) == 75
    assert capsys.readouterr().err.startswith(f"{NAME} is being changed by {holder}; waiting for it\nerror: ")
    assert run([*line, "--lock-timeout", "soon"]) == 64
    assert run(["status"]) == 0
    lock.release()


def test_what_says_nothing_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.exists()
    assert run(["down", NAME, "--force", "--lock-timeout", "5m"]) == 64
    assert "--force waits for nobody" in capsys.readouterr().err
    assert run(["down", NAME, "--force"]) == 0


def test_the_history_tells_who_changed_what_and_how_it_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics", "create", NAME, "more"]) == 0
    assert run(["topics", "create", NAME, "more"]) == 4  # nothing was changed
    assert run(["down", NAME]) == 0
    capsys.readouterr()
    assert run(["history", NAME]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == ["RUN", "WHEN", "COMMAND", "WHO", "ACTIONS", "TOOK", "OUTCOME"]
    assert [row.split("  ")[2].strip() for row in (re.sub(r" {2,}", "  ", one) for one in rows)] == [
        "up",
        "topics create",
        "down",
    ]
    assert run(["history", NAME, "-n", "2", "-o", "json"]) == 0
    created, removed = json.loads(capsys.readouterr().out)
    assert (created["command"], created["outcome"], created["exit_code"], created["action_count"]) == (
        "topics create",
        "done",
        0,
        1,
    )
    assert run(["history", NAME, "--run", created["run"][:6], "-o", "yaml"]) == 0
    assert "resource: topic more" in capsys.readouterr().out
    assert run(["history", NAME, "--run", removed["run"]]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"{NAME}: `provision down` (")
    assert re.search(r"remove +broker-1 .* done", out)
    assert run(["history", NAME, "--run", "xyz"]) == 64
    assert run(["history", NAME, "--run", ""]) == 64
    assert home.exists()


def test_of_what_nobody_changed_nothing_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "nowhere"]) == 0
    assert capsys.readouterr() == ("", "nowhere: no change is known\n")
    assert run(["history", "nowhere", "-o", "json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert not (home / "journals" / "nowhere.jsonl").exists()


@pytest.mark.parametrize(
    ("said", "way_on"),
    [
        ("up", f"`provision up {NAME}` continues, `provision down {NAME}` removes it"),
        ("restart", f"`provision restart {NAME}` continues, `provision down {NAME}` removes it"),
        ("down", f"`provision down {NAME}` removes what is left"),
        ("down --keep-data", f"`provision down {NAME} --keep-data` removes what is left"),
        (
            "restart --rolling broker-1",
            f"`provision restart {NAME} --rolling broker-1` continues, `provision down {NAME}` removes it",
        ),
        ("stop broker-1", f"`provision stop {NAME} broker-1` continues, `provision down {NAME}` removes it"),
        (
            "up --set brokers.nodes=…",
            f"`provision up {NAME} --set brokers.nodes=…` continues, `provision down {NAME}` removes it",
        ),
        ("gc", "`provision gc` removes what is left"),
        ("topics apply", f"`provision topics list {NAME}` shows what is there"),
    ],
)
def test_status_tells_of_a_killed_change_until_another_has_ended_well(
    home: Path, capsys: pytest.CaptureFixture[str], said: str, way_on: str
) -> None:
    command, _, options = (said, "", "") if said.startswith("topics") else said.partition(" ")
    killed = dead(command, options)
    Journal(home, NAME).begin(killed)
    assert run(["status"]) == 0
    assert f"{NAME}: the last change was killed: {killed}; {way_on}\n" in capsys.readouterr().err
    assert run(["up", "--yes"]) == 0
    assert f"the last change was killed: {killed}; going on from there\n" in capsys.readouterr().err
    assert run(["status"]) == 0
    assert "killed" not in capsys.readouterr().err
    assert run(["history", "-o", "json"]) == 0
    assert [one["outcome"] for one in json.loads(capsys.readouterr().out)] == ["done", "killed", "done"]


def test_a_change_that_cannot_be_seen_from_here_is_not_called_killed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(home, NAME).begin(elsewhere())
    assert run(["status"]) == 0
    assert "killed" not in capsys.readouterr().err
    assert run(["history"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("unfinished")


def test_each_home_sees_the_changes_of_the_others_as_long_as_the_environment_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> list[tuple[str, str, int | None]]:
        capsys.readouterr()
        assert run(["history", NAME, "-o", "json"]) == 0
        return [(one["command"], one["outcome"], one["action_count"]) for one in json.loads(capsys.readouterr().out)]

    other = str(home.with_name("other"))
    (first,) = shown()
    monkeypatch.setenv("PROVISION_HOME", other)
    assert run(["stop", NAME]) == 0
    assert run(["topics", "delete", NAME, "missing"]) != 0  # nothing was begun
    assert shown() == [("up", "done", None), ("stop", "done", 4)]
    assert run(["history", NAME]) == 0
    (up, stop) = capsys.readouterr().out.splitlines()[1:]
    assert (up.split()[-4], stop.split()[-4]) == ("-", "4")
    assert run(["history", NAME, "--run", up.split()[0]]) == 0
    assert "its actions are in the history of its own home" in capsys.readouterr().err
    monkeypatch.setenv("PROVISION_HOME", str(home))
    assert shown() == [first, ("stop", "done", None)]
    assert run(["start", NAME]) == 0
    monkeypatch.setattr("provision.plan.about._CHANGES", 3)
    for _ in range(4):
        assert run(["restart", NAME]) == 0
    monkeypatch.setenv("PROVISION_HOME", other)
    assert shown() == [("stop", "done", 4), *[("restart", "done", None)] * 3]
    assert run(["down", NAME]) == 0
    assert [one[0] for one in shown()] == ["stop", "down"]
    monkeypatch.setenv("PROVISION_HOME", str(home))
    assert len(shown()) == 2 + 4


def test_status_does_not_tell_of_a_kill_after_which_another_home_has_gone_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(home, NAME).begin(dead("restart"))
    assert run(["status"]) == 0
    assert "the last change was killed" in capsys.readouterr().err
    monkeypatch.setenv("PROVISION_HOME", str(home.with_name("other")))
    assert run(["restart", NAME]) == 0
    monkeypatch.setenv("PROVISION_HOME", str(home))
    capsys.readouterr()
    assert run(["status"]) == 0
    assert "killed" not in capsys.readouterr().err


def test_what_the_environment_knows_is_left_out_if_its_runtime_does_not_answer(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("no Docker engine answers")

    monkeypatch.setattr(SpokenRuntime, "abouts", away)
    assert run(["history", NAME]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "changes from other homes are not known: no Docker engine answers" in err
    assert home.exists()
