"""The actions of the first wave, each after those it depends on; `provision.plan.nodes` has their order. Pure."""

from collections.abc import Collection, Mapping, Sequence

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Cluster, Node, RenderedFile, Role
from provision.common.values import replace
from provision.plan.actions import (
    Action,
    Kind,
    Leftover,
    Lost,
    Moving,
    NodeTarget,
    Rejoining,
    Verb,
)
from provision.plan.changes import NodeChange, change_of
from provision.plan.engines import Departures
from provision.plan.ensembles import joining, storage_steps
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
from provision.plan.refusals import leaving, leftovers
from provision.plan.settled import settled_anew

Files = tuple[RenderedFile, ...]


def own_files(files: Files, node: str) -> Files:
    """Those of a node."""
    return tuple(file for file in files if file.node == node)


class Graph:
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

    def add_nodes(self, nodes: Sequence[Node]) -> None:
        """Create missing nodes, and replace changed ones that are not running."""
        before = self._before_starts
        for node in nodes:
            there, change = self._observed.node(node.name), self._changes.get(node.name)
            target = NodeTarget(node, own_files(self._files, node.name))
            if there is None:
                action = Action(Verb.CREATE, Kind.NODE, node.name, "not there", placed([node]), before, target)
            elif change and not there.is_alive:
                action = Action(change.verb, Kind.NODE, node.name, change.cause, "", before, target)
                action = replace(action, changes=change.differences)
            else:
                continue
            self._made[node.name] = action.key
            self.actions.append(action)

    def format_storages(self, nodes: Sequence[Node]) -> None:
        """Format KRaft storages with the cluster's id before their nodes start, unless they are formatted already."""
        for node in nodes if self._cluster.mode == KRAFT else ():
            self._format(NodeTarget(node, own_files(self._files, node.name)))

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
            set_beside = details.settings.get(node.name, {})
            if action := settled_anew(node, own_files(self._files, node.name), change, set_beside):
                settled.append(replace(action, after=self._careful))
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
                target = NodeTarget(node, own_files(self._files, node.name))
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
                target = NodeTarget(node, own_files(self._files, node.name), runs=True)
                after = tuple(dict.fromkeys((*self._prepared, *self._made.values(), *self._careful)))
                action = Action(change.verb, Kind.NODE, node.name, change.cause, after=after, subject=target)
                self._one_at_a_time(replace(action, changes=change.differences))

    def move(self, nodes: Sequence[Node], leaving_engines: Departures) -> None:
        """Let running nodes begin anew on other engines, one after the other, when all others are as they should be."""
        for node in nodes:
            if cause := leaving_engines.moving.get(node.name, ""):
                subject = Moving(node, own_files(self._files, node.name))
                after = tuple(dict.fromkeys((*self._prepared, *self._made.values(), *self._careful)))
                detail = placed([node]) if node.endpoint else ""
                self._one_at_a_time(Action(Verb.MOVE, Kind.NODE, node.name, cause, detail, after, subject))

    def next_phase(self, nodes: Sequence[Node], before: Phase, phase: Phase) -> None:
        """Restart nodes whose files differ between two phases; all are running by then."""
        for node in nodes:
            there = ObservedNode(node.name, node.role, NodeState.RUNNING, "", version=str(self._cluster.version))
            change = change_of(
                self._cluster, there, own_files(before.files, node.name), own_files(phase.files, node.name)
            )
            if change:
                target = NodeTarget(phase.node(node), own_files(phase.files, node.name), runs=True)
                cause = phase.reason(change.differences)
                action = Action(change.verb, Kind.NODE, node.name, cause, "", self._careful, target, phase=phase.name)
                self._one_at_a_time(replace(action, changes=change.differences))

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
        return tuple(dict.fromkeys((*self._before_starts, *made)))

    @property
    def _before_starts(self) -> tuple[str, ...]:
        """What has ended before a node is created or started: what all need, and what is done one at a time by then."""
        return tuple(dict.fromkeys((*self._prepared, *(self._careful if self._rolls else ()))))


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
