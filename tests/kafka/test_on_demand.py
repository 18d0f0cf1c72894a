"""The admin client that is opened only when it is needed: what it asks itself, and what it leaves to the library."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import RequestTimedOutError
from kafka.protocol.admin import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from kafka.protocol.metadata import MetadataRequest
from kafka.structs import TopicPartition

from provision.kafka import on_demand
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, NotServing
from provision.kafka.on_demand import OnDemand
from provision.kafka.settings import Resource, ResourceType
from tests.kafka.scripted import listening

ACCESS = Access({1: "127.0.0.1:1", 2: "127.0.0.1:2"})
TOPICS = {"orders": {"assignments": {0: [2], 1: [1]}, "configs": {"retention.ms": 7}}}


class Library:
    """The library's client in its place: what was left to it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., str]:
        def answer(*_: object, **__: object) -> str:
            self.asked.append(name)
            return f"the library's {name}"

        return answer


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(on_demand, "admin_client", lambda *_: found)
    return found


class Brokers:
    """What the brokers answer, by the class of the request; an exception is raised."""

    def __init__(self, answers: Mapping[type, Any], controller: int = 2) -> None:
        self.answers = {MetadataRequest: SimpleNamespace(controller_id=controller), **answers}
        self.asked: list[tuple[int, Any]] = []

    def ask(self, _access: Access, broker: int, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 the library's classes
        """Instead of `provision.kafka.connection.ask`."""
        assert timeout_s > 0
        self.asked.append((broker, request))
        answer = self.answers[type(request)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of(self, kind: type) -> list[tuple[int, Any]]:
        """The requests of that class, each with the broker that was asked."""
        return [(broker, request) for broker, request in self.asked if isinstance(request, kind)]


def brokers(monkeypatch: pytest.MonkeyPatch, answers: Mapping[type, Any], controller: int = 2) -> Brokers:
    found = Brokers(answers, controller)
    monkeypatch.setattr(on_demand, "ask", found.ask)
    return found


def test_nothing_is_opened_that_is_not_needed(library: Library) -> None:
    OnDemand(ACCESS, 1.0).close()
    assert library.asked == []
    client = OnDemand(ACCESS, 1.0)
    assert client.describe_log_dirs(brokers=[1]) == "the library's describe_log_dirs"
    client.close()
    assert library.asked == ["describe_log_dirs", "close"]


# -- settings ---------------------------------------------------------------------------------------------------------


def _settings(asked: Any) -> DescribeConfigsResponse:  # noqa: ANN401 the library's class
    result = DescribeConfigsResponse.DescribeConfigsResult
    of = result.DescribeConfigsResourceResult
    synonym = of.DescribeConfigsSynonym(name="num.io.threads", value="8", source=5)
    entry = of(
        name="num.io.threads",
        value="16",
        read_only=False,
        config_source=2,
        is_sensitive=False,
        synonyms=[synonym] if asked.include_synonyms else [],
    )
    results = [
        result(error_code=0, error_message=None, resource_type=one.resource_type, resource_name=one.resource_name,
               configs=[entry])
        for one in asked.resources
    ]  # fmt: skip
    return DescribeConfigsResponse(throttle_time_ms=0, results=results)


@pytest.mark.parametrize("synonyms", [False, True])
def test_each_broker_describes_itself_and_anybody_a_topic(library: Library, *, synonyms: bool) -> None:
    with listening(DescribeConfigsRequest, _settings) as one, listening(DescribeConfigsRequest, _settings) as two:
        client = OnDemand(Access({1: one.address, 2: two.address}), 5.0)
        resources = [Resource(ResourceType.BROKER, name, None) for name in ("1", "2")]
        found = client.describe_configs(
            [*resources, Resource(ResourceType.TOPIC, "orders", {"a": None})], synonyms, "all"
        )
    entry = {
        "value": "16",
        "read_only": False,
        "config_source": "DYNAMIC_BROKER_CONFIG",
        "synonyms": [{"name": "num.io.threads", "value": "8", "source": "DEFAULT_CONFIG"}] if synonyms else [],
    }
    described = {"num.io.threads": entry}
    assert found == {"broker": {"1": described, "2": described}, "topic": {"orders": described}}
    asked = [[(r.resource_name, r.configuration_keys) for r in request.resources] for request in one.asked]
    assert asked == [[("1", None), ("orders", ["a"])]]
    assert [[r.resource_name for r in request.resources] for request in two.asked] == [["2"]]
    assert library.asked == []


@pytest.mark.parametrize("name", ["1", "7"])
def test_a_broker_that_is_silent_or_not_known_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, library: Library, name: str
) -> None:
    brokers(monkeypatch, {DescribeConfigsRequest: NotAnswering("not in time")})
    client = OnDemand(ACCESS, 1.0)
    found: object = client.describe_configs([Resource(ResourceType.BROKER, name, None)], False, "all")
    assert found == "the library's describe_configs"
    assert library.asked == ["describe_configs"]


# -- the controller ---------------------------------------------------------------------------------------------------


def _reassignments(error: int = 0) -> ListPartitionReassignmentsResponse:
    of = ListPartitionReassignmentsResponse.OngoingTopicReassignment
    partition = of.OngoingPartitionReassignment(
        partition_index=3, replicas=[1, 2], adding_replicas=[2], removing_replicas=[1]
    )
    return ListPartitionReassignmentsResponse(
        throttle_time_ms=0, error_code=error, error_message=None, topics=[of(name="orders", partitions=[partition])]
    )


def test_reassignments_are_asked_of_the_controller(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    found = brokers(monkeypatch, {ListPartitionReassignmentsRequest: _reassignments()})
    moves = OnDemand(ACCESS, 1.0).list_partition_reassignments()
    assert moves == {
        TopicPartition("orders", 3): {"replicas": [1, 2], "adding_replicas": [2], "removing_replicas": [1]}
    }
    assert [broker for broker, _ in found.of(ListPartitionReassignmentsRequest)] == [2]
    assert library.asked == []


def _created(**errors: int) -> CreateTopicsResponse:
    of = CreateTopicsResponse.CreatableTopicResult
    topics = [of(name=name, error_code=code, error_message="no" if code else None) for name, code in errors.items()]
    return CreateTopicsResponse(throttle_time_ms=0, topics=topics)


def _create(client: OnDemand) -> object:
    return client.create_topics(TOPICS, timeout_ms=1000, raise_errors=False)


@pytest.mark.parametrize("code", [0, 36, 44])
def test_topics_are_created_by_the_controller(monkeypatch: pytest.MonkeyPatch, library: Library, code: int) -> None:
    found = brokers(monkeypatch, {CreateTopicsRequest: _created(orders=code)})
    message = "no" if code else None
    assert _create(OnDemand(ACCESS, 1.0)) == {
        "topics": [{"name": "orders", "error_code": code, "error_message": message}]
    }
    ((broker, request),) = found.of(CreateTopicsRequest)
    (topic,) = request.topics
    assert broker == 2
    assert [(one.partition_index, one.broker_ids) for one in topic.assignments] == [(0, [2]), (1, [1])]
    assert [(one.name, one.value) for one in topic.configs] == [("retention.ms", "7")]
    assert library.asked == []


LEFT = {
    "another is the controller": (_created(orders=41), 2),
    "nobody is": (_created(orders=0), -1),
    "it is not reached": (_created(orders=0), 9),
    "it has just gone": (NotServing("reset"), 2),
}


@pytest.mark.parametrize(("answer", "controller"), LEFT.values(), ids=list(LEFT))
def test_what_the_controller_does_not_do_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, library: Library, answer: object, controller: int
) -> None:
    brokers(monkeypatch, {CreateTopicsRequest: answer}, controller)
    assert _create(OnDemand(ACCESS, 1.0)) == "the library's create_topics"
    assert library.asked == ["create_topics"]


def test_a_creation_that_takes_too_long_is_one_that_timed_out(
    monkeypatch: pytest.MonkeyPatch, library: Library
) -> None:
    brokers(monkeypatch, {CreateTopicsRequest: NotAnswering("it does not answer in time")})
    with pytest.raises(RequestTimedOutError, match="in time"):
        _create(OnDemand(ACCESS, 1.0))
    assert library.asked == []


def _deleted(**errors: int) -> DeleteTopicsResponse:
    of = DeleteTopicsResponse.DeletableTopicResult
    topics = [of(name=name, error_code=code, error_message="no" if code else None) for name, code in errors.items()]
    return DeleteTopicsResponse(throttle_time_ms=0, responses=topics)


def _delete(client: OnDemand) -> object:
    return client.delete_topics(["a", "b"], timeout_ms=1000, raise_errors=False)


def test_topics_are_deleted_by_the_controller(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    found = brokers(monkeypatch, {DeleteTopicsRequest: _deleted(a=0, b=73)})
    assert _delete(OnDemand(ACCESS, 1.0)) == {
        "topics": [
            {"name": "a", "error_code": 0, "error_message": None},
            {"name": "b", "error_code": 73, "error_message": "no"},
        ]
    }
    ((broker, request),) = found.of(DeleteTopicsRequest)
    assert (broker, request.topic_names) == (2, ["a", "b"])
    assert library.asked == []


@pytest.mark.parametrize(
    ("answer", "controller"), [(_deleted(a=41, b=41), 2), (_deleted(a=0), -1), (NotServing("reset"), 2)]
)
def test_a_deletion_that_the_controller_does_not_do_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, library: Library, answer: object, controller: int
) -> None:
    brokers(monkeypatch, {DeleteTopicsRequest: answer}, controller)
    assert _delete(OnDemand(ACCESS, 1.0)) == "the library's delete_topics"
    assert library.asked == ["delete_topics"]


class Groups:
    """Coordinators in their place, which answer so."""

    def __init__(self, answer: object) -> None:
        self.list_groups = lambda: answer
        self.describe_groups = self.delete_groups = lambda _names: answer


@pytest.mark.parametrize("answer", [[], {}, None])
def test_groups_are_left_to_the_library_where_the_brokers_have_no_answer(
    monkeypatch: pytest.MonkeyPatch, library: Library, answer: object
) -> None:
    monkeypatch.setattr(on_demand, "Coordinators", lambda *_: Groups(answer))
    client = OnDemand(ACCESS, 1.0)
    told = [client.list_groups(), client.describe_groups(["a"]), client.delete_groups(["a"])]
    methods = ["list_groups", "describe_groups", "delete_groups"]
    if answer is None:
        assert told == [f"the library's {name}" for name in methods]
        assert library.asked == methods
    else:
        assert told == [answer] * 3
        assert library.asked == []


@pytest.mark.parametrize("answer", [_reassignments(41), NotAnswering("no"), NotServing("no")])
def test_reassignments_that_are_not_told_are_asked_of_the_library(
    monkeypatch: pytest.MonkeyPatch, library: Library, answer: object
) -> None:
    brokers(monkeypatch, {ListPartitionReassignmentsRequest: answer})
    found: object = OnDemand(ACCESS, 1.0).list_partition_reassignments()
    assert found == "the library's list_partition_reassignments"
    assert library.asked == ["list_partition_reassignments"]
