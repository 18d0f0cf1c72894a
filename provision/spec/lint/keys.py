"""Every property exists in its version, and has a value that Kafka accepts.

Source: the jars of each release line (see `known`). Kafka ignores an unknown broker key, and rejects an unknown topic
key; keys it accepts beyond its own definitions are in `_BEYOND`.
"""

import difflib
from collections.abc import Iterator

from provision.catalogue.versions import KRAFT, KafkaVersion
from provision.spec.checks import Finding, RuleReads, mode_of
from provision.spec.lint.known import (
    BROKER,
    TOPIC,
    Facts,
    facts,
    is_beyond,
    line_name,
    line_of,
    lines,
    names,
    span,
)
from provision.spec.lint.settings import Place, is_reference, places, version_of
from provision.spec.lint.successors import INSTEAD
from provision.spec.model import EnvironmentSpec
from provision.spec.reserved import RESERVED_BROKER

# Read by broker plugins, or by parts of Kafka with their own prefix, and in no definition.
_BEYOND = (
    "listener.name.",
    "config.providers",
    "metrics.context.",
    "metrics.jmx.",
    "kafka.metrics.",
    "kafka.csv.metrics.",
    "super.users",
    "allow.everyone.if.no.acl.found",
    "authorizer.zookeeper.",
    "rsm.config.",
    "rlmm.config.",
)
_PREFIX_KEYS = ("remote.log.storage.manager.impl.prefix", "remote.log.metadata.manager.impl.prefix")
_ONLY_DYNAMIC = (
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
)
_ONLY_KRAFT = (
    "controller.quorum.",
    "metadata.log.",
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "initial.broker.registration.timeout.ms",
)
_ONLY_ZOOKEEPER = ("zookeeper.",)
_CHECKED_ELSEWHERE = {(TOPIC, "min.insync.replicas")}  # by `checks.replication`
_LONG_NAME = 10
_OTHER = {BROKER: TOPIC, TOPIC: BROKER}


