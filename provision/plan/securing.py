"""The stages of another `security`, or other listeners, while nodes are running. Pure.

Source: Kafka documentation, "Incorporating Security Features in a Running Cluster". Nodes that are secured differently
do not understand each other, so each listener is open in both ways meanwhile, and nodes restart one at a time in three
phases:

1. `open`: each node opens the new listeners beside the old ones; nothing uses them yet.
2. `move`: nodes use the new ones between them, which all have open by then.
3. `close`: each node closes the old ones, which no node uses by then.

Clients get in the old way until the third phase, at the addresses that they know, and in the new way from the end of
the first one on. Nodes' own listeners that are secured differently have different names, so that nodes find the same
one at each other even while its port changes in the third phase. A listener that the file names is the same one however
it is secured, and changes in the third phase. What the nodes' files say decides which phases are left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provision.cluster.layout import beside
from provision.cluster.model import Cluster, Listener, Node, RenderedFile, Role
from provision.cluster.secured import with_kept
from provision.common.values import replace
from provision.plan.closing import is_running_open, settings_of, takes_part, unified, without_tls_yet
from provision.plan.former import BETWEEN, OF_CONTROLLERS, Files, differing, first_of, listeners_in
from provision.plan.listeners import ways_through
from provision.plan.observed import ObservedEnvironment, ObservedNode
from provision.plan.phases import Stage
from provision.security.acls import AUTHORIZER, SUPER_USERS
from provision.security.ensemble import DECIDED_OF_BROKERS
from provision.security.listening import base_of, second_lease

OPEN_PHASE, MOVE_PHASE, CLOSE_PHASE = "open", "move", "close"


@dataclass(frozen=True, slots=True)
class Resecuring:
    """A change of the security of running nodes.

    Args:
        cluster: the desired cluster.
        before: the same one, secured as it was.
        observed: what the runtime has.
        files: the present files of its nodes.
        kept: the secret files of `before`, without those of users who are no longer in the file.
        ports: those of this machine, by the names under which they are leased.
        mixed: the profiles between which it is still going, if that is another change.
    """

    cluster: Cluster
    before: Cluster
    observed: ObservedEnvironment
    files: Files = field(repr=False)
    kept: Sequence[RenderedFile] = field(repr=False)
    ports: Mapping[str, int]
    mixed: tuple[str, ...] = ()

    def stages(self) -> tuple[Stage, ...]:
        """What is left to do, the desired cluster being the last; only that if nobody is in need of the others.

        So it is if there is a single node, and if all nodes talk to each other as before, and the same listener leads
        to all of them. Those that are missing count as well: they are started first, and have to find the others.
        """
        alive = {node.name for node in self.observed.nodes if node.needs_stop}
        wanted = [node for node in self.cluster.nodes if node.name in alive]
        there = {node.name for node in self.observed.nodes if node.role != Role.ZOOKEEPER}
        there |= {node.name for node in self.cluster.nodes if node.role is not Role.ZOOKEEPER}
        last = Stage(self.cluster)
        same = all(map(self._talks, wanted)) and ways_through(self.cluster, self.observed, self.files)
        if len(there) < 2 or same:  # noqa: PLR2004 nobody else to understand
            return (last,)
        (was, now), between = self.change, f"{self.cluster.listening.internal.name} between nodes"
        opened, ready = f"{now} opened beside {was}", f"every node listens with {now} then"
        if not now:  # only ZooKeeper needs the phases
            opened, ready = "ZooKeeper opened without TLS", "all ZooKeeper nodes take connections without TLS then"
        moved = Stage(self._both(moved=True), MOVE_PHASE, ready, between)
        last = Stage(self.cluster, CLOSE_PHASE, f"no node uses {was} then", f"{was} closed")
        if all(self._opens(node) for node in wanted):
            return replace(moved, cause=""), last
        return Stage(self._both(moved=False), OPEN_PHASE, told=opened), moved, last

    @property
    def change(self) -> tuple[str, str]:
        """What it was, and what it will be."""
        was, now = self.before.listening, self.cluster.listening
        kraft = bool(self.cluster.voters)
        return differing(was, now, kraft=kraft), differing(now, was, kraft=kraft)

    def with_secrets(self, stage: Stage, secret: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
        """The secret files of a stage: in all but the last, also what the old listeners need."""
        if stage.cluster is self.cluster:
            return secret
        there = [file for files in self.files.values() for file in files if file.secret]
        return with_kept(with_kept(secret, there), self.kept)

    def settings_of(self, node: Node | ObservedNode) -> Mapping[str, str]:
        """The properties that a node has; none if it is missing."""
        return settings_of(self.files, node.name)

    # -- where each node stands ---------------------------------------------------------------------------------------

    def _opens(self, node: Node) -> bool:
        has = self.settings_of(node)
        if not takes_part(self.cluster, node.role, has, used=False):
            return False
        return node.role is Role.ZOOKEEPER or {one.name for one in node.listeners} <= set(listeners_in(has))

    def _talks(self, node: Node) -> bool:
        """Whether it talks to the others as all are to talk then: by their listeners, and to ZooKeeper."""
        has, controllers = self.settings_of(node), self.cluster.controller_listeners
        if node.role is Role.ZOOKEEPER or not takes_part(self.cluster, node.role, has, used=True):
            return takes_part(self.cluster, node.role, has, used=True)
        between = node.role is Role.CONTROLLER or has.get(BETWEEN) == node.listeners[0].name
        return between and first_of(has.get(OF_CONTROLLERS, "")) == (controllers[0].name if controllers else "")

    def _like(self, node: Node) -> Mapping[str, str]:
        """The properties that a node has, or, if it is missing, those of another one of its role."""
        others = (self.settings_of(other) for other in self.cluster.of_role(node.role))
        return self.settings_of(node) or next(filter(None, others), {})

    # -- both at the same time ----------------------------------------------------------------------------------------

    def _both(self, *, moved: bool) -> Cluster:
        was = {node.name: node for node in self.before.nodes}
        members = {node.name: node for node in self._members(moved=moved).zookeepers}
        nodes = [
            members[node.name] if node.name in members else self._open_both(node, was[node.name], moved=moved)
            for node in self.cluster.nodes
        ]
        both = replace(self.cluster, nodes=tuple(nodes))
        return both if moved else without_tls_yet(both, self.observed, self.files)

    def _members(self, *, moved: bool) -> Cluster:
        """The cluster with ZooKeeper's nodes as they are meanwhile: open in both ways, if the ways differ."""
        if self.cluster.closes_ensemble:
            runs_open = is_running_open(self.observed, self.files)
            return unified(self.cluster, encrypted=moved) if runs_open else self.cluster
        return unified(self.before, encrypted=not moved) if self.before.closes_ensemble else self.cluster

    def _open_both(self, node: Node, was: Node, *, moved: bool) -> Node:
        """A node with the listeners of both, those that it uses first."""
        old, new = ({one.name: one for one in side.listeners} for side in (was, node))
        used = node if moved else was
        first = [used.listeners[0].name, *(one.name for one in used.controller_listeners[:1])]
        listeners = self._placed(node, [*old.values(), *(one for name, one in new.items() if name not in old)])
        order = [*first, *listeners_in(self.settings_of(node))]
        listeners.sort(key=lambda one: order.index(one.name) if one.name in order else len(order))
        leaving = (name for name, one in old.items() if not _is_same(one, new.get(name)))
        prefixes = tuple(f"listener.name.{name.lower()}." for name in leaving)
        kept = {key: value for key, value in self._like(node).items() if key.startswith(prefixes)}
        wanted = {key: value for key, value in node.properties.items() if not key.startswith(prefixes)}
        properties = {**was.properties, **kept, **wanted}
        if moved and not self.cluster.closes_ensemble:  # all of ZooKeeper's nodes take connections without TLS then
            properties = {key: value for key, value in properties.items() if not key.startswith(DECIDED_OF_BROKERS)}
        properties = {key: value for key, value in properties.items() if key not in AUTHORIZER} | self._permissions(
            node
        )
        return replace(node, listeners=tuple(listeners), properties=dict(sorted(properties.items())))

    def _placed(self, node: Node, listeners: Sequence[Listener]) -> list[Listener]:
        """Listeners where they are meanwhile: what is open stays where it is, and others keep out of its way.

        One that is not among them has no place: the node was down when the others went over to another one.
        """
        there, names = self.observed.node(node.name), {one.name for one in listeners}
        if there and not there.needs_stop:  # nothing of it is open
            there = None
        here = {one.name: one.port for one in there.ways if one.name in names} if there else {}
        files = self.settings_of(node) if there else {}  # they may be all that is left of it
        opened = {name: port for name, port in listeners_in(files).items() if name in names}
        inside, outside = set(opened.values()), set(here.values())
        placed = []
        for one in listeners:
            if one.name in opened:
                found = _at(one, opened[one.name], here.get(one.name))
            elif one.listen_port in inside or one.host_port in outside:
                meets = one.host_port in {None, one.listen_port, *outside}  # its port is, or is one, of this machine
                second = self.ports.get(second_lease(node.name, base_of(one.name)))
                found = beside(one, second if meets else None)
            else:
                found = one
            placed.append(found)
            inside.add(found.listen_port)
            outside |= {found.host_port} if found.host_port else set()
        return placed

    def _permissions(self, node: Node) -> dict[str, str]:
        """Permissions are asked for only if they were before and will be: else not all nodes can say who they are."""
        wanted = {key: node.properties[key] for key in AUTHORIZER if key in node.properties}
        has = [self.settings_of(one) for one in self.cluster.nodes if one.role is not Role.ZOOKEEPER]
        if not wanted or not all(AUTHORIZER[0] in one for one in has if one):
            return {}
        supers = [wanted.get(SUPER_USERS, ""), self._like(node).get(SUPER_USERS, "")]
        names = dict.fromkeys(name for text in supers for name in text.split(";") if name)
        return wanted | {SUPER_USERS: ";".join(names)}


def _is_same(one: Listener, other: Listener | None) -> bool:
    """Whether both are secured in the same way; of controllers' ones, the name tells it."""
    return other is not None and (one.is_controller or one.security == other.security)


def _at(listener: Listener, listen_port: int, host_port: int | None) -> Listener:
    """A listener where it is open now, which need not be where it will be."""
    if (listen_port, host_port) == (listener.listen_port, listener.host_port):
        return listener
    port = host_port or listen_port
    moved = port != listener.port
    return replace(listener, listen_port=listen_port, port=port, host_port=host_port, temporary=moved)
