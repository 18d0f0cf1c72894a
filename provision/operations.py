"""What is done to an environment that is there: look, stop, start, remove, and talk to its Kafka.

All of it works from the environment's name alone, because what runs carries all that must be known. An environment
file, where one is given, adds what is declared and may be missing.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from provision.cluster.catalogue import TOOL_ADDRESSES, KafkaVersion, address_option, release_of
from provision.cluster.model import Role, StorageKind, Topic
from provision.errors import PartlyApplied, Refused, Unavailable, UsageError
from provision.events import ActionDone, ActionStarted, Listener, silent
from provision.home.directory import home_directory
from provision.home.ports import PortLeases
from provision.kafka.levels import Level
from provision.kafka.readiness import ask_brokers
from provision.plan.actions import PlacedTopic
from provision.plan.observed import NodeState, ObservedCluster, ObservedEnvironment, ObservedNode, ObservedTopic
from provision.plan.placement import Placement
from provision.runtime.base import JavaCommand, Runtime, Streams
from provision.waiting import Assessment, Wait, assess

ADMIN_TIMEOUT_S = 30.0
# Kafka moves its leaderships away and flushes before it stops; kept data deserve that time.
STOP_PATIENCE_S = 90.0
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
    if observed.storage == StorageKind.MEMORY and any(node.role == Role.BROKER for node in chosen):
        raise Refused(
            f"stopping {name} would lose its records",
            why="its brokers keep their data in memory (storage: memory)",
            hint=f"`provision down {name}` removes it",
        )
    _stop_all(runtime, name, chosen, tell)
    return len(chosen)


def _stop_all(runtime: Runtime, name: str, nodes: Sequence[ObservedNode], tell: Listener) -> None:
    """Brokers first: they move their leaderships and close their sessions while the ensemble still answers."""
    brokers_first = ([n for n in nodes if n.role == Role.BROKER], [n for n in nodes if n.role != Role.BROKER])
    for tier in brokers_first:
        _each(tell, "stop", [n.name for n in tier], lambda node: runtime.stop_node(name, node, STOP_PATIENCE_S))


def start(runtime: Runtime, name: str, nodes: Sequence[str], timeout_s: float, tell: Listener = silent) -> Assessment:
    """Start the named nodes, or all, and wait: for the topics where every node runs then, else for those that do."""
    observed = require(runtime, name)
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
    return len(nodes) + len(storages) + network


def down(
    runtime: Runtime, name: str, *, keep_data: bool = False, delete_data: bool = False, tell: Listener = silent
) -> int:
    """Remove all that `up` made, port leases included; returns how many things were removed.

    Nodes whose data are kept are stopped cleanly first: brokers that say goodbye can come back at once.
    """
    observed = runtime.observe(name)
    in_directory = observed.storage not in ("", *(kind.value for kind in StorageKind))
    if keep_data or (in_directory and not delete_data):
        _stop_all(runtime, name, [node for node in observed.nodes if node.state is NodeState.RUNNING], tell)
    removed = remove_environment(runtime, name, keep_data=keep_data, delete_data=delete_data, tell=tell)
    if not keep_data:
        PortLeases(home_directory()).release(name)
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


# -- topics -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create by hand; `replication_factor` None means three, or as many as there are brokers."""

    name: str
    partitions: int
    replication_factor: int | None
    config: Mapping[str, str]


def topics(
    runtime: Runtime, name: str, names: Sequence[str] = (), *, internal: bool = False
) -> tuple[ObservedTopic, ...]:
    """The topics of the cluster with what is set on them; all, or the named ones.

    Raises:
        UsageError: a named topic does not exist.
        Unavailable: no broker answers.
    """
    from provision.kafka.admin import connected

    observed = require(runtime, name)
    there = _observe_cluster(observed).topics
    known = {topic.name for topic in there}
    if unknown := [topic for topic in names if topic not in known]:
        raise UsageError(f"{name} has no topic {', '.join(unknown)}", hint=f"`provision topics list {name}`")
    chosen = [topic for topic in there if topic.name in names or (not names and (internal or not topic.internal))]
    with connected(observed.bootstrap_servers, ADMIN_TIMEOUT_S) as admin:
        return admin.with_configs(chosen)


