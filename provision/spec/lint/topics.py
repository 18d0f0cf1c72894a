"""Topics that a restart makes unavailable, that can lose records, or that retain them longer or shorter than meant."""

from collections.abc import Iterator

from provision.spec.defaults import replication_factor_of
from provision.spec.lint.known import BROKER, TOPIC, whole_number
from provision.spec.lint.settings import FLUSHED_ONE_BY_ONE, UNCLEAN_ELECTION, Place, places, version_of
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import ANY, Finding, RuleReads
from provision.spec.topics import FIRST_TO_CAP
from provision.spec.yaml_text import Path

MIN_INSYNC = "min.insync.replicas"
_MINUTE_MS = 60_000
_REDUNDANT = 3
_TO_MS = {
    TOPIC: {"retention.ms": 1},
    BROKER: {"log.retention.ms": 1, "log.retention.minutes": _MINUTE_MS, "log.retention.hours": 60 * _MINUTE_MS},
}


def single_replicas(spec: EnvironmentSpec) -> Iterator[Finding]:
    """With several brokers a topic has more than one replica."""
    if spec.bootstrap_servers or spec.brokers.nodes == 1:
        return
    said: list[tuple[Path, int | None]] = [
        (("topic_defaults", "replication_factor"), spec.topic_defaults.replication_factor)
    ]
    for index, topic in enumerate(spec.topics):
        said.append((("topics", index, "replication_factor"), topic.replication_factor))
        said.append((("topics", index, "replicas"), len(topic.replicas[0]) if topic.replicas else None))
    for path, factor in said:
        if factor == 1:
            message = (
                f"one replica on {spec.brokers.nodes} brokers: when the one that has it is away, so are its records"
            )
            hint = f"{min(3, spec.brokers.nodes)} replicas survive that"
            yield Finding(path, message, hint, warning=True)


def in_sync(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Topics accept writes, even while a broker restarts, and an acknowledged record is on two brokers.

    `checks.replication` rejects excessive requirements of topics and topic_defaults; this one looks at the brokers'.
    """
    version = version_of(spec)
    if version is None:
        return
    everywhere = {
        ("topic_defaults", "config", MIN_INSYNC): spec.topic_defaults.config.get(MIN_INSYNC),
        ("brokers", "properties", MIN_INSYNC): spec.brokers.properties.get(MIN_INSYNC),
    }
    told: set[Path] = set()
    for index, topic in enumerate(spec.topics):
        own: dict[Path, str | None] = {("topics", index, "config", MIN_INSYNC): topic.config.get(MIN_INSYNC)}
        place, text = next(((path, text) for path, text in (own | everywhere).items() if text), ((), ""))
        demanded, factor = whole_number(text), replication_factor_of(spec, index)
        if demanded is None or place in told:
            continue
        if demanded > factor and place[0] == "brokers" and version < FIRST_TO_CAP:
            message = f"{demanded} in-sync replicas are demanded of topic {topic.name!r}, which has {factor}"
            hint = "lower it, or raise replication_factor"
            finding = Finding(place, f"{message}: every write with acks=all fails", hint)
        elif demanded == factor > 1 or (demanded > factor > 1 and place[0] == "brokers"):
            message = f"all {factor} replicas of topic {topic.name!r} must be in sync: while one broker restarts"
            hint = f"{factor - 1} lets one of them be away"
            finding = Finding(place, f"{message}, no write with acks=all works", hint, warning=True)
        elif demanded == 1 and factor >= _REDUNDANT:
            message = f"a record of topic {topic.name!r} may be acknowledged by one broker alone, and lost with it"
            finding = Finding(place, message, f"2 is common with {factor} replicas", warning=True)
        else:
            continue
        told.add(place)
        yield finding


def retention(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Records are not deleted before anyone reads them, and settings have an effect."""
    for place in places(spec):
        if place.section == TOPIC and _is_only_compacted(place):
            yield from _without_effect(place)
            continue
        for key, unit in _TO_MS[place.section].items():
            kept_ms = whole_number(place.properties.get(key))
            if kept_ms is not None and 0 <= kept_ms * unit < _MINUTE_MS and (place.section == TOPIC or kept_ms):
                message = f"records may be gone {kept_ms * unit} ms after they were written, read or not"
                yield Finding((*place.path, key), message, "a minute or more; 604800000 is Kafka's week", warning=True)
        if place.section == TOPIC:
            yield from _segments(place)


def _is_only_compacted(place: Place) -> bool:
    return [part.strip() for part in place.properties.get("cleanup.policy", "").split(",")] == ["compact"]


def _without_effect(place: Place) -> Iterator[Finding]:
    for key in ("retention.ms", "retention.bytes"):
        kept = whole_number(place.properties.get(key))
        if kept is not None and kept >= 0:
            message = "it means nothing to a topic that is only compacted"
            hint = "remove it, or set cleanup.policy to compact,delete"
            yield Finding((*place.path, key), message, hint, warning=True)


def _segments(place: Place) -> Iterator[Finding]:
    """Segments are no larger than retention: only whole segments are deleted, once closed or entirely too old."""
    config = place.properties
    for unit, least in (("ms", _MINUTE_MS), ("bytes", 0)):  # of less than a minute `retention` warns
        kept, segment = whole_number(config.get(f"retention.{unit}")), whole_number(config.get(f"segment.{unit}"))
        if kept is not None and segment is not None and least <= kept < segment:
            message = f"less than segment.{unit} ({segment}): records stay until their whole segment can go"
            yield Finding((*place.path, f"retention.{unit}"), message, f"lower segment.{unit}", warning=True)


def dangers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Settings with which topics lose acknowledged records, or flush each one separately."""
    for place in places(spec):
        if place.section != TOPIC:
            continue
        if place.properties.get("unclean.leader.election.enable", "").strip().lower() == "true":
            yield Finding((*place.path, "unclean.leader.election.enable"), *UNCLEAN_ELECTION, warning=True)
        if whole_number(place.properties.get("flush.messages")) == 1:
            yield Finding((*place.path, "flush.messages"), *FLUSHED_ONE_BY_ONE, warning=True)


_SINGLE = (("topics", ANY, "replication_factor"), ("topics", ANY, "replicas"))
_CONFIG = (("topic_defaults", "config"), ("topics", ANY, "config"))
RULES: tuple[RuleReads, ...] = (
    (single_replicas, (("brokers", "nodes"), ("topic_defaults", "replication_factor"), *_SINGLE)),
    (in_sync, (("brokers",), ("topics",), ("topic_defaults",))),
    (retention, _CONFIG),
    (dangers, _CONFIG),
)
