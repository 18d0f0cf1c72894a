"""The status of an environment: find it by name, look at it, wait for it.

All of this needs only the environment's name, because everything necessary is recorded with the running nodes. An
environment file, if given, adds what is declared and may be missing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

from provision.cluster.fingerprint import is_edited
from provision.cluster.model import RenderedFile, Role
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import ProvisionError, StorageLost, UsageError
from provision.events import Listener
from provision.kafka.failures import LOG_LINES
from provision.kafka.levels import Level
from provision.observe.exits import failure_of
from provision.observe.files import files_of
from provision.observe.health import explained, health_of, with_halted
from provision.observe.reach import known_listeners
from provision.observe.readiness import Assessment, assess
from provision.observe.remembered import settings_in, with_remembered
from provision.observe.waiting import Wait
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import Runtime
from provision.security.listening import base_of

GONE = "gone"
_READERS = 8


def require(runtime: Runtime, name: str) -> ObservedEnvironment:
    """The environment of that name.

    Raises:
        UsageError: there is none.
    """
    observed = runtime.observe(name)
    if observed.is_absent:
        there = ", ".join(runtime.environments()) or "none"
        raise UsageError(f"there is no environment {name}", hint=f"running: {there}; `provision up` makes one")
    return observed


def require_nodes(runtime: Runtime, name: str) -> ObservedEnvironment:
    """The environment of that name, if it has nodes.

    Raises:
        UsageError: there is none, or it has only kept data.
    """
    return with_nodes(require(runtime, name))


def require_known(observed: ObservedEnvironment, nodes: Iterable[str]) -> None:
    """Check that it has these nodes.

    Raises:
        UsageError: it has not; names those that it has.
    """
    known = [node.name for node in observed.nodes]
    if unknown := [name for name in nodes if name not in known]:
        what = f"{observed.name} has no node {', '.join(unknown)}"
        raise UsageError(what, hint=f"it has {', '.join(known) or 'none'}")


def with_nodes(observed: ObservedEnvironment) -> ObservedEnvironment:
    """An environment that has been seen, if it has nodes.

    Raises:
        UsageError: it has only kept data, or not even these.
    """
    name = observed.name
    if lost := nothing_left(observed):
        raise UsageError(lost, hint=after_loss(name))
    if not observed.nodes:
        raise UsageError(f"{name} has no nodes, only kept data", hint=f"`provision up {name}` creates them")
    return observed


def nothing_left(observed: ObservedEnvironment) -> str:
    """That an environment has lost all of its nodes with their data, or never had any; empty if it has some."""
    is_empty = not observed.nodes and not observed.storages
    return f"{observed.name} has neither nodes nor storages, only what was made around them" if is_empty else ""


def after_loss(name: str) -> str:
    """What can be done if nothing of the nodes is left."""
    return f"`provision up {name}` creates them, `provision down {name}` removes the rest"


def status(runtime: Runtime, name: str, topics: Collection[str] | None = None) -> Assessment:
    """How ready the environment is; `topics` are the names of the declared ones, None for whichever exist."""
    observed = with_halted(require(runtime, name), runtime)
    with ThreadPoolExecutor(max_workers=_READERS) as pool:  # while the brokers answer
        files = {node.name: pool.submit(_read, runtime, name, node.name) for node in observed.nodes}
        exited = [node for node in observed.nodes if node.state is NodeState.EXITED]
        exits = {node.name: pool.submit(_why_exited, runtime, name, node) for node in exited}
        assessment = assess(runtime, observed, topics, nodes=observed.all_names, ask_inside=True)
        health = health_of(observed)
    read = {node: found.result() for node, found in files.items()}
    reasons = {node: found.result() for node, found in exits.items()} | {
        n: one.lost for n, one in read.items() if one.lost
    }
    for node, reason in reasons.items():
        health[node] = replace(health[node], detail=": ".join(filter(None, (health[node].detail, reason))))
    whole = with_remembered(assessment, {node: settings_in(one.files or ()) for node, one in read.items()})
    return replace(
        whole,
        health=health,
        missing=explained(whole.missing, health),
        edited={node: None if one.files is None else is_edited(node, one.files) for node, one in read.items()},
    )


class _Read(Struct, frozen=True):
    """The files of a node, None if they could not be read; `lost` is what became of them, if that is known."""

    files: tuple[RenderedFile, ...] | None = None
    lost: str = ""


def _read(runtime: Runtime, name: str, node: str) -> _Read:
    try:
        return _Read(files_of(runtime, name, node))
    except StorageLost as error:
        return _Read(lost=error.what)
    except ProvisionError:  # it has just been removed, or its engine went away: the rest of the status tells that
        return _Read()


def _why_exited(runtime: Runtime, name: str, node: ObservedNode) -> str:
    """The reason that its log tells; empty if that is none that is known, or it was asked to stop."""
    try:
        log = list(runtime.log_lines(name, node.name, tail=LOG_LINES))
    except ProvisionError:  # as above
        return ""
    failure = failure_of(node, log)
    return failure.reason if failure else ""


def files_told(assessment: Assessment) -> str:
    """That nodes have other files than `up` has written, as far as that was asked; empty if none has."""
    nodes = [node for node, edited in assessment.edited.items() if edited]
    name = assessment.observed.name
    mend = f"`provision doctor {name}` says what was edited, and `provision up {name}` writes them again"
    return f"the files of {', '.join(nodes)} are not as `up` has written them: {mend}" if nodes else ""


def node_states(assessment: Assessment) -> Iterator[tuple[str, Role, str, str | None]]:
    """The name, role, state and endpoint of each node; `gone` is the state of those of which at most data are left."""
    observed = assessment.observed
    gone = (*observed.gone, *assessment.lost)
    for role in Role:
        rows = [(node.number, node.name, str(node.state), node.endpoint) for node in observed.of_role(role)]
        rows += [(Role.parse(name)[1], name, GONE, None) for name in gone if Role.parse(name)[0] is role]
        for _, name, state, endpoint in sorted(rows):
            yield name, role, state, endpoint


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
        "listeners": [
            {"name": base_of(name), "security": profile.name, "bootstrap_servers": observed.bootstrap_servers_at(name)}
            for name, profile in known_listeners(observed).items()
        ],
        "zookeeper_connect": observed.zookeeper_connect or None,
        "nodes": [
            {"name": name, "role": role, "state": state, "endpoint": endpoint}
            | _engine(observed, name)
            | _health(assessment, name)
            for name, role, state, endpoint in node_states(assessment)
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


def _engine(observed: ObservedEnvironment, name: str) -> dict[str, str]:
    """The engine of a node; nothing where there is only one."""
    node = observed.node(name)
    return {"engine": node.engine} if node and node.engine else {}


def _health(assessment: Assessment, node: str) -> dict[str, Any]:
    """What `status` asked the node itself; nothing for other commands."""
    health = assessment.health.get(node)
    if health is None:
        return {}
    answer_ms = None if health.answer_s is None else round(health.answer_s * 1000)
    return {"condition": str(health.condition), "answer_ms": answer_ms, "edited": assessment.edited.get(node)}


def wait_for(  # noqa: PLR0913 what is waited for, for how long, and beside whom
    runtime: Runtime,
    name: str,
    level: Level,
    topics: Collection[str] | None,
    patience: Patience,
    tell: Listener,
    *,
    changing: Callable[[], bool] = lambda: False,
) -> Assessment:
    """Wait until the environment has reached `level` as a whole; `changing` is whether a command is changing it."""
    nodes = require_nodes(runtime, name).all_names
    return Wait(runtime, name, nodes, patience, tell, changing=changing).until(level, topics)
