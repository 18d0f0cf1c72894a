"""Changes inside a cluster, through kafka-python's admin client."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, for_code

from provision.errors import Unavailable
from provision.plan.actions import PlacedTopic
from provision.plan.observed import ObservedTopic

# KRaft refuses more than 10,000 partitions in a request; ZooKeeper mode makes about a hundred a second.
_PARTITIONS_PER_REQUEST = 2000
_TOPIC_ALREADY_EXISTS, _UNKNOWN_TOPIC = 36, 3


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """How a creation went: the topics that were there already, and the failures with Kafka's reasons."""

    existing: frozenset[str]
    failures: Mapping[str, str]


class Admin:
    """An admin connection, used as a context manager."""

    def __init__(self, client: Any, timeout_s: float) -> None:  # noqa: ANN401 the library is untyped
        self._client = client
        self._timeout_ms = int(timeout_s * 1000)

    def create_topics(self, placed: Sequence[PlacedTopic]) -> Created:
        """Create topics in batches, with explicit replicas.

        A topic that exists by now is no failure: an answer can be lost after the request was carried out, and a broker
        that has just come back does not know all topics yet.
        """
        existing: set[str] = set()
        failures: dict[str, str] = {}
        for batch in _batches(placed):
            topics = {
                item.topic.name: {
                    "assignments": {number: list(replicas) for number, replicas in enumerate(item.assignment)},
                    "configs": dict(item.topic.config),
                }
                for item in batch
            }
            with _translated("creating topics"):
                answer = self._client.create_topics(topics, timeout_ms=self._timeout_ms, raise_errors=False)
            existing |= {one["name"] for one in answer["topics"] if one["error_code"] == _TOPIC_ALREADY_EXISTS}
            failures |= _failures(answer["topics"], harmless=_TOPIC_ALREADY_EXISTS)
        return Created(frozenset(existing), failures)

    def delete_topics(self, names: Sequence[str]) -> dict[str, str]:
        """Delete topics; returns the failures, each topic with Kafka's reason. One that is gone is no failure."""
        with _translated("deleting topics"):
            answer = self._client.delete_topics(list(names), timeout_ms=self._timeout_ms, raise_errors=False)
        return _failures(answer["topics"], harmless=_UNKNOWN_TOPIC)

    def with_configs(self, topics: Sequence[ObservedTopic]) -> tuple[ObservedTopic, ...]:
        """The topics with what is set on each of them, in one request."""
        if not topics:
            return ()
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
        with _translated("reading the configuration of topics"):
            answer = self._client.describe_configs(resources, config_filter="all")
        found: Mapping[str, Mapping[str, Mapping[str, Any]]] = answer["topic"]
        return tuple(dataclasses.replace(topic, config=_set_on_topic(found.get(topic.name, {}))) for topic in topics)


@contextmanager
def connected(bootstrap_servers: str, timeout_s: float) -> Iterator[Admin]:
    """An `Admin` of the cluster behind `bootstrap_servers`, closed at the end.

    Raises:
        Unavailable: no broker answers within `timeout_s`.
    """
    with _translated(f"connecting to {bootstrap_servers}"):
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers.split(","),
            client_id="provision",
            bootstrap_timeout_ms=int(timeout_s * 1000),
            request_timeout_ms=int(timeout_s * 1000),
        )
    try:
        yield Admin(client, timeout_s)
    finally:
        client.close()


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, KeyError) as error:  # KeyError: a broker that answers while its cluster still forms
        why = str(error) or type(error).__name__
        raise Unavailable(
            f"{doing}: the brokers do not answer", why=why, hint="`provision status` shows them"
        ) from error


def _batches(placed: Sequence[PlacedTopic]) -> Iterator[list[PlacedTopic]]:
    batch: list[PlacedTopic] = []
    partitions = 0
    for item in placed:
        if batch and partitions + item.topic.partitions > _PARTITIONS_PER_REQUEST:
            yield batch
            batch, partitions = [], 0
        batch.append(item)
        partitions += item.topic.partitions
    if batch:
        yield batch


def _failures(answers: Iterable[Mapping[str, Any]], harmless: int) -> dict[str, str]:
    return {
        answer["name"]: answer.get("error_message") or for_code(answer["error_code"]).__name__
        for answer in answers
        if answer["error_code"] not in (0, harmless)
    }


def _set_on_topic(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        key: str(entry["value"])
        for key, entry in sorted(entries.items())
        if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    }
