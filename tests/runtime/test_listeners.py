"""Several listeners of a broker, where they are published and what is kept of them, without a JVM or an engine."""

from pathlib import Path
from typing import Any

import pytest

from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.home.place import Home
from provision.runtime.docker import containers
from provision.runtime.docker.labels import checked
from provision.runtime.process.layout import local_layout
from provision.runtime.process.notes import NODE_FILE, read_node
from provision.runtime.process.runtime import ProcessRuntime
from provision.security.listening import HostListener
from provision.spec.loader import load_values

NAME = "doors"
LISTENERS: dict[str, Any] = {"plain": {"port": 9092, "security": "plaintext"}, "secure": {"security": "sasl-tls"}}
BOTH = (
    HostListener("PLAIN", "plaintext", "127.0.0.1:9092"),
    HostListener("SECURE", "sasl-tls", "127.0.0.1:30303"),
)
LEASED = {"zookeeper-1": 30301, "broker-1": 30302, "broker-1/SECURE": 30303, "broker-1/INTERNAL": 30304}


def contained(**values: object) -> Cluster:
    spec = load_values({"name": NAME, **values})
    return resolve(spec, container_layout(spec), LEASED)


def test_a_container_publishes_each_listener_on_the_loopback_address_and_its_labels_tell_of_it() -> None:
    cluster = contained(listeners=LISTENERS)
    (broker,) = cluster.brokers
    container, host = containers.node_options(cluster, broker, "hash", ())
    assert host["port_bindings"] == {19092: ("127.0.0.1", 9092), 19093: ("127.0.0.1", 30303)}
    assert container["ports"] == [19092, 19093]
    labels = checked({"Labels": container["labels"]})["Labels"]
    assert labels[containers.LISTENERS] == "PLAIN plaintext 127.0.0.1:9092, SECURE sasl-tls 127.0.0.1:30303"
    assert (labels[containers.ENDPOINT], labels[containers.INSIDE]) == ("127.0.0.1:9092", f"{NAME}-broker-1:9092")
    (ensemble,) = cluster.zookeepers
    assert containers.LISTENERS not in containers.node_labels(cluster, ensemble)


def test_without_the_key_a_container_has_no_such_label() -> None:
    cluster = contained(brokers={"port": 9092})
    assert containers.LISTENERS not in containers.node_labels(cluster, cluster.brokers[0])


@pytest.mark.parametrize(
    "text", ["PLAIN", "PLAIN plaintext nowhere", "PLAIN ssl 127.0.0.1:1", "A tls h:1, A tls h:2", "\0"]
)
def test_a_label_that_tells_of_no_listeners_is_not_believed(text: str) -> None:
    assert checked({"Labels": {containers.LISTENERS: text}})["Labels"] == {}


def created(directory: Path, **values: object) -> ProcessRuntime:
    home = Home.at(directory / "home", directory / "cache")
    spec = load_values({"name": NAME, **values})
    cluster = resolve(spec, local_layout(spec, "/", home), LEASED)
    runtime = ProcessRuntime(home)
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in render(cluster) if file.node == node.name])
    return runtime


def test_a_process_keeps_its_listeners_its_ports_and_where_other_brokers_find_it(tmp_path: Path) -> None:
    runtime = created(tmp_path, listeners=LISTENERS)
    broker = runtime.observe(NAME).node("broker-1")
    assert broker
    assert (broker.endpoint, broker.listeners) == ("127.0.0.1:9092", BOTH)
    assert broker.host_ports == {"broker-1/PLAIN": 9092, "broker-1/SECURE": 30303}
    assert runtime.inside_address(NAME, "broker-1") == "127.0.0.1:30304"
    assert runtime.inside_address(NAME, "zookeeper-1") == "127.0.0.1:30301"
    note = read_node(tmp_path / "home" / "environments" / NAME / "broker-1")
    assert note.ports == (30304, 9092, 30303)


def test_what_is_damaged_of_a_processs_listeners_leaves_the_one_address(tmp_path: Path) -> None:
    runtime = created(tmp_path, listeners=LISTENERS)
    file = tmp_path / "home" / "environments" / NAME / "broker-1" / NODE_FILE
    file.write_text(file.read_text().replace("SECURE sasl-tls", "SECURE nothing"))
    broker = runtime.observe(NAME).node("broker-1")
    assert broker
    assert (broker.endpoint, broker.listeners, broker.endpoints) == ("127.0.0.1:9092", (), ("127.0.0.1:9092",))


def test_the_one_listener_of_a_process_is_the_one_between_brokers(tmp_path: Path) -> None:
    runtime = created(tmp_path, brokers={"port": "auto"})
    broker = runtime.observe(NAME).node("broker-1")
    assert broker
    assert (broker.listeners, broker.endpoints) == ((), ("127.0.0.1:30302",))
    assert runtime.inside_address(NAME, "broker-1") == broker.endpoint
