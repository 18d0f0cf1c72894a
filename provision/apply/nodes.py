"""Carry out actions on nodes, each through one verb of the runtime or one request to Kafka."""

import threading

from msgspec import Struct

from provision.apply.leaving import STOP_PATIENCE_S, Leaver
from provision.apply.moving import Mover
from provision.apply.rolling import Roller, Step
from provision.cluster.fingerprint import with_fingerprint
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import ProvisionError
from provision.events import Event, Listener
from provision.observe.reach import access_to
from provision.observe.waiting import Wait
from provision.plan.actions import (
    Action,
    BrokerSettings,
    Kind,
    Leftover,
    Lost,
    Moving,
    NodeTarget,
    Rejoining,
    Removal,
    Verb,
)
from provision.runtime.base import Runtime

_HANDLERS_GO_S = 1.0


class NodeWork(Struct, frozen=True):
    """What is needed to carry out actions on nodes; `roller` restarts running ones."""

    cluster: Cluster
    runtime: Runtime
    roller: Roller
    tell: Listener

    @property
    def patience(self) -> Patience:
        """How long each wait may take."""
        return self.roller.patience

    def anew(self) -> "NodeWork":
        """The same work with waits of its own: its end by a failure does not cancel what follows."""
        return replace(self, roller=replace(self.roller, patience=Patience(self.patience.timeout_s)))

    def cancel(self) -> None:
        """End every wait."""
        self.patience.cancelled.set()

    def _tell_unless_cancelled(self, event: Event) -> None:
        """Tell of an event; what takes minutes, such as a download, ends with the waits.

        Raises:
            Interrupted: they are cancelled.
        """
        self.patience.check()
        self.tell(event)

    def perform(self, action: Action) -> None:
        """Carry out one action."""
        cluster, runtime = self.cluster, self.runtime
        match action.verb, action.kind, action.subject:
            case Verb.FETCH, _, _:
                runtime.fetch_software(cluster, action.name, self._tell_unless_cancelled)
            case Verb.CREATE, Kind.NETWORK, _:
                runtime.create_network(cluster)
            case Verb.CREATE, Kind.STORAGE, NodeTarget(node):
                runtime.create_storage(cluster, node)
            case Verb.CREATE, Kind.NODE, NodeTarget(node, files):
                runtime.create_node(cluster, node, with_fingerprint(node.name, files))
            case Verb.FORMAT, _, NodeTarget(node):
                runtime.format_storage(cluster.name, node.name, cluster.cluster_id)
            case Verb.START, _, NodeTarget(node, runs=True):
                self.roller.wait_until_joinable()
                runtime.start_node(cluster.name, node.name)
                self.roller.wait_until_back(node.name)
            case Verb.START, _, _:
                runtime.start_node(cluster.name, action.name)
            case Verb.REMOVE, _, Lost() as lost:
                self._mover.abandon(action.name, lost)
            case Verb.MOVE, _, Moving() as moving:
                self.roller.step(action.name, action.verb, lambda step: self._move(moving, step))
            case _:
                self._change(action)

    def _change(self, action: Action) -> None:
        """Change or remove an existing node."""
        cluster, runtime = self.cluster, self.runtime
        match action.verb, action.subject:
            case Verb.RECREATE, NodeTarget(node, files, runs=False):
                self._write(node, files)
            case Verb.CONFIGURE, NodeTarget(node, files):
                runtime.update_files(cluster.name, node.name, with_fingerprint(node.name, files))
            case ((Verb.RECREATE | Verb.RESTART), NodeTarget(node) as target):
                self.roller.step(node.name, action.verb, lambda step: self._replace(target, step))
            case Verb.JOIN, Rejoining(cut_off=True):
                runtime.join_network(cluster.name, action.name)
            case Verb.JOIN, _:
                self.roller.step(
                    action.name, action.verb, lambda _step: runtime.join_network(cluster.name, action.name)
                )
            case Verb.CONFIGURE, BrokerSettings() as settings:
                self._configure(action.name, settings)
            case Verb.REMOVE, Leftover():
                runtime.remove_node(cluster.name, action.name)
                runtime.remove_storage(cluster.name, action.name, delete_data=False)
            case Verb.REMOVE, _ if action.kind == Kind.STORAGE:
                self._leaver(action.name).remove_storage()
            case Verb.REMOVE, Removal(_, registered):
                self._leaver(action.name).remove(registered=registered)
            case _:
                raise AssertionError(f"no way to {action}")

    @property
    def _mover(self) -> Mover:
        return Mover(self.cluster, self.runtime, self.patience)

    def _move(self, moving: Moving, step: Step) -> None:
        step("moving to another engine")
        self._mover.move(moving)

    def _leaver(self, node: str) -> Leaver:
        stay = [other.name for other in self.cluster.nodes if other.name != node]
        others = Wait(self.runtime, self.cluster.name, stay, self.patience, self.tell)
        return Leaver(self.runtime, self.cluster.name, node, self.patience, others.check_exits)

    def _replace(self, target: NodeTarget, step: Step) -> None:
        node, files = target.node, target.files
        step("stopping")
        self.runtime.stop_node(self.cluster.name, node.name, STOP_PATIENCE_S)
        step("changing its configuration")
        self._write(node, files)
        step("starting")
        self.runtime.start_node(self.cluster.name, node.name)

    def _write(self, node: Node, files: tuple[RenderedFile, ...]) -> None:
        self.runtime.replace_node(self.cluster, node, with_fingerprint(node.name, files))

    def _configure(self, node: str, settings: BrokerSettings) -> None:
        from provision.kafka.admin import connected

        if settings.values or settings.reset:
            with connected(access_to(self.runtime.observe(self.cluster.name))) as admin:
                if reason := admin.brokers.configure(settings):
                    raise ProvisionError(f"{node} does not take its settings", why=reason)
        if any(key.endswith(".threads") for key in (*settings.values, *settings.reset)):
            # A request handler that is being removed polls its queue every 300 ms, and may take the shutdown request
            # meant for another one; a broker stopped at that moment would never exit. So this is not cut short.
            threading.Event().wait(_HANDLERS_GO_S)
        if settings.files:
            self.runtime.update_files(self.cluster.name, node, with_fingerprint(node, settings.files))
