"""Topics: create, grow, configure, delete, and read their settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import KafkaError, KafkaTimeoutError, RequestTimedOutError
from msgspec import Struct

from provision.common.counts import plural
from provision.common.values import replace
from provision.events import Listener, Progress, silent
from provision.kafka.insisting import Refusal, insist, refusals
from provision.kafka.settings import SettingsAdmin
from provision.kafka.translation import translated
from provision.plan.observed import ObservedTopic
from provision.plan.topic_changes import Growth, PlacedTopic, TopicSettings

# KRaft rejects more than 10,000 partitions in a request; ZooKeeper mode creates about a hundred a second, and a request
# times out after 30 seconds.
_PARTITIONS_PER_REQUEST = 2000
_REQUEST_TIMED_OUT, _TOPIC_ALREADY_EXISTS, _UNKNOWN_TOPIC = 7, 36, 3
_INVALID_PARTITIONS, _POLICY_VIOLATION, _THROTTLING_QUOTA_EXCEEDED = 37, 44, 89
# Errors that a smaller request may avoid: too much at once for the timeout, a policy, or a quota.
_TOO_MUCH = frozenset({_REQUEST_TIMED_OUT, _POLICY_VIOLATION, _THROTTLING_QUOTA_EXCEEDED})
_Item = TypeVar("_Item")
Answers = Sequence[Mapping[str, Any]]
Check = Callable[[], None]


def _nothing() -> None:
    """Check nothing."""


class Created(Struct, frozen=True):
    """The outcome of a creation: the topics that already existed, and the failures with Kafka's reasons."""

    existing: frozenset[str]
    failures: Mapping[str, str]


class TopicAdmin:
    """The topics of a cluster. Failures are returned by name with Kafka's reasons; everything else was done."""

    def __init__(self, client: Any, settings: SettingsAdmin, timeout_ms: int) -> None:  # noqa: ANN401 see above
        self._client, self._settings, self._timeout_ms = client, settings, timeout_ms

    def create(self, placed: Sequence[PlacedTopic], tell: Listener = silent, check: Check = _nothing) -> Created:
        """Create topics in batches, with explicit replicas; reports progress if there are several batches.

        A topic that already exists is no failure: a response can be lost after the request was carried out, and a
        broker that has just come back does not know all topics yet. `check` is called before anything is sent again,
        and raises if that is pointless.
        """
        existing: set[str] = set()
        failed: dict[str, str] = {}
        asked = 0
        for batch in _batches(placed, lambda item: item.topic.partitions):
            if asked or len(batch) < len(placed):
                tell(Progress(f"{plural('topic', len(placed))} created", asked, len(placed)))
            asked += len(batch)
            found, refused = self._create_all(batch, check)
            existing |= found
            failed |= refused
        return Created(frozenset(existing), failed)

    def _create_all(self, batch: Sequence[PlacedTopic], check: Check) -> tuple[set[str], dict[str, str]]:
        existing: set[str] = set()
        placed = {item.topic.name: item for item in batch}

        def send(left: Sequence[str], attempt: int) -> dict[str, Refusal]:
            if attempt:
                check()
            with translated("creating topics"):
                answers = _halving([placed[name] for name in left], self._create, lambda item: item.topic.name, check)
            existing.update(one["name"] for one in answers if one["error_code"] == _TOPIC_ALREADY_EXISTS)
            return refusals(answers, _TOPIC_ALREADY_EXISTS)

        return existing, insist(send, list(placed))

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

    def grow(self, growths: Mapping[str, Growth], check: Check = _nothing) -> dict[str, str]:
        """Add partitions, with explicit replicas; returns the failures. A topic that already has them is no failure.

        `check` is as in `create`.
        """

        def send(left: Sequence[str], attempt: int) -> dict[str, Refusal]:
            if attempt:
                check()
            with translated("adding partitions"):
                batch = [(name, growths[name]) for name in left]
                return refusals(_halving(batch, self._grow, lambda item: item[0], check))

        failed: dict[str, str] = {}
        for batch in _batches(list(growths.items()), lambda item: len(item[1].assignment)):
            failed |= insist(send, [name for name, _ in batch])
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
        """Set and remove settings incrementally: others are left alone. Returns the failures."""
        changes: dict[tuple[str, str], dict[str, str | None]] = {
            ("topic", name): {**wanted.values, **dict.fromkeys(wanted.reset)} for name, wanted in settings.items()
        }
        return {name: reason for (_, name), reason in self._settings.alter(changes).items()}

    def delete(self, names: Sequence[str]) -> dict[str, str]:
        """Delete topics; returns the failures. A topic that does not exist is no failure."""

        def send(left: Sequence[str], _: int) -> dict[str, Refusal]:
            with translated("deleting topics"):
                answer = self._client.delete_topics(list(left), timeout_ms=self._timeout_ms, raise_errors=False)
            return refusals(answer["topics"], _UNKNOWN_TOPIC)

        return insist(send, list(dict.fromkeys(names)))

    def with_settings(self, topics: Sequence[ObservedTopic]) -> tuple[ObservedTopic, ...]:
        """The topics with the settings of each."""
        found = self._settings.describe("topic", [topic.name for topic in topics])
        return tuple(replace(topic, config=_set_on_topic(found.get(topic.name, {}))) for topic in topics)

    def minimum_in_sync(self, names: Sequence[str]) -> dict[str, int]:
        """The effective `min.insync.replicas` of each topic, wherever it is set."""
        found = self._settings.describe("topic", names, ["min.insync.replicas"])
        return {name: int(entries["min.insync.replicas"]["value"]) for name, entries in found.items()}


def _halving(
    batch: Sequence[_Item],
    request: Callable[[Sequence[_Item]], Answers],
    name_of: Callable[[_Item], str],
    check: Check,
) -> Answers:
    """Send a request, and two smaller ones for what was too much at once; a single item is retried once."""
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
    check()
    settled = [answer for answer in answers if answer["name"] not in again]
    if len(batch) == 1:
        try:
            return request(batch)
        except KafkaError as error:
            return [{"name": name_of(batch[0]), "error_code": _REQUEST_TIMED_OUT, "error_message": str(error)}]
    middle = (len(rest) + 1) // 2
    halves = [half for half in (rest[:middle], rest[middle:]) if half]
    return [*settled, *(answer for half in halves for answer in _halving(half, request, name_of, check))]


def _is_done(result: Mapping[str, Any], count: int) -> bool:
    """Whether a rejected growth means that an earlier request, whose response was lost, was carried out."""
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
