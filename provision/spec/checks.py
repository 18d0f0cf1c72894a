"""What goes together in an environment file and what does not: one small function a rule.

A rule yields problems of a spec whose form is right. It names the keys it reads, so that a rule stays silent when one
of them could not be read at all: one mistake gives one message.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from provision.cluster.catalogue import FIRST_WITHOUT_ZOOKEEPER, OLDEST, KafkaVersion
from provision.errors import Problem
from provision.spec.model import LAST_PORT, EnvironmentSpec
from provision.spec.reserved import RESERVED_BROKER, RESERVED_ZOOKEEPER
from provision.spec.source import Path, Source
from provision.spec.units import parse_size_bytes

# What a JVM needs beside its heap: metaspace, code cache, thread stacks, direct buffers.
JVM_OVERHEAD_BYTES = 128 * 1024**2


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it has a place: `path` is the key at fault."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
ANY = "*"
Rule = Callable[[EnvironmentSpec], Iterator[Finding]]


def check(spec: EnvironmentSpec, source: Source, unreadable: frozenset[Path] = frozenset()) -> list[Problem]:
    """Every finding of every rule, in the order of the rules.

    Args:
        spec: a spec of the right form.
        source: gives the places.
        unreadable: paths whose values were replaced by defaults because their form is wrong.
    """
    problems = (
        source.problem(finding.path, finding.message, finding.hint, at_key=finding.at_key)
        for rule, reads in RULES
        if not any(_touches(path, read) for path in unreadable for read in reads)
        for finding in rule(spec)
    )
    return list(dict.fromkeys(problems))  # a default is wrong once, for however many topics


def _touches(unreadable: Path, read: Path) -> bool:
    return all(one in (other, ANY) or other == ANY for one, other in zip(read, unreadable, strict=False))


def replication_factor_of(spec: EnvironmentSpec, topic_index: int) -> int:
    """What the topic gets: its own, the file's default, else three or as many as there are brokers."""
    default = spec.topic_defaults.replication_factor or min(3, spec.brokers.nodes)
    return spec.topics[topic_index].replication_factor or default


