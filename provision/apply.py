"""Walk a plan. It decides nothing: whatever depends on the desired state was decided in `plan`."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import groupby
from typing import TYPE_CHECKING

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster
from provision.errors import Interrupted, PartlyApplied, ProvisionError, Refused
from provision.events import ActionDone, ActionStarted, Listener, Notice
from provision.home.throttles import ThrottleNote
from provision.interrupts import shielded, telling_where_it_stands
from provision.observe import admin_of
from provision.plan.actions import (
    Action,
    BrokerSettings,
    Growth,
    Impact,
    Kind,
    NodeTarget,
    PlacedTopic,
    Plan,
    Reassignment,
    Removal,
    TopicSettings,
    Verb,
)
from provision.plan.observed import ObservedCluster
from provision.rolling import Roller
from provision.runtime.base import Runtime

if TYPE_CHECKING:
    from provision.kafka.admin import Admin

# Enough for every node of a usual cluster at once, few enough not to overrun the engine.
_WORKERS = 16
_TOLD_BY_NAME = 20
_PAUSE_S = 0.5
_HANDLERS_GO_S = 1.0
# Kafka moves its leaderships away and flushes before it stops; kept data deserve that time.
STOP_PATIENCE_S = 90.0


def require_no_refusal(plan: Plan) -> None:
    """Stop before anything is touched when the plan refuses something.

    Raises:
        Refused: names every refused change.
    """
    if plan.refusals:
        why = "\n".join(f"{action.resource}: {action.cause}" for action in plan.refusals)
        hints = dict.fromkeys(action.detail for action in plan.refusals if action.detail)
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="; ".join(hints))


# -- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeWork:
    """What is needed to carry out actions on nodes; `roller` takes running ones down and up again."""

    cluster: Cluster
    runtime: Runtime
    roller: Roller
    tell: Listener

    def perform(self, action: Action) -> None:
        """Carry out one action."""
        cluster, runtime = self.cluster, self.runtime
        match action.verb, action.kind, action.subject:
            case Verb.FETCH, _, _:
                runtime.fetch_software(cluster, action.name, self.tell)
            case Verb.CREATE, Kind.NETWORK, _:
                runtime.create_network(cluster)
            case Verb.CREATE, Kind.STORAGE, NodeTarget(node):
                runtime.create_storage(cluster, node)
            case Verb.CREATE, Kind.NODE, NodeTarget(node, files):
                runtime.create_node(cluster, node, files, config_hash(node.name, files))
            case Verb.FORMAT, _, NodeTarget(node):
                runtime.format_storage(cluster, node)
            case Verb.START, _, NodeTarget(node, runs=True):
                self.roller.wait_until_joinable()
                runtime.start_node(cluster.name, node.name)
                self.roller.wait_until_back(node.name, node.role)
            case Verb.START, _, _:
                runtime.start_node(cluster.name, action.name)
            case _:
                self._change(action)

    def _change(self, action: Action) -> None:
        """Change a node that is there, or take it away."""
        cluster, runtime = self.cluster, self.runtime
        match action.verb, action.subject:
            case Verb.RECREATE, NodeTarget(node, files, runs=False):
                runtime.replace_node(cluster, node, files, config_hash(node.name, files))
            case ((Verb.RECREATE | Verb.RESTART), NodeTarget(node) as target):
                self.roller.step(node.name, node.role, lambda: self._replace(target))
            case Verb.CONFIGURE, BrokerSettings() as settings:
                self._configure(action.name, settings)
            case Verb.REMOVE, _ if action.kind is Kind.STORAGE:
                runtime.remove_storage(cluster.name, action.name, delete_data=False)
            case Verb.REMOVE, Removal() as removal:
                self._require_empty(action.name, removal.broker)
                runtime.stop_node(cluster.name, action.name, STOP_PATIENCE_S)
                if removal.registered:
                    self._unregister(removal.broker)
                runtime.remove_node(cluster.name, action.name)
                runtime.remove_storage(cluster.name, action.name, delete_data=False)
            case _:
                raise AssertionError(f"no way to {action}")

    def _replace(self, target: NodeTarget) -> None:
        node, files = target.node, target.files
        self.runtime.stop_node(self.cluster.name, node.name, STOP_PATIENCE_S)
        self.runtime.replace_node(self.cluster, node, files, config_hash(node.name, files))
        self.runtime.start_node(self.cluster.name, node.name)

    def _require_empty(self, node: str, broker: int) -> None:
        """Wait until the broker itself says that it holds nothing: what came after the plan must not go with it.

        Raises:
            Refused: it still holds partitions when time is up.
            Unavailable: it does not answer.
        """
        deadline = time.monotonic() + self.roller.timeout_s
        while True:
            with admin_of(self.runtime.observe(self.cluster.name).bootstrap_servers) as admin:
                held = sorted(admin.partitions.sizes([broker]))
            if not held:
                return
            if time.monotonic() > deadline:
                (topic, partition), *others = held
                why = f"it holds {topic}-{partition}" + (f" and {len(others)} more" if others else "")
                raise Refused(f"{node} is not removed", why=why, hint="`provision up` again moves what it holds")
            if self.roller.cancelled.wait(_PAUSE_S):
                raise Interrupted(f"{node} is not removed")

    def _unregister(self, broker: int) -> None:
        from provision.kafka.registration import unregister

        others = self.runtime.observe(self.cluster.name).broker_endpoints
        unregister([address for number, address in others.items() if number != broker], broker, self.roller.timeout_s)

    def _configure(self, node: str, settings: BrokerSettings) -> None:
        with admin_of(self.runtime.observe(self.cluster.name).bootstrap_servers) as admin:
            if reason := admin.brokers.configure(settings):
                raise ProvisionError(f"{node} does not take its settings", why=reason)
        if any(key.endswith(".threads") for key in (*settings.values, *settings.reset)):
            # A request handler that is to go looks at its queue every 300 ms, and may take from there what is to end
            # another one: a broker that is stopped in that moment does not end.
            time.sleep(_HANDLERS_GO_S)
        if settings.files:
            self.runtime.update_files(self.cluster.name, node, settings.files)


def apply_nodes(actions: Sequence[Action], work: NodeWork, cancelled: threading.Event) -> None:
    """Do actions on nodes: each as soon as those it comes after have ended, side by side.

    The first failure ends it: what runs is waited for, nothing new begins, and the failure is raised. So does Ctrl-C.
    `cancelled` is set then, so that what only waits ends at once.
    """

    def timed(action: Action) -> None:
        with _told(action, work.tell):
            work.perform(action)

    done: set[str] = set()

    def noted(action: Action) -> None:
        timed(action)
        done.add(action.key)

    def standing() -> str:
        rolled = [a.name for a in actions if a.key not in done and a.impact in (Impact.ROLLING, Impact.RECREATE)]
        return f"not done: {', '.join(dict.fromkeys(rolled))}; `provision up` goes on from there" if rolled else ""

    with telling_where_it_stands(standing):
        _walk({action.key: action for action in actions}, noted, work.tell, cancelled)


@contextmanager
def _told(action: Action, tell: Listener) -> Iterator[None]:
    tell(ActionStarted(action.resource, action.verb))
    began = time.monotonic()
    yield
    tell(ActionDone(action.resource, action.verb, time.monotonic() - began))


def _walk(
    actions: Mapping[str, Action],
    perform: Callable[[Action], None],
    tell: Listener,
    cancelled: threading.Event,
) -> None:
    order = TopologicalSorter({key: [k for k in action.after if k in actions] for key, action in actions.items()})
    order.prepare()
    running: dict[Future[None], str] = {}
    pool = ThreadPoolExecutor(max_workers=_WORKERS)
    try:
        while order.is_active():
            running |= {pool.submit(perform, actions[key]): key for key in order.get_ready()}
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                order.done(running.pop(future))
                future.result()
    except BaseException:
        cancelled.set()
        raise
    finally:
        # Not to be cut short by a second Ctrl-C: what would go on working beside a rollback could undo it.
        patience = Notice("what has begun is brought to its end; a moment, please")
        with shielded(lambda: tell(patience)) as interrupted:
            pool.shutdown(wait=True, cancel_futures=True)
    if interrupted.is_set():  # in the moment when all was done
        raise KeyboardInterrupt


# -- topics -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopicWork:
    """What is needed to carry out actions inside Kafka.

    `there` is the cluster as it was planned for; `check` raises when a node has exited; a move may stall for
    `timeout_s`.
    """

    bootstrap_servers: str
    there: ObservedCluster
    note: ThrottleNote
    throttle_bytes_per_s: int | None
    timeout_s: float
    check: Callable[[], None]
    tell: Listener


def apply_topics(actions: Sequence[Action], work: TopicWork) -> frozenset[str]:
    """Do the second wave in its order, equal actions together; returns the topics to create that existed after all.

    Raises:
        PartlyApplied: Kafka refused some; each with its reason. All that did not depend on them is done.
    """
    existing: set[str] = set()
    failed: dict[str, str] = {}
    if not actions:
        return frozenset()
    with admin_of(work.bootstrap_servers) as admin:
        for verb, group in groupby(actions, key=lambda action: action.verb):
            batch = [action for action in group if action.name not in failed]
            began = time.monotonic()
            for resource in _resources(batch):
                work.tell(ActionStarted(resource, verb))
            try:
                failures = _perform_on_topics(admin, verb, batch, work, existing)
            except ProvisionError as error:  # what failed before must be told too
                error.add(*_reasons(failed))
                raise
            failed |= failures
            done = [action for action in batch if action.name not in failures and action.name not in existing]
            for resource in _resources(done):
                work.tell(ActionDone(resource, verb, time.monotonic() - began))
    if failed:
        raise PartlyApplied(
            f"{len(failed)} of {len({action.name for action in actions})} topics could not be made as the file says",
            why="\n".join(_reasons(failed)),
            hint="correct them in the file and run `provision up` again; the rest is done",
        )
    return frozenset(existing)


def _reasons(failed: Mapping[str, str]) -> list[str]:
    return [f"topic {name}: {reason}" for name, reason in sorted(failed.items())]


def _resources(actions: Sequence[Action]) -> list[str]:
    """What is told: each by name, or how many where nobody would read the names."""
    if len(actions) > _TOLD_BY_NAME:
        return [f"{len(actions)} topics"]
    return [action.resource for action in actions]


def _perform_on_topics(
    admin: "Admin", verb: Verb, batch: Sequence[Action], work: TopicWork, existing: set[str]
) -> Mapping[str, str]:
    """Do equal actions; returns the failures by topic."""
    from provision.kafka.moving import Patience, move, restore_throttle

    match verb:
        case Verb.CREATE:
            placed = [a.subject for a in batch if isinstance(a.subject, PlacedTopic)]
            created = admin.topics.create(placed, work.tell)
            existing |= created.existing
            return created.failures
        case Verb.CONFIGURE:
            return admin.topics.configure({a.name: a.subject for a in batch if isinstance(a.subject, TopicSettings)})
        case Verb.REASSIGN:
            replicas = {a.name: a.subject.replicas for a in batch if isinstance(a.subject, Reassignment)}
            patience = Patience(work.timeout_s, work.check, work.tell)
            return move(admin, work.there, replicas, work.note, work.throttle_bytes_per_s, patience)
        case Verb.GROW:
            return admin.topics.grow({a.name: a.subject for a in batch if isinstance(a.subject, Growth)})
        case Verb.DELETE:
            return admin.topics.delete([a.name for a in batch])
        case Verb.RESTORE:
            restore_throttle(admin, work.there, work.note)
            return {}
        case _:
            raise AssertionError(f"no way to {verb} a topic")
