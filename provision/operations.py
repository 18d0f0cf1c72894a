"""What is done to an environment that is there: look, stop, start, remove, and talk to its Kafka.

All of it works from the environment's name alone, because what runs carries all that must be known. An environment
file, where one is given, adds what is declared and may be missing.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from provision.apply import STOP_PATIENCE_S
from provision.cluster.model import FIRST_CONTROLLER_ID, Role, StorageKind, Topic
from provision.errors import Refused, UsageError
from provision.events import ActionDone, ActionStarted, Listener, silent
from provision.home.directory import home_directory
from provision.home.ports import PortLeases
from provision.home.throttles import ThrottleNote
from provision.interrupts import shielded, telling_where_it_stands
from provision.kafka.levels import Level
from provision.kafka.readiness import ask_brokers
from provision.observe import active_controller
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.rolling import Roller
from provision.runtime.base import Runtime
from provision.waiting import Assessment, Wait, assess, ensemble_modes

_WORKERS = 16


# -- look -------------------------------------------------------------------------------------------------------------


def require(runtime: Runtime, name: str) -> ObservedEnvironment:
    """The environment of that name.

    Raises:
        UsageError: there is none.
    """
    observed = runtime.observe(name)
    if observed.is_nothing:
        there = ", ".join(runtime.environments()) or "none"
        raise UsageError(f"there is no environment {name}", hint=f"running: {there}; `provision up` makes one")
    return observed


def status(runtime: Runtime, name: str, topics: Sequence[Topic] | None = None) -> Assessment:
    """How ready the environment is; `topics` are the declared ones, None for whichever there are."""
    return assess(runtime, require(runtime, name), topics, ask_inside=True)


def status_dict(assessment: Assessment) -> dict[str, Any]:
    """The assessment as `status -o json` shows it."""
    observed, cluster = assessment.observed, assessment.cluster
    return {
        "name": observed.name,
        "runtime": observed.runtime,
        "ready": assessment.level >= Level.TOPICS,
        "level": str(assessment.level),
        "kafka": {"version": observed.version, "mode": observed.mode},
        "bootstrap_servers": observed.bootstrap_servers,
        "zookeeper_connect": observed.zookeeper_connect or None,
        "nodes": [
            {"name": node.name, "role": node.role, "state": str(node.state), "endpoint": node.endpoint}
            for role in Role
            for node in observed.of_role(role)
        ],
        "topics": [
            {
                "name": topic.name,
                "partitions": len(topic.partitions),
                "replication_factor": topic.replication_factor,
                "under_replicated": topic.under_replicated,
            }
            for topic in (cluster.topics if cluster else ())
            if not topic.internal
        ],
    }


def wait_for(
    runtime: Runtime, name: str, level: Level, topics: Sequence[Topic] | None, timeout_s: float, tell: Listener
) -> Assessment:
    """Wait until the environment holds `level`."""
    observed = require(runtime, name)
    if not observed.nodes:
        raise UsageError(f"{name} has no nodes, only kept data", hint="`provision up` makes them")
    now = time.monotonic()
    nodes = [node.name for node in observed.nodes]
    return Wait(runtime, name, nodes, began=now, deadline=now + timeout_s, tell=tell).until(level, topics)


# -- stop, start, remove ----------------------------------------------------------------------------------------------


def stop(runtime: Runtime, name: str, nodes: Sequence[str], tell: Listener = silent) -> int:
    """Stop the named nodes, or all: brokers first, because they say goodbye to ZooKeeper. Returns how many ran.

    Raises:
        Refused: the brokers' data are in memory and would be gone.
    """
    observed = require(runtime, name)
    chosen = [node for node in _chosen(observed, nodes) if node.state is NodeState.RUNNING]
    _refuse_to_lose_memory(observed, chosen)
    _stop_all(runtime, name, chosen, tell)
    return len(chosen)


def _refuse_to_lose_memory(observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> None:
    if observed.storage == StorageKind.MEMORY and any(node.role == Role.BROKER for node in nodes):
        raise Refused(
            f"stopping {observed.name} would lose its records",
            why="its brokers keep their data in memory (storage: memory)",
            hint=f"`provision down {observed.name}` removes it",
        )


def _stop_all(runtime: Runtime, name: str, nodes: Sequence[ObservedNode], tell: Listener) -> None:
    """Brokers first: they move their leaderships and close their sessions while the ensemble still answers."""
    brokers_first = ([n for n in nodes if n.role == Role.BROKER], [n for n in nodes if n.role != Role.BROKER])
    for tier in brokers_first:
        _each(tell, "stop", [n.name for n in tier], lambda node: runtime.stop_node(name, node, STOP_PATIENCE_S))


def start(runtime: Runtime, name: str, nodes: Sequence[str], timeout_s: float, tell: Listener = silent) -> Assessment:
    """Start the named nodes, or all, and wait: for the topics where every node runs then, else for those that do.

    Raises:
        Refused: members of an ensemble never ran; started together they could begin an empty history.
    """
    observed = require(runtime, name)
    _refuse_newcomers(observed, _chosen(observed, nodes))
    chosen = [node.name for node in _chosen(observed, nodes) if node.state is not NodeState.RUNNING]
    _each(tell, "start", chosen, lambda node: runtime.start_node(name, node))
    running = [node.name for node in observed.nodes if node.name in chosen or node.state is NodeState.RUNNING]
    if not running:
        raise UsageError(f"{name} has no nodes, only kept data", hint="`provision up` makes them")
    has_broker = any(node.role == Role.BROKER for node in observed.nodes if node.name in running)
    all_run = len(running) == len(observed.nodes)
    level = Level.TOPICS if all_run else Level.BROKERS if has_broker else Level.PROCESS
    now = time.monotonic()
    return Wait(runtime, name, running, began=now, deadline=now + timeout_s, tell=tell).until(level, None)


def _refuse_newcomers(observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> None:
    newcomers = [node.name for node in nodes if node.role == Role.ZOOKEEPER and node.state is NodeState.CREATED]
    if newcomers and len(observed.of_role(Role.ZOOKEEPER)) > 1:
        raise Refused(
            f"{', '.join(newcomers)} cannot just be started",
            why="members that never ran join an ensemble one after the other",
            hint="`provision up` starts them so",
        )


def restart_rolling(
    runtime: Runtime, name: str, nodes: Sequence[str], timeout_s: float, tell: Listener = silent
) -> tuple[str, ...]:
    """Restart the named nodes, or all, one at a time: the ensemble first, the active controller last.

    Returns their names, in that order.

    Raises:
        Refused: data are in memory and would be gone.
        NotReady, NodeFailed: one cannot be spared, or did not come back; says which were not reached.
    """
    observed = require(runtime, name)
    chosen = _chosen(observed, nodes)
    _refuse_to_lose_memory(observed, chosen)
    if stopped := [node.name for node in chosen if node.state is not NodeState.RUNNING]:
        raise UsageError(f"{', '.join(stopped)} does not run", hint=f"`provision start {name}` starts it")
    answers = ask_brokers(observed.broker_endpoints, topics=False)
    active = active_controller(observed, answers.best) if answers.best else -1
    leaders = {f"{Role.BROKER}-{active}", f"{Role.CONTROLLER}-{active - FIRST_CONTROLLER_ID + 1}"}
    members = [node for node in chosen if node.role == Role.ZOOKEEPER]
    if len(members) > 1:
        leaders |= {name for name, mode in ensemble_modes(runtime, observed).items() if mode == "leader"}
    order = [Role.ZOOKEEPER, Role.CONTROLLER, Role.BROKER]
    in_order = sorted(chosen, key=lambda node: (order.index(Role(node.role)), node.name in leaders))
    roller = Roller(runtime, name, len(observed.of_role(Role.ZOOKEEPER)), timeout_s, tell)
    done: list[str] = []
    for node in in_order:
        began = time.monotonic()
        tell(ActionStarted(node.name, "restart"))
        with telling_where_it_stands(
            lambda: f"restarted before: {', '.join(done) or 'none'}; it ended at {in_order[len(done)].name}"
        ):
            roller.step(node.name, node.role, partial(_restart, runtime, name, node.name))
        done.append(node.name)
        tell(ActionDone(node.name, "restart", time.monotonic() - began))
    return tuple(done)


def _restart(runtime: Runtime, name: str, node: str) -> None:
    with shielded() as interrupted:  # Ctrl-C ends the roll after this node, not with this node down
        runtime.stop_node(name, node, STOP_PATIENCE_S)
        runtime.start_node(name, node)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _chosen(observed: ObservedEnvironment, names: Sequence[str]) -> list[ObservedNode]:
    known = {node.name: node for node in observed.nodes}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"{observed.name} has no node {', '.join(unknown)}", hint=f"it has {', '.join(known) or 'none'}"
        )
    return [known[name] for name in names] if names else list(observed.nodes)


def remove_environment(
    runtime: Runtime,
    name: str,
    *,
    before: ObservedEnvironment | None = None,
    keep_data: bool = False,
    delete_data: bool = False,
    tell: Listener = silent,
) -> int:
    """Remove the environment's nodes, storages and network; returns how many things that were.

    Args:
        runtime: where it is.
        name: its name.
        before: leave what was there then.
        keep_data: leave the storages.
        delete_data: delete data in a directory of the user's too.
        tell: gets the events.
    """
    now = runtime.observe(name)
    earlier = before or ObservedEnvironment(name, runtime.kind)
    nodes = [node.name for node in now.nodes if earlier.node(node.name) is None]
    storages = [] if keep_data else sorted(now.storages - earlier.storages)
    _each(tell, "remove", nodes, lambda node: runtime.remove_node(name, node))
    _each(silent, "remove", storages, lambda node: runtime.remove_storage(name, node, delete_data=delete_data))
    network = now.network and not earlier.network
    if not earlier.network:  # asked for even where none is seen: a killed command may have left half of one
        runtime.remove_network(name)
    return len(nodes) + len(storages) + (network or now.half_made)


def down(
    runtime: Runtime, name: str, *, keep_data: bool = False, delete_data: bool = False, tell: Listener = silent
) -> int:
    """Remove all that `up` made, port leases included; returns how many things were removed.

    Nodes whose data are kept are stopped cleanly first: brokers that say goodbye can come back at once.
    """
    observed = runtime.observe(name)
    in_directory = observed.storage not in ("", *(kind.value for kind in StorageKind))
    data_stay = keep_data or (in_directory and not delete_data)
    if data_stay:
        _stop_all(runtime, name, [node for node in observed.nodes if node.state is NodeState.RUNNING], tell)
    removed = remove_environment(runtime, name, keep_data=keep_data, delete_data=delete_data, tell=tell)
    if not keep_data:
        PortLeases(home_directory()).release(name)
    if not data_stay:  # the settings of an interrupted reassignment are among the data
        ThrottleNote(name).forget_all()
    return removed


def _each(tell: Listener, verb: str, names: Iterable[str], act: Callable[[str], None]) -> None:
    """Act on every name side by side; all are tried before the first failure is raised."""

    def one(name: str) -> None:
        tell(ActionStarted(name, verb))
        began = time.monotonic()
        act(name)
        tell(ActionDone(name, verb, time.monotonic() - began))

    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        futures = [pool.submit(one, name) for name in names]
    for future in futures:
        future.result()