def version(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The version is one that runs in the mode asked for."""
    wanted = KafkaVersion.parse(spec.kafka.version)
    path = ("kafka", "version")
    if wanted < OLDEST:
        yield Finding(path, f"Kafka {wanted} is too old", f"{OLDEST} is the oldest that is supported")
    if wanted >= FIRST_WITHOUT_ZOOKEEPER and spec.kafka.mode != "kraft":
        yield Finding(path, f"Kafka {wanted} has no ZooKeeper mode", "use a 3.9 version")
    if spec.kafka.mode == "kraft":
        yield Finding(
            ("kafka", "mode"), "kraft mode is not supported yet", "use mode zookeeper and a version up to 3.9"
        )


def controllers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Dedicated controllers exist only in KRaft mode."""
    if spec.controllers.nodes and spec.kafka.mode != "kraft":
        yield Finding(("controllers", "nodes"), "dedicated controllers exist only with kafka.mode kraft", "remove it")


def runtime(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys of one runtime are not given to another."""
    if spec.kafka.distribution is not None and spec.runtime != "process":
        message = "an unpacked Kafka is only used by the process runtime"
        yield Finding(("kafka", "distribution"), message, "add `runtime: process`, or remove it")
    if spec.kafka.image is not None and spec.runtime == "process":
        yield Finding(("kafka", "image"), "an image is not used by the process runtime", "remove it")


def replication(spec: EnvironmentSpec) -> Iterator[Finding]:
    """No more replicas than brokers, and no more in-sync replicas demanded than there are replicas."""
    brokers = spec.brokers.nodes
    default = spec.topic_defaults.replication_factor
    hint = "lower it, or raise brokers.nodes"
    if default is not None and default > brokers:
        path: Path = ("topic_defaults", "replication_factor")
        yield Finding(path, f"{default} replicas need {default} brokers; brokers.nodes is {brokers}", hint)
    for index, topic in enumerate(spec.topics):
        factor = replication_factor_of(spec, index)
        if topic.replication_factor is not None and factor > brokers:
            path = ("topics", index, "replication_factor")
            yield Finding(path, f"{factor} replicas need {factor} brokers; brokers.nodes is {brokers}", hint)
        elif factor <= brokers:
            yield from _minimum_in_sync(spec, index, factor)


def _minimum_in_sync(spec: EnvironmentSpec, index: int, factor: int) -> Iterator[Finding]:
    key = "min.insync.replicas"
    topic = spec.topics[index]
    own = key in topic.config
    path: Path = ("topics", index, "config", key) if own else ("topic_defaults", "config", key)
    text = topic.config.get(key, spec.topic_defaults.config.get(key, "1"))
    if not _WHOLE_NUMBER.fullmatch(text):
        yield Finding(path, f"must be a whole number from 1 on, not {text!r}", "2 is common with 3 replicas")
    elif int(text) > factor:
        message = f"{text} in-sync replicas are demanded of topic {topic.name!r}, which has {factor}"
        yield Finding(path, f"{message}: every write with acks=all would fail", "lower it, or raise replication_factor")


def topic_names(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Names Kafka accepts, each once, none colliding in metric names (`a.b` and `a_b`), none internal."""
    seen: dict[str, str] = {}
    for index, topic in enumerate(spec.topics):
        path: Path = ("topics", index, "name")
        folded = topic.name.replace(".", "_")
        if topic.name in (".", ".."):
            yield Finding(
                path, f"{topic.name!r} cannot be a topic's name: it means a directory", "give it another name"
            )
        elif topic.name.startswith("__"):
            yield Finding(path, f"{topic.name!r} is a name for Kafka's own internal topics", "drop the underscores")
        elif seen.get(folded) == topic.name:
            yield Finding(path, f"topic {topic.name!r} is already in the list", "remove one of the two")
        elif folded in seen:
            message = (
                f"{topic.name!r} collides with {seen[folded]!r}: Kafka treats '.' and '_' as the same in metric names"
            )
            yield Finding(path, message, "rename one of the two")
        seen.setdefault(folded, topic.name)


def reserved_properties(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys the program decides itself are not overridden behind its back."""
    places: list[tuple[Path, dict[str, str], dict[str, str]]] = [
        (("zookeeper", "properties"), spec.zookeeper.properties, RESERVED_ZOOKEEPER),
        (("brokers", "properties"), spec.brokers.properties, RESERVED_BROKER),
    ]
    places += [
        (("brokers", "overrides", broker, "properties"), override.properties, RESERVED_BROKER)
        for broker, override in spec.brokers.overrides.items()
    ]
    for path, properties, reserved in places:
        for key in properties:
            owner = next((text for prefix, text in reserved.items() if _is_reserved(key, prefix)), None)
            if owner:
                message = f"this property is decided by {owner}, so that every part of the cluster agrees on it"
                yield Finding((*path, key), message, "remove it", at_key=True)


def _is_reserved(key: str, pattern: str) -> bool:
    return key.startswith(pattern) if pattern.endswith(".") else key == pattern


def overrides(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Overrides are for brokers that exist."""
    for broker in spec.brokers.overrides:
        if broker > spec.brokers.nodes:
            message = f"there is no broker {broker}: brokers.nodes is {spec.brokers.nodes}"
            yield Finding(("brokers", "overrides", broker), message, "raise brokers.nodes, or remove it", at_key=True)


def ports(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Every node's port exists, and no two nodes want the same."""
    spans: dict[str, range] = {}
    for section, port, nodes in (
        ("zookeeper", spec.zookeeper.port, spec.zookeeper.nodes),
        ("brokers", spec.brokers.port, spec.brokers.nodes),
    ):
        if not isinstance(port, int):
            continue
        span = range(port, port + nodes)
        if span[-1] > LAST_PORT:
            message = f"{nodes} nodes from port {port} on go beyond {LAST_PORT}"
            yield Finding((section, "port"), message, "start lower, or use auto")
        for other, taken in spans.items():
            if shared := sorted(set(span) & set(taken)):
                # at brokers.port if the file sets it; else it is the default, and the file has only the other
                (here, mine), (there, theirs) = ((section, span), (other, taken))
                if "port" not in spec.brokers.model_fields_set:
                    (here, mine), (there, theirs) = (there, theirs), (here, mine)
                message = f"port {shared[0]} is also a port of {there} ({_span(theirs)}); {here} takes {_span(mine)}"
                yield Finding((here, "port"), message, "move one of the two apart")
        spans[section] = span


def _span(span: range) -> str:
    return str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"


def memory(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A container has room for the heap and for what the JVM needs beside it."""
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
    """A data directory is not the root of a disk, and Kafka can name it."""
    if "," in spec.storage:
        yield Finding(("storage",), "a comma separates directories for Kafka", "name a directory without one")
    if spec.storage not in ("volume", "memory") and posixpath.normpath(spec.storage) in ("/", "//"):
        yield Finding(("storage",), "data cannot be kept in the root directory", "name a directory of its own")


RULES: tuple[tuple[Rule, tuple[Path, ...]], ...] = (
    (version, (("kafka", "version"), ("kafka", "mode"))),
    (controllers, (("controllers",), ("kafka", "mode"))),
    (runtime, (("runtime",), ("kafka", "distribution"), ("kafka", "image"))),
    (
        replication,
        (("brokers", "nodes"), ("topics", ANY, "replication_factor"), ("topics", ANY, "config"), ("topic_defaults",)),
    ),
    (topic_names, ()),
    (reserved_properties, ()),
    (overrides, (("brokers", "nodes"),)),
    (ports, (("brokers", "nodes"), ("brokers", "port"), ("zookeeper", "nodes"), ("zookeeper", "port"))),
    (memory, (("brokers", "memory"), ("brokers", "heap"), ("brokers", "overrides"))),
    (storage, (("storage",),)),
)
