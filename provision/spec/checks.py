"""The rules of an environment file: one small function each, here or beside the section that it is about."""

import posixpath
from collections.abc import Iterator

from provision.catalogue.images import is_known, is_of_line, kafka_line_of, layout_of
from provision.catalogue.versions import KRAFT, OLDEST, RELEASES, ZOOKEEPER, KafkaVersion, release_of, unsupported
from provision.security.ensemble import closes
from provision.spec.acls import acls
from provision.spec.agents import agents, java_ports
from provision.spec.decided import decided_properties
from provision.spec.defaults import mode_of
from provision.spec.listeners import host_ports, listeners, security_of
from provision.spec.model import EnvironmentSpec
from provision.spec.names import network_of_engine
from provision.spec.ports import LAST_PORT
from provision.spec.quotas import quotas
from provision.spec.reserved import RESERVED_BROKER, of_brokers, of_zookeeper
from provision.spec.rules import ANY, Finding, RuleReads
from provision.spec.swarm import swarm
from provision.spec.topics import replicas, replication, topic_names
from provision.spec.units import parse_size_bytes
from provision.spec.users import users
from provision.spec.yaml_text import Path, dotted

# What a JVM needs in addition to its heap: metaspace, code cache, thread stacks, direct buffers.
JVM_OVERHEAD_BYTES = 128 * 1024**2
_AGREE = "make the two agree"
_LAST_WITH_ENSEMBLE, _NO_ENSEMBLE = "3.9", 4  # Kafka's last release line with ZooKeeper, its first major one without


