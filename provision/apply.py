"""Walk a plan. It decides nothing: whatever depends on the desired state was decided in `plan`."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.errors import PartlyApplied, Refused
from provision.events import ActionDone, ActionStarted, Listener
from provision.interrupts import shielded
from provision.plan.actions import Action, Kind, PlacedTopic, Plan, Verb
from provision.runtime.base import Runtime

# Enough for every node of a usual cluster at once, few enough not to overrun the engine.
_WORKERS = 16


def require_no_refusal(plan: Plan) -> None:
    """Stop before anything is touched when the plan refuses something.

    Raises:
        Refused: names every refused change.
    """
    if plan.refusals:
        why = "\n".join(f"{action.resource}: {action.cause}" for action in plan.refusals)
        hints = dict.fromkeys(action.detail for action in plan.refusals if action.detail)
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="; ".join(hints))


def apply_nodes(
    actions: Sequence[Action], cluster: Cluster, files: tuple[RenderedFile, ...], runtime: Runtime, tell: Listener
) -> None:
    """Do the first wave: every action as soon as those it comes after have ended, side by side.

    The first failure ends it: what runs is waited for, nothing new begins, and the failure is raised. So does Ctrl-C.
    """

    def perform(action: Action) -> None:
        tell(ActionStarted(action.resource, action.verb))
        began = time.monotonic()
        _perform(action, cluster, files, runtime, tell)
        tell(ActionDone(action.resource, action.verb, time.monotonic() - began))

    _walk({action.key: action for action in actions}, perform)


def _perform(
    action: Action, cluster: Cluster, files: tuple[RenderedFile, ...], runtime: Runtime, tell: Listener
) -> None:
    match action.verb, action.kind, action.subject:
        case Verb.FETCH, Kind.SOFTWARE, _:
            runtime.fetch_software(cluster, tell)
        case Verb.CREATE, Kind.NETWORK, _:
            runtime.create_network(cluster)
        case Verb.CREATE, Kind.STORAGE, Node() as node:
            runtime.create_storage(cluster, node)
        case Verb.CREATE, Kind.NODE, Node() as node:
            own = [file for file in files if file.node == node.name]
            runtime.create_node(cluster, node, own, config_hash(node.name, files))
        case Verb.START, Kind.NODE, Node() as node:
            runtime.start_node(cluster.name, node.name)
        case _:
            raise AssertionError(f"no way to {action}")


def _walk(actions: dict[str, Action], perform: Callable[[Action], None]) -> None:
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
    finally:
        # Not to be cut short by a second Ctrl-C: what would go on working beside a rollback could undo it.
        with shielded(lambda: None):
            pool.shutdown(wait=True, cancel_futures=True)


def apply_topics(actions: Sequence[Action], bootstrap_servers: str, timeout_s: float, tell: Listener) -> frozenset[str]:
    """Do the second wave: create all topics in as few requests as Kafka allows; returns those that existed after all.

    Raises:
        PartlyApplied: Kafka refused some; each with its reason.
    """
    from provision.kafka.admin import connected

    placed = [action.subject for action in actions if isinstance(action.subject, PlacedTopic)]
    if not placed:
        return frozenset()
    began = time.monotonic()
    for action in actions:
        tell(ActionStarted(action.resource, action.verb))
    with connected(bootstrap_servers, timeout_s) as admin:
        created = admin.create_topics(placed)
    failures = created.failures
    for action in actions:
        if action.name not in failures and action.name not in created.existing:
            tell(ActionDone(action.resource, action.verb, time.monotonic() - began))
    if failures:
        raise PartlyApplied(
            f"{len(failures)} of {len(placed)} topics could not be created",
            why="\n".join(f"topic {name}: {reason}" for name, reason in sorted(failures.items())),
            hint="correct them in the file and run `provision up` again",
        )
    return created.existing