def known(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys exist in the version and have valid values."""
    version = version_of(spec)
    if version is None:
        return
    beyond = _beyond(spec)
    for place in places(spec):
        for key, value in place.properties.items():
            if place.section == BROKER and (key in RESERVED_BROKER or key.startswith(beyond)):
                continue
            said = facts(place.section, key, line_of(version))
            if said is None:
                yield _not_there(spec, version, place, key)
            else:
                yield from _value(place, key, value, said)
                yield from _of_the_mode(spec, place, key)


def _beyond(spec: EnvironmentSpec) -> tuple[str, ...]:
    own = (place.properties.get(key, "") for place in places(spec) for key in _PREFIX_KEYS)
    return (*_BEYOND, *(prefix for prefix in own if prefix))


def _value(place: Place, key: str, value: str, said: Facts) -> Iterator[Finding]:
    if is_reference(value) or (place.section, key) in _CHECKED_ELSEWHERE:
        return  # a config provider's value is known to Kafka alone
    if demand := said.demand(value):
        hint = f"Kafka's default is {said.default}" if said.default else ""
        yield Finding((*place.path, key), f"must be {demand}, not {value!r}", hint)


def _of_the_mode(spec: EnvironmentSpec, place: Place, key: str) -> Iterator[Finding]:
    mode = mode_of(spec)
    foreign, other = (_ONLY_ZOOKEEPER, "zookeeper") if mode == KRAFT else (_ONLY_KRAFT, "kraft")
    if place.section == BROKER and key.startswith(foreign):
        yield Finding(
            (*place.path, key), f"it means nothing in {mode} mode, only in {other} mode", "remove it", at_key=True
        )


def _not_there(spec: EnvironmentSpec, version: KafkaVersion, place: Place, key: str) -> Finding:
    """Why a version lacks a key: it was removed, comes later, belongs elsewhere, or is a mistake."""
    path, section = (*place.path, key), place.section
    line = line_of(version)
    if elsewhere := span(section, key):
        message = _gone_or_to_come(version, line, elsewhere)
        return Finding(
            path, message, INSTEAD.get((section, key, elsewhere[1] < line), _or_version(elsewhere, line)), at_key=True
        )
    if section == BROKER and key in _ONLY_DYNAMIC:
        return Finding(
            path, "a broker takes it only while it runs", "set it with kafka-configs, or remove it", at_key=True
        )
    if facts(_OTHER[section], key, line):
        return Finding(path, *_of_something_else(section, key, line), at_key=True)
    if (near := _nearest(key, section, line)) and not is_beyond(version):
        return Finding(path, f"Kafka {version} has no such key", f"did you mean {near}?", at_key=True)
    return _unknown(spec, version, place, key)


def _gone_or_to_come(version: KafkaVersion, line: int, elsewhere: tuple[int, int]) -> str:
    first, last = elsewhere
    if last < line:
        return f"Kafka {version} has no such key: it was removed in {line_name(last + 1)}"
    return f"Kafka {version} has no such key: it is there from {line_name(first)} on"


def _or_version(elsewhere: tuple[int, int], line: int) -> str:
    first, last = elsewhere
    return "remove it" if last < line else f"remove it, or raise kafka.version to {line_name(first)} or later"


def _of_something_else(section: str, key: str, line: int) -> tuple[str, str]:
    if section == BROKER:
        said = facts(TOPIC, key, line)
        broker_key = said.broker_key if said else None
        return (
            "this is a topic's key",
            f"its default for all topics is {broker_key}" if broker_key else "set it on topics",
        )
    topic_key = next((name for name in names(TOPIC, line) if _broker_key(name, line) == key), None)
    return "this is a broker's key", f"a topic's is {topic_key}" if topic_key else "set it in brokers.properties"


def _broker_key(topic_key: str, line: int) -> str | None:
    said = facts(TOPIC, topic_key, line)
    return said.broker_key if said else None


def _unknown(spec: EnvironmentSpec, version: KafkaVersion, place: Place, key: str) -> Finding:
    alike = difflib.get_close_matches(key, list(names(place.section, line_of(version))), n=1, cutoff=0.75)
    hint = f"the nearest is {alike[0]}" if alike else ""
    path = (*place.path, key)
    apaches = spec.kafka.image is None and spec.kafka.distribution is None and not is_beyond(version)
    if place.section == TOPIC:
        message = f"Kafka {version} has no such key of a topic, and refuses to create one with it"
        return Finding(path, message, hint or "remove it", at_key=True, warning=not apaches)
    message = f"Kafka {version} has no such key: it is ignored, unless a plugin reads it"
    return Finding(path, message, hint, at_key=True, warning=True)


def unknown_of_reached(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The version of an external cluster is unknown: a key that no version has may be a mistake."""
    if not spec.bootstrap_servers:
        return
    newest = len(lines()) - 1
    for place in places(spec):
        for key in place.properties:
            if place.section == TOPIC and span(TOPIC, key) is None:
                near = _nearest(key, TOPIC, newest)
                hint = f"did you mean {near}?" if near else ""
                yield Finding((*place.path, key), "no version of Kafka has such a key", hint, at_key=True, warning=True)


def _nearest(key: str, section: str, line: int) -> str | None:
    """The known key that differs from this one by one or two typing errors."""
    plain = _plain(key)
    slips = 2 if len(key) >= _LONG_NAME else 1
    near = ((_distance(plain, _plain(name), slips), name) for name in names(section, line))
    best = min(near, default=(slips + 1, ""))
    return best[1] if best[0] <= slips else None


def _plain(key: str) -> str:
    return key.lower().replace("_", ".").replace("-", ".")


def _distance(one: str, other: str, limit: int) -> int:
    """The optimal string alignment distance; inexact above `limit`."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, mine in enumerate(one, start=1):
        here = [row]
        for column, theirs in enumerate(other, start=1):
            cost = min(last[column] + 1, here[-1] + 1, last[column - 1] + (mine != theirs))
            if row > 1 and column > 1 and mine == other[column - 2] and one[row - 2] == theirs:
                cost = min(cost, before[column - 2] + 1)
            here.append(cost)
        if min(here) > limit:
            return limit + 1
        before, last = last, here
    return last[-1]


RULES: tuple[RuleReads, ...] = (
    (known, (("kafka", "version"), ("kafka", "mode"))),
    (unknown_of_reached, (("bootstrap_servers",),)),
)
