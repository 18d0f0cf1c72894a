"""Status and wait name every node that belongs to an environment, also those of which only the data are left."""

from pathlib import Path

import pytest

from provision.cli.run import run
from provision.errors import NotReady
from provision.kafka.levels import Level
from provision.operations.status import status, status_dict
from tests.cli.world import NAME, settle

NODES = ["zookeeper-1", "broker-1", "broker-2", "broker-3"]


@pytest.mark.parametrize("lost", [["broker-2"], ["broker-1", "broker-3"], ["zookeeper-1"], NODES], ids=" ".join)
def test_a_node_whose_data_are_left_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: list[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    for node in lost:
        runtime.remove_node(NAME, node)
    assessment = status(runtime, NAME)
    shown = status_dict(assessment)
    assert {node["name"]: node["state"] for node in shown["nodes"]} == {
        node: "gone" if node in lost else "running" for node in NODES
    }
    assert [node["name"] for node in shown["nodes"]] == NODES
    assert (shown["ready"], shown["level"]) == (False, "none")
    assert assessment.missing == dict.fromkeys(lost, "it is not there")
    capsys.readouterr()
    assert run(["status", NAME]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert all("gone" in rows[node] and "it is not there" in rows[node] for node in lost)
    assert run(["list"]) == 0
    assert f"{4 - len(lost)} of 4" in capsys.readouterr().out


def test_waiting_does_not_overlook_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    runtime.remove_node(NAME, "broker-3")
    from provision.environment import Environment

    with pytest.raises(NotReady) as raised:
        Environment.named(NAME).wait(Level.PROCESS, timeout_s=0.2)
    assert "broker-3" in raised.value.why
