"""An environment's network, in which each node has an address that nobody else gets while the node is down.

An engine gives the address of a stopped container to the next one that starts. Whoever looked the name up before goes
on using the address (a JVM for 30 s), and Kafka does not notice that another broker answers than the one it meant
(KIP-1242 is to change that): where two brokers come back with each other's address, a controller tells one of them for
good what is for the other.

Engines let containers choose their addresses only in a network whose subnet was chosen too. Which one is free they know
best: it is the one that a network without a choice was given a moment before.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool, NetworkingConfig

from provision.cluster.model import Role
from provision.errors import ProvisionError
from provision.runtime.docker.containers import DRAFT, ENVIRONMENT

# Two networks that are made at the same time may be given the same subnet.
_TRIES = 5
# Side by side for each number, so that a node's place does not depend on how many others there are.
_ROLES = tuple(Role)


def create(api: APIClient, name: str, labels: dict[str, str]) -> None:
    """Make the bridge network: containers find each other there by name, nodes with the addresses that are theirs.

    Raises:
        APIError: the engine refuses.
    """
    for attempt in range(1, _TRIES + 1):
        subnet = _free_subnet(api, name, labels)
        ipam = IPAMConfig(pool_configs=[kept_in_half(subnet)]) if subnet else None
        try:
            api.create_network(name, labels=labels, ipam=ipam, check_duplicate=True)
        except APIError:
            if attempt == _TRIES:
                raise
        else:
            return


def _free_subnet(api: APIClient, name: str, labels: dict[str, str]) -> str | None:
    """The IPv4 subnet that the engine would choose; None where it gives none."""
    draft = name + DRAFT
    for left in api.networks(names=[draft], filters={"label": f"{ENVIRONMENT}={name}"}):  # by a killed command
        api.remove_network(left["Id"])
    api.create_network(draft, labels=labels, internal=True)  # what is internal is made and removed faster
    try:
        described = api.inspect_network(draft)
    finally:
        api.remove_network(draft)
    subnets = (config.get("Subnet") or "" for config in described["IPAM"]["Config"] or ())
    return next((subnet for subnet in subnets if "." in subnet), None)


def kept_in_half(subnet: str) -> IPAMPool:
    """All of an IPv4 subnet, of which the engine gives away the upper half alone: the lower one is for nodes."""
    network = IPv4Network(subnet)
    _, upper = network.subnets()
    return IPAMPool(subnet=subnet, iprange=str(upper), gateway=str(network[1]))


def address_of(network: Mapping[str, Any], node: str) -> str | None:
    """The address of a node in a network as the engine describes it; None where the engine has to choose it.

    That is so in a network that was not made by `create`, and in a small one, whose lower half is full.
    """
    role, _, number = node.rpartition("-")
    place = int(number) * len(_ROLES) + _ROLES.index(Role(role))  # from 3 on: the gateway has 1
    for config in network["IPAM"]["Config"] or ():
        subnet = ip_network(config["Subnet"])
        if config.get("IPRange") and isinstance(subnet, IPv4Network) and place < subnet.num_addresses // 2:
            return str(subnet[place])
    return None


def membership(api: APIClient, name: str, node: str) -> NetworkingConfig:
    """The network and the node's address there, for the container to be made.

    Raises:
        NotFound: there is no such network.
    """
    endpoint = api.create_endpoint_config(ipv4_address=address_of(api.inspect_network(name), node))
    return NetworkingConfig({name: endpoint})  # type: ignore[arg-type] # its types know one endpoint without a name


def rejoin(api: APIClient, container: str, name: str, node: str) -> None:
    """Bring a node that does not run into the network of that name, in place of one that was removed since.

    Raises:
        ProvisionError: there is no such network.
    """
    try:
        network = api.inspect_network(name)
    except NotFound as error:
        raise ProvisionError(f"the network {name} is gone", hint=f"`provision up {name}` makes it anew") from error
    api.disconnect_container_from_network(container, name, force=True)
    api.connect_container_to_network(container, network["Id"], ipv4_address=address_of(network, node))
