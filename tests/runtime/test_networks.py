"""The network of an environment: a node keeps its address while it is down, whoever comes in between."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from provision.cluster.model import Role
from provision.errors import ProvisionError
from provision.runtime.docker import networks
from tests.engine import engine, image

NAME = "networks-test"
LABELS = {"provision.environment": NAME}
NODES = [f"{role}-{number}" for role in Role for number in range(1, 101)]


def _described(subnet: str, **more: str) -> dict[str, object]:
    return {"IPAM": {"Config": [{"Subnet": subnet, "Gateway": "", **more}]}}


def _kept(subnet: str) -> dict[str, object]:
    return {"IPAM": {"Config": [dict(networks.kept_in_half(subnet))]}}


@pytest.mark.parametrize("subnet", ["172.18.0.0/16", "192.168.16.0/20", "10.10.0.0/22"])
def test_each_node_has_an_address_that_the_engine_gives_to_nobody(subnet: str) -> None:
    pool = networks.kept_in_half(subnet)
    addresses = [ip_address(networks.address_of(_kept(subnet), node) or "") for node in NODES]
    assert len(set(addresses)) == len(NODES)
    for address in addresses:
        assert address in ip_network(subnet)
        assert address not in ip_network(pool["IPRange"])
        assert str(address) != pool["Gateway"]
    assert ip_network(pool["IPRange"]).num_addresses * 2 == ip_network(subnet).num_addresses


def test_in_a_small_network_the_engine_chooses_for_those_who_have_no_room() -> None:
    addresses = [networks.address_of(_kept("10.10.0.0/28"), f"broker-{number}") for number in (1, 2)]
    assert addresses == ["10.10.0.5", None]


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(_described("172.18.0.0/16"), id="of an earlier version"),
        pytest.param(_described("fd00::/64", IPRange="fd00::/65"), id="IPv6"),
        pytest.param({"IPAM": {"Config": None}}, id="no subnet"),
    ],
)
def test_in_other_networks_the_engine_chooses(network: dict[str, object]) -> None:
    assert networks.address_of(network, "broker-1") is None


@pytest.fixture
def network() -> Iterator[None]:
    api = engine().api
    networks.create(api, NAME, LABELS)
    yield
    for container in api.containers(all=True, filters={"label": f"provision.environment={NAME}"}):
        api.remove_container(container["Id"], force=True, v=True)
    for left in api.networks(filters={"label": f"provision.environment={NAME}"}):
        api.remove_network(left["Id"])


def _container(node: str = "") -> str:
    """A container that does nothing: a node's, or one that just joins the network."""
    api = engine().api
    membership = networks.membership(api, NAME, node) if node else None
    host = api.create_host_config(network_mode=NAME)
    created = api.create_container(
        image(), entrypoint=["sleep", "120"], labels=LABELS, host_config=host, networking_config=membership
    )
    return str(created["Id"])


def _address(container: str) -> str:
    return str(engine().api.inspect_container(container)["NetworkSettings"]["Networks"][NAME]["IPAddress"])


@pytest.mark.engine
@pytest.mark.usefixtures("network")
def test_nodes_come_back_with_their_addresses_in_any_order() -> None:
    api = engine().api
    nodes = [_container("broker-1"), _container("broker-2")]
    for node in nodes:
        api.start(node)
    before = [_address(node) for node in nodes]
    for node in nodes:
        api.kill(node)
    guest = _container()
    api.start(guest)
    for node in reversed(nodes):
        api.start(node)
    assert [_address(node) for node in nodes] == before
    assert _address(guest) not in before


@pytest.mark.engine
@pytest.mark.usefixtures("network")
def test_a_node_joins_the_network_that_came_in_place_of_its_own() -> None:
    api = engine().api
    node = _container("broker-1")
    api.start(node)
    api.kill(node)
    api.remove_network(NAME)
    with pytest.raises(ProvisionError, match="the network networks-test is gone"):
        networks.rejoin(api, node, NAME, "broker-1")
    networks.create(api, NAME, LABELS)
    networks.rejoin(api, node, NAME, "broker-1")
    api.start(node)
    assert _address(node) == networks.address_of(api.inspect_network(NAME), "broker-1")


@pytest.mark.engine
@pytest.mark.usefixtures("network")
def test_what_a_killed_command_left_of_a_network_does_not_stand_in_the_way() -> None:
    api = engine().api
    api.create_network(f"{NAME}.new", labels=LABELS)
    api.remove_network(NAME)
    networks.create(api, NAME, LABELS)
    names = [network["Name"] for network in api.networks(filters={"label": f"provision.environment={NAME}"})]
    assert names == [NAME]
