"""Broker properties that prevent a broker from starting or the cluster from working, or that are risky.

Sources: what `KafkaConfig` requires beyond its definitions, in the jars of 2.8, 3.8, 3.9 and 4.3; KIP-966 for eligible
leader replicas.
"""

from collections.abc import Iterator

from msgspec import Struct

from provision.catalogue.versions import KRAFT, KafkaVersion
from provision.spec.defaults import mode_of
from provision.spec.lint.known import BROKER, TOPIC, facts, line_of
from provision.spec.lint.settings import (
    FLUSHED_ONE_BY_ONE,
    UNCLEAN_ELECTION,
    Settings,
    brokers,
    is_reference,
    version_of,
)
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import Finding, RuleReads
from provision.spec.topics import FIRST_TO_CAP
from provision.spec.yaml_text import Path

MEBIBYTE = 1024**2
_NO_START = "a broker does not start with it"


_FETCH_WAIT = "replica.fetch.wait.max.ms"
_NOT_EXCEEDED = ("replica.lag.time.max.ms", "replica.socket.timeout.ms")
_BUFFERS = ("socket.send.buffer.bytes", "socket.receive.buffer.bytes")
_COMPRESSION, _PROTOCOLS = "compression.type", "group.coordinator.rebalance.protocols"
_RETENTION = ("log.retention.ms", "log.retention.minutes", "log.retention.hours")


