"""Each release line that the catalogue knows, on real brokers: it comes up, its tools are where the catalogue says."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from provision.cluster.catalogue import KafkaVersion, release_of
from provision.events import silent
from provision.runtime import jars
from tests.engine import Provision, java, write_environment

ZOOKEEPER = ["2.8.2", "3.3.2", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1"]
# With the version of the metadata that each release formats by itself.
KRAFT = {"3.3.2": "3.3-IV3", "3.9.1": "3.9-IV0", "4.3.0": "4.3-IV0"}
ALL = [*ZOOKEEPER, "4.1.1", "4.2.0", "4.3.0"]
pytestmark = pytest.mark.matrix


@pytest.mark.parametrize("version", ZOOKEEPER)
def test_it_comes_up_and_carries_records(version: str, tmp_path: Path) -> None:
    java(version)
    provision = Provision(tmp_path / "home", "process", version=version)
    file = "zookeeper: {port: auto}\nbrokers: {nodes: 3, port: auto}\ntopics: [{name: t, partitions: 3}]\n"
    env = write_environment(tmp_path, "matrix", file)
    try:
        assert json.loads(provision.ok("up", env, "-o", "json", "--until", "roundtrip"))["ready"]
        assert provision.ok("tool", env, "kafka-topics", "--", "--list").split() == ["t"]
        provision.ok("produce", env, "t", stdin="kept\n")
        provision.ok("stop", env)
        provision.ok("start", env)
        assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "kept\n"
    finally:
        provision.ok("down", env)
    assert provision.traces("matrix") == []


@pytest.mark.parametrize("controllers", [0, 3], ids=["combined", "dedicated"])
@pytest.mark.parametrize("version", KRAFT)
def test_it_comes_up_in_kraft_mode_and_carries_records(version: str, controllers: int, tmp_path: Path) -> None:
    java(version)
    provision = Provision(tmp_path / "home", "process", version=version)
    file = f"""
kafka: {{mode: kraft}}
controllers: {{nodes: {controllers}}}
brokers: {{nodes: 3, port: auto}}
topics: [{{name: t, partitions: 3}}]
"""
    env = write_environment(tmp_path, "kraft", file)
    try:
        shown = json.loads(provision.ok("up", env, "-o", "json", "--until", "roundtrip"))
        assert shown["ready"]
        assert len(shown["nodes"]) == 3 + controllers
        assert provision.ok("tool", env, "kafka-topics", "--", "--list").split() == ["t"]
        provision.ok("produce", env, "t", stdin="kept\n")
        provision.ok("stop", env)
        provision.ok("start", env)
        assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "kept\n"
        assert provision("plan", env, "--detailed-exitcode").code == 0
        assert _finalized(provision, env) == KRAFT[version]
        assert _voters(provision, env) == ([1001, 1002, 1003] if controllers else [1, 2, 3])
    finally:
        provision.ok("down", env)
    assert provision.traces("kraft") == []


def _finalized(provision: Provision, env: str) -> str:
    """The finalized version of the metadata, as Kafka's own tool tells it."""
    described = provision.ok("tool", env, "kafka-features", "--", "describe")
    (line,) = [line for line in described.splitlines() if "metadata.version" in line]
    found = re.search(r"FinalizedVersionLevel: (\S+)", line)
    assert found, line
    return found.group(1)


def _voters(provision: Provision, env: str) -> list[int]:
    """Who makes up the quorum, as Kafka's own tool tells it."""
    described = provision.ok("tool", env, "kafka-metadata-quorum", "--", "describe", "--status")
    (line,) = [line for line in described.splitlines() if line.startswith("CurrentVoters:")]
    return [int(number) for number in re.findall(r"(?:\"id\": |[\[,])\s*(\d+)", line)]


@pytest.mark.parametrize("version", ALL)
def test_every_tool_is_a_class_of_its_jars(version: str) -> None:
    directory = jars.fetch(KafkaVersion.parse(version), silent)
    classes = {name for jar in directory.glob("*.jar") for name in zipfile.ZipFile(jar).namelist()}
    tools = release_of(KafkaVersion.parse(version)).tools
    missing = {
        tool: main for tool, main in tools.items() if f"{main.split()[0].replace('.', '/')}.class" not in classes
    }
    assert not missing
