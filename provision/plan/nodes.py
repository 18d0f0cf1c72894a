"""The first wave: which networks, storages and nodes must be created, started or changed. Pure.

Additions come first, concurrently. Changes of running nodes follow, one node at a time, in this order:

1. nodes that join the ensemble, one after the other: each finds a quorum that has the data and copies them from it, so
   that no majority of newcomers can begin an empty history (`provision.plan.ensembles`);
2. the other members, the leader last. They come after the newcomers, because a member that expects five finds no
   majority among two others; but a single node comes before them, because nodes cannot join it otherwise;
3. the brokers, the active controller last;
4. nodes that move to another engine, controllers first (`provision.plan.engines`).

A change that cannot be made in one step has several phases (`provision.plan.phases`). The above is the first one; each
later phase is another rolling restart, in the same order, of the nodes whose files differ from the phase before. So a
new Kafka version takes two rolling restarts of the brokers: brokers that already use the new inter-broker protocol
cannot talk to those that do not know it. Another `security` takes three (`provision.plan.securing`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from provision.catalogue.versions import KRAFT
from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, Node, RenderedFile, Role
from provision.cluster.properties import parse
from provision.plan.actions import (
    Action,
    BrokerSettings,
    Kind,
    Leftover,
    Lost,
    Moving,
    NodeTarget,
    Rejoining,
    Verb,
)
from provision.plan.changes import BROKER_FILE, NodeChange, change_of
from provision.plan.differences import Difference, same_setting
from provision.plan.engines import Departures
from provision.plan.ensembles import joining, stands_alone, storage_steps
from provision.plan.listing import placed
from provision.plan.observed import (
    LOST_IN_MEMORY,
    WAS_ASKED_TO_STOP,
    NodeDetails,
    NodeState,
    ObservedEnvironment,
    ObservedNode,
)
from provision.plan.phases import Phase
from provision.plan.refusals import leaving, leftovers, refuse
from provision.plan.throttle import RATES

Files = tuple[RenderedFile, ...]
_NOBODY_LEAVES = Departures()


def plan_nodes(
    cluster: Cluster,
    phases: Sequence[Phase],
    observed: ObservedEnvironment,
    *,
    missing_software: Collection[str],
    details: NodeDetails,
    leaving_engines: Departures = _NOBODY_LEAVES,
) -> tuple[Action, ...]:
    """Compare the desired nodes with the observed ones.

    Args:
        cluster: the desired cluster.
        phases: the rendered files, phase by phase; those of the last phase are the final ones.
        observed: what the runtime has.
        missing_software: the part of `cluster.all_software` that is not there yet.
        details: what the nodes report about themselves.
        leaving_engines: the nodes that leave their engines, as far as they may.

    Returns:
        Actions in an executable order. Nodes that the file no longer has are included only if they were never used:
        the replicas of others have to be moved away first (`provision.plan.removal`).
    """
    first, *later = phases
    observed = observed.without(leaving_engines.lost.keys())
    changes = _changes(cluster, first.files, observed, details)
    changes = {name: change for name, change in changes.items() if name not in leaving_engines.moving}
    if refusals := refuse(cluster, observed, changes, details):
        return refusals
    cluster = replace(cluster, nodes=tuple(map(first.node, cluster.nodes)))
    graph = _Graph(cluster, observed, first.files, changes)
    graph.remove_leftovers()
    graph.abandon(leaving_engines)
    graph.prepare(missing_software, moves=bool(leaving_engines.moving))
    graph.add_nodes()
    graph.write_again()
    graph.format_storages()
    graph.join_network(cut_off=True)
    graph.start(cluster.zookeepers)
    graph.start(cluster.controllers)
    # Existing nodes must be running before any node may go down; new ones join the ensemble in its final form.
    known = [node for node in cluster.brokers if observed.node(node.name)]
    if not known and cluster.controllers:  # nobody else could tell which controller may go down
        known = list(cluster.brokers)
    graph.start(known)
    graph.start_leaving()
    graph.join_network(cut_off=False)
    members = _leader_last(cluster.zookeepers, details.ensemble_leader)
    graph.roll_ensemble(members, alone=stands_alone(observed, details))
    controllers = _leader_last(cluster.controllers, details.active_controller)
    graph.roll(controllers)
    graph.start([node for node in cluster.brokers if node not in known])
    graph.configure(details)
    brokers = _leader_last(cluster.brokers, details.active_controller)
    graph.roll(brokers)
    graph.move([*controllers, *brokers], leaving_engines)
    for before, phase in pairwise(phases):
        graph.next_phase((*members, *controllers, *brokers), before, phase)
    if later:
        graph.name_first_phase(first)
    return _possible(graph.actions, observed)


def _possible(actions: Iterable[Action], observed: ObservedEnvironment) -> tuple[Action, ...]:
    """The actions without those on nodes whose engine is away: they are planned again once it is back."""
    waiting = {node.name for node in observed.nodes if node.waits_for}
    return tuple(one for one in actions if not (one.kind in (Kind.NODE, Kind.STORAGE) and one.name in waiting))


def _changes(
    cluster: Cluster, files: Files, observed: ObservedEnvironment, details: NodeDetails
) -> dict[str, NodeChange]:
    return {
        node.name: change
        for node in cluster.nodes
        if (there := observed.node(node.name)) and (change := _change(cluster, node, there, files, details))
    }


def _change(cluster: Cluster, node: Node, there: ObservedNode, files: Files, details: NodeDetails) -> NodeChange | None:
    before = details.files.get(node.name)
    if before is None and there.config_hash == config_hash(node.name, files):
        return None
    return change_of(cluster, there, before or (), _own(files, node.name), details.dynamic.get(node.name, ()))


def _own(files: Files, node: str) -> Files:
    return tuple(file for file in files if file.node == node)


def _leader_last(nodes: Iterable[Node], leader: str) -> list[Node]:
    return sorted(nodes, key=lambda node: node.name == leader)


class _Graph:
    """Collects the actions, each after those it depends on."""

    def __init__(
        self, cluster: Cluster, observed: ObservedEnvironment, files: Files, changes: Mapping[str, NodeChange]
    ) -> None:
        self.actions: list[Action] = []
        self._cluster, self._observed, self._files, self._changes = cluster, observed, files, changes
        self._prepared: tuple[str, ...] = ()
        self._made: dict[str, str] = {}
        # What must have ended before the next one-at-a-time step, and whether there was one.
        self._careful: tuple[str, ...] = ()
        self._rolls = False

    def remove_leftovers(self) -> None:
        """Remove what an interrupted `up` left of nodes that the file no longer has."""
        cause = "it is not in the file and was never used"
        for name in leftovers(self._cluster, self._observed):
            kind = Kind.NODE if self._observed.node(name) else Kind.STORAGE
            self.actions.append(Action(Verb.REMOVE, kind, name, cause, subject=Leftover()))

    def abandon(self, leaving_engines: Departures) -> None:
        """Give up what engines take along, one after the other: only the first may find that it must not be."""
        subject, after = Lost(tuple(leaving_engines.lost), leaving_engines.given_up), tuple[str, ...]()
        for name, cause in leaving_engines.lost.items():
            action = Action(Verb.REMOVE, Kind.STORAGE, name, cause, after=after, subject=subject)
            self.actions.append(action)
            after = (action.key,)

    def prepare(self, missing_software: Collection[str], *, moves: bool) -> None:
        """Software, network, storages: needed before any node, and harmless to running ones."""
        cluster, observed = self._cluster, self._observed
        missing = [node for node in cluster.nodes if observed.node(node.name) is None]
        remade = any(change.verb is not Verb.CONFIGURE for change in self._changes.values())
        if missing or remade or moves:
            self.actions += [Action(Verb.FETCH, Kind.SOFTWARE, name, "not here yet") for name in missing_software]
        if not observed.network:
            self.actions.append(Action(Verb.CREATE, Kind.NETWORK, cluster.name, "not there"))
        # The network first: with it a runtime records the environment, and finds out whether nodes can run.
        first = (one for one in self.actions if one.kind is Kind.NETWORK or isinstance(one.subject, Lost))
        before = tuple(action.key for action in first)
        for step in storage_steps(cluster):
            made = [
                Action(Verb.CREATE, Kind.STORAGE, n.name, "not there", after=before, subject=NodeTarget(n, ()))
                for n in step
                if n in missing and n.name not in observed.storages
            ]
            self.actions += made
            before = (*before, *(action.key for action in made))
        self._prepared = tuple(action.key for action in self.actions)

    def add_nodes(self) -> None:
        """Create missing nodes, and replace changed ones that are not running."""
        for node in self._cluster.nodes:
            there, change = self._observed.node(node.name), self._changes.get(node.name)
            target = NodeTarget(node, _own(self._files, node.name))
            if there is None:
                action = Action(Verb.CREATE, Kind.NODE, node.name, "not there", placed([node]), self._prepared, target)
            elif change and not there.is_alive:
                action = Action(change.verb, Kind.NODE, node.name, change.cause, "", self._prepared, target)
                action = _with_changes(action, change.differences)
            else:
                continue
            self._made[node.name] = action.key
            self.actions.append(action)

    def format_storages(self) -> None:
        """Format KRaft storages with the cluster's id before their nodes start, unless they are formatted already."""
        for node in self._cluster.nodes if self._cluster.mode == KRAFT else ():
            self._format(NodeTarget(node, _own(self._files, node.name)))

    def _format(self, target: NodeTarget) -> None:
        name = target.node.name
        there, data = self._observed.node(name), self._observed.stored.get(name)
        state = there.state if there else NodeState.CREATED
        formatted = bool(data.cluster_id) if data else state is not NodeState.CREATED
        if formatted or state not in (NodeState.CREATED, NodeState.EXITED):
            return
        self._made.setdefault(name, "")
        after = tuple(key for key in (self._made[name],) if key)
        action = Action(Verb.FORMAT, Kind.STORAGE, name, "not formatted yet", after=after, subject=target)
        self._made[name] = action.key
        self.actions.append(action)

    def join_network(self, *, cut_off: bool) -> None:
        """Connect running nodes that are not where the others look for them, one after the other.

        Those that nobody finds (`cut_off`) come before anything starts, the ensemble before the brokers: until they are
        back, the cluster cannot do without any other. The others can be spared only once all are running.
        """
        roles = list(Role)
        astray = [node for node in self._observed.nodes if node.astray and node.cut_off is cut_off]
        for node in sorted(astray, key=lambda node: (roles.index(Role(node.role)), node.number)):
            after = tuple(dict.fromkeys((*self._prepared, *self._careful)))
            action = Action(Verb.JOIN, Kind.NODE, node.name, node.astray, after=after, subject=Rejoining(node.cut_off))
            self._one_at_a_time(action)

    def start(self, nodes: Sequence[Node]) -> None:
        """Start or resume what is not running, except for nodes that join an ensemble with data."""
        names = {node.name for node in joining(self._cluster, self._observed)}
        starts = [
            Action(Verb.START, Kind.NODE, n.name, cause, after=self._after(n.name), subject=NodeTarget(n, ()))
            for n in nodes
            if n.name not in names and (cause := self._cause_to_start(n.name))
        ]
        self.actions += starts
        self._started(starts)

    def start_leaving(self) -> None:
        """Start brokers that are no longer in the file: they must run until their replicas are moved away."""
        leave = "it leaves, and what it keeps must move first"
        starts = [
            Action(Verb.START, Kind.NODE, node.name, f"{cause}; {leave}", after=self._prepared)
            for node in leaving(self._cluster, self._observed)
            if (cause := self._cause_to_start(node.name))
        ]
        self.actions += starts
        self._started(starts)

    def _cause_to_start(self, name: str) -> str:
        """Why it is started, and what is lost; empty if it runs."""
        cause = _cause_to_start(self._observed.node(name))
        return f"{cause}; {LOST_IN_MEMORY}" if self._observed.has_lost(name) else cause

    def _started(self, starts: Sequence[Action]) -> None:
        if starts:
            self._careful = (*self._careful, *(action.key for action in starts))

    def join_ensemble(self) -> None:
        """Start new members, one after the other; nodes that were lost are there by then, as nobody waits for those."""
        for node in joining(self._cluster, self._observed):
            cause = _cause_to_start(self._observed.node(node.name))
            target = NodeTarget(node, (), runs=True)
            after = tuple(dict.fromkeys((*self._after(node.name), *self._made.values(), *self._careful)))
            action = Action(
                Verb.START, Kind.NODE, node.name, f"{cause}, joins the ensemble", after=after, subject=target
            )
            self._one_at_a_time(action)

    def configure(self, details: NodeDetails) -> None:
        """Change settings of running brokers; what is set on a broker but not in its file is removed."""
        settled: list[Action] = []
        for node in self._cluster.brokers:
            there, change = self._observed.node(node.name), self._changes.get(node.name)
            if there is None or there.state is not NodeState.RUNNING:
                continue
            stays = change if change and change.verb is Verb.CONFIGURE else None
            changed = stays.differences if stays else ()
            own = _own(self._files, node.name)
            drifted = _drift(own, details.settings.get(node.name, {}), {d.key for d in changed})
            if change and not stays:  # it is restarted: no setting may override its new file
                drifted = tuple(replace(d, after=None) for d in drifted)
            if not (stays or drifted):
                continue
            settings = BrokerSettings(
                broker=node.id,
                values={d.key: str(d.after) for d in (*changed, *drifted) if d.after is not None},
                reset=tuple(d.key for d in drifted if d.after is None),
                files=own if stays else (),
            )
            causes = [stays.cause] if stays else []
            if drifted:
                causes.append(f"set on the running broker: {'; '.join(map(str, drifted))}")
            action = Action(Verb.CONFIGURE, Kind.NODE, node.name, "; ".join(causes), after=self._careful)
            settled.append(_with_changes(action, (*changed, *drifted), settings))
        self.actions += settled
        self._careful = (*self._careful, *(action.key for action in settled))

    def write_again(self) -> None:
        """Write the files of nodes that run and have only to be undone what somebody edited.

        For a running broker, `configure` does it.
        """
        for node in self._cluster.nodes:
            there, change = self._observed.node(node.name), self._changes.get(node.name)
            configured = there and there.role == Role.BROKER and there.state is NodeState.RUNNING
            if there and there.is_alive and not configured and change and change.only_writes:
                target = NodeTarget(node, _own(self._files, node.name))
                self.actions.append(Action(change.verb, Kind.NODE, node.name, change.cause, subject=target))

    def roll_ensemble(self, members: Sequence[Node], *, alone: bool) -> None:
        """Restart the members that change and add new ones; a member that stands alone has to know the others first."""
        if alone:
            self.roll(members)
        self.join_ensemble()
        if not alone:
            self.roll(members)

    def roll(self, nodes: Sequence[Node]) -> None:
        """Restart or replace running nodes that need other files or another container."""
        for node in nodes:
            there, change = self._observed.node(node.name), self._changes.get(node.name)
            if change and there and there.is_alive and change.verb is not Verb.CONFIGURE:
                target = NodeTarget(node, _own(self._files, node.name), runs=True)
                after = tuple(dict.fromkeys((*self._prepared, *self._made.values(), *self._careful)))
                action = Action(change.verb, Kind.NODE, node.name, change.cause, after=after, subject=target)
                self._one_at_a_time(_with_changes(action, change.differences))

    def move(self, nodes: Sequence[Node], leaving_engines: Departures) -> None:
        """Let running nodes begin anew on other engines, one after the other, when all others are as they should be."""
        for node in nodes:
            if cause := leaving_engines.moving.get(node.name, ""):
                subject = Moving(node, _own(self._files, node.name))
                after = tuple(dict.fromkeys((*self._prepared, *self._made.values(), *self._careful)))
                detail = placed([node]) if node.endpoint else ""
                self._one_at_a_time(Action(Verb.MOVE, Kind.NODE, node.name, cause, detail, after, subject))

    def next_phase(self, nodes: Sequence[Node], before: Phase, phase: Phase) -> None:
        """Restart nodes whose files differ between two phases; all are running by then."""
        for node in nodes:
            there = ObservedNode(node.name, node.role, NodeState.RUNNING, "", version=str(self._cluster.version))
            change = change_of(self._cluster, there, _own(before.files, node.name), _own(phase.files, node.name))
            if change:
                target = NodeTarget(phase.node(node), _own(phase.files, node.name), runs=True)
                cause = phase.reason(change.differences)
                action = Action(change.verb, Kind.NODE, node.name, cause, "", self._careful, target, phase=phase.name)
                self._one_at_a_time(_with_changes(action, change.differences))

    def name_first_phase(self, first: Phase) -> None:
        """Assign the actions of no later phase to the first one."""
        keys = {action.key: replace(action, phase=action.phase or first.name).key for action in self.actions}
        self.actions = [
            replace(
                action,
                phase=action.phase or first.name,
                cause=first.reason(action.changes) if self._is_told(action, first) else action.cause,
                after=tuple(keys[key] for key in action.after),
            )
            for action in self.actions
        ]

    @staticmethod
    def _is_told(action: Action, first: Phase) -> bool:
        restarts = action.verb in (Verb.RESTART, Verb.RECREATE)
        return bool(first.told and action.changes) and restarts and not action.phase

    def _one_at_a_time(self, action: Action) -> None:
        self.actions.append(action)
        self._careful, self._rolls = (action.key,), True

    def _after(self, node: str) -> tuple[str, ...]:
        """A node starts when every storage is there, and a broker when the ensemble's nodes are.

        So a broker that has run proves that the ensemble's data were there, or are still to be written: a storage
        without a node would be one that has lost its data.
        """
        keepers = [k.name for k in self._cluster.zookeepers or self._cluster.voters]
        needed = [node, *(keepers if Role.parse(node)[0] is Role.BROKER else ())]
        made = [self._made[name] for name in needed if name in self._made]
        rolled = self._careful if self._rolls else ()
        return tuple(dict.fromkeys((*self._prepared, *made, *rolled)))


