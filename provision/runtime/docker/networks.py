"""An environment's network, in which each node has an address that no other container gets while the node is down.

An engine gives the address of a stopped container to the next one that starts. Clients that resolved the name before
keep using the address (a JVM for 30 s), and Kafka does not notice that another broker answers than the intended one
(KIP-1242 would change that): if two brokers swap addresses, a controller may permanently send one of them the requests
meant for the other.

Engines accept chosen container addresses only in a network whose subnet was chosen too. The engine knows best which
one is free: it is the one it gave a moment before to a temporary network, a draft, without a chosen subnet.
"""

import random
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool, NetworkingConfig
from msgspec import Struct

from provision.cluster.model import Role
from provision.errors import ProvisionError
from provision.runtime.docker.containers import DRAFT, ENVIRONMENT, NODE

ADDRESSES, FIXED = "provision.addresses", "fixed"
SUBNET = "provision.subnet"
"""The label of a node's container with the subnet of its network, in case that is lost while the node runs."""

# In a smaller subnet, half of it could be too little for other containers.
_LONGEST_PREFIX = 25
# Networks that are created at the same time may be given the same subnet.
_TRIES, _PAUSE_S = 8, 0.3
# Interleaved by number, so that a node's address does not depend on how many others there are.
_ROLES = tuple(Role)
_ALIVE = ("running", "paused")

Described = Mapping[str, Any]
"""A network or container as the engine's API describes it."""


def find(api: APIClient, name: str) -> Described | None:
    """The environment's network; None if there is none, or only a foreign one."""
    return among(_of(api, name), name)


def among(listed: Iterable[Described], name: str) -> Described | None:
    """The environment's network in a list; None if there is none, or only a foreign one."""
    ours = (network for network in listed if (network["Labels"] or {}).get(ENVIRONMENT) == name)
    return next((network for network in ours if network["Name"] == name), None)


def create(api: APIClient, name: str, labels: Mapping[str, str], former: str = "") -> None:
    """Create the bridge network, in which containers find each other by name and nodes have fixed addresses.

    `former` is the subnet of a lost network of that name, which is used again if it is still free: running nodes have
    resolved each other's names and keep using the addresses.

    Raises:
        APIError: the engine refuses.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            subnet = IPv4Network(former) if former and attempt == 1 else _free_subnet(api, name, labels)
            if subnet and subnet.prefixlen <= _LONGEST_PREFIX:
                ipam, told = IPAMConfig(pool_configs=[kept_in_half(subnet)]), {**labels, ADDRESSES: FIXED}
            else:
                ipam, told = None, dict(labels)
            api.create_network(name, labels=told, ipam=ipam, check_duplicate=True)
        except APIError:
            if attempt == _TRIES:
                raise
            time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 so that two that met do not meet again
        else:
            return


def _free_subnet(api: APIClient, name: str, labels: Mapping[str, str]) -> IPv4Network | None:
    """The IPv4 subnet that the engine would choose; None if it gives none."""
    _remove(api, [network for network in _of(api, name) if network["Name"] == name + DRAFT])  # left by a killed command
    # An internal network is created and removed faster.
    draft = api.create_network(name + DRAFT, labels=dict(labels), internal=True, check_duplicate=True)
    try:
        return _subnet_of(api.inspect_network(draft["Id"]))
    finally:
        _remove(api, [draft])


def remove(api: APIClient, name: str) -> None:
    """Remove the environment's network, and drafts left by a killed command.

    Raises:
        APIError: the engine refuses.
    """
    _remove(api, _of(api, name))


def members(api: APIClient, name: str) -> list[str]:
    """The names of the running containers in the environment's network."""
    described = [api.inspect_network(network["Id"]) for network in _of(api, name)]
    return sorted(member["Name"] for network in described for member in (network.get("Containers") or {}).values())


def _of(api: APIClient, name: str) -> list[Described]:
    """The environment's network and its drafts."""
    found: list[Described] = api.networks(filters={"label": f"{ENVIRONMENT}={name}"})
    return found


def _remove(api: APIClient, networks: Iterable[Described]) -> None:
    for network in networks:
        with suppress(NotFound):
            api.remove_network(network["Id"])


