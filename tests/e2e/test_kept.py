"""Data outlive their nodes: what may run over them again, and what is told before anything starts."""

import json
import re
import shutil
from pathlib import Path

import pytest

from provision.common.values import replace
from tests.engine import SMALL, Provision, wait_for_line, write_environment

pytestmark = pytest.mark.group(docker="soak", process="matrix")

SOAK = pytest.mark.group(docker="soak", process="soak")
NEWER, OLDER = "3.9.1", "3.8.1"
KRAFT = "kafka: {mode: kraft}\nbrokers: {nodes: 1, port: auto}\ntopics: [{name: t}]\n"


def refused(provision: Provision, *arguments: str) -> str:
    result = provision(*arguments)
    assert result.code == 4, result.err
    return " ".join(result.err.split())


@pytest.mark.group(docker="matrix")
@pytest.mark.parametrize(
    "text",
    [pytest.param(SMALL, id="zookeeper", marks=pytest.mark.group(docker="soak")), pytest.param(KRAFT, id="kraft")],
)
def test_what_a_running_environment_refuses_is_refused_over_its_kept_data(
    provision: Provision, tmp_path: Path, text: str
) -> None:
    newer, older = (replace(provision, version=version) for version in (NEWER, OLDER))
    env = write_environment(tmp_path, "kept-forbidden", text)
    newer.ok("up", env)
    newer.ok("produce", env, "t", stdin="still here\n")
    newer.ok("down", env, "--keep-data")
    kept = provision.traces("kept-forbidden")
    other_mode = KRAFT if text is SMALL else SMALL
    for said, arguments, tool in (
        (f"Kafka {NEWER} → {OLDER}", (), older),
        ("its data would be left behind", ("--set", "storage=./elsewhere"), newer),
        ("its metadata would be left behind", (), newer),
    ):
        write_environment(tmp_path, "kept-forbidden", other_mode if "metadata" in said else text)
        assert said in refused(tool, "up", env, *arguments)
        assert provision.traces("kept-forbidden") == kept
    assert not (tmp_path / "elsewhere").exists()
    write_environment(tmp_path, "kept-forbidden", text)
    newer.ok("up", env)
    assert newer.ok("consume", env, "t", "--from-beginning", "-n", "1") == "still here\n"
    newer.ok("down", env)
    assert provision.traces("kept-forbidden") == []


def test_the_release_is_kept_with_data_in_a_directory(provision: Provision, tmp_path: Path) -> None:
    newer, older = (replace(provision, version=version) for version in (NEWER, OLDER))
    env = write_environment(tmp_path, "kept-directory", SMALL + "storage: ./data\n")
    newer.ok("up", env, "--until", "brokers")
    newer.ok("down", env, "--keep-data")
    assert f"Kafka {NEWER} → {OLDER}" in refused(older, "up", env)
    newer.ok("up", env, "--until", "brokers")
    newer.ok("down", env)
    message = refused(older, "up", env)
    assert f"Kafka {NEWER} → {OLDER}" in message
    assert str(tmp_path / "data" / "broker-1") in message
    shutil.rmtree(tmp_path / "data" / "zookeeper-1")
    message = refused(newer, "up", env)
    assert "zookeeper-1: its data are gone while broker-1 kept theirs" in message
    assert provision.traces("kept-directory") == []
    newer.ok("down", env, "--delete-data")


def test_data_of_another_cluster_are_told_before_anything_starts(provision: Provision, tmp_path: Path) -> None:
    text = SMALL.replace("nodes: 1", "nodes: 3") + "storage: ./data\n"
    env = write_environment(tmp_path, "mixed-up", text)
    provision.ok("up", env, "--until", "brokers", "--set", "brokers.nodes=3")
    provision.ok("stop", env)
    meta = tmp_path / "data" / "broker-2" / "data" / "meta.properties"
    meta.write_text(re.sub(r"cluster.id=.*", "cluster.id=fwAAAAAAAAAAAAAAAAAAAA", meta.read_text()))
    for command in (("up", env, "--set", "brokers.nodes=3"), ("start", env)):
        message = refused(provision, *command)
        assert "broker-2: its data are of cluster fwAAAAAAAAAAAAAAAAAAAA" in message
        assert str(meta) in message
    states = {node["state"] for node in json.loads(provision.ok("status", env, "-o", "json"))["nodes"]}
    assert states == {"exited"}
    provision.ok("down", env, "--delete-data")


