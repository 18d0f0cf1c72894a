"""The how-to it began with, on its own ports: topics, the console tools and both scripts, unchanged."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import FixedPorts
from tests.engine import ROOT, Provision, engine, image, java

HOWTO = ROOT / "tests" / "e2e" / "howto"
PORTS = (2181, 9092)


@pytest.fixture(scope="module")
def quickstart(provision: Provision, fixed_ports: FixedPorts) -> Iterator[Provision]:
    with fixed_ports.held(*PORTS):
        provision.ok("up", "quickstart")
        yield provision
        provision.ok("down", "quickstart")


@pytest.mark.group(process="matrix")
def test_kafka_topics_lists_and_describes_what_the_file_declares(quickstart: Provision) -> None:
    listed = quickstart.ok("tool", "quickstart", "kafka-topics", "--", "--bootstrap-server", "localhost:9092", "--list")
    assert listed.split() == ["sample", "test_topic"]
    described = quickstart.ok(
        "tool",
        "quickstart",
        "kafka-topics",
        "--",
        "--bootstrap-server=localhost:9092",
        "--describe",
        "--topic",
        "sample",
    )
    assert "PartitionCount: 1" in described
    assert "ReplicationFactor: 1" in described
    assert "Isr: 1" in described


@pytest.mark.group(process="matrix")
def test_the_address_is_filled_in_where_none_is_given(quickstart: Provision) -> None:
    assert quickstart.ok("tool", "quickstart", "kafka-topics", "--", "--list").split() == ["sample", "test_topic"]
    assert "[1]" in quickstart.ok("tool", "quickstart", "zookeeper-shell", "--", "ls", "/brokers/ids")
    assert quickstart.ok("tool", "quickstart", "kafka-topics.sh", "--", "--version").startswith("3.9.1")


@pytest.mark.group(process="matrix")
def test_console_producer_and_consumer_exchange_lines(quickstart: Provision) -> None:
    server = ("--bootstrap-server", "localhost:9092", "--topic", "test_topic")
    quickstart.ok("tool", "quickstart", "kafka-console-producer", "--", *server, stdin="first line\nsecond line\n")
    read = quickstart.ok(
        "tool", "quickstart", "kafka-console-consumer", "--", *server, "--from-beginning", "--max-messages", "2",
        "--timeout-ms", "120000",
    )  # fmt: skip
    assert read.splitlines() == ["first line", "second line"]


def test_both_scripts_run_unchanged(quickstart: Provision) -> None:
    with subprocess.Popen([sys.executable, "-u", HOWTO / "consumer.py"], stdout=subprocess.PIPE, text=True) as consumer:
        try:
            subprocess.run([sys.executable, HOWTO / "producer.py"], check=True, timeout=60)
            assert consumer.stdout is not None
            first, second = consumer.stdout.readline(), consumer.stdout.readline()
        finally:
            consumer.kill()
    assert "value=b'Hello, World!'" in first
    assert "key=None" in first
    assert "key=b'message-two'" in second
    assert "value=b'This is Kafka-Python'" in second
    read = quickstart.ok("consume", "quickstart", "sample", "--from-beginning", "-n", "2", "--key-separator", "=")
    assert read.splitlines() == ["=Hello, World!", "message-two=This is Kafka-Python"]


@pytest.mark.group(process="matrix")
def test_produce_and_consume_carry_lines_and_keys(quickstart: Provision) -> None:
    quickstart.ok("topics", "create", "quickstart", "keyed", "--partitions", "3")
    quickstart.ok("produce", "quickstart", "keyed", "--key-separator", ":", stdin="a:1\nb:2\na:3\n")
    read = quickstart.ok("consume", "quickstart", "keyed", "--from-beginning", "-n", "3", "--key-separator", ":")
    assert sorted(read.splitlines()) == ["a:1", "a:3", "b:2"]
    assert [line for line in read.splitlines() if line.startswith("a")] == ["a:1", "a:3"]
    quickstart.ok("topics", "delete", "quickstart", "keyed")
    assert "keyed" not in quickstart.ok("topics", "list", "quickstart")


@pytest.mark.group(process="matrix")
def test_the_exit_code_of_a_tool_is_that_of_the_command(quickstart: Provision) -> None:
    result = quickstart(
        "tool", "quickstart", "kafka-topics", "--", "--bootstrap-server", "localhost:9092", "--nonsense"
    )
    assert result.code == 1
    assert "nonsense" in result.err + result.out
    unknown = quickstart("tool", "quickstart", "kafka-nothing")
    assert unknown.code == 64
    assert "kafka-topics" in unknown.err


def test_a_container_on_the_network_reaches_the_brokers_by_name(quickstart: Provision) -> None:
    if quickstart.runtime == "process":
        pytest.skip("processes share this machine's network")
    container = engine().containers.run(
        image(),
        entrypoint=["java", "-cp", "/opt/kafka/libs/*", "org.apache.kafka.tools.TopicCommand"],
        command=["--bootstrap-server", "quickstart-broker-1:9092", "--list"],
        network="quickstart",
        detach=True,
    )
    try:
        assert container.wait(timeout=60)["StatusCode"] == 0
        output = container.logs(stderr=False)
    finally:
        container.remove(v=True, force=True)
    assert set(output.decode().split()) >= {"sample", "test_topic"}
    assert "quickstart-broker-1:9092" in quickstart.ok("endpoints", "quickstart")


def test_a_roundtrip_leaves_no_topic_behind(quickstart: Provision) -> None:
    before = quickstart.ok("topics", "list", "quickstart", "-o", "json")
    quickstart.ok("wait", "quickstart", "--until", "roundtrip")
    assert quickstart.ok("topics", "list", "quickstart", "-o", "json") == before


def test_env_prints_what_a_shell_can_evaluate(quickstart: Provision) -> None:
    script = quickstart.ok("env", "quickstart") + 'echo "$KAFKA_BOOTSTRAP_SERVERS $KAFKA_ZOOKEEPER_CONNECT"'
    shown = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True).stdout
    assert shown.split() == ["127.0.0.1:9092", "127.0.0.1:2181"]


@pytest.mark.group(process="matrix")
def test_the_howto_with_its_zookeeper_flag_on_kafka_2_8(provision: Provision, fixed_ports: FixedPorts) -> None:
    if provision.runtime == "process":
        java("2.8.2")
    old = Provision(provision.home, provision.runtime, version="2.8.2", started=provision.started)
    with fixed_ports.held(*PORTS):
        _follow_the_howto(old)


def _follow_the_howto(old: Provision) -> None:
    old.ok("down", "quickstart")
    old.ok("up", "quickstart", "--set", "topics=[]")
    zookeeper = ("--zookeeper", "localhost:2181")
    topic = ("--topic", "sample", "--partitions", "1", "--replication-factor", "1")
    created = old.ok("tool", "quickstart", "kafka-topics", "--", "--create", *zookeeper, *topic)
    assert "Created topic sample" in created
    assert old.ok("tool", "quickstart", "kafka-topics", "--", "--list", *zookeeper).split() == ["sample"]
    described = old.ok("tool", "quickstart", "kafka-topics", "--", "--describe", *zookeeper, "--topic", "sample")
    assert "PartitionCount: 1" in described
    server = ("--topic", "test_topic", "--bootstrap-server", "localhost:9092")
    old.ok("tool", "quickstart", "kafka-console-producer", "--", *server, stdin="old\n")
    read = old.ok(
        "tool", "quickstart", "kafka-console-consumer", "--", *server, "--from-beginning", "--max-messages", "1"
    )
    assert read.splitlines() == ["old"]
    old.ok("down", "quickstart")
