"""What the doctor says about a KRaft quorum, and about files, notes and data that are not as they were written.

The tests follow one another on one cluster, and each leaves it healthy.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import wait_for_line, wait_until
from tests.matrix.doctoring import Patient, away, healthy, rewritten

pytestmark = [pytest.mark.matrix, pytest.mark.process, pytest.mark.row("doctor-files")]

FILE = """\
kafka:
  mode: kraft
controllers:
  nodes: 3
  properties:
    auto.leader.rebalance.enable: false
brokers:
  nodes: 2
  port: auto
  properties:
    num.io.threads: 3
topics:
  - {name: t, partitions: 4, replication_factor: 2}
runtime: process
"""


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A cluster in KRaft mode that is well."""
    with healthy(tmp_path_factory.mktemp("files"), "known-files", FILE) as patient:
        yield patient


def test_a_cluster_that_has_just_come_up_has_nothing(ill: Patient) -> None:
    assert ill.findings() == []


def test_a_quorum_without_a_majority(ill: Patient) -> None:
    ill.kill("controller-1", "controller-2")
    lost = ill.found_once("kraft-quorum-lost")["kraft-quorum-lost"]
    assert lost["title"] == "the KRaft quorum has no majority: 1 of 3 voters run, 2 are needed"
    assert lost["evidence"] == ["controller-1: it has exited", "controller-2: it has exited"]
    assert lost["fix"] == f"provision start {ill.name} controller-1 controller-2"
    assert "kraft-quorum-lost" not in ill.found("--fix", "--yes")
    assert wait_until(lambda: ill.ids() in ([], ["leaders-not-preferred"]))


def test_leaders_that_kafka_does_not_give_back(ill: Patient) -> None:
    ill.provision.ok("restart", ill.env, "broker-2")
    found = ill.found()
    assert list(found) == ["leaders-not-preferred"]
    assert "leader 1, preferred 2" in found["leaders-not-preferred"]["evidence"][0]
    place = 1 + FILE.splitlines().index("    auto.leader.rebalance.enable: false")
    assert found["leaders-not-preferred"]["file"] == f"{ill.env}:{place}"
    assert ill.findings("--fix", "--yes") == []


def test_files_that_were_edited(ill: Patient) -> None:
    config = ill.directory / "broker-1" / "config" / "server.properties"
    with rewritten(config, b"num.io.threads=3", b"num.io.threads=5") as line:
        edited = ill.only()
        assert (edited["id"], edited["file"]) == ("file-edited", f"{config}:{line}")
        assert edited["evidence"] == ["num.io.threads 3 → 5"]
    with rewritten(config, b"num.io.threads=3", b"num.io.threads=3\n# caf\xe9") as line:
        other = ill.only()
        assert (other["id"], other["file"]) == ("file-not-text", f"{config}:{line + 1}")
    with rewritten(config, b"num.io.threads=3", b"num.io.threads=3\nnum.io.threads=4"):
        double = ill.only()
        assert double["id"] == "file-damaged"
        assert "num.io.threads is set twice" in double["title"]
    launch = ill.directory / "controller-2" / "config" / "launch.json"
    with rewritten(launch, b'"kafka": ', b'"kafka" '):
        damaged = ill.only()
        assert (damaged["id"], damaged["file"]) == ("file-damaged", f"{launch}:2")
    voters = ill.directory / "controller-3" / "config" / "controller.properties"
    (said,) = [one for one in voters.read_bytes().splitlines() if one.startswith(b"controller.quorum.voters=")]
    with rewritten(voters, said, said.rpartition(b",")[0]) as line:
        found = ill.found()
        assert sorted(found) == ["file-edited", "voters-differ"]
        assert found["voters-differ"]["title"].startswith("controller-3 has other voters of the KRaft quorum than")
        assert found["voters-differ"]["file"] == f"{voters}:{line}"
    assert ill.findings() == []


def test_what_up_changes_without_a_restart_was_not_edited(ill: Patient) -> None:
    file = Path(ill.env)
    with rewritten(file, b"num.io.threads: 3", b"num.io.threads: 6"):
        ill.provision.ok("up", ill.env)
        assert ill.findings() == []
    assert ill.findings() == []  # the file has changed since, and what is not applied yet is nobody's edit
    ill.provision.ok("up", ill.env)
    assert ill.findings() == []


def test_notes_that_are_damaged(ill: Patient) -> None:
    environment, node = ill.directory / "environment.json", ill.directory / "broker-1" / "node.json"
    with away(environment), away(node):
        environment.write_bytes(b"{")
        node.write_bytes(b"\xff")
        assert sorted((one["id"], one["file"]) for one in ill.findings()) == [
            ("note-damaged", str(node)),
            ("note-damaged", str(environment)),
        ]
    assert ill.findings() == []


def test_a_change_that_was_interrupted(ill: Patient) -> None:
    file = Path(ill.env)
    with rewritten(file, b"  nodes: 2", b"  nodes: 3"):
        update = ill.provision.start("up", ill.env, "--yes")
        wait_for_line(update, "broker-3 created")
        update.send_signal(signal.SIGKILL)
        update.communicate()
        found = ill.found_once("change-interrupted")  # until then it may be going on
        assert "broker-3 was never started" in found["change-interrupted"]["evidence"]
    ill.provision.ok("up", ill.env, "--yes")
    assert ill.findings() == []


def test_a_storage_that_is_not_formatted(ill: Patient) -> None:
    ill.provision.ok("stop", ill.env)
    assert ill.findings() == []
    meta = ill.directory / "broker-2" / "data" / "meta.properties"
    with away(meta):
        found = ill.found()
        assert list(found) == ["not-formatted"]
        assert f"{meta.parent}" in found["not-formatted"]["evidence"][0]
    ill.provision.ok("start", ill.env)
    assert wait_until(lambda: ill.ids() in ([], ["leaders-not-preferred"]))


def test_data_that_were_kept(ill: Patient) -> None:
    ill.provision.ok("down", ill.env, "--keep-data")
    with rewritten(Path(ill.env), b"mode: kraft", b"mode: kraft\n  version: 3.8.1"):
        every = ill.findings()
        assert {one["id"] for one in every} == {"kept-data-newer"}
        assert {one["file"] for one in every} == {f"{ill.env}:3"}
    assert ill.findings() == []
