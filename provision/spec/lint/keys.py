"""Every property exists in its version, and has a value that Kafka accepts.

Source: the jars of each release line (see `known`). Kafka ignores an unknown broker key, and rejects an unknown topic
key; keys it accepts beyond its own definitions are in `_BEYOND`.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

from provision.catalogue.versions import KRAFT, KafkaVersion
from provision.spec.defaults import mode_of
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
from provision.spec.rules import Finding, RuleReads

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
_NEAREST_OF = 50  # keys of a file: difflib is slow, and nobody reads more
_OTHER = {BROKER: TOPIC, TOPIC: BROKER}


def known(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys exist in the version and have valid values."""
    version = version_of(spec)
    if version is None:
        return
    beyond, alike = _beyond(spec), _Alike()
    for place in places(spec):
        for key, value in place.properties.items():
            if place.section == BROKER and (key in RESERVED_BROKER or key.startswith(beyond)):
                continue
            said = facts(place.section, key, line_of(version))
            if said is None:
                yield _not_there(spec, version, place, key, alike)
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


def _not_there(spec: EnvironmentSpec, version: KafkaVersion, place: Place, key: str, alike: "_Alike") -> Finding:
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
    return _unknown(spec, version, place, key, alike.to(key, section, line))


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
    topic_key = _topic_keys(line).get(key)
    return "this is a broker's key", f"a topic's is {topic_key}" if topic_key else "set it in brokers.properties"


@cache
def _topic_keys(line: int) -> Mapping[str, str]:
    """The topic's key for each broker's key that is its default."""
    found: dict[str, str] = {}
    for name in names(TOPIC, line):
        said = facts(TOPIC, name, line)
        if said and said.broker_key:
            found.setdefault(said.broker_key, name)
    return found


class _Alike:
    """The known key that resembles an unknown one somewhat, for the first unknown ones of a file."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def to(self, key: str, section: str, line: int) -> str:
        """A hint that names it; empty if there is none."""
        if key not in self._found and len(self._found) < _NEAREST_OF:
            alike = difflib.get_close_matches(key, names(section, line), n=1, cutoff=0.75)
            self._found[key] = f"the nearest is {alike[0]}" if alike else ""
        return self._found.get(key, "")


def _unknown(spec: EnvironmentSpec, version: KafkaVersion, place: Place, key: str, hint: str) -> Finding:
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


@lru_cache(maxsize=4096)
def _nearest(key: str, section: str, line: int) -> str | None:
    """The known key that differs from this one by one or two typing errors."""
    plain = _plain(key)
    slips = 2 if len(key) >= _LONG_NAME else 1
    lengths, letters = _by_length(section, line), _letters(plain)
    best, found = slips + 1, None
    for length in range(len(plain) - slips, len(plain) + slips + 1):
        for name, its_plain, its_letters in lengths.get(length, ()):
            if max((letters & ~its_letters).bit_count(), (its_letters & ~letters).bit_count()) > slips:
                continue  # each error exchanges one letter at most
            distance = _distance(plain, its_plain, slips)
            if distance < best or (distance == best <= slips and name < (found or name)):
                best, found = distance, name
    return found


@cache
def _by_length(section: str, line: int) -> Mapping[int, list[tuple[str, str, int]]]:
    """The keys of a line by the length of their plain form, each with that and its letters."""
    lengths = defaultdict(list)
    for name in names(section, line):
        plain = _plain(name)
        lengths[len(plain)].append((name, plain, _letters(plain)))
    return dict(lengths)


def _letters(text: str) -> int:
    """The set of letters in a text of ASCII, as bits."""
    bits = 0
    for letter in set(text):
        bits |= 1 << ord(letter)
    return bits


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
