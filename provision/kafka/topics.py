"""Topics: create, grow, configure, delete, and what is set on them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import kafka  # noqa: F401 the package first
from kafka.errors import KafkaError, KafkaTimeoutError, RequestTimedOutError

from provision.events import Listener, Progress, silent
from provision.kafka.settings import SettingsAdmin
from provision.kafka.translation import failures, translated
from provision.plan.observed import ObservedTopic
from provision.plan.topic_changes import Growth, PlacedTopic, TopicSettings

# KRaft refuses more than 10,000 partitions in a request; ZooKeeper mode makes about a hundred a second, and a request
# has 30 seconds.
_PARTITIONS_PER_REQUEST = 2000
_REQUEST_TIMED_OUT, _TOPIC_ALREADY_EXISTS, _UNKNOWN_TOPIC = 7, 36, 3
_INVALID_PARTITIONS, _POLICY_VIOLATION, _THROTTLING_QUOTA_EXCEEDED = 37, 44, 89
# What may go better in a smaller request: too much at once for the time, for a policy, or for a quota.
_TOO_MUCH = frozenset({_REQUEST_TIMED_OUT, _POLICY_VIOLATION, _THROTTLING_QUOTA_EXCEEDED})
_Item = TypeVar("_Item")
Answers = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """How a creation went: the topics that were there already, and the failures with Kafka's reasons."""

    existing: frozenset[str]
    failures: Mapping[str, str]


class TopicAdmin:
    """The topics of a cluster. What fails is returned by name with Kafka's reason; all else has been done."""

    def __init__(self, client: Any, settings: SettingsAdmin, timeout_ms: int) -> None:  # noqa: ANN401 see above
        self._client, self._settings, self._timeout_ms = client, settings, timeout_ms

    def create(self, placed: Sequence[PlacedTopic], tell: Listener = silent) -> Created:
        """Create topics in batches, with explicit replicas; tells how far it is when there are several.

        A topic that exists by now is no failure: an answer can be lost after the request was carried out, and a broker
        that has just come back does not know all topics yet.
        """
        existing: set[str] = set()
        failed: dict[str, str] = {}
        asked = 0
        for batch in _batches(placed, lambda item: item.topic.partitions):
            if asked or len(batch) < len(placed):
                tell(Progress("topics created", asked, len(placed)))
            asked += len(batch)
            with translated("creating topics"):
                answers = _halving(batch, self._create, lambda item: item.topic.name)
            existing |= {one["name"] for one in answers if one["error_code"] == _TOPIC_ALREADY_EXISTS}
            failed |= failures(answers, _TOPIC_ALREADY_EXISTS)
        return Created(frozenset(existing), failed)

    def _create(self, batch: Sequence[PlacedTopic]) -> Answers:
        topics = {
            item.topic.name: {
                "assignments": {number: list(replicas) for number, replicas in enumerate(item.assignment)},
                "configs": dict(item.topic.config),
            }
            for item in batch
        }
        answer = self._client.create_topics(topics, timeout_ms=self._timeout_ms, raise_errors=False)
        topics_answered: Answers = answer["topics"]
        return topics_answered

    def grow(self, growths: Mapping[str, Growth]) -> dict[str, str]:
        """Add partitions, with explicit replicas; returns the failures. A topic that has as many already is none."""
        failed: dict[str, str] = {}
        for batch in _batches(list(growths.items()), lambda item: len(item[1].assignment)):
            with translated("adding partitions"):
                failed |= failures(_halving(batch, self._grow, lambda item: item[0]))
        return failed

    def _grow(self, batch: Sequence[tuple[str, Growth]]) -> Answers:
        wanted = {
            name: {"count": growth.count, "assignments": [list(replicas) for replicas in growth.assignment]}
            for name, growth in batch
        }
        answer = self._client.create_partitions(wanted, timeout_ms=self._timeout_ms, raise_errors=False)
        results = [result.to_dict() for result in answer.results]
        counts = {name: growth.count for name, growth in batch}
        return [
            result | {"error_code": 0} if _is_done(result, counts[result["name"]]) else result for result in results
        ]

    def configure(self, settings: Mapping[str, TopicSettings]) -> dict[str, str]:
        """Set and take back settings, each alone: what is not named stays as it is. Returns the failures."""
        changes: dict[tuple[str, str], dict[str, str | None]] = {
            ("topic", name): {**wanted.values, **dict.fromkeys(wanted.reset)} for name, wanted in settings.items()
        }
        return {name: reason for (_, name), reason in self._settings.alter(changes).items()}

    def delete(self, names: Sequence[str]) -> dict[str, str]:
        """Delete topics; returns the failures. One that is gone is none."""
        with translated("deleting topics"):
            answer = self._client.delete_topics(list(names), timeout_ms=self._timeout_ms, raise_errors=False)
        return failures(answer["topics"], _UNKNOWN_TOPIC)

    def with_settings(self, topics: Sequence[ObservedTopic]) -> tuple[ObservedTopic, ...]:
        """The topics with what is set on each of them."""
        found = self._settings.describe("topic", [topic.name for topic in topics])
        return tuple(dataclasses.replace(topic, config=_set_on_topic(found.get(topic.name, {}))) for topic in topics)

    def minimum_in_sync(self, names: Sequence[str]) -> dict[str, int]:
        """`min.insync.replicas` as it holds for each topic, wherever it is set."""
        found = self._settings.describe("topic", names, ["min.insync.replicas"])
        return {name: int(entries["min.insync.replicas"]["value"]) for name, entries in found.items()}


def _halving(
    batch: Sequence[_Item], request: Callable[[Sequence[_Item]], Answers], name_of: Callable[[_Item], str]
) -> Answers:
    """The answers to a request, and to two smaller ones for what was too much at once; a single one is asked twice."""
    try:
        answers = request(batch)
    except (KafkaTimeoutError, RequestTimedOutError) as error:
        answers = [
            {"name": name_of(item), "error_code": _REQUEST_TIMED_OUT, "error_message": str(error)} for item in batch
        ]
    again = {answer["name"] for answer in answers if answer["error_code"] in _TOO_MUCH}
    rest = [item for item in batch if name_of(item) in again]
    if not rest:
        return answers
    settled = [answer for answer in answers if answer["name"] not in again]
    if len(batch) == 1:
        try:
            return request(batch)
        except KafkaError as error:
            return [{"name": name_of(batch[0]), "error_code": _REQUEST_TIMED_OUT, "error_message": str(error)}]
    middle = (len(rest) + 1) // 2
    halves = [half for half in (rest[:middle], rest[middle:]) if half]
    return [*settled, *(answer for half in halves for answer in _halving(half, request, name_of))]


def _is_done(result: Mapping[str, Any], count: int) -> bool:
    """Whether a refusal to grow means that an earlier request, whose answer was lost, has been carried out."""
    message = result.get("error_message") or ""
    return result["error_code"] == _INVALID_PARTITIONS and f"already has {count} partition" in message


def _batches(items: Sequence[_Item], partitions_of: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    partitions = 0
    for item in items:
        if batch and partitions + partitions_of(item) > _PARTITIONS_PER_REQUEST:
            yield batch
            batch, partitions = [], 0
        batch.append(item)
        partitions += partitions_of(item)
    if batch:
        yield batch


def _set_on_topic(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        key: str(entry["value"])
        for key, entry in sorted(entries.items())
        if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    }
