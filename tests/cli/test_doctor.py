"""The command `doctor` as a user runs it, over a fake runtime and a fake Kafka."""

import json
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.operations.doctor.machine import MachineFacts
from provision.plan.observed import NodeState
from provision.runtime.health import Machine
from tests.cli.world import NAME, settle
from tests.fake_kafka import SpokenRuntime
from tests.holders import living

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown) -> SpokenRuntime:
    """The runtime of a healthy cluster."""
    runtime, _ = settle(tmp_path, monkeypatch)
    capsys.readouterr()
    return runtime


def test_nothing_wrong_with_a_table_of_reachability(runtime: SpokenRuntime, capsys: Shown) -> None:
    assert run(["doctor", NAME]) == 0
    out, err = capsys.readouterr()
    assert "EXPECTED" in out
    assert "broker-3" in out
    assert err == "shop: nothing wrong\n"


def test_a_finding_with_what_mends_it_and_exit_code_1(runtime: SpokenRuntime, capsys: Shown) -> None:
    runtime.pause_node(NAME, "broker-2")
    assert run(["doctor", NAME]) == 1
    out, err = capsys.readouterr()
    assert "broker-2 is paused  [paused-node]" in out
    assert "mend:     provision start shop broker-2" in out
    assert "[under-replicated]" in out
    assert "cause:    broker-2 is paused" in out
    assert "shop: 2 findings" in err


def test_the_findings_as_json(runtime: SpokenRuntime, capsys: Shown) -> None:
    runtime.pause_node(NAME, "broker-2")
    assert run(["doctor", NAME, "-o", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["environment"] == NAME
    (finding,) = [one for one in said["findings"] if one["id"] == "paused-node"]
    assert finding["severity"] == "error"
    assert finding["repairs"] == ["start broker-2"]
    assert {row["from"] for row in said["reachability"]} == {"this machine"}


def test_fix_repairs_what_is_safe_and_tells_what_is_left(runtime: SpokenRuntime, capsys: Shown) -> None:
    runtime.pause_node(NAME, "broker-2")
    assert run(["doctor", NAME, "--fix", "--yes"]) == 0
    broker = runtime.observe(NAME).node("broker-2")
    assert broker is not None
    assert broker.state is NodeState.RUNNING
    assert "shop: nothing wrong" in capsys.readouterr().err


def test_fix_asks_and_without_a_terminal_it_does_nothing(runtime: SpokenRuntime, capsys: Shown) -> None:
    runtime.pause_node(NAME, "broker-2")
    assert run(["doctor", NAME, "--fix"]) == 64
    broker = runtime.observe(NAME).node("broker-2")
    assert broker is not None
    assert broker.state is NodeState.PAUSED
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["doctor", NAME, "--yes"], "--yes goes with --fix"),
        (["doctor", "--fix"], "--fix needs an environment"),
        (["doctor", "nowhere"], "there is no environment nowhere"),
    ],
)
def test_what_cannot_be_asked_for(runtime: SpokenRuntime, capsys: Shown, line: list[str], said: str) -> None:
    assert run(line) == 64
    assert said in capsys.readouterr().err


def test_without_an_environment_it_is_about_this_machine(
    runtime: SpokenRuntime, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = MachineFacts(
        here=Machine("this machine", "Linux 6", "amd64", 2, 1024**3),
        engine=Machine("the Docker engine at unix:///run/docker.sock", "28.0.1", "amd64", clock_ahead_s=0.2),
        java=(),
        ports={9092: "java (process 4711)"},
        ours=frozenset(),
        directories={Path("/home/me/.local/state/provision"): ""},
        available_memory_bytes=1024**3,
        open_files=None,
        threads=None,
    )
    monkeypatch.setattr("provision.operations.doctor.machine.gather_machine", lambda _: facts)
    assert run(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "docker: a Docker engine answers" in out
    assert "port 9092 is taken  [port-taken]" in out
    assert "java (process 4711)" in out
    assert err == "this machine: 1 finding\n"
    assert run(["doctor", "-o", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["environment"] is None
    assert said["runtime"]["chosen"] == "docker"


def test_the_real_machine_is_examined_without_a_traceback(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert run(["doctor", "-o", "json"]) in (0, 1)
    said = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row["is"] for row in said["machine"]}
    assert "nothing listens" in rows["Docker engine"]
    assert {"port 9092", "open files", "threads", "this machine"} <= set(rows)
    assert said["runtime"]["chosen"] != "docker"


def test_fix_waits_for_no_other_command_unless_asked_to(runtime: SpokenRuntime, capsys: Shown) -> None:
    runtime.pause_node(NAME, "broker-2")
    hold = runtime.hold(NAME, living("up"))
    assert run(["doctor", NAME]) == 1
    assert "shop is being changed by `provision up`  [change-running]" in capsys.readouterr().out
    for waiting in ([], ["--lock-timeout", "0.1s"]):
        assert run(["doctor", NAME, "--fix", "--yes", *waiting]) == 75
        assert "shop is being changed by `provision up` (" in capsys.readouterr().err
    assert run(["doctor", NAME, "--lock-timeout", "1s"]) == 64
    hold.release()
    assert run(["doctor", NAME, "--fix", "--yes", "--lock-timeout", "1s"]) == 0
