"""Stop, start and restart the nodes of an environment; their data are kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from provision.apply.leaving import STOP_PATIENCE_S
from provision.apply.rolling import Roller, Step
from provision.catalogue.versions import KRAFT
from provision.cluster.model import Role, StorageKind, node_with_id
from provision.common.interrupts import end_if, shielded, telling_where_it_stands
from provision.common.patience import Patience
from provision.errors import Interrupted, ProvisionError, Refused, UsageError
from provision.events import Listener, Notice, action, silent
from provision.kafka.access import Access
from provision.kafka.levels import Level
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import ask_brokers
from provision.observe.health import with_halted
from provision.observe.leaders import active_controller, ensemble_leader
from provision.observe.nodes import with_stored_of_stopped
from provision.observe.reach import access_to
from provision.observe.readiness import Assessment
from provision.observe.waiting import Wait
from provision.operations.concurrently import each
from provision.operations.status import require, require_known, require_nodes
from provision.plan.actions import Verb
from provision.plan.listing import listed
from provision.plan.observed import LOST_IN_MEMORY, NodeState, ObservedEnvironment, ObservedNode
from provision.plan.refusals import lost_members
from provision.plan.stored import common_cluster_id, strangers
from provision.runtime.base import Runtime

STOP, KILL = "stop", "kill"
_UNREGISTER_S = 10.0
_ROLLING_ORDER = (Role.ZOOKEEPER, Role.CONTROLLER, Role.BROKER)


def stop(runtime: Runtime, name: str, nodes: Sequence[str] = (), tell: Listener = silent) -> int:
    """Stop the named nodes, or all, brokers first, so that they can deregister. Returns how many were not stopped.

    Raises:
        Refused: data would be lost, because they are in the memory of brokers that end, and no other broker has them.
    """
    observed = require(runtime, name)
    chosen = [node for node in _chosen(observed, nodes) if node.needs_stop]
    require_kept_elsewhere(observed, chosen)
    stop_all(runtime, name, chosen, tell)
    return len(chosen)


def kill(
    runtime: Runtime, name: str, nodes: Sequence[str] = (), tell: Listener = silent, *, unregister: bool = False
) -> int:
    """Kill the named nodes, or all, as a crash would end them. Returns how many were not stopped.

    With `unregister`, the KRaft controllers that are left are told which brokers are gone. Whatever keeps them from
    being told is told here, and is no failure: they notice when the session of a broker expires.
    """
    observed = require(runtime, name)
    chosen = [node for node in _chosen(observed, nodes) if node.needs_stop]
    brokers = [node.number for node in chosen if node.role == Role.BROKER] if unregister else []
    others = _way_to_others(observed, chosen, tell) if brokers else None
    each(tell, KILL, [node.name for node in chosen], lambda node: runtime.kill_node(name, node))
    if others:
        _unregister(others, brokers, tell)
    return len(chosen)


def _way_to_others(observed: ObservedEnvironment, ending: Sequence[ObservedNode], tell: Listener) -> Access | None:
    """Access to the brokers that stay; None if there are none, or no majority of controllers that could hear of it."""
    quorum = None
    access, staying = access_to(observed), {node.name for node in observed.nodes if node.state is NodeState.RUNNING}
    staying -= {node.name for node in ending}
    with _told(tell):
        quorum = ask_for_quorum(access) if observed.mode == KRAFT else None
    if quorum is None or sum(node_with_id(voter) in staying for voter in quorum.voters) * 2 <= len(quorum.voters):
        return None
    brokers = {broker: at for broker, at in access.brokers.items() if Role.BROKER.node(broker) in staying}
    return access.to(brokers) if brokers else None


def _unregister(others: Access, brokers: Sequence[int], tell: Listener) -> None:
    from provision.kafka.registration import unregister

    patience = Patience(_UNREGISTER_S)
    for broker in brokers:
        with _told(tell):
            unregister(others, broker, patience)


@contextmanager
def _told(tell: Listener) -> Iterator[None]:
    """Go on after an error, and tell it."""
    try:
        yield
    except Interrupted:
        raise
    except ProvisionError as error:
        tell(Notice(f"the controllers are not told of the killed brokers: {error}"))


def require_kept_elsewhere(observed: ObservedEnvironment, ending: Sequence[ObservedNode]) -> None:
    """Raise `Refused` if data are only in the memory of brokers that are to end, or nobody knows."""
    if lost := _only_in_memory(observed, ending):
        _refuse_to_lose_memory(observed, lost)


def _only_in_memory(observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> str:
    """What is in sync only where it goes as soon as these nodes end, or why that is not known; empty if nothing is."""
    ending = {node.number for node in nodes if observed.dies_with_its_data(node.name)}
    if not ending:
        return ""
    if ending >= {node.number for node in observed.of_role(Role.BROKER) if node.needs_stop}:
        return "no other broker runs"
    cluster = ask_brokers(access_to(observed)).best
    if cluster is None:
        return "no broker says what the others have"
    lost = [f"{t.name}-{p.number}" for t in cluster.topics for p in t.partitions if ending.issuperset(p.in_sync)]
    return f"no other broker is in sync: {listed(lost)}" if lost else ""


def _refuse_to_lose_memory(observed: ObservedEnvironment, reason: str) -> None:
    raise Refused(
        f"stopping {observed.name} would lose its records",
        why=f"its brokers keep their data in memory (storage: memory); {reason}",
        hint=f"`storage: volume` keeps them; `provision down {observed.name}` removes all",
    )


def stop_all(runtime: Runtime, name: str, nodes: Sequence[ObservedNode], tell: Listener) -> None:
    """Stop brokers first: they hand over leaderships and close their sessions while the ensemble still answers."""
    brokers_first = ([n for n in nodes if n.role == Role.BROKER], [n for n in nodes if n.role != Role.BROKER])
    for tier in brokers_first:
        each(tell, STOP, [n.name for n in tier], lambda node: runtime.stop_node(name, node, STOP_PATIENCE_S))


def start(runtime: Runtime, name: str, nodes: Sequence[str], patience: Patience, tell: Listener = silent) -> Assessment:
    """Start or resume the named nodes, or all, and wait: for the topics if every node then runs, else for those.

    Raises:
        Refused: members of an ensemble never ran, and started together they could begin an empty history; or a storage
            has lost its data, or has those of another cluster or node.
    """
    observed = with_stored_of_stopped(with_halted(require(runtime, name), runtime), runtime)
    wanted = _chosen(observed, nodes)
    _refuse_newcomers(observed, wanted)
    _refuse_lost(observed, wanted)
    chosen = [node.name for node in wanted if node.state is not NodeState.RUNNING]
    _refuse_wrong_data(observed, chosen)
    _format(runtime, observed, chosen, tell)
    if emptied := [name for name in chosen if observed.has_lost(name)]:
        tell(Notice(f"{listed(emptied)}: {LOST_IN_MEMORY}"))
    each(tell, Verb.START, chosen, lambda node: runtime.start_node(name, node))
    running = [node.name for node in observed.nodes if node.name in chosen or node.state is NodeState.RUNNING]
    if not running:
        require_nodes(runtime, name)
    has_broker = any(node.role == Role.BROKER for node in observed.nodes if node.name in running)
    all_run = len(running) == len(observed.nodes)
    level = Level.TOPICS if all_run else Level.BROKERS if has_broker else Level.PROCESS
    members = _members_to_serve(observed, chosen, running) if has_broker else []
    return Wait(runtime, name, running, patience, tell).until(level, None, members)


def _members_to_serve(observed: ObservedEnvironment, chosen: Sequence[str], running: Sequence[str]) -> list[str]:
    """The started members of the ensemble that are to serve, where brokers that answer do not show that they do."""
    ensemble = {node.name for node in observed.of_role(Role.ZOOKEEPER)}
    started = [node for node in chosen if node in ensemble]
    if len(ensemble.intersection(running)) <= len(ensemble) // 2:  # none can serve before others are started
        return []
    if len(ensemble) == 1 and len(started) < len(chosen):  # brokers that are started with it cannot register without it
        return []
    return started


def _refuse_newcomers(observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> None:
    newcomers = [node.name for node in nodes if node.role == Role.ZOOKEEPER and node.state is NodeState.CREATED]
    if newcomers and len(observed.of_role(Role.ZOOKEEPER)) > 1:
        raise Refused(
            f"{', '.join(newcomers)} cannot be started on its own",
            why="members that never ran join an ensemble one after the other",
            hint="`provision up` starts them in order",
        )


def _refuse_wrong_data(observed: ObservedEnvironment, nodes: Sequence[str]) -> None:
    """Kafka would find out only after a minute, or start over without the topics."""
    voters = next((data.voters for data in observed.stored.values() if data.voters), frozenset())
    keepers = [node.name for node in observed.of_role(Role.ZOOKEEPER)] or sorted(map(node_with_id, voters))
    lost = [] if observed.storage == StorageKind.MEMORY else list(lost_members(keepers, observed, len(keepers)))
    wrong = [*lost, *strangers(observed.stored, observed.cluster_id)]
    if reasons := [f"{name}: {cause}" for name, cause in wrong if name in nodes]:
        raise Refused(
            f"{observed.name} is not started",
            why="\n".join(reasons),
            hint=f"put their own data back; else `provision down {observed.name}` removes all",
        )


def _format(runtime: Runtime, observed: ObservedEnvironment, nodes: Sequence[str], tell: Listener) -> None:
    """Format storages that an interrupted `up` has not formatted: their nodes could not start."""
    cluster_id = observed.cluster_id or common_cluster_id(observed.stored)
    if observed.mode == KRAFT and cluster_id:
        new = [name for name in nodes if name in observed.stored and not observed.stored[name].cluster_id]
        each(tell, Verb.FORMAT, new, lambda node: runtime.format_storage(observed.name, node, cluster_id))


def _refuse_lost(observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> None:
    if lost := [node.name for node in nodes if node.state is NodeState.LOST]:
        raise Refused(
            f"{', '.join(lost)} cannot be started",
            why="it runs, but its directory is gone",
            hint=f"`provision down {observed.name} --keep-data` ends it; `provision up` makes it again",
        )


def restart_rolling(
    runtime: Runtime, name: str, nodes: Sequence[str], patience: Patience, tell: Listener = silent
) -> tuple[str, ...]:
    """Restart the named nodes, or all, one at a time: the ensemble first, the active controller last.

    Returns their names, in that order.

    Raises:
        Refused: data are in memory and would be lost.
        NotReady, NodeFailed: the cluster cannot do without one, or it did not come back; names those not restarted.
    """
    observed = require_nodes(runtime, name)
    chosen = _chosen(observed, nodes)
    _refuse_lost(observed, chosen)
    if any(observed.dies_with_its_data(node.name) for node in chosen):
        _refuse_to_lose_memory(observed, "each restarts empty")
    if stopped := [f"{node.name} ({node.state})" for node in chosen if node.state is not NodeState.RUNNING]:
        raise UsageError(f"not running: {', '.join(stopped)}", hint=f"`provision start {name}` starts them")
    in_order = _leaders_last(runtime, observed, chosen)
    roller = Roller(runtime, name, len(observed.of_role(Role.ZOOKEEPER)), patience, tell)
    done: list[str] = []
    for node in in_order:
        standing = partial(_standing, done, node.name)
        with telling_where_it_stands(standing), action(tell, Verb.RESTART, node.name):
            roller.step(node.name, Verb.RESTART, partial(_restart, runtime, name, node.name))
        done.append(node.name)
    return tuple(done)


def _leaders_last(runtime: Runtime, observed: ObservedEnvironment, nodes: Sequence[ObservedNode]) -> list[ObservedNode]:
    """The nodes by role, the leader of each role last."""
    answers = ask_brokers(access_to(observed), topics=False)
    leaders = {node_with_id(active_controller(observed, answers.best))} if answers.best else set()
    if sum(node.role == Role.ZOOKEEPER for node in nodes) > 1:
        leaders.add(ensemble_leader(runtime, observed))
    return sorted(nodes, key=lambda node: (_ROLLING_ORDER.index(Role(node.role)), node.name in leaders))


def _standing(done: Sequence[str], reached: str) -> str:
    return f"restarted before: {', '.join(done) or 'none'}; it ended at {reached}"


def _restart(runtime: Runtime, name: str, node: str, step: Step) -> None:
    with shielded() as interrupted:  # Ctrl-C ends the roll after this node, not while it is down
        step("stopping")
        runtime.stop_node(name, node, STOP_PATIENCE_S)
        step("starting")
        runtime.start_node(name, node)
    end_if(interrupted)


def _chosen(observed: ObservedEnvironment, names: Sequence[str]) -> list[ObservedNode]:
    require_known(observed, names)
    known = {node.name: node for node in observed.nodes}
    return [known[name] for name in dict.fromkeys(names or known)]