def _with_changes(action: Action, changes: tuple[Difference, ...], subject: BrokerSettings | None = None) -> Action:
    return replace(action, changes=changes, subject=subject or action.subject)


def _drift(file: Files, settings: Mapping[str, str], changed: Iterable[str]) -> tuple[Difference, ...]:
    """What is set on a running broker and is not what its file says; a reassignment's throttle is nobody's mistake."""
    main = next((f for f in file if f.name == BROKER_FILE), None)
    desired, secret = (parse(main.text), main.secret) if main else ({}, False)
    return tuple(
        Difference(key, value, desired.get(key), BROKER_FILE, secret)
        for key, value in sorted(settings.items())
        if key not in RATES and key not in changed and not same_setting(value, desired.get(key))
    )


def _cause_to_start(there: ObservedNode | None) -> str:
    if there is None:
        return "new"
    match there.state:
        case NodeState.CREATED:
            return "never started"
        case NodeState.EXITED:
            return f"exited with {there.exit_code}" if there.exit_code not in (WAS_ASKED_TO_STOP, None) else "stopped"
        case NodeState.PAUSED:
            return "paused"
        case NodeState.RESTARTING:
            return f"exited with {there.exit_code}, and the engine restarts it"
        case NodeState.RUNNING | NodeState.LOST:
            return ""
