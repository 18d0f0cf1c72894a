"""Why the listeners of running nodes cannot change as the file has it. Pure."""

from collections.abc import Iterator, Sequence

from provision.cluster.model import MAIN_FILES, Role
from provision.cluster.properties import read
from provision.plan.actions import Action, Kind, Verb
from provision.plan.listeners import asks, knows_enough, ways_of
from provision.plan.listing import listed
from provision.plan.phases import Phase
from provision.plan.securing import Resecuring
from provision.security.listening import base_of


def refusals(securing: Resecuring, phases: Sequence[Phase]) -> tuple[Action, ...]:
    """Why it is not done while nodes are running; empty if it can be."""
    cluster = securing.cluster
    stop = f"`provision stop {cluster.name}` first: then all nodes start with the new one; or undo the change"
    found = next(_hindrances(securing, phases, stop), None) if len(phases) > 1 else None
    if found is None:
        return ()
    was, now = securing.change
    cause, hint = found
    return (Action(Verb.REFUSE, Kind.SOFTWARE, cluster.software, f"security {was} → {now}: {cause}", hint),)


def _hindrances(securing: Resecuring, phases: Sequence[Phase], stop: str) -> Iterator[tuple[str, str]]:
    """Each reason with what to do instead."""
    one_by_one = "one change after the other; or undo the change"
    observed, version = securing.observed, str(securing.cluster.version)
    wanted = {node.name for node in securing.cluster.nodes if node.role is not Role.ZOOKEEPER}
    there = {node.name for node in observed.nodes if node.role != Role.ZOOKEEPER}
    alive = [node for node in observed.nodes if node.role != Role.ZOOKEEPER and node.needs_stop]
    if len(securing.mixed) > 1:
        cause = f"it is still going between {' and '.join(securing.mixed)}"
        yield cause, "`provision up` with one of these first; or undo the change"
    if leaving := sorted(there - wanted):
        yield f"{listed(leaving)} would leave at the same time", one_by_one
    if any(node.version and node.version != version for node in alive):
        yield "kafka.version changes at the same time", one_by_one
    inside = {node.name for node in securing.cluster.brokers if any(one.inside for one in node.listeners)}
    if any(node.published is (node.name in inside) for node in alive if node.endpoint):
        yield "swarm.publish changes at the same time, and old listeners would be opened otherwise too", one_by_one
    if any(not securing.settings_of(node) for node in alive):
        yield "the files of its nodes cannot be read, so it is not known how they are secured", stop
    if unknown := [node for node, of_node in securing.files.items() if any(file.digest for file in of_node)]:
        why = (
            "meanwhile, nodes need their old secrets beside the new ones; a swarm does not give them back, and those "
            f"of {listed(unknown)} are not what this file and this home have (as if a user had gone from the file)"
        )
        yield why, f"undo what else has changed, or {stop}"
    if taken := next(_taken_by_others(securing), ""):
        yield taken, f"choose another port; or {stop}"
    if no_way := _no_way(securing):
        yield no_way, f"give it another name, or let another one stay until the next `provision up`; or {stop}"
    if closed := next(_not_opened(phases[0]), ""):
        why = f"{closed} would not open the listeners of both meanwhile, because of your own template"
        yield why, f"have it open all `listeners`, and use the first one of brokers between them; or {stop}"


def _taken_by_others(securing: Resecuring) -> Iterator[str]:
    """Ports of listeners that come, which another broker at the same address has until its last phase."""
    has = {one.endpoint: (node.name, one) for node in securing.observed.nodes for one in node.ways}
    for node in securing.cluster.brokers:
        for one in node.host_listeners:
            owner, there = has.get(one.endpoint, (node.name, one))
            if owner != node.name:
                yield (
                    f"{node.name} would listen at port {one.port} ({one.known_as}), which {owner} has until "
                    f"the end of the change ({there.known_as})"
                )


def _no_way(securing: Resecuring) -> str:
    """Why nothing leads to all brokers while the last phase closes the old listeners; empty if something does."""
    before, after = ways_of(securing.before), ways_of(securing.cluster)
    found = {name: profile for name, profile in after.items() if before.get(name, profile) == profile}
    if knows_enough(found.values(), asked=asks(securing.cluster)):
        return ""
    if not found:
        names = ", ".join(f"{base_of(name)} ({profile.name})" for name, profile in after.items())
        return f"{names} would be secured otherwise under the same name, and no other listener leads to all brokers"
    left = ", ".join(map(base_of, found))
    return f"nodes ask who may do what, and no listener that stays or comes knows who is there: {left}"


def _not_opened(phase: Phase) -> Iterator[str]:
    """The nodes whose files, as rendered, lack a listener."""
    for node in phase.nodes:
        if node.role is not Role.ZOOKEEPER:
            main = next(f for f in phase.files if f.node == node.name and f.name == MAIN_FILES[node.role])
            opened = (read(main.text) or {}).get("listeners", "")
            if not all(f"{listener.name}://" in opened for listener in node.listeners):
                yield node.name
