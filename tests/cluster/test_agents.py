"""Java agents and JMX ports of a node: its command line, its ports, and its files."""

import json
from pathlib import Path

import pytest

from provision.cluster.fingerprint import config_hash
from provision.cluster.layout import LocalLayout, container_layout
from provision.cluster.model import LAUNCH_FILE, Cluster, RenderedFile
from provision.cluster.render import render
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment
from provision.plan.differences import differences
from provision.runtime.docker.containers import node_options
from provision.spec.loader import load
from tests.agents import write_agent

TEXT = """
brokers:
  nodes: 2
  port: auto
  java:
    options: [-Dmine=1]
    jmx_port: 9999
    agents:
      - {jar: ./agents/metrics.jar, options: "{address}:{rules.yaml},{port}", port: 9404, files: [./rules.yaml]}
      - {jar: plain.jar}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_agent(tmp_path / "agents" / "metrics.jar")
    write_agent(tmp_path / "plain.jar")
    (tmp_path / "rules.yaml").write_text("rules: []\n", encoding="utf-8")
    (tmp_path / "dev.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def described(directory: Path, runtime: str) -> Cluster:
    spec = load(directory / "dev.yaml")
    local = LocalLayout("kafka 3.9.1", "/libs", "/a home=of mine/dev", "/a home=of mine/dev")
    return resolve_without_ports(spec, local if runtime == "process" else container_layout(spec), str(directory))


@pytest.mark.parametrize(
    ("runtime", "at", "bind"),
    [("process", "config", "127.0.0.1"), ("docker", "/var/lib/provision/config", "0.0.0.0")],  # noqa: S104 inside
)
def test_each_node_loads_them_with_its_own_port_before_its_own_options(
    directory: Path, runtime: str, at: str, bind: str
) -> None:
    for number, broker in enumerate(described(directory, runtime).brokers):
        agents = [argument for argument in broker.java_args if argument.startswith("-javaagent:")]
        port = 9404 + number
        assert agents == [
            f"-javaagent:{at}/agent-metrics.jar={bind}:{port}:{at}/agent-rules.yaml,{port}",
            f"-javaagent:{at}/agent-plain.jar",
        ]
        jmx = [argument for argument in broker.java_args if "jmxremote" in argument]
        assert f"-Dcom.sun.management.jmxremote.port={9999 + number}" in jmx
        assert f"-Dcom.sun.management.jmxremote.rmi.port={9999 + number}" in jmx
        assert f"-Dcom.sun.management.jmxremote.host={bind}" in jmx
        assert "-Djava.rmi.server.hostname=127.0.0.1" in broker.java_args
        last = broker.java_args.index("-Dmine=1")
        assert all(broker.java_args.index(one) < last for one in (*agents, *jmx))


@pytest.mark.parametrize("runtime", ["process", "docker"])
def test_other_sections_have_none(directory: Path, runtime: str) -> None:
    (keeper,) = described(directory, runtime).zookeepers
    assert not any("agent" in argument or "jmxremote" in argument for argument in keeper.java_args)
    assert not keeper.java_ports
    assert not keeper.agent_files


def test_a_container_publishes_their_ports_on_this_machine_alone(directory: Path) -> None:
    cluster = described(directory, "docker")
    container, host = node_options(cluster, cluster.brokers[1], "", ())
    published = {port: bound for port, bound in host["port_bindings"].items() if bound[1]}
    assert published == {9405: ("127.0.0.1", 9405), 10000: ("127.0.0.1", 10000)}
    assert {9405, 10000} <= set(container["ports"])


def test_every_node_gets_the_files_byte_for_byte_and_its_mark_has_the_ports(directory: Path) -> None:
    files = {(file.node, file.name): file for file in render(described(directory, "docker"))}
    for number, node in enumerate(("broker-1", "broker-2")):
        assert files[node, "agent-metrics.jar"].content == (directory / "agents" / "metrics.jar").read_bytes()
        assert files[node, "agent-rules.yaml"].content == b"rules: []\n"
        assert json.loads(files[node, LAUNCH_FILE].content)["java_ports"] == [9404 + number, 9999 + number]
    assert ("zookeeper-1", "agent-metrics.jar") not in files
    assert "java_ports" not in json.loads(files["zookeeper-1", LAUNCH_FILE].content)


def test_another_content_is_another_node_and_what_it_says_is_not_shown(directory: Path) -> None:
    before = render(described(directory, "docker"))
    write_agent(directory / "plain.jar", "Premain-Class: example.Other\n")
    (directory / "rules.yaml").write_text("password: hunter2\n", encoding="utf-8")
    after = render(described(directory, "docker"))
    assert config_hash("broker-1", before) != config_hash("broker-1", after)
    assert config_hash("zookeeper-1", before) == config_hash("zookeeper-1", after)
    own = [[file for file in files if file.node == "broker-1"] for files in (before, after)]
    assert [str(one) for one in differences(*own)] == ["agent-plain.jar changed", "agent-rules.yaml changed"]


def test_what_was_read_back_has_the_same_fingerprint(directory: Path) -> None:
    rendered = render(described(directory, "docker"))
    read = tuple(RenderedFile(file.node, file.name, bytes(file.content)) for file in rendered)
    assert config_hash("broker-2", read) == config_hash("broker-2", rendered)


def test_a_file_that_has_gone_since_the_environment_file_was_read_is_told(directory: Path) -> None:
    cluster = described(directory, "docker")
    (directory / "plain.jar").unlink()
    with pytest.raises(InvalidEnvironment, match=r"plain\.jar.*cannot be read"):
        render(cluster)
