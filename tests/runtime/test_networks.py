"""The network of an environment: a node keeps its address while it is down, whoever comes in between."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.model import Role
from provision.errors import PartlyApplied, ProvisionError
from provision.home.place import Home
from provision.operations.remove import down
from provision.runtime.docker import networks
from provision.runtime.docker.runtime import DockerRuntime
from tests.engine import engine, image

pytestmark = pytest.mark.row("apart")

NAME = "networks-test"
LABELS = {"provision.environment": NAME}
NODES = [f"{role}-{number}" for role in Role for number in range(1, 101)]


def _network(subnet: str, **labels: str) -> dict[str, Any]:
    return {"Labels": labels, "IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": subnet}]}}


def _kept(subnet: str) -> dict[str, Any]:
    return _network(subnet, **{networks.ADDRESSES: networks.FIXED})


@pytest.mark.parametrize("subnet", ["172.18.0.0/16", "192.168.16.0/20", "10.10.0.0/22"])
def test_each_node_has_an_address_that_the_engine_gives_to_nobody(subnet: str) -> None:
    pool = networks.kept_in_half(IPv4Network(subnet))
    addresses = [ip_address(networks.address_of(_kept(subnet), node) or "") for node in NODES]
    assert len(set(addresses)) == len(NODES)
    for address in addresses:
        assert address in IPv4Network(subnet)
        assert address not in IPv4Network(pool["IPRange"])
        assert str(address) != pool["Gateway"]
    assert IPv4Network(pool["IPRange"]).num_addresses * 2 == IPv4Network(subnet).num_addresses


def test_in_a_small_network_the_engine_chooses_for_those_who_have_no_room() -> None:
    addresses = [networks.address_of(_kept("10.10.0.0/25"), f"broker-{number}") for number in (1, 20, 21)]
    assert addresses == ["10.10.0.5", "10.10.0.62", None]


def test_in_a_network_of_an_earlier_version_the_engine_chooses() -> None:
    assert networks.address_of(_network("172.18.0.0/16"), "broker-1") is None


def _listed(state: str = "running", **networks_joined: dict[str, str]) -> dict[str, Any]:
    labels = {"provision.environment": NAME, "provision.node": "broker-1"}
    return {"State": state, "Labels": labels, "NetworkSettings": {"Networks": networks_joined}}


@pytest.mark.parametrize(
    ("container", "astray", "cut_off"),
    [
        (_listed(n={"NetworkID": "1", "IPAddress": "172.18.0.5"}), "", False),
        (_listed(n={"NetworkID": "1", "IPAddress": "172.18.0.6"}), "172.18.0.6 instead of its own, 172.18.0.5", False),
        (_listed(n={"NetworkID": "2", "IPAddress": "172.18.0.5"}), "not in the network n", True),
        (_listed(), "not in the network n", True),
        (_listed(other={"NetworkID": "3", "IPAddress": "10.0.0.5"}), "not in the network n", True),
        (_listed("paused"), "not in the network n", True),
        (_listed("exited"), "", False),
        (_listed("created"), "", False),
    ],
)
def test_a_running_node_that_is_not_where_others_look_for_it_is_seen(
    container: dict[str, Any], astray: str, *, cut_off: bool
) -> None:
    container["Labels"]["provision.environment"] = "n"
    place = networks.place_of(container, {"Id": "1", **_kept("172.18.0.0/16")})
    assert astray in place.astray
    assert bool(place.astray) is bool(astray)
    assert place.cut_off is cut_off
    without = networks.place_of(container, None)
    assert without.cut_off is (container["State"] in ("running", "paused"))


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
@pytest.mark.parametrize("state", ["stopped", "never started", "in no network", "chosen by the engine"])
def test_a_node_joins_the_network_that_came_in_place_of_its_own(state: str) -> None:
    api = engine().api
    other = api.create_network(f"{NAME}-other", labels=LABELS)["Id"]  # takes the next subnet
    node = _container("" if state == "chosen by the engine" else "broker-1")
    if state == "stopped":
        api.start(node)
        api.kill(node)
    if state == "in no network":
        api.disconnect_container_from_network(node, NAME)
    before = networks.find(api, NAME)
    api.remove_network(NAME)
    with pytest.raises(ProvisionError, match="the network networks-test is gone"):
        networks.rejoin(api, node, NAME, "broker-1")
    api.remove_network(other)
    networks.create(api, NAME, LABELS)
    after = networks.find(api, NAME)
    assert before is not None
    assert after is not None
    assert after["IPAM"] != before["IPAM"]
    for _ in range(2):  # the second time there is nothing to do
        networks.rejoin(api, node, NAME, "broker-1")
    api.start(node)
    assert _address(node) == networks.address_of(after, "broker-1")


@pytest.mark.engine
def test_a_network_of_somebody_else_is_not_joined() -> None:
    api = engine().api
    foreign = api.create_network(NAME)["Id"]
    try:
        assert networks.find(api, NAME) is None
        with pytest.raises(ProvisionError, match="the network networks-test is gone"):
            networks.membership(api, NAME, "broker-1")
    finally:
        api.remove_network(foreign)


@pytest.mark.engine
@pytest.mark.usefixtures("network")
def test_what_a_killed_command_left_of_a_network_does_not_stand_in_the_way() -> None:
    api = engine().api
    api.remove_network(NAME)
    api.create_network(f"{NAME}.new", labels=LABELS)
    runtime = DockerRuntime()
    observed = runtime.observe(NAME)
    assert not observed.is_absent  # `down` has something to remove
    assert not observed.network  # `up` has one to make
    networks.create(api, NAME, LABELS)
    names = [network["Name"] for network in api.networks(filters={"label": f"provision.environment={NAME}"})]
    assert names == [NAME]


@pytest.mark.engine
def test_a_leftover_draft_is_something_that_down_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path))
    engine().api.create_network(f"{NAME}.new", labels=LABELS)
    runtime = DockerRuntime()
    assert down(runtime, NAME, Home.at(tmp_path)) == 1
    assert runtime.observe(NAME).is_absent
    assert down(runtime, NAME, Home.at(tmp_path)) == 0


@pytest.mark.engine
@pytest.mark.usefixtures("network")
def test_a_network_that_somebody_elses_container_is_in_stays_until_that_has_left(tmp_path: Path) -> None:
    api, theirs = engine().api, "networks-test-theirs"
    host = api.create_host_config(network_mode=NAME)
    api.create_container(image(), entrypoint=["sleep"], command=["60"], name=theirs, host_config=host)
    try:
        api.start(theirs)
        runtime, home = DockerRuntime(), Home.at(tmp_path)
        home.ports.lease(NAME, ["broker-1"], {})
        with pytest.raises(PartlyApplied, match=f"the network {NAME} is left") as caught:
            down(runtime, NAME, home)
        assert home.ports.held(NAME) == frozenset()
        assert f"`docker network disconnect {NAME} {theirs}`" in caught.value.hint
        api.disconnect_container_from_network(theirs, NAME)
        assert down(runtime, NAME, home) == 1
        assert runtime.observe(NAME).is_absent
    finally:
        api.remove_container(theirs, force=True, v=True)
