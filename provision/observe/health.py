"""What each node is like: whether it is paused, frozen, unreachable, slow, starting, or answers at once.

A node is asked on its own, whatever the others say of it. Those that have no port on this machine cannot be asked from
here; of them only the runtime's state is known.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial

from msgspec import Struct

from provision.cluster.model import Role
from provision.common.values import replace
from provision.kafka.promptness import Reply, ask_broker, ask_zookeeper
from provision.kafka.readiness import STARTING, BrokerAnswers
from provision.observe.ensemble import way_to
from provision.observe.reach import access_to, why_cut_off, why_not_running
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import Runtime

SLOW_S = 1.0
"""Who answers later than that is slow."""
PATIENCE_S = 3.0
"""Who does not answer within that time does not answer."""
# Kafka opens its ports early in its start, and answers at its end.
_STARTING_S = 30.0


class Condition(StrEnum):
    """What a running node is like; the condition of another one is its state."""

    RUNNING = "running"
    SLOW = "slow"
    FROZEN = "frozen"
    STARTING = "starting"
    UNREACHABLE = "unreachable"


class Health(Struct, frozen=True):
    """A node's condition or state, seconds until its answer (None without one), and what there is to tell of it."""

    condition: str
    answer_s: float | None = None
    detail: str = ""


def with_halted(observed: ObservedEnvironment, runtime: Runtime) -> ObservedEnvironment:
    """The environment with those nodes as paused whose process was stopped by a signal, which an engine overlooks."""
    running = [node.name for node in observed.nodes if node.state is NodeState.RUNNING]
    halted = runtime.halted(observed.name, running) if running else frozenset[str]()
    if not halted:
        return observed
    nodes = (replace(n, state=NodeState.PAUSED) if n.name in halted else n for n in observed.nodes)
    return replace(observed, nodes=tuple(nodes))


def silence_of(observed: ObservedEnvironment, answers: BrokerAnswers) -> dict[str, str]:
    """Why brokers that run do not answer, by node, as far as the time tells since they were started."""
    silent = {Role.BROKER.node(broker): broker not in answers.unserved for broker in answers.silent}
    running = [node for node in observed.nodes if node.name in silent and node.state is NodeState.RUNNING]
    return {node.name: _why_silent(node, served=silent[node.name]).detail for node in running if node.up_s is not None}


def health_of(observed: ObservedEnvironment, nodes: Sequence[str] | None = None) -> dict[str, Health]:
    """The health of the nodes, or only the named ones: all are asked at once, each for `PATIENCE_S` at most."""
    chosen = [node for node in observed.nodes if nodes is None or node.name in nodes]
    questions = {node.name: ask for node in chosen if (ask := _question(observed, node))}
    replies = _asked(questions)
    return {node.name: _health(node, replies.get(node.name)) for node in chosen}


def explained(missing: Mapping[str, str], health: Mapping[str, Health]) -> dict[str, str]:
    """What is missing, by node, with what their health tells: a slow one may lack something else too."""
    told = {}
    for node, one in health.items():
        reason = missing.get(node, "")
        if one.detail:
            told[node] = f"{reason}; {one.detail}" if reason and one.condition == Condition.SLOW else one.detail
    return {**missing, **told}


def _question(observed: ObservedEnvironment, node: ObservedNode) -> Callable[[], Reply] | None:
    if node.state is not NodeState.RUNNING or node.cut_off or not node.endpoint:
        return None
    if node.role == Role.ZOOKEEPER:
        way = way_to(observed)
        return partial(ask_zookeeper, node.endpoint, way.keys, PATIENCE_S) if way.is_ours else None
    return partial(ask_broker, access_to(observed), node.number, PATIENCE_S) if node.role == Role.BROKER else None


def _asked(questions: Mapping[str, Callable[[], Reply]]) -> dict[str, Reply]:
    if not questions:
        return {}
    for module in ("kafka", "kafka.protocol.metadata", "kafka.protocol.parser"):
        importlib.import_module(module)
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        return dict(zip(questions, pool.map(lambda ask: ask(), questions.values()), strict=True))


def _health(node: ObservedNode, reply: Reply | None) -> Health:
    if node.state is not NodeState.RUNNING:
        return Health(str(node.state), detail=why_not_running(node))
    if node.cut_off:
        return Health(Condition.UNREACHABLE, detail=why_cut_off(node))
    if reply is None:
        return Health(Condition.RUNNING)
    if reply.seconds is not None:
        if reply.seconds < SLOW_S:
            return Health(Condition.RUNNING, reply.seconds)
        return Health(Condition.SLOW, reply.seconds, f"it is slow: it answers after {reply.seconds:.1f} s")
    return _why_silent(node, served=reply.served)


def _why_silent(node: ObservedNode, *, served: bool) -> Health:
    young = node.up_s is not None and node.up_s < _STARTING_S
    if served and young:
        return Health(Condition.STARTING, detail="it is starting: it does not answer yet")
    if served:
        return Health(Condition.FROZEN, detail="it is frozen: it runs, and does not answer")
    if young or node.up_s is None:
        return Health(Condition.STARTING, detail=STARTING)
    told = f"it has been running for more than {_STARTING_S:g} s and serves no connection"
    return Health(Condition.UNREACHABLE, detail=f"{told} (`provision doctor` looks for the reason)")