def fetch_wait(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The fetch wait of replicas is within the limits that Kafka checks when a broker starts."""
    for settings in brokers(spec):
        wait, exceeded = settings.number(_FETCH_WAIT), dict[Path, list[str]]()
        for key in _NOT_EXCEEDED:
            place, limit = settings.place(_FETCH_WAIT, key), settings.number(key)
            if place and wait is not None and limit is not None and wait > limit:
                exceeded.setdefault(place, []).append(f"{key} ({limit})")
        for place, others in exceeded.items():
            message = f"{_FETCH_WAIT} ({wait}) exceeds {' and '.join(others)}: {_NO_START}"
            yield Finding(place, message, "bring them together")


def buffers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Socket buffers have a valid size, for which the definitions have no lower bound."""
    for settings in brokers(spec):
        for key in _BUFFERS:
            place, size = settings.place(key), settings.number(key)
            if place and size is not None and size < -1:
                hint = "-1 leaves it to the operating system"
                yield Finding(place, f"must be a whole number from -1 on, not '{size}'", hint)


def compression(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Up to 3.2 only the topic's definition has the valid names; a starting broker checks its own value against it."""
    for settings in brokers(spec):
        line, said = line_of(settings.version), settings.said(_COMPRESSION)
        of_broker, of_topic = facts(BROKER, _COMPRESSION, line), facts(TOPIC, _COMPRESSION, line)
        if said is None or is_reference(said[0]) or of_broker is None or of_broker.one_of or of_topic is None:
            continue
        if demand := of_topic.demand(said[0]):
            yield Finding(said[1], f"must be {demand}, not {said[0]!r}", f"Kafka's default is {of_topic.default}")


def protocols(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The consumer protocol exists only in KRaft mode: in ZooKeeper mode 3.8 and 3.9 do not start with it."""
    for settings in brokers(spec):
        said = settings.said(_PROTOCOLS)
        if said is None or mode_of(spec) == KRAFT or facts(BROKER, _PROTOCOLS, line_of(settings.version)) is None:
            continue
        if "consumer" in [part.strip().lower() for part in said[0].split(",")]:
            yield Finding(said[1], "the protocol consumer is there only in kraft mode", "take consumer out")


def heartbeats(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A KRaft broker sends heartbeats often enough. From 4.2 on Kafka logs an error otherwise, but starts."""
    beat_key, session_key = "broker.heartbeat.interval.ms", "broker.session.timeout.ms"
    for settings in brokers(spec):
        place = settings.place(beat_key, session_key)
        beat, session = settings.number(beat_key), settings.number(session_key)
        if place and mode_of(spec) == KRAFT and beat is not None and session is not None and beat * 2 > session:
            message = f"{beat_key} ({beat}) is more than half of {session_key} ({session})"
            hint = "raise the one, or lower the other" if place[-1] == session_key else "lower it"
            yield Finding(place, f"{message}: one late heartbeat, and the broker is fenced", hint, warning=True)


def starts(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Values that the definitions accept, but with which a broker does not start."""
    for settings in brokers(spec):
        # Kafka uses the first of these that is set.
        kept = next((key for key in _RETENTION if settings.said(key)), _RETENTION[0])
        place = settings.place(kept)
        if place and settings.number(kept) == 0:
            yield Finding(place, f"nothing would be kept: {_NO_START}", "-1 keeps all; else from 1 on")
        buffer, threads = settings.number("log.cleaner.dedupe.buffer.size"), settings.number("log.cleaner.threads")
        place = settings.place("log.cleaner.threads", "log.cleaner.dedupe.buffer.size")
        if place and threads == 0:
            yield Finding(place, f"nobody would clean: {_NO_START}", "from 1 on")
        elif place and buffer is not None and threads and buffer // threads <= MEBIBYTE:
            message = f"{buffer} bytes of log.cleaner.dedupe.buffer.size are not more than 1 MiB for each of {threads}"
            yield Finding(
                place, f"{message} log.cleaner.threads: {_NO_START}", "raise the buffer, or have fewer threads"
            )
        queued, request = settings.number("queued.max.request.bytes"), settings.number("socket.request.max.bytes")
        place = settings.place("queued.max.request.bytes", "socket.request.max.bytes")
        if place and queued is not None and request is not None and 0 < queued < request:
            message = f"queued.max.request.bytes ({queued}) is less than socket.request.max.bytes ({request})"
            yield Finding(place, f"{message}: {_NO_START}", "raise the one, or lower the other")


class _Internal(Struct, frozen=True):
    """One of Kafka's own topics: the keys of its replicas and in-sync replicas, and what fails without it."""

    factor: str
    in_sync: str
    without: str


_OFFSETS = _Internal("offsets.topic.replication.factor", "min.insync.replicas", "no consumer group can commit")
_INTERNAL = (
    _OFFSETS,
    _Internal("transaction.state.log.replication.factor", "transaction.state.log.min.isr", "no transaction works"),
    _Internal(
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr",
        "no share group works",
    ),
)
_DEFAULT_FACTOR = _Internal("default.replication.factor", "min.insync.replicas", "no topic is made automatically")


def replicas(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Kafka's own topics can be created and written to, and stay available during the restart of a broker."""
    count = spec.brokers.nodes
    for settings in brokers(spec):
        for topic in (*_INTERNAL, _DEFAULT_FACTOR):
            factor, place = settings.number(topic.factor), settings.place(topic.factor)
            if place and factor and factor > count:
                message = f"{factor} replicas need {factor} brokers, brokers.nodes is {count}: {topic.without}"
                yield Finding(place, message, "lower it, or raise brokers.nodes")
            elif place and factor == 1 and count > 1 and topic is not _DEFAULT_FACTOR:
                message = f"one replica on {count} brokers: while the one that has it is away, {topic.without}"
                yield Finding(place, message, f"{min(3, count)} replicas survive that", warning=True)
        for topic in _INTERNAL:
            yield from _in_sync(settings, topic)


def _in_sync(settings: Settings, topic: _Internal) -> Iterator[Finding]:
    factor, demanded = settings.number(topic.factor), settings.number(topic.in_sync)
    place = settings.place(topic.in_sync, topic.factor)
    if place is None or factor is None or demanded is None or factor > settings.spec.brokers.nodes:
        return
    if demanded > factor and settings.version < FIRST_TO_CAP:
        message = f"{topic.in_sync} ({demanded}) exceeds {topic.factor} ({factor}): {topic.without}"
        yield Finding(place, message, "lower the one, or raise the other")
    elif demanded >= factor > 1 and settings.said(topic.in_sync):
        message = f"{topic.in_sync} ({demanded}) demands all {factor} of {topic.factor}: while one broker restarts"
        yield Finding(place, f"{message}, {topic.without}", f"{factor - 1} lets one of them be away", warning=True)


_DANGERS = {
    ("unclean.leader.election.enable", "true"): UNCLEAN_ELECTION,
    ("log.flush.interval.messages", "1"): FLUSHED_ONE_BY_ONE,
    ("log.cleaner.enable", "false"): (
        "compacted topics are never compacted, __consumer_offsets among them: they grow without end",
        "remove it",
    ),
    ("controlled.shutdown.enable", "false"): (
        "a broker that stops does not hand over its leaders: every restart makes partitions unavailable",
        "remove it",
    ),
}


def dangers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Settings that work, but can lose records or block clients."""
    for settings in brokers(spec):
        for (key, value), (why, advice) in _DANGERS.items():
            said = settings.said(key)
            if said and said[0].strip().lower() == value:
                yield Finding(said[1], why, advice, warning=True)
        created = settings.said("auto.create.topics.enable")
        if created and created[0].strip().lower() == "true" and spec.topics:
            message = "a mistyped topic name silently creates a new topic"
            yield Finding(created[1], message, "set it to false", warning=True)


def deletion(spec: EnvironmentSpec) -> Iterator[Finding]:
    """With `prune`, the nodes that delete topics allow it: dedicated controllers, or else the brokers."""
    if not spec.prune:
        return
    key, hint = "delete.topic.enable", "remove it, or take `prune` out"
    asked = [settings.said(key) for settings in brokers(spec)]
    if spec.controllers.nodes:
        text = spec.controllers.properties.get(key)
        asked = [(text, ("controllers", "properties", key))] if text else []
    for said in asked:
        if said and said[0].strip().lower() == "false":
            yield Finding(said[1], "`prune` deletes topics, and Kafka would refuse to", hint)


def eligible_leader_replicas(spec: EnvironmentSpec) -> Iterator[Finding]:
    """From 4.1 on new clusters have eligible leader replicas, and `min.insync.replicas` is then cluster-wide."""
    version, key = version_of(spec), "min.insync.replicas"
    if version is None or version < KafkaVersion(4, 1, 0) or mode_of(spec) != KRAFT:
        return
    hint = f"set it on topics or topic_defaults, or in {_OWNER[bool(spec.controllers.nodes)]}"
    why = "from Kafka 4.1 on a new cluster takes it from the active controller"
    for broker, override in spec.brokers.overrides.items():
        if key in override.properties:
            path = ("brokers", "overrides", broker, "properties", key)
            yield Finding(path, f"{why}, so one broker cannot have its own", hint, warning=True)
    if spec.controllers.nodes and key in spec.brokers.properties and key not in spec.controllers.properties:
        yield Finding(("brokers", "properties", key), f"{why}, where this is not read", hint, warning=True)


_OWNER = {False: "brokers.properties", True: "controllers.properties"}


_KAFKA, _NODES = (("kafka", "version"), ("kafka", "mode")), ("brokers", "nodes")
_PROPERTIES = (("brokers", "properties"), ("brokers", "overrides"))
RULES: tuple[RuleReads, ...] = (
    (fetch_wait, (*_KAFKA, *_PROPERTIES)),
    (buffers, (*_KAFKA, *_PROPERTIES)),
    (compression, (*_KAFKA, *_PROPERTIES)),
    (protocols, (*_KAFKA, *_PROPERTIES)),
    (heartbeats, (*_KAFKA, *_PROPERTIES)),
    (starts, (*_KAFKA, *_PROPERTIES)),
    (replicas, (*_KAFKA, *_PROPERTIES, _NODES)),
    (dangers, (*_KAFKA, *_PROPERTIES, ("topics",))),
    (deletion, (*_KAFKA, *_PROPERTIES, ("prune",), ("controllers",))),
    (eligible_leader_replicas, (*_KAFKA, *_PROPERTIES, ("controllers",))),
)
