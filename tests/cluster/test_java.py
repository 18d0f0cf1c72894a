"""How the key `java` of a section is put into a node's command line."""

import pytest

from provision.cluster.layout import LocalLayout, container_layout
from provision.cluster.model import Cluster, Node, Role
from provision.cluster.resolve import resolve_without_ports
from provision.spec.loader import load_values

FAST, SERVER = "-XX:TieredStopAtLevel=1", "-XX:+UseG1GC"


def cluster(**values: object) -> Cluster:
    spec = load_values({"name": "dev", **values}, (), lambda _: None)
    return resolve_without_ports(spec, container_layout(spec))


def profile(node: Node) -> str:
    assert (FAST in node.java_args) != (SERVER in node.java_args)
    return "fast" if FAST in node.java_args else "server"


def test_every_node_is_fast_unless_its_section_says_otherwise() -> None:
    assert [profile(node) for node in cluster().nodes] == ["fast", "fast"]
    described = cluster(brokers={"java": {"profile": "server"}})
    assert {node.role: profile(node) for node in described.nodes} == {Role.ZOOKEEPER: "fast", Role.BROKER: "server"}
    described = cluster(
        kafka={"mode": "kraft"}, controllers={"nodes": 1, "java": {"profile": "server"}}, brokers={"nodes": 2}
    )
    assert [profile(node) for node in described.nodes] == ["server", "fast", "fast"]


@pytest.mark.parametrize(
    ("section", "role"), [("zookeeper", Role.ZOOKEEPER), ("brokers", Role.BROKER), ("controllers", Role.CONTROLLER)]
)
def test_own_options_come_last_and_to_the_nodes_of_their_section_alone(section: str, role: Role) -> None:
    own = ["-XX:+UseZGC", "-javaagent:/opt/agent.jar=9404", "-Dmine=a b"]
    values: dict[str, object] = {section: {"java": {"options": own}}}
    if section == "controllers":
        values = {"kafka": {"mode": "kraft"}, section: {"nodes": 1, "java": {"options": own}}}
    for node in cluster(**values).nodes:
        before_class_path = node.java_args[: node.java_args.index("-cp")]
        assert (list(before_class_path[-3:]) == own) == (node.role is role)


@pytest.mark.parametrize(
    "port", ["-Dcom.sun.management.jmxremote.port=9999", "-Dcom.sun.management.config.file=/etc/management.properties"]
)
def test_a_jmx_port_of_a_process_is_bound_to_this_machine_unless_its_own_options_say_otherwise(port: str) -> None:
    here = ["-Dcom.sun.management.jmxremote.host=127.0.0.1", "-Djava.rmi.server.hostname=127.0.0.1"]
    spec = load_values({"name": "dev", "brokers": {"java": {"options": [port]}}}, (), lambda _: None)
    keeper, broker = resolve_without_ports(spec, LocalLayout("kafka 3.9.1", "/libs", "/home/dev", "/home/dev")).nodes
    at = broker.java_args.index(port)
    assert list(broker.java_args[at - 2 : at]) == here
    assert not set(here) & set(keeper.java_args)
    assert not set(here) & set(cluster(brokers={"java": {"options": [port]}}).brokers[0].java_args)


def test_without_the_key_the_command_line_is_what_it_was() -> None:
    """Otherwise every existing node would be replaced."""
    broker = cluster().brokers[0]
    assert broker.java_args[:6] == (
        "-Xms256m",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
    )
    assert broker == cluster(brokers={"java": {"profile": "fast", "options": []}}).brokers[0]
