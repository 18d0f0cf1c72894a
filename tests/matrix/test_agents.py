"""A Java agent and JMX in both runtimes: what the documents show, with the Prometheus agent of Maven Central."""

import json
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from jgo.constants import MAVEN_CENTRAL_URL, default_maven_repo
from jgo.maven import MavenContext, PythonResolver

from provision.catalogue.versions import KafkaVersion
from provision.home.place import Home
from provision.runtime import jars
from provision.runtime.process.java import find_java
from tests.engine import DEFAULT_VERSION, Provision, engine, java, wait_until, write_environment

pytestmark = pytest.mark.row(None)

NAME = "watched"
AGENT = ("io.prometheus.jmx", "jmx_prometheus_javaagent", "1.0.1")
METRICS = {"docker": 29404, "process": 29424}
JMX_AFTER = 4
"""The ports of JMX come so far after those of the agents."""
FILE = """
kafka: {mode: kraft}
brokers:
  nodes: 2
  port: auto
  java:
    jmx_port: JMX
    agents:
      - jar: ./agents/jmx_prometheus_javaagent.jar
        options: "{address}:{rules.yaml}"
        port: METRICS
        files: [./rules.yaml]
topics: [{name: t, replication_factor: 2}]
"""
RUNNING = "3"  # the broker's state
RULES = "rules: [{pattern: 'kafka.server<type=BrokerTopicMetrics, name=MessagesInPerSec><>Count', name: written}]\n"
MORE = "rules: [{pattern: 'kafka.server<type=BrokerTopicMetrics, name=BytesInPerSec><>Count', name: bytes_written}]\n"


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)]
)
def provision(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provision]:
    if request.param == "docker":
        engine()
    java(DEFAULT_VERSION)
    program = Provision(tmp_path / "home", request.param)
    yield program
    program("down", NAME, "--force")


def agent(directory: Path) -> None:
    """Bring the agent there, as a user would download it."""
    group, name, version = AGENT
    context = MavenContext(
        PythonResolver(), directory / "maven", [default_maven_repo()], {"central": MAVEN_CENTRAL_URL}
    )
    jar = context.project(group, name).at_version(version).artifact().resolve()
    (directory / "agents").mkdir()
    (directory / "agents" / f"{name}.jar").write_bytes(Path(jar).read_bytes())


def metrics(port: int) -> str:
    response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20)
    assert response.status_code == requests.codes.ok
    return response.text


def by_jmx(port: int) -> str:
    """What Kafka's own tool reads over the port of JMX."""
    version = KafkaVersion.parse(DEFAULT_VERSION)
    directory = Home.of_user().jars(version)
    jars.fetch(version, directory, lambda _: None)
    url = f"service:jmx:rmi:///jndi/rmi://127.0.0.1:{port}/jmxrmi"
    name = "kafka.server:type=KafkaServer,name=BrokerState"
    tool = [find_java(version).command, "-cp", f"{directory}/*", "org.apache.kafka.tools.JmxTool"]
    done = subprocess.run(
        [*tool, "--jmx-url", url, "--object-name", name, "--attributes", "Value", "--one-time"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.matrix
def test_every_broker_is_read_by_its_agent_and_over_jmx_on_this_machine_alone(
    provision: Provision, tmp_path: Path
) -> None:
    agent(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    first = METRICS[provision.runtime]
    ports = (first, first + 1)
    text = FILE.replace("METRICS", str(first)).replace("JMX", str(first + JMX_AFTER))
    file = write_environment(tmp_path, NAME, text)
    provision.ok("up", file)
    provision.ok("produce", NAME, "t", stdin="one\ntwo\n")
    lines = [line for port in ports for line in metrics(port).splitlines()]
    assert sum(float(line.split()[1]) for line in lines if line.startswith("written")) >= 2
    assert [by_jmx(port + JMX_AFTER).split(",")[-1].strip() for port in ports] == [RUNNING, RUNNING]
    if provision.runtime == "process":
        opened = {port for first in ports for port in (first, first + JMX_AFTER)}
        listening = {(address, port) for address, port in provision.listening(NAME) if port in opened}
        assert {port for _, port in listening} == opened
        assert all(ip_address(address.removeprefix("::ffff:")).is_loopback for address, _ in listening)
    assert json.loads(provision.ok("plan", file, "-o", "json"))["actions"] == []

    (tmp_path / "rules.yaml").write_text(MORE, encoding="utf-8")
    planned = json.loads(provision("plan", file, "-o", "json").out)["actions"]
    assert {(one["verb"], one["resource"]) for one in planned} == {("restart", "broker-1"), ("restart", "broker-2")}
    assert "agent-rules.yaml changed" in provision("plan", file).out
    provision.ok("up", file, "--yes")
    assert wait_until(lambda: all("bytes_written" in metrics(port) for port in ports))
    found = json.loads(provision("doctor", NAME, "-o", "json").out)["findings"]
    assert [one for one in found if one["id"] in ("file-edited", "file-not-text", "file-damaged")] == []

    without = "kafka: {mode: kraft}\nbrokers: {nodes: 2, port: auto}\ntopics: [{name: t, replication_factor: 2}]\n"
    provision.ok("up", write_environment(tmp_path, NAME, without), "--yes")
    with pytest.raises(requests.ConnectionError):
        metrics(first)
    provision.ok("down", NAME)
    assert provision.traces(NAME) == []
