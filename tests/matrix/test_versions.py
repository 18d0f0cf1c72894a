"""Each release line that the catalogue knows, on real brokers: it comes up, its tools are where the catalogue says."""

import json
import zipfile
from pathlib import Path

import pytest

from provision.cluster.catalogue import KafkaVersion, release_of
from provision.events import silent
from provision.runtime.process import jars
from tests.engine import Provision, java, write_environment

VERSIONS = ["2.8.2", "3.3.2", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1"]
pytestmark = [pytest.mark.matrix, pytest.mark.parametrize("version", VERSIONS)]


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


def test_every_tool_is_a_class_of_its_jars(version: str) -> None:
    directory = jars.fetch(KafkaVersion.parse(version), silent)
    classes = {name for jar in directory.glob("*.jar") for name in zipfile.ZipFile(jar).namelist()}
    tools = release_of(KafkaVersion.parse(version)).tools
    missing = {
        tool: main for tool, main in tools.items() if f"{main.split()[0].replace('.', '/')}.class" not in classes
    }
    assert not missing
