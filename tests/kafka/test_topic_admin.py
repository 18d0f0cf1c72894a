"""Topics through a scripted client: batches, halves of what was too much, and every topic's own failure."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError
from kafka.protocol.admin import DescribeConfigsResponse

from provision.cluster.model import Topic
from provision.errors import KafkaRefused, ProvisionError, Unavailable
from provision.events import Event, Progress
from provision.kafka.access import Access
from provision.kafka.settings import SettingsAdmin
from provision.kafka.topics import Created, TopicAdmin
from provision.plan.observed import ObservedPartition, ObservedTopic
from provision.plan.topic_changes import Growth, PlacedTopic, TopicSettings

TIMED_OUT, EXISTS, UNKNOWN, INVALID_PARTITIONS, INVALID_CONFIG, POLICY, QUOTA = 7, 36, 3, 37, 40, 44, 89
Codes = Callable[[Sequence[str]], Mapping[str, int]]
"""The error codes with which names are answered, 0 where one is left out; it may raise."""


def fine(_names: Sequence[str]) -> Mapping[str, int]:
    return {}


class Result:
    """An answer as `create_partitions` gives them."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def to_dict(self) -> dict[str, Any]:
        """As the library's own."""
        return self._content


class Results:
    """A response of `create_partitions`."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results


class Client:
    """Answers as it was told, and remembers what it was asked."""

    def __init__(self, codes: Codes = fine, messages: Mapping[str, str] | None = None) -> None:
        self.codes, self.messages = codes, messages or {}
        self.done: set[str] = set()
        self.asked: list[list[str]] = []
        self.requests: list[Any] = []

    def _answers(self, names: Sequence[str], request: object) -> list[dict[str, Any]]:
        self.asked.append(list(names))
        self.requests.append(request)
        codes = self.codes(names)
        self.done |= {name for name in names if not codes.get(name)}
        return [
            {"name": name, "error_code": codes.get(name, 0), "error_message": self.messages.get(name)} for name in names
        ]

    def create_topics(self, topics: Mapping[str, Any], *, timeout_ms: int, raise_errors: bool) -> dict[str, Any]:
        """The topics are keys."""
        assert (timeout_ms, raise_errors) == (1000, False)
        return {"topics": self._answers(list(topics), topics)}

    def delete_topics(self, names: Sequence[str], *, timeout_ms: int, raise_errors: bool) -> dict[str, Any]:
        """The topics are a list."""
        assert (timeout_ms, raise_errors) == (1000, False)
        return {"topics": self._answers(names, names)}

    def create_partitions(self, wanted: Mapping[str, Any], *, timeout_ms: int, raise_errors: bool) -> Results:
        """The topics are keys."""
        assert (timeout_ms, raise_errors) == (1000, False)
        return Results([Result(answer) for answer in self._answers(list(wanted), wanted)])


def admin_of(client: object) -> TopicAdmin:
    return TopicAdmin(client, SettingsAdmin(client), 1000)


def placed(*names: str, partitions: int = 1) -> list[PlacedTopic]:
    return [PlacedTopic(Topic(name, partitions, 1, {"a": "1"}), ((1,),) * partitions) for name in names]


# -- halves -----------------------------------------------------------------------------------------------------------


def halved(names: str, codes: Codes) -> tuple[list[str], dict[str, str]]:
    """The requests that are made to create topics, and what failed in the end; all others are made."""
    client = Client(codes)
    created = admin_of(client).create(placed(*names))
    assert created.existing == frozenset()
    assert client.done == set(names) - created.failures.keys()
    return ["".join(batch) for batch in client.asked], dict(created.failures)


def larger_than(count: int, code: int = TIMED_OUT) -> Codes:
    return lambda names: dict.fromkeys(names, code) if len(names) > count else {}


def too_late(count: int, error: type[Exception]) -> Codes:
    def codes(names: Sequence[str]) -> Mapping[str, int]:
        if len(names) > count:
            raise error("too late")
        return {}

    return codes


def test_one_request_is_enough_when_all_goes_well() -> None:
    assert halved("abcd", fine) == (["abcd"], {})


@pytest.mark.parametrize("code", [TIMED_OUT, POLICY, QUOTA])
def test_what_is_too_much_at_once_is_asked_in_halves(code: int) -> None:
    assert halved("abcd", larger_than(2, code)) == (["abcd", "ab", "cd"], {})
    assert halved("abc", larger_than(1, code)) == (["abc", "ab", "a", "b", "c"], {})


@pytest.mark.parametrize("error", [KafkaTimeoutError, RequestTimedOutError])
def test_a_request_without_an_answer_is_asked_in_halves(error: type[Exception]) -> None:
    assert halved("abcd", too_late(2, error)) == (["abcd", "ab", "cd"], {})


def test_only_what_was_too_much_is_asked_again() -> None:
    first = {"a": TIMED_OUT, "c": INVALID_CONFIG, "d": POLICY}
    asked, failed = halved("abcd", lambda names: first if len(names) == 4 else {})
    assert asked == ["abcd", "a", "d"]
    assert failed == {"c": "InvalidConfigurationError"}


def test_a_single_one_is_asked_twice_and_then_its_failure_is_told() -> None:
    assert halved("a", larger_than(0, POLICY)) == (["a", "a"], {"a": "PolicyViolationError"})
    assert halved("a", larger_than(0)) == (["a", "a"], {"a": "RequestTimedOutError"})
    for error in (KafkaTimeoutError, RequestTimedOutError):
        asked, failed = halved("a", too_late(0, error))
        assert asked == ["a", "a"]
        assert failed.keys() == {"a"}
        assert "too late" in failed["a"]


def test_one_that_never_works_holds_up_no_other() -> None:
    asked, failed = halved("abcd", lambda names: dict.fromkeys(names, TIMED_OUT) if "c" in names else {})
    assert failed == {"c": "RequestTimedOutError"}
    assert asked == ["abcd", "ab", "cd", "c", "c", "d"]


def test_an_error_of_another_kind_is_not_answered_with_more_requests() -> None:
    client = Client(too_late(0, NodeNotReadyError))
    with pytest.raises(Unavailable, match="creating topics: the brokers do not answer"):
        admin_of(client).create(placed("a", "b"))
    assert client.asked == [["a", "b"]]


# -- create -----------------------------------------------------------------------------------------------------------


def test_topics_are_created_with_their_replicas_and_settings() -> None:
    client = Client()
    topic = PlacedTopic(Topic("orders", 2, 2, {"retention.ms": "5"}), ((1, 2), (2, 1)))
    assert admin_of(client).create([topic]) == Created(frozenset(), {})
    assert client.requests == [{"orders": {"assignments": {0: [1, 2], 1: [2, 1]}, "configs": {"retention.ms": "5"}}}]


def test_failures_come_together_each_with_kafkas_reason() -> None:
    client = Client(
        lambda _names: {"a": INVALID_CONFIG, "b": POLICY, "d": EXISTS}, {"a": "Unknown topic config name: x"}
    )
    created = admin_of(client).create(placed("a", "b", "c", "d"))
    assert created.failures == {"a": "Unknown topic config name: x", "b": "PolicyViolationError"}
    assert created.existing == {"d"}


def test_a_topic_that_was_made_though_its_answer_was_lost_exists() -> None:
    made: set[str] = set()

    def codes(names: Sequence[str]) -> Mapping[str, int]:
        known = {name: EXISTS for name in names if name in made}
        made.update(names)
        if len(names) > 1:
            raise KafkaTimeoutError("too late")
        return known

    assert admin_of(Client(codes)).create(placed("a", "b")) == Created(frozenset("ab"), {})


def test_a_request_holds_so_many_partitions_and_it_is_told_how_far_it_is() -> None:
    client, told = Client(), list[Event]()
    admin_of(client).create(placed("a", "b", "c", partitions=900), told.append)
    assert client.asked == [["a", "b"], ["c"]]
    assert told == [Progress("topics created", 0, 3), Progress("topics created", 2, 3)]


def test_a_topic_larger_than_a_request_is_asked_alone_and_one_request_tells_nothing() -> None:
    client, told = Client(), list[Event]()
    admin_of(client).create(placed("a", partitions=3000), told.append)
    assert (client.asked, told) == ([["a"]], [])
    assert admin_of(client).create([]) == Created(frozenset(), {})
    assert client.asked == [["a"]]


def test_brokers_that_do_not_answer_are_told_as_such() -> None:
    with pytest.raises(Unavailable, match="creating topics: the brokers do not answer"):
        admin_of(Client(too_late(0, NodeNotReadyError))).create(placed("a"))


# -- grow, configure, delete ------------------------------------------------------------------------------------------


def test_partitions_are_added_with_their_replicas() -> None:
    client = Client()
    assert admin_of(client).grow({"a": Growth(4, ((1, 2), (2, 1)))}) == {}
    assert client.requests == [{"a": {"count": 4, "assignments": [[1, 2], [2, 1]]}}]


def test_partitions_that_were_added_though_the_answer_was_lost_are_no_failure() -> None:
    messages = {"a": "Topic already has 4 partitions.", "b": "Topic already has 5 partitions.", "c": "it is moving"}
    client = Client(lambda names: dict.fromkeys(names, INVALID_PARTITIONS), messages)
    growths = dict.fromkeys("abc", Growth(4, ((1,),)))
    assert admin_of(client).grow(growths) == {"b": messages["b"], "c": messages["c"]}


def test_adding_partitions_is_halved_too() -> None:
    client = Client(larger_than(1))
    assert admin_of(client).grow(dict.fromkeys("ab", Growth(2, ((1,),)))) == {}
    assert client.asked == [["a", "b"], ["a"], ["b"]]


def test_a_topic_that_is_gone_is_deleted() -> None:
    client = Client(lambda _names: {"a": UNKNOWN, "b": 29})
    assert admin_of(client).delete(["a", "b", "c"]) == {"b": "TopicAuthorizationFailedError"}


class ConfigClient:
    """Answers for settings: the outcome by name, or what is described."""

    def __init__(self, outcomes: Mapping[str, str], described: Mapping[str, Any] | None = None) -> None:
        self.outcomes, self.described = outcomes, described or {}
        self.altered: list[tuple[str, str, dict[str, tuple[str, str | None]]]] = []

    def alter_configs(self, resources: Sequence[Any], **options: object) -> dict[str, dict[str, str]]:
        """Each by its own outcome."""
        assert options == {"validate_only": False, "raise_on_unknown": False, "incremental": True}
        self.altered += [(one.resource_type.name, one.name, one.configs) for one in resources]
        return {"topic": {one.name: self.outcomes.get(one.name, "OK") for one in resources}}

    def describe_configs(self, resources: Sequence[Any], **options: object) -> dict[str, dict[str, Any]]:
        """Those it knows."""
        assert options == {"include_synonyms": False, "config_filter": "all"}
        return {"topic": {one.name: self.described[one.name] for one in resources if one.name in self.described}}


def test_settings_are_set_and_taken_back_each_alone() -> None:
    client = ConfigClient({"b": "Invalid value -5"})
    settings = {"a": TopicSettings({"x": "1"}, ("y",)), "b": TopicSettings({"z": "-5"})}
    assert admin_of(client).configure(settings) == {"b": "Invalid value -5"}
    assert client.altered == [
        ("TOPIC", "a", {"x": ("SET", "1"), "y": ("DELETE", None)}),
        ("TOPIC", "b", {"z": ("SET", "-5")}),
    ]


def entry(value: str, source: str) -> dict[str, object]:
    return {"value": value, "config_source": source}


def test_what_is_set_on_a_topic_is_told_and_what_it_inherits_is_not() -> None:
    described = {
        "a": {
            "x": entry("1", "DYNAMIC_TOPIC_CONFIG"),
            "y": entry("2", "DEFAULT_CONFIG"),
            "z": entry("3", "STATIC_BROKER_CONFIG"),
        }
    }
    topics = [ObservedTopic(name, (ObservedPartition(0, 1, (1,), (1,)),)) for name in ("a", "gone")]
    found = admin_of(ConfigClient({}, described)).with_settings(topics[:1])
    assert [(topic.name, topic.config) for topic in found] == [("a", {"x": "1"})]
    with pytest.raises(Unavailable, match="does not know gone yet"):  # no answer is not an answer of nothing
        admin_of(ConfigClient({}, described)).with_settings(topics)


def test_the_minimum_in_sync_is_told_wherever_it_is_set() -> None:
    described = {"a": {"min.insync.replicas": entry("2", "STATIC_BROKER_CONFIG")}, "b": {}}
    assert admin_of(ConfigClient({}, described)).minimum_in_sync(["a"]) == {"a": 2}
    with pytest.raises(Unavailable, match="does not know b yet"):  # it may need 2, too
        admin_of(ConfigClient({}, described)).minimum_in_sync(["a", "b"])


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        (0, Unavailable, "does not know gone yet"),  # the one that was asked again knows it by now
        (3, Unavailable, "does not know gone yet"),
        (-1, Unavailable, "does not know gone yet"),
        (41, Unavailable, "does not know gone yet"),
        (29, KafkaRefused, "denies this user permission"),
        (40, KafkaRefused, "Kafka refused"),
    ],
)
def test_why_a_resource_has_no_settings_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, code: int, expected: type[ProvisionError], said: str
) -> None:
    result = DescribeConfigsResponse.DescribeConfigsResult(
        error_code=code, error_message=None, resource_type=2, resource_name="gone", configs=[]
    )
    answer = DescribeConfigsResponse(throttle_time_ms=0, results=[result])
    monkeypatch.setattr("provision.kafka.settings.ask_any", lambda *_: answer)
    client = SimpleNamespace(describe_configs=lambda *_, **__: {"topic": {}})
    with pytest.raises(expected, match=said):
        SettingsAdmin(client, Access.at("127.0.0.1:9092")).describe("topic", ["gone"])