def _subnet_of(network: Described) -> IPv4Network | None:
    """The network's IPv4 subnet; None if it has none."""
    subnets = (config.get("Subnet") or "" for config in network["IPAM"]["Config"] or ())
    return next((IPv4Network(subnet) for subnet in subnets if "." in subnet), None)


def kept_in_half(subnet: IPv4Network) -> IPAMPool:
    """The whole subnet, of which the engine assigns only the upper half: the lower half is for nodes."""
    _, upper = subnet.subnets()
    return IPAMPool(subnet=str(subnet), iprange=str(upper), gateway=str(subnet[1]))


def subnet_label(api: APIClient, name: str) -> dict[str, str]:
    """The label with the subnet of the environment's network; none if its nodes have no fixed addresses."""
    network = _required(api, name)
    subnet = _subnet_of(network) if (network["Labels"] or {}).get(ADDRESSES) == FIXED else None
    return {SUBNET: str(subnet)} if subnet else {}


def former_subnet(containers: Iterable[Described]) -> str:
    """The subnet in the labels of an environment's containers; empty if none is valid."""
    for container in containers:
        with suppress(ValueError):
            return str(IPv4Network(container["Labels"].get(SUBNET, "")))
    return ""


def address_of(network: Described, node: str) -> str | None:
    """The address of a node in a network; None if the engine has to choose it.

    That is the case in a network of an earlier version, in a very small one, and for nodes beyond the capacity of the
    lower half.
    """
    subnet = _subnet_of(network)
    if subnet is None or (network["Labels"] or {}).get(ADDRESSES) != FIXED:
        return None
    role, number = Role.parse(node)
    place = number * len(_ROLES) + _ROLES.index(role)  # from 3 on: the gateway has 1
    return str(subnet[place]) if place < subnet.num_addresses // 2 else None


def membership(api: APIClient, name: str, node: str) -> NetworkingConfig:
    """The network and the node's address there, for a new container.

    Raises:
        ProvisionError: there is no such network.
    """
    endpoint = api.create_endpoint_config(ipv4_address=address_of(_required(api, name), node))
    return NetworkingConfig({name: endpoint})  # type: ignore[arg-type] # its types know one endpoint without a name


class Place(Struct, frozen=True):
    """How a running node is `astray`, not where others look for it (empty: it is); `cut_off` if it is nowhere."""

    astray: str = ""
    cut_off: bool = False


def place_of(container: Described, network: Described | None) -> Place:
    """Where a node's container, as the engine lists it, is; one that does not run joins its network when it starts."""
    if container["State"] not in _ALIVE:
        return Place()
    name, node = container["Labels"][ENVIRONMENT], container["Labels"][NODE]
    joined = (container["NetworkSettings"]["Networks"] or {}).get(name)
    if network is None or not joined or joined["NetworkID"] != network["Id"]:
        return Place(f"it is not in the network {name}", cut_off=True)
    address, own = joined["IPAddress"], address_of(network, node)
    return Place() if own in (None, address) else Place(f"it has the address {address} instead of its own, {own}")


def rejoin(api: APIClient, container: str, name: str, node: str) -> None:
    """Ensure that a node, running or not, is connected to the network of that name, with its own address.

    It is not after the network was removed and created again, for example after `docker network prune`, nor after
    `docker network disconnect`. While it runs, the engine also publishes its ports again.

    Raises:
        ProvisionError: there is no such network.
    """
    network = _required(api, name)
    address = address_of(network, node)
    joined: Described | None = api.inspect_container(container)["NetworkSettings"]["Networks"].get(name)
    if joined:
        chosen = (joined["IPAMConfig"] or {}).get("IPv4Address") or None
        if joined["NetworkID"] in ("", network["Id"]) and chosen == address:  # no id: it has never run
            return
        with suppress(APIError):  # it may not be connected to the present network of that name
            api.disconnect_container_from_network(container, name, force=True)
    api.connect_container_to_network(container, network["Id"], ipv4_address=address)


def _required(api: APIClient, name: str) -> Described:
    network = find(api, name)
    if network is None:
        raise ProvisionError(f"the network {name} is gone", hint=f"`provision up {name}` creates it again")
    return network