@pytest.mark.parametrize(
    "stopped", [pytest.param(("broker-1",), id="zookeeper-runs"), pytest.param((), id="all-stopped", marks=SOAK)]
)
def test_a_single_broker_with_data_of_another_cluster_is_told_before_it_starts(
    provision: Provision, tmp_path: Path, stopped: tuple[str, ...]
) -> None:
    env = write_environment(tmp_path, "stranger", SMALL + "storage: ./data\n")
    provision.ok("up", env)
    provision.ok("stop", env, *stopped)
    assert json.loads(provision.ok("plan", env, "-o", "json"))["actions"][-1]["verb"] == "start"
    meta = tmp_path / "data" / "broker-1" / "data" / "meta.properties"
    own = meta.read_text()
    (identity,) = re.findall("cluster.id=(.*)", own)
    meta.write_text(own.replace(identity, "fwAAAAAAAAAAAAAAAAAAAA"))
    for command in ("plan", "up", "start"):
        result = provision(command, env)
        assert result.code == 4, result.err
        told = f"its data are of cluster fwAAAAAAAAAAAAAAAAAAAA ({meta}), but the cluster is {identity}"
        assert told in " ".join(f"{result.out} {result.err}".split())
    meta.write_text(own)
    provision.ok("up", env)
    provision.ok("down", env, "--delete-data")


@pytest.mark.parametrize(
    "running", [pytest.param(True, id="brokers-running"), pytest.param(False, id="all-stopped", marks=SOAK)]
)
def test_an_ensemble_whose_data_were_wiped_is_not_begun_anew(
    provision: Provision, tmp_path: Path, running: bool
) -> None:
    env = write_environment(tmp_path, "wiped", SMALL + "storage: ./data\n")
    provision.ok("up", env)
    provision.ok("stop", env, *(["zookeeper-1"] if running else []))
    for entry in (tmp_path / "data" / "zookeeper-1" / "data").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for command in ("up", "start"):
        assert "zookeeper-1: its data are gone" in refused(provision, command, env)
    provision.ok("down", env, "--delete-data")


GROWTH = "kafka: {mode: kraft}\ncontrollers: {nodes: 1}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"


@pytest.mark.parametrize("goes_on", ["up", *(pytest.param(way, marks=SOAK) for way in ("start", "back"))])
def test_a_growth_that_was_killed_before_its_storage_was_formatted(
    provision: Provision, tmp_path: Path, goes_on: str
) -> None:
    env = write_environment(tmp_path, "unformatted", GROWTH)
    provision.ok("up", env, "--set", "brokers.nodes=1")
    process = provision.start("up", env, "--set", "brokers.nodes=2", "--yes")
    wait_for_line(process, "broker-2 created")
    process.kill()
    process.communicate(timeout=60)
    if goes_on == "start":
        provision.ok("start", env, "broker-2")
    brokers = 1 if goes_on == "back" else 2
    status = json.loads(provision.ok("up", env, "--set", f"brokers.nodes={brokers}", "--yes", "-o", "json"))
    assert status["ready"]
    assert [node["name"] for node in status["nodes"] if node["role"] == "broker"] == ["broker-1", "broker-2"][:brokers]
    assert provision("plan", env, "--set", f"brokers.nodes={brokers}", "--detailed-exitcode").code == 0
    provision.ok("down", env)
    assert provision.traces("unformatted") == []
