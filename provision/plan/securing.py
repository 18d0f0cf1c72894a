"""The stages of another `security` while nodes are running. Pure.

Source: Kafka documentation, "Incorporating Security Features in a Running Cluster". Nodes that are secured differently
do not understand each other, so each listener is open in both ways meanwhile, and nodes restart one at a time in three
phases:

1. `open`: each node opens the new listeners beside the old ones; nothing uses them yet.
2. `move`: nodes use the new ones between them, which all have open by then.
3. `close`: each node closes the old ones, which no node uses by then.

Clients get in the old way until the third phase, at the addresses that they know, and in the new way from the end of
the first one on. Listeners that are secured differently have different names, so that nodes find the same one at each
other even while its port changes in the third phase. What the nodes' files say decides which phases are left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from provision.cluster.layout import beside
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.cluster.properties import read
from provision.cluster.secured import with_kept
from provision.plan.actions import Action, Kind, Verb
from provision.plan.closing import is_running_open, takes_part, unified, without_tls_yet
from provision.plan.listing import listed
from provision.plan.observed import ObservedEnvironment, ObservedNode
from provision.plan.phases import Phase, Stage
from provision.security.acls import AUTHORIZER, SUPER_USERS
from provision.security.ensemble import DECIDED_OF_BROKERS
from provision.security.listening import HOST, SECOND, Security, lease_name, security_in
from provision.security.profiles import PROFILES

OPEN_PHASE, MOVE_PHASE, CLOSE_PHASE = "open", "move", "close"
Files = Mapping[str, Sequence[RenderedFile]]


def before_change(observed: ObservedEnvironment, wanted: Security) -> tuple[str, ...]:
    """The profiles other than the wanted one by which running brokers let clients in.

    There are none if listeners differ: that is for `provision.plan.listeners`.
    """
    brokers = [node for node in observed.of_role(Role.BROKER) if node.needs_stop]
    noted = security_in(observed.about.security if observed.about else "")
    named = any(listener.known_as != HOST for node in brokers for listener in node.listeners)
    if named or not (wanted.is_uniform and noted.is_uniform):
        return ()
    found = {name for node in brokers for name in node.open_ways if name in PROFILES}
    return tuple(sorted(found - {wanted.name}))


def second_port(broker: str) -> str:
    """The name of the port of this machine that a broker needs beside its own."""
    return lease_name(broker, SECOND)


@dataclass(frozen=True, slots=True)
class Resecuring:
    """A change of the security of running nodes.

    Args:
        cluster: the desired cluster.
        before: the same one, secured as it was.
        observed: what the runtime has.
        files: the present files of its nodes.
        kept: the secret files of `before`, without those of users who are no longer in the file.
        ports: the second ones of the brokers, by their names.
    """

    cluster: Cluster
    before: Cluster
    observed: ObservedEnvironment
    files: Files = field(repr=False)
    kept: Sequence[RenderedFile] = field(repr=False)
    ports: Mapping[str, int]

    def stages(self) -> tuple[Stage, ...]:
        """What is left to do, the desired cluster being the last; only that if there is a single node."""
        alive = {node.name for node in self.observed.nodes if node.needs_stop}
        wanted = [node for node in self.cluster.nodes if node.name in alive]
        there = [node for node in self.observed.nodes if node.role != Role.ZOOKEEPER]
        last = Stage(self.cluster)
        if len(there) < 2 or all(self._uses(node) for node in wanted):  # noqa: PLR2004 nobody else to understand
            return (last,)
        was, now = self.before.security, self.cluster.security
        told = f"{now} between nodes"
        moved = Stage(self._both(moved=True), MOVE_PHASE, f"every node listens with {now} then", told)
        last = Stage(self.cluster, CLOSE_PHASE, f"no node uses {was} then", f"{was} closed")
        if all(self._opens(node) for node in wanted):
            return replace(moved, cause=""), last
        return Stage(self._both(moved=False), OPEN_PHASE, told=f"{now} opened beside {was}"), moved, last

    def refusals(self, phases: Sequence[Phase]) -> tuple[Action, ...]:
        """Why it is not done while nodes are running; empty if it can be."""
        causes = tuple(self._hindrances(phases)) if len(phases) > 1 else ()
        change = f"security {self.before.security} → {self.cluster.security}"
        return tuple(
            Action(Verb.REFUSE, Kind.SOFTWARE, self.cluster.software, f"{change}: {cause}", hint)
            for cause, hint in causes[:1]
        )

    def with_secrets(self, stage: Stage, secret: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
        """The secret files of a stage: in all but the last, also what the old listeners need."""
        if stage.cluster is self.cluster:
            return secret
        there = [file for files in self.files.values() for file in files if file.secret]
        return with_kept(with_kept(secret, there), self.kept)

    # -- where each node stands ---------------------------------------------------------------------------------------

    @property
    def _alive(self) -> list[ObservedNode]:
        return [node for node in self.observed.nodes if node.role != Role.ZOOKEEPER and node.needs_stop]

    def _opens(self, node: Node) -> bool:
        if not takes_part(self.cluster, node.role, self._has(node), used=False):
            return False
        return node.role is Role.ZOOKEEPER or {listener.name for listener in node.listeners} <= set(
            self._listeners_of(node)
        )

    def _uses(self, node: Node) -> bool:
        has = self._has(node)
        if node.role is Role.ZOOKEEPER or not takes_part(self.cluster, node.role, has, used=True):
            return takes_part(self.cluster, node.role, has, used=True)
        between = node.role is Role.CONTROLLER or has.get("inter.broker.listener.name") == node.listeners[0].name
        controllers = [one.name for one in self.cluster.controller_listeners]
        known = [name.strip() for name in has.get("controller.listener.names", "").split(",")]
        return self._opens(node) and between and known[:1] == (controllers or [""])

    def _listeners_of(self, node: Node) -> list[str]:
        return [one.partition("://")[0].strip() for one in self._has(node).get("listeners", "").split(",")]

    def _has(self, node: Node | ObservedNode) -> Mapping[str, str]:
        """The properties that a node has; none if it is missing."""
        name = MAIN_FILES[Role(node.role)]
        main = next((file for file in self.files.get(node.name, ()) if file.name == name), None)
        return (read(main.text) if main else None) or {}

    def _like(self, node: Node) -> Mapping[str, str]:
        """The properties that a node has, or, if it is missing, those of another one of its role."""
        others = (self._has(other) for other in self.cluster.of_role(node.role))
        return self._has(node) or next(filter(None, others), {})

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
        """A node with the listeners of both, those that it uses first. Those that came later have other ports."""
        names = {one.name for one in was.listeners} & {one.name for one in node.listeners}
        there = self.observed.node(node.name)
        is_later = there is None or there.open_ways.get(self.cluster.security) != there.endpoint
        port = self.ports.get(second_port(node.name))
        new = [beside(one, port) if is_later and one.name not in names else one for one in node.listeners]
        others = [one for one in was.listeners if one.name not in names]
        old = others if is_later else [beside(one, port) for one in others]
        has = self._like(node)
        prefixes = tuple(f"listener.name.{one.name.lower()}." for one in old)
        kept = {key: value for key, value in has.items() if key.startswith(prefixes)}
        properties = {**was.properties, **kept, **node.properties}
        if moved and not self.cluster.closes_ensemble:  # all of ZooKeeper's nodes take connections without TLS then
            properties = {key: value for key, value in properties.items() if not key.startswith(DECIDED_OF_BROKERS)}
        properties = {key: value for key, value in properties.items() if key not in AUTHORIZER} | self._permissions(
            node
        )
        listeners = (*new, *old) if moved else (*old, *new)
        return replace(node, listeners=listeners, properties=dict(sorted(properties.items())))

    def _permissions(self, node: Node) -> dict[str, str]:
        """Permissions are asked for only if they were before and will be: else not all nodes can say who they are."""
        wanted = {key: node.properties[key] for key in AUTHORIZER if key in node.properties}
        has = [self._has(one) for one in self.cluster.nodes if one.role is not Role.ZOOKEEPER]
        if not wanted or not all(AUTHORIZER[0] in one for one in has if one):
            return {}
        supers = [wanted.get(SUPER_USERS, ""), self._like(node).get(SUPER_USERS, "")]
        names = dict.fromkeys(name for text in supers for name in text.split(";") if name)
        return wanted | {SUPER_USERS: ";".join(names)}

    # -- what cannot be done ------------------------------------------------------------------------------------------

    def _hindrances(self, phases: Sequence[Phase]) -> Iterator[tuple[str, str]]:
        """Each reason with what to do instead."""
        name, undo = self.cluster.name, "or undo the change"
        stop = f"`provision stop {name}` first: then all nodes start with the new one; {undo}"
        wanted = {node.name for node in self.cluster.nodes if node.role is not Role.ZOOKEEPER}
        there = {node.name for node in self.observed.nodes if node.role != Role.ZOOKEEPER}
        if others := before_change(self.observed, self.cluster.listening)[1:]:
            change = " and ".join((self.before.security, *others))
            yield f"it is still going between {change}", f"`provision up` with one of these first; {undo}"
        if leaving := sorted(there - wanted):
            yield f"{listed(leaving)} would leave at the same time", f"one change after the other; {undo}"
        if any(node.version and node.version != str(self.cluster.version) for node in self._alive):
            yield "kafka.version changes at the same time", f"one change after the other; {undo}"
        if any(not self._has(node) for node in self._alive):
            yield "the files of its nodes cannot be read, so it is not known how they are secured", stop
        if closed := next(self._not_opened(phases[0]), ""):
            why = f"{closed} would not open the listeners of both meanwhile, because of your own template"
            yield why, f"have it open all `listeners`, and use the first one of brokers between them; or {stop}"

    def _not_opened(self, phase: Phase) -> Iterator[str]:
        """The nodes whose files, as rendered, lack a listener."""
        for node in phase.nodes:
            if node.role is not Role.ZOOKEEPER:
                main = next(f for f in phase.files if f.node == node.name and f.name == MAIN_FILES[node.role])
                opened = (read(main.text) or {}).get("listeners", "")
                if not all(f"{listener.name}://" in opened for listener in node.listeners):
                    yield node.name