def name(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The network of the environment is not one of the engine's own."""
    if not spec.bootstrap_servers and (why := network_of_engine(spec.name)):
        yield Finding(("name",), why, "give it another name with `name:`")


def version(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The version supports the requested mode."""
    wanted = KafkaVersion.parse(spec.kafka.version)
    path = ("kafka", "version")
    if impossible := unsupported(wanted):
        yield Finding(path, *impossible)
        return
    if spec.kafka.mode is not None and spec.kafka.mode not in release_of(wanted).modes:
        first = min(release.first for release in RELEASES if spec.kafka.mode in release.modes)
        older = f"remove it, or use Kafka {_LAST_WITH_ENSEMBLE}"
        hint = older if spec.kafka.mode == ZOOKEEPER else f"use {first} or later"
        yield Finding(("kafka", "mode"), f"Kafka {wanted} has no {spec.kafka.mode} mode", hint)


def mode_sections(spec: EnvironmentSpec) -> Iterator[Finding]:
    """An ensemble exists only in ZooKeeper mode."""
    version = KafkaVersion.parse(spec.kafka.version)
    if version < OLDEST or mode_of(spec) != KRAFT or "zookeeper" not in spec.model_fields_set:
        return
    if ZOOKEEPER not in release_of(version).modes:
        message = f"Kafka {version} has no ZooKeeper: from 4.0 on it keeps its metadata itself, in kraft mode"
        yield Finding(("zookeeper",), message, f"remove it, or use Kafka {_LAST_WITH_ENSEMBLE}", at_key=True)
    else:
        message = "in kraft mode there is no ZooKeeper"
        yield Finding(("zookeeper",), message, "remove it, or set `kafka: {mode: zookeeper}`", at_key=True)


def controllers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Dedicated controllers exist only in KRaft mode."""
    if spec.controllers.nodes and KafkaVersion.parse(spec.kafka.version) >= OLDEST and mode_of(spec) != KRAFT:
        yield Finding(("controllers", "nodes"), "dedicated controllers exist only with kafka.mode kraft", "remove it")


def runtime(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys of one runtime are not used with another."""
    if spec.kafka.distribution is not None and spec.runtime != "process":
        message = "an unpacked Kafka is only used by the process runtime"
        yield Finding(("kafka", "distribution"), message, "add `runtime: process`, or remove it")
    for section, image in (("kafka", spec.kafka.image), ("zookeeper", spec.zookeeper.image)):
        if image is not None and spec.runtime == "process":
            yield Finding((section, "image"), "an image is not used by the process runtime", "remove it")


def images(spec: EnvironmentSpec) -> Iterator[Finding]:
    """An image contains what it is used for, as far as its name tells."""
    image, version = spec.kafka.image, KafkaVersion.parse(spec.kafka.version)
    line = kafka_line_of(image) if image else None
    if image is not None and not layout_of(image).has_kafka:
        yield Finding(("kafka", "image"), f"{image} holds no Kafka", "name it with zookeeper.image")
    elif line and not is_of_line(version, line):
        left_out = "version" not in spec.kafka.model_fields_set
        said, hint = ("is left out and therefore", f"say it: `version: {line}`") if left_out else ("is", _AGREE)
        yield Finding(("kafka", "image"), f"{image} holds Kafka {line}, and kafka.version {said} {version}", hint)
    elif image is not None and is_known(image) and not line and "version" not in spec.kafka.model_fields_set:
        message = f"it is not known which Kafka {image} holds"
        yield Finding(("kafka", "image"), message, "say it with kafka.version")
    ensemble = spec.zookeeper.image
    line = kafka_line_of(ensemble) if ensemble else None
    if line and int(line.split(".", maxsplit=1)[0]) >= _NO_ENSEMBLE:
        message = f"{ensemble} holds no ZooKeeper: Kafka {line} has none"
        yield Finding(("zookeeper", "image"), message, "use an older one")


_OF_NODES = (
    "runtime",
    "swarm",
    "kafka",
    "zookeeper",
    "controllers",
    "brokers",
    "listeners",
    "security",
    "certificates",
    "users",
    "storage",
    "templates",
    "vars",
    "ttl",
    "warm",
)


def reached(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A file for an external cluster has resources inside Kafka, and no keys about nodes."""
    for key in _OF_NODES:
        if spec.bootstrap_servers and key in spec.model_fields_set:
            message = "the cluster behind bootstrap_servers is run by others: this file has only its topics"
            yield Finding((key,), message, "remove it, or remove bootstrap_servers", at_key=True)


def reserved_properties(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Properties that the program sets are not overridden."""
    is_closed = closes(security_of(spec))
    brokers = of_brokers(closed=is_closed)
    places: list[tuple[Path, dict[str, str], dict[str, str]]] = [
        (("zookeeper", "properties"), spec.zookeeper.properties, of_zookeeper(closed=is_closed)),
        (("controllers", "properties"), spec.controllers.properties, RESERVED_BROKER),
        (("brokers", "properties"), spec.brokers.properties, brokers),
    ]
    places += [
        (("brokers", "overrides", broker, "properties"), override.properties, brokers)
        for broker, override in spec.brokers.overrides.items()
    ]
    for path, properties, reserved in places:
        for key in properties:
            if owner := next((text for prefix, text in reserved.items() if _is_reserved(key, prefix)), None):
                message = f"this property is decided by {owner}, so that every part of the cluster agrees on it"
                yield Finding((*path, key), message, "remove it", at_key=True)


def _is_reserved(key: str, pattern: str) -> bool:
    return key.startswith(pattern) if pattern.endswith(".") else key == pattern


def overrides(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Overrides are for existing brokers."""
    for broker in spec.brokers.overrides:
        if broker > spec.brokers.nodes:
            message = f"there is no broker {broker}: brokers.nodes is {spec.brokers.nodes}"
            yield Finding(("brokers", "overrides", broker), message, "raise brokers.nodes, or remove it", at_key=True)


def ports(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Every node's port is valid, and no two nodes have the same."""
    spans: dict[Path, range] = {}
    unset: Path = ("brokers", "port") if "port" not in spec.brokers.model_fields_set else ()
    of_kafka: list[tuple[Path, int | str | None, int]] = [
        (("zookeeper", "port"), spec.zookeeper.port, spec.zookeeper.nodes),
        *(((*path, "port"), at, spec.brokers.nodes) for path, at in host_ports(spec)),
    ]
    of_java = list(java_ports(spec))
    for key, port, nodes in (*of_kafka, *of_java):
        if not isinstance(port, int):
            continue
        span = range(port, port + nodes)
        if span[-1] > LAST_PORT:
            message = f"{nodes} nodes from port {port} on go beyond {LAST_PORT}"
            yield Finding(key, message, "start lower" if (key, port, nodes) in of_java else "start lower, or use auto")
        for other, taken in spans.items():
            if shared := sorted(set(span) & set(taken)):
                # at brokers.port if the file sets it; else it is the default, and the file has only the other
                (here, mine), (there, theirs) = ((key, span), (other, taken))
                if key == unset:
                    (here, mine), (there, theirs) = (there, theirs), (here, mine)
                other_one, one = (dotted(path).removesuffix(".port") for path in (there, here))
                message = f"port {shared[0]} is also a port of {other_one} ({_span(theirs)}); {one} takes {_span(mine)}"
                yield Finding(here, message, "move one of the two apart")
        spans[key] = span


def _span(span: range) -> str:
    return str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"


def memory(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A container has room for the heap and for the JVM's other memory."""
    limit = parse_size_bytes(spec.brokers.memory)
    heaps: list[tuple[Path, str]] = [(("brokers", "heap"), spec.brokers.heap)]
    heaps += [
        (("brokers", "overrides", broker, "heap"), override.heap)
        for broker, override in spec.brokers.overrides.items()
        if override.heap is not None
    ]
    for path, heap in heaps:
        if parse_size_bytes(heap) + JVM_OVERHEAD_BYTES > limit:
            message = f"a heap of {heap} leaves the JVM less than 128m of brokers.memory {spec.brokers.memory}"
            yield Finding(path, message, "lower the heap, or raise brokers.memory")


def storage(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A data directory is not the root directory, and has a name that Kafka accepts."""
    if "," in spec.storage:
        yield Finding(("storage",), "a comma separates directories for Kafka", "name a directory without one")
    if spec.storage not in ("volume", "memory") and posixpath.normpath(spec.storage) in ("/", "//"):
        yield Finding(("storage",), "data cannot be kept in the root directory", "name a directory of its own")


RULES: tuple[RuleReads, ...] = (
    (reached, ()),
    (name, (("name",),)),
    (version, (("kafka", "version"), ("kafka", "mode"))),
    (mode_sections, (("kafka", "version"), ("kafka", "mode"))),
    (controllers, (("controllers",), ("kafka", "version"), ("kafka", "mode"))),
    (runtime, (("runtime",), ("kafka", "distribution"), ("kafka", "image"), ("zookeeper", "image"))),
    (
        swarm,
        (
            ("runtime",),
            ("swarm",),
            ("storage",),
            ("kafka", "mode"),
            ("kafka", "version"),
            ("security",),
            ("listeners", ANY),
        ),
    ),
    (images, (("kafka", "image"), ("kafka", "version"), ("zookeeper", "image"))),
    (
        replication,
        (("brokers", "nodes"), ("topics", ANY, "replication_factor"), ("topics", ANY, "config"), ("topic_defaults",)),
    ),
    (replicas, (("brokers", "nodes"), ("topics", ANY), ("topic_defaults",))),
    (topic_names, ()),
    (listeners, (("listeners", ANY), ("security",), ("brokers", "port"), ("kafka", "version"), ("kafka", "mode"))),
    (users, (("listeners", ANY), ("security",), ("users", ANY), ("kafka", "version"), ("kafka", "mode"))),
    (acls, (("listeners", ANY), ("security",), ("users", ANY), ("acls", ANY), ("kafka", "version"), ("runtime",))),
    (decided_properties, (("listeners", ANY), ("security",), ("users", ANY), ("acls", ANY))),
    (quotas, (("quotas", ANY),)),
    (reserved_properties, (("listeners", ANY), ("security",))),
    (overrides, (("brokers", "nodes"),)),
    (
        agents,
        (
            ("brokers", "java"),
            ("controllers", "java"),
            ("zookeeper", "java"),
            ("kafka", "mode"),
            ("kafka", "version"),
            ("security",),
            ("listeners", ANY),
            ("runtime",),
        ),
    ),
    (
        ports,
        (
            ("brokers", "nodes"),
            ("brokers", "port"),
            ("brokers", "java"),
            ("controllers", "nodes"),
            ("controllers", "java"),
            ("zookeeper", "nodes"),
            ("zookeeper", "port"),
            ("zookeeper", "java"),
            ("listeners", ANY),
        ),
    ),
    (memory, (("brokers", "memory"), ("brokers", "heap"), ("brokers", "overrides"))),
    (storage, (("storage",),)),
)
