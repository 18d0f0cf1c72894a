"""Choose the engine of each new node. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from provision.cluster.model import Node
from provision.runtime.swarm.engines import Engine


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