def create_topic(runtime: Runtime, name: str, new: NewTopic) -> None:
    """Create one topic with an explicit, rack-aware placement, and wait until every broker has it.

    Raises:
        Refused: it exists already, or there are fewer brokers than replicas.
        PartlyApplied: Kafka refused it.
    """
    from provision.kafka.admin import connected

    observed = require(runtime, name)
    cluster = _observe_cluster(observed)
    if cluster.topic(new.name):
        raise Refused(f"topic {new.name} exists already", hint=f"`provision topics describe {name} {new.name}`")
    replication_factor = new.replication_factor or min(3, len(cluster.brokers))
    try:
        assignment = Placement(cluster.brokers, cluster.topics).place(new.partitions, replication_factor)
    except ValueError as error:
        raise Refused(f"topic {new.name} cannot be created", why=str(error)) from error
    topic = Topic(new.name, new.partitions, replication_factor, new.config)
    with connected(observed.bootstrap_servers, ADMIN_TIMEOUT_S) as admin:
        created = admin.create_topics([PlacedTopic(topic, assignment)])
    _raise_failures("created", created.failures)
    running = [node.name for node in observed.nodes if node.state is NodeState.RUNNING]
    now = time.monotonic()
    Wait(runtime, name, running, began=now, deadline=now + ADMIN_TIMEOUT_S, tell=silent).until(Level.TOPICS, [topic])


def delete_topics(runtime: Runtime, name: str, names: Sequence[str]) -> None:
    """Delete topics by name, never Kafka's own.

    Raises:
        Refused: one of them is internal; none is deleted.
        UsageError: one does not exist; none is deleted.
        PartlyApplied: Kafka refused some.
    """
    from provision.kafka.admin import connected

    observed = require(runtime, name)
    if internal := [topic for topic in names if topic.startswith("__")]:
        raise Refused(f"{', '.join(internal)} belongs to Kafka itself", why="without it groups lose their offsets")
    topics(runtime, name, names)
    with connected(observed.bootstrap_servers, ADMIN_TIMEOUT_S) as admin:
        failures = admin.delete_topics(names)
    _raise_failures("deleted", failures)


def _observe_cluster(observed: ObservedEnvironment) -> ObservedCluster:
    answers = ask_brokers(observed.broker_endpoints, timeout_s=5.0)
    if answers.best is None:
        why = "\n".join(f"broker-{number}: {reason}" for number, reason in sorted(answers.silent.items()))
        raise Unavailable(f"no broker of {observed.name} answers", why=why, hint=f"`provision status {observed.name}`")
    return answers.best


def _raise_failures(done: str, failures: Mapping[str, str]) -> None:
    if failures:
        why = "\n".join(f"topic {topic}: {reason}" for topic, reason in sorted(failures.items()))
        raise PartlyApplied(f"not every topic could be {done}", why=why)


# -- tools ------------------------------------------------------------------------------------------------------------


def run_tool(runtime: Runtime, name: str, tool: str, arguments: Sequence[str], streams: Streams) -> int:
    """Run Kafka's own tool of that name inside the environment; returns its exit code.

    The address of the environment is filled in where none is given. The tool runs beside the nodes, where
    `localhost:9092` would be the tool itself. So addresses of this environment as this machine knows them are replaced
    by those that hold inside, and what works in a how-to works here unchanged.

    Raises:
        UsageError: this version of Kafka has no such tool.
    """
    observed = require(runtime, name)
    if not observed.nodes:
        raise UsageError(f"{name} has no nodes, only kept data", hint="`provision up` makes them")
    version = KafkaVersion.parse(observed.version)
    tool = tool.removesuffix(".sh")
    tools = release_of(version).tools
    entry = tools.get(tool)
    if entry is None:
        raise UsageError(f"Kafka {observed.version} has no tool {tool}", hint=f"known: {', '.join(sorted(tools))}")
    inside = {
        node.endpoint: runtime.inside_address(name, node.name) for node in observed.nodes if node.endpoint is not None
    }
    main_class, *first = entry.split()
    role = Role.ZOOKEEPER if tool == "zookeeper-shell" else Role.BROKER
    servers = ",".join(runtime.inside_address(name, node.name) for node in observed.of_role(role))
    address = _address(address_option(tool, version), arguments, servers)
    translated = (_inside(argument, inside) for argument in arguments)
    return runtime.run_tool(observed, JavaCommand(main_class, (*first, *address, *translated)), streams)


def _address(option: str | None, arguments: Sequence[str], servers: str) -> tuple[str, ...]:
    """What says to a tool whom to speak to; nothing where the user says it, or asks for help only."""
    if option is None or {"--help", "--version"} & set(arguments):
        return ()
    if not option:
        first = arguments[0] if arguments else ""
        return () if re.match(r"[\w.,:\[\]-]+:\d+", first) else (servers,)
    said = any(argument.split("=")[0] in TOOL_ADDRESSES for argument in arguments)
    return () if said else (option, servers)


def _inside(argument: str, inside: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return inside.get(f"127.0.0.1:{match[1]}", match[0])

    return re.sub(r"(?<![\w.-])(?:localhost|127\.0\.0\.1):(\d+)(?!\d)", replace, argument)
