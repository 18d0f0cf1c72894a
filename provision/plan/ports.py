"""The order in which ports of this machine go from one node of an environment to another. Pure.

A node starts at a port only once the node that had it runs without it. So

1. of the running nodes of a role, those that give up a port that another one gets go before that one, also before the
   rule that the active controller or leader is last (`givers_first`): a shift of ports is a chain, which has an end;
2. new brokers that get a port of a running one start after that one has been replaced (`waits_for_others`);
3. what is left has no such order, such as an exchange of two ports, and is refused before anything is done
   (`refuse_clashes`).

An address is `host:port`: on a swarm, the same port of two engines is not the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from provision.cluster.layout import LOOPBACK
from provision.cluster.model import LAUNCH_FILE, Cluster, Node, RenderedFile
from provision.plan.actions import Action, Kind, Moving, NodeTarget, Verb
from provision.plan.closing import settings_of
from provision.plan.differences import values_in
from provision.plan.observed import NodeDetails, ObservedEnvironment, ObservedNode
from provision.plan.refusals import leaving

Addresses = frozenset[str]
_NONE: Addresses = frozenset()


def held_by(cluster: Cluster, observed: ObservedEnvironment, details: NodeDetails) -> dict[str, Addresses]:
    """The addresses that nodes have now, by node; also those of stopped brokers that leave, which are started first."""
    leave = leaving(cluster, observed)
    return {node.name: _held(node, details) for node in observed.nodes if node.needs_stop or node in leave}


def givers_first(nodes: Iterable[Node], held: Mapping[str, Addresses]) -> list[Node]:
    """The nodes in the same order, except that each comes after those that have an address that it gets.

    Of an exchange, the first one stays first.
    """
    left = {node.name: node for node in nodes}
    holders = _holders(held)
    ordered: list[Node] = []
    while left:
        free = (node for node in left.values() if not _others(node, holders) & left.keys())
        node = next(free, next(iter(left.values())))
        ordered.append(left.pop(node.name))
    return ordered


def waits_for_others(node: Node, held: Mapping[str, Addresses]) -> bool:
    """Whether a new node gets an address that another one has."""
    return bool(_others(node, _holders(held)))


def refuse_clashes(
    actions: Iterable[Action], cluster: Cluster, held: Mapping[str, Addresses], observed: ObservedEnvironment
) -> tuple[Action, ...]:
    """A refusal for each node that would start, in this order of actions, at an address that another one still has."""
    clashes: dict[str, tuple[str, str]] = {}
    for name, address, holder in _clashes(actions, held, {node.name for node in observed.nodes if node.is_alive}):
        clashes.setdefault(name, (address, holder))
    leave = {node.name for node in leaving(cluster, observed)}
    given_up = {(node.name, one) for node in cluster.nodes for one in held.get(node.name, _NONE) - addresses_of(node)}
    refused = []
    for name, (address, holder) in clashes.items():
        hint = "choose another port"
        if holder in leave:
            hint = "change brokers.nodes first, then the port; or choose another port"
        elif (holder, address) in given_up:
            hint = f"choose another port; or `provision stop {cluster.name}`, then `provision up`"
        cause = f"it would start at {address} while {holder} still has that port"
        refused.append(Action(Verb.REFUSE, Kind.NODE, name, cause, hint))
    return tuple(refused)


def addresses_of(node: Node) -> Addresses:
    """The addresses on this machine, or on its engine, at which a node is to listen."""
    opened = (*node.listeners, *node.java_ports)
    own = (f"{LOOPBACK}:{one.listen_port}" for one in opened if one.bind == LOOPBACK)
    return frozenset(own) | {one.endpoint for one in opened if one.endpoint}


def _held(node: ObservedNode, details: NodeDetails) -> Addresses:
    """The same of a node that is there: by its mark, and by its files, which have the ports that only nodes use."""
    settings, files = settings_of(details.files, node.name), details.files.get(node.name, ())
    opened = [one.strip().partition("://")[2] for one in settings.get("listeners", "").split(",")]
    host, _, between = settings.get(f"server.{node.number}", "").partition(":")
    opened += [f"{host}:{port}" for port in between.split(":")]
    here = (address for address in opened if address.startswith(f"{LOOPBACK}:"))
    return frozenset((*node.endpoints, *here, *(f"{LOOPBACK}:{port}" for port in _java_ports(files))))


def _java_ports(files: Sequence[RenderedFile]) -> Sequence[str]:
    launch = next((file for file in files if file.name == LAUNCH_FILE), None)
    found = (values_in(LAUNCH_FILE, launch.text) or {}).get("java_ports", ()) if launch else ()
    return found if isinstance(found, tuple) else ()


def _holders(held: Mapping[str, Addresses]) -> dict[str, str]:
    return {address: name for name, addresses in held.items() for address in addresses}


def _others(node: Node, holders: Mapping[str, str]) -> set[str]:
    """The other nodes that have one of its addresses."""
    return {holders[address] for address in addresses_of(node) if address in holders} - {node.name}


def _clashes(
    actions: Iterable[Action], held: Mapping[str, Addresses], alive: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Each node that would start at an address of another one, the address, and the other one."""
    holders = _holders(held)
    for action in actions:
        match action.verb, action.subject:
            case Verb.START, NodeTarget(node):  # one that is paused goes on with its own, and is replaced later
                wanted = _NONE if action.name in alive else addresses_of(node)
            case ((Verb.RESTART | Verb.RECREATE), NodeTarget(node, _, runs=True)) | (Verb.MOVE, Moving(node)):
                wanted = addresses_of(node)
                holders = {address: name for address, name in holders.items() if name != action.name}
            case _:
                continue
        for address in sorted(wanted):
            if (holder := holders.setdefault(address, action.name)) != action.name:
                yield action.name, address, holder
