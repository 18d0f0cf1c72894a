"""Status and wait name every node that belongs to an environment, also those of which only the data are left."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.run import run
from provision.cluster.model import RenderedFile
from provision.common.values import replace
from provision.errors import NodeFailed, StorageLost, Unavailable
from provision.kafka.levels import Level
from provision.operations.status import status, status_dict
from provision.runtime.fake import FakeRuntime
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

    with pytest.raises(NodeFailed) as raised:
        Environment.named(NAME).wait(Level.PROCESS, timeout_s=60.0)
    assert raised.value.why == "broker-3: it is not there"


def edit(runtime: FakeRuntime, node: str, change: Callable[[bytes], bytes]) -> None:
    """Edit all properties files of a node by hand."""
    files = runtime.read_files(NAME, node)
    edited = [replace(f, content=change(f.content)) if f.name.endswith(".properties") else f for f in files]
    runtime.update_files(NAME, node, edited)


@pytest.mark.parametrize(
    ("node", "change"),
    [
        ("zookeeper-1", b"\nmade.up=1\n"),
        ("zookeeper-1", b"\n# caf\xe9\n"),
        ("broker-2", b"\nmade.up=1\n"),
        ("broker-2", b"\n# caf\xe9\n"),
        ("broker-2", b"\na=1\na=2\n"),
    ],
)
def test_files_that_were_edited_are_told_until_up_has_written_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], node: str, change: bytes
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    assert run(["up", "--yes"]) == 0
    written = runtime.read_files(NAME, node)
    edit(runtime, node, lambda content: content + change)
    told = f"{NAME}: the files of {node} are not as `up` has written them"
    capsys.readouterr()
    for _ in range(2):
        assert run(["status", NAME]) == 0
        assert told in capsys.readouterr().err
    assert run(["status", NAME, "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["edited"] for one in shown["nodes"]} == {name: name == node for name in NODES}
    assert shown["ready"]
    assert run(["plan"]) == 0
    assert "its files were edited" in capsys.readouterr().out
    assert run(["up", "--yes"]) == 0
    assert runtime.read_files(NAME, node) == written
    assert run(["status", NAME]) == 0
    assert "`up` has written" not in capsys.readouterr().err


def test_what_up_changes_while_a_broker_runs_is_no_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    assert run(["up", "--yes", "--set", "brokers.properties.num.io.threads=7"]) == 0
    assert status(runtime, NAME).edited == dict.fromkeys(NODES, False)


def test_files_that_cannot_be_read_are_not_told_as_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    read = runtime.read_files

    def read_files(name: str, node: str) -> tuple[RenderedFile, ...]:
        if node == "broker-3":
            raise Unavailable("its engine is away")
        return read(name, node)

    monkeypatch.setattr(runtime, "read_files", read_files)
    assert status(runtime, NAME).edited == {**dict.fromkeys(NODES, False), "broker-3": None}


def test_a_node_whose_storage_is_gone_from_under_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    runtime.stop_node(NAME, "broker-3", 1)
    read = runtime.read_files

    def read_files(name: str, node: str) -> tuple[RenderedFile, ...]:
        if node == "broker-3":
            raise StorageLost("the volume has lost its directory")
        return read(name, node)

    monkeypatch.setattr(runtime, "read_files", read_files)
    found = status(runtime, NAME)
    assert found.missing["broker-3"] == "it has exited: the volume has lost its directory"
    assert found.edited["broker-3"] is None


def test_a_node_of_which_nothing_is_left_is_told_by_those_that_remember_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    runtime.remove_node(NAME, "broker-2")
    runtime.remove_storage(NAME, "broker-2", delete_data=True)
    assessment = status(runtime, NAME)
    assert assessment.missing["broker-2"].startswith("it is not there: orders-")
    assert (assessment.level, assessment.lost) == (Level.NONE, ("broker-2",))
    assert status_dict(assessment)["nodes"][2] == {
        "name": "broker-2",
        "role": "broker",
        "state": "gone",
        "endpoint": None,
    }
    capsys.readouterr()
    assert run(["status", NAME]) == 0
    assert "broker-2     gone" in capsys.readouterr().out


def test_why_a_node_has_exited_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    runtime.exit_node(
        NAME, "broker-1", 1, ["[2026-01-01 10:00:00,000] ERROR java.io.IOException: No space left on device"]
    )
    runtime.stop_node(NAME, "broker-2", 1)
    missing = status(runtime, NAME).missing
    assert missing["broker-1"] == "it has exited: its disk is full"
    assert missing["broker-2"] == "it has exited"


def test_what_was_asked_to_stop_has_no_other_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    full, asked = "ERROR java.io.IOException: No space left on device", "INFO Terminating process due to signal SIGTERM"
    runtime.exit_node(
        NAME, "broker-1", None, [f"[2026-01-01 10:00:0{n},000] {one}" for n, one in enumerate((full, asked))]
    )
    assert status(runtime, NAME).missing["broker-1"] == "it has exited"
