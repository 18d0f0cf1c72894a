"""Whether engines open ports for brokers, and where clients find them otherwise."""

from typing import Any

import pytest

from provision.cluster.layout import beside
from provision.cluster.model import Cluster, Role
from provision.cluster.resolve import resolve
from provision.common.values import replace
from provision.observe.reach import access_to
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import services
from provision.runtime.swarm.layout import Location, swarm_layout
from provision.runtime.swarm.seen import Seen
from provision.spec.model import EnvironmentSpec

LOCATIONS = {f"broker-{number}": Location(f"e{number}", f"10.0.0.{number}") for number in (1, 2)}
IMAGE = services.Image("sha256:1", "sha256:1")


def resolved(publish: str, security: str) -> Cluster:
    values = {
        "name": "fleet",
        "runtime": "swarm",
        "kafka": {"mode": "kraft"},
        "brokers": {"nodes": 2, "port": 9092},
        "security": security,
        "users": [{"name": "app"}] if security != "plaintext" else [],
        "swarm": {"publish": publish},
    }
    described = EnvironmentSpec.model_validate(values)
    return resolve(described, swarm_layout(described).at(LOCATIONS), {})


@pytest.mark.parametrize(
    ("publish", "security", "endpoints", "ports"),
    [
        ("host", "sasl-tls", ["10.0.0.1:9092", "10.0.0.2:9093"], [[(19092, 9092)], [(19092, 9093)]]),
        ("none", "sasl-tls", ["fleet-broker-1:19092", "fleet-broker-2:19092"], [[], []]),
        ("none", "plaintext", ["fleet-broker-1:19092", "fleet-broker-2:19092"], [[], []]),
    ],
)
def test_a_broker_is_advertised_where_clients_reach_it(
    publish: str, security: str, endpoints: list[str], ports: list[list[tuple[int, int]]]
) -> None:
    cluster = resolved(publish, security)
    assert [node.endpoint for node in cluster.brokers] == endpoints
    for node, published in zip(cluster.brokers, ports, strict=True):
        (listener,) = (one for one in node.listeners if one.endpoint)
        assert f"{listener.host}:{listener.port}" == listener.endpoint
        told = services.node_service(cluster, node, IMAGE, "hash", node.engine)["endpoint_spec"]["Ports"]
        assert [(port["TargetPort"], port["PublishedPort"]) for port in told] == published


@pytest.mark.parametrize("second", [None, 29196])
@pytest.mark.parametrize("publish", ["host", "none"])
def test_a_listener_beside_another_one_is_advertised_where_it_listens_or_is_published(
    publish: str, second: int | None
) -> None:
    cluster = resolved(publish, "sasl-tls")
    for node in cluster.brokers:
        moved = replace(node, listeners=tuple(beside(one, second) for one in node.listeners))
        asked = services.node_service(cluster, moved, IMAGE, "hash", node.engine)["endpoint_spec"]["Ports"]
        published = {port["TargetPort"]: port["PublishedPort"] for port in asked}
        assert len(published) == (publish == "host")
        for one, before in zip(moved.listeners, node.listeners, strict=True):
            assert one.port == published.get(one.listen_port, one.listen_port)
            assert one.host_port in {None, one.port}
            assert one.is_controller or one.listen_port not in {each.listen_port for each in node.listeners}
            assert (one.host, one.host_port is None) == (before.host, before.host_port is None)


def _service(node: str, ports: list[Any] | None, *, has_endpoint: bool = True) -> dict[str, Any]:
    labels = {spec.ENVIRONMENT: "fleet", spec.NODE: node}
    labels |= {spec.ENDPOINT: "fleet-broker-1:19092"} if has_endpoint else {}
    return {"ID": node, "Spec": {"Name": node, "Labels": labels, "EndpointSpec": {"Mode": "dnsrr", "Ports": ports}}}


@pytest.mark.parametrize(
    ("listed", "hidden"),
    [
        ([], False),
        ([_service("controller-1", None, has_endpoint=False)], False),
        ([_service("broker-1", [{"PublishedPort": 9092}])], False),
        ([_service("broker-1", None)], True),
        ([_service("broker-1", [{"PublishedPort": 9092}]), _service("broker-2", None)], True),  # while it is changed
    ],
)
def test_brokers_without_ports_are_reached_in_their_network(listed: list[dict[str, Any]], *, hidden: bool) -> None:
    seen = Seen(listed, [], {}, [], [])
    assert seen.is_hidden("fleet") is hidden
    assert not seen.is_hidden("another")


def test_the_way_to_brokers_goes_through_the_proxy_of_their_environment() -> None:
    broker = ObservedNode("broker-1", Role.BROKER, NodeState.RUNNING, "", endpoint="fleet-broker-1:19092")
    observed = ObservedEnvironment("fleet", "swarm", nodes=(broker,), proxy="socks5h://provision:x@127.0.0.1:1")
    access = access_to(observed)
    assert (access.proxy, access.brokers) == (observed.proxy, {1: "fleet-broker-1:19092"})
    assert access.to({}).proxy == access.without(2).proxy == observed.proxy
    assert "socks5h" not in f"{access}{observed}{access.librdkafka_options()}{access.client_options()}"


@pytest.mark.parametrize(("ports", "published"), [(None, {}), ([{"PublishedPort": 9092}], {"broker-1": 9092})])
def test_a_port_in_the_network_alone_is_none_of_this_machine(
    ports: list[Any] | None, published: dict[str, int]
) -> None:
    service = _service("broker-1", ports)
    host = "fleet-broker-1:19092" if ports is None else "10.0.0.1:9092"
    service["Spec"]["Labels"] |= {spec.ROLE: "broker", spec.HASH: "", spec.ENDPOINT: host}
    service["Spec"]["Mode"] = {"Replicated": {"Replicas": 1}}
    (node,) = Seen([service], [], {}, [], []).environment("fleet", (), frozenset()).nodes
    assert (node.endpoint, node.host_ports) == (host, published)
