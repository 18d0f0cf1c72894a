"""Rules for the topics of an environment file."""

import re
import sys
from collections.abc import Iterator

from provision.catalogue.versions import KafkaVersion
from provision.common.counts import counted
from provision.spec.defaults import partitions_of, replication_factor_of
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import Finding
from provision.spec.yaml_text import Path

# From this version on, no more in-sync replicas are required than a partition has (KAFKA-15583); before, writes failed.
FIRST_TO_CAP = KafkaVersion(3, 7, 0)
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def replication(spec: EnvironmentSpec) -> Iterator[Finding]:
    """No more replicas than brokers, and no more in-sync replicas required than there are replicas."""
    brokers = _known_brokers(spec)
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
        elif factor <= brokers and (
            spec.bootstrap_servers is None or topic.replication_factor or topic.replicas or default
        ):
            yield from _minimum_in_sync(spec, index, factor)


def _known_brokers(spec: EnvironmentSpec) -> int:
    """The number of brokers; unknown for an external cluster until it answers."""
    return sys.maxsize if spec.bootstrap_servers else spec.brokers.nodes


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
        known = None if spec.bootstrap_servers else KafkaVersion.parse(spec.kafka.version)
        if known is None:
            why = f"up to Kafka 3.6 every write with acks=all fails, from 3.7 on only {factor} are demanded"
        elif known < FIRST_TO_CAP:
            why = "every write with acks=all would fail"
        else:
            why = f"Kafka {known} demands only {factor}"
        yield Finding(path, f"{message}: {why}", "lower it, or raise replication_factor")


def replicas(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Declared replicas cover every partition, equally many, on existing brokers, each broker once."""
    for index, topic in enumerate(spec.topics):
        if topic.replicas is None:
            continue
        path: Path = ("topics", index, "replicas")
        factor = replication_factor_of(spec, index)
        if len(topic.replicas) != partitions_of(spec, index):
            described, there = (counted("partition", n) for n in (len(topic.replicas), partitions_of(spec, index)))
            message = f"there are replicas for {described}, and {there}"
            yield Finding(path, message, "name the replicas of every partition, or leave `replicas` out")
        for number, brokers in enumerate(topic.replicas):
            place: Path = (*path, number)
            if len(brokers) != factor:
                message = f"partition {number} has {counted('replica', len(brokers))}, the others {factor}"
                yield Finding(place, message, "name equally many")
            if len(set(brokers)) != len(brokers):
                yield Finding(place, f"a broker holds one replica of partition {number} at most", "name each once")
            if not spec.bootstrap_servers and (unknown := set(brokers) - set(range(1, spec.brokers.nodes + 1))):
                message = f"there is no broker {min(unknown)}: brokers.nodes is {spec.brokers.nodes}"
                yield Finding(place, message, "name brokers that exist")


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
