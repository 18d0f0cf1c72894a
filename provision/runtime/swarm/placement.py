"""Choose the engine of each new node. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from provision.cluster.model import Cluster, Node
from provision.errors import Unavailable
from provision.plan.engines import departures
from provision.runtime.swarm.engines import Engine
from provision.runtime.swarm.layout import Location, SwarmLayout
from provision.runtime.swarm.seen import Seen


def located(layout: SwarmLayout, cluster: Cluster, seen: Seen, give_up: Collection[str]) -> SwarmLayout:
    """The layout with the engine of each node: its own, or one that is chosen if it has none yet, or leaves it.

    Raises:
        Unavailable: no engine takes new nodes.
    """
    engines, observed = seen.engines, seen.environment(cluster.name, (), frozenset())
    leave = departures(observed, give_up, layout.drained).names
    there = {record.node: record.engine for record in seen.records(cluster.name) if record.node not in leave}
    left = {*give_up, *layout.drained, *(observed.places[node].engine for node in leave)}
    chosen = placed(cluster.nodes, (engine for engine in engines.values() if engine.name not in left), there)
    if homeless := [node.name for node in cluster.nodes if node.name not in chosen]:
        why = "; ".join(filter(None, (engine.trouble for engine in engines.values())))
        raise Unavailable(f"no engine of the swarm takes {homeless[0]}", why=why, hint="`docker node ls` shows them")
    locations = {
        node: Location(engine, engines[engine].host(layout.addresses))
        for node, engine in chosen.items()
        if engine in engines
    }
    return layout.at(locations)


def placed(nodes: Iterable[Node], engines: Iterable[Engine], there: Mapping[str, str]) -> dict[str, str]:
    """The engine of each node, by id; a node stays where it is, whatever becomes of its engine.

    Of the engines that take new nodes, each node in turn gets

    1. one of its own rack, if a label of any of them names that rack,
    2. of these, one with the fewest nodes of the same role: so no engine has two brokers while another one has none,
    3. of these, one with the fewest nodes of any role, and then the first by name.

    Args:
        nodes: the environment's nodes, in order.
        engines: those of the swarm.
        there: the engines of nodes that have one, by the node's name.
    """
    usable = sorted((engine for engine in engines if engine.is_usable), key=lambda engine: engine.name)
    nodes = tuple(nodes)
    chosen = {node.name: there[node.name] for node in nodes if node.name in there}
    all_nodes = Counter(chosen.values())
    of_role = Counter((chosen[node.name], node.role) for node in nodes if node.name in chosen)
    for node in nodes:
        if node.name in chosen or not usable:
            continue
        candidates = [engine for engine in usable if node.rack and engine.rack == node.rack] or usable
        best = min(candidates, key=lambda one: (of_role[one.id, node.role], all_nodes[one.id], one.name))
        chosen[node.name] = best.id
        all_nodes[best.id] += 1
        of_role[best.id, node.role] += 1
    return chosen
