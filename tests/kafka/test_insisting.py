"""Every change that Kafka refuses for a reason that passes is sent again, and only what was refused so."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import for_code
from kafka.protocol.admin import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
)

from provision.cluster.model import Topic
from provision.errors import Unavailable
from provision.kafka import insisting
from provision.kafka.access import Access
from provision.kafka.acls import create_acls, delete_acls
from provision.kafka.insisting import Refusal, insist, refusals
from provision.kafka.partitions import PartitionAdmin
from provision.kafka.quotas import alter_quotas
from provision.kafka.scram import ScramChange, alter_scram
from provision.kafka.settings import SettingsAdmin
from provision.kafka.topics import TopicAdmin
from provision.kafka.translation import reason_of
from provision.plan.topic_changes import Growth, PlacedTopic, TopicSettings
from provision.security.acls import Acl
from tests.kafka.scripted import listening
from tests.kafka.test_topic_admin import Result, Results

TIMED_OUT, DENIED, GONE, NOT_CONTROLLER, QUOTA = 7, 31, 3, 41, 89
# A session of ZooKeeper that has ended, no leader or no controller yet, a broker that comes back, a quota.
PASSING = (-1, 5, 8, 11, NOT_CONTROLLER, 77, QUOTA)
# Among them a topic that is gone, and what the library does not know.
LASTING = (DENIED, GONE, 40, 42, 44, 54, 87, 999)
NAMES = ("a", "b", "c")


class Kafka:
    """Refuses an item with the codes it was given for it, one at each request, and takes it from then on."""

    def __init__(self, codes: Mapping[str, Sequence[int]]) -> None:
        self._codes = {name: list(some) for name, some in codes.items()}
        self.asked: list[list[str]] = []

    def answer(self, names: Collection[str]) -> dict[str, int]:
        """The error codes of a request, by item."""
        self.asked.append(sorted(names))
        return {name: self._codes[name].pop(0) if self._codes.get(name) else 0 for name in names}


class Client:
    """The library's admin client, in front of such a Kafka."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def alter_configs(self, resources: Sequence[Any], **_: object) -> dict[str, dict[str, str]]:
        """As the library tells it."""
        codes = self._kafka.answer([one.name for one in resources])
        return {"topic": {name: str(for_code(code)(None)) if code else "OK" for name, code in codes.items()}}

    def create_topics(self, topics: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """As the library tells it."""
        codes = self._of_controller(topics)
        return {"topics": [{"name": name, "error_code": code} for name, code in codes.items()]}

    def _of_controller(self, names: Collection[str]) -> dict[str, int]:
        """Who is not the controller does nothing, and the library raises then."""
        codes = self._kafka.answer(names)
        if NOT_CONTROLLER in codes.values():
            raise RuntimeError("Failed to find active controller id!")
        return codes

    def delete_topics(self, names: Sequence[str], **_: object) -> dict[str, Any]:
        """As the library tells it."""
        return self.create_topics(dict.fromkeys(names))

    def create_partitions(self, wanted: Mapping[str, Any], **_: object) -> Any:  # noqa: ANN401 the library's classes
        """As the library tells it."""
        answers = [{"name": name, "error_code": code} for name, code in self._of_controller(wanted).items()]
        return Results([Result(answer) for answer in answers])

    def alter_partition_reassignments(self, wanted: Mapping[Any, Any], **_: object) -> dict[Any, Any]:
        """As the library tells it."""
        codes = self._of_controller([at.topic for at in wanted])
        return {at: for_code(codes[at.topic]) if codes[at.topic] else None for at in wanted}


def _topics(kafka: Kafka) -> TopicAdmin:
    client = Client(kafka)
    return TopicAdmin(client, SettingsAdmin(client), timeout_ms=1000)


def _settings(kafka: Kafka) -> Collection[str]:
    return _topics(kafka).configure(dict.fromkeys(NAMES, TopicSettings({"x": "1"}, ())))


def _create(kafka: Kafka) -> Collection[str]:
    return _topics(kafka).create([_placed(name) for name in NAMES]).failures


def _placed(name: str) -> PlacedTopic:
    return PlacedTopic(Topic(name, 1, 1, {}), ((1,),))


def _grow(kafka: Kafka) -> Collection[str]:
    return _topics(kafka).grow(dict.fromkeys(NAMES, Growth(2, ((1,),))))


def _delete(kafka: Kafka) -> Collection[str]:
    return _topics(kafka).delete(NAMES)


def _reassign(kafka: Kafka) -> Collection[str]:
    return PartitionAdmin(Client(kafka), timeout_ms=1000).reassign({name: {0: (1,)} for name in NAMES})


def _quotas(kafka: Kafka) -> Collection[str]:
    def answer(request: Any) -> Any:  # noqa: ANN401 the library's classes
        entry = AlterClientQuotasResponse.EntryData
        codes = kafka.answer([one.entity[0].entity_name for one in request.entries])
        entries = [
            entry(
                error_code=code,
                error_message=None,
                entity=[entry.EntityData(entity_type="user", entity_name=name)],
            )
            for name, code in codes.items()
        ]
        return AlterClientQuotasResponse(throttle_time_ms=0, entries=entries)

    with listening(AlterClientQuotasRequest, answer) as broker:
        access = Access({1: broker.address})
        refused = alter_quotas(access, {(("user", name),): {"producer_byte_rate": 1.0} for name in NAMES})
    return {str(entity[0][1]) for entity in refused}


def _scram(kafka: Kafka) -> Collection[str]:
    def answer(request: Any) -> Any:  # noqa: ANN401 the library's classes
        result = AlterUserScramCredentialsResponse.AlterUserScramCredentialsResult
        codes = kafka.answer([one.name for one in request.deletions])
        results = [result(user=name, error_code=code, error_message=None) for name, code in codes.items()]
        return AlterUserScramCredentialsResponse(throttle_time_ms=0, results=results)

    with listening(AlterUserScramCredentialsRequest, answer) as broker:
        return alter_scram(
            Access({1: broker.address}), [ScramChange(name, remove=("SCRAM-SHA-256",)) for name in NAMES]
        )


ACLS = {name: Acl(f"User:{name}", "topic", "t", "read") for name in NAMES}


def _create_acls(kafka: Kafka) -> Collection[str]:
    def answer(request: Any) -> Any:  # noqa: ANN401 the library's classes
        result = CreateAclsResponse.AclCreationResult
        codes = kafka.answer([one.principal.removeprefix("User:") for one in request.creations])
        results = [result(error_code=code, error_message=None) for code in codes.values()]
        return CreateAclsResponse(throttle_time_ms=0, results=results)

    with listening(CreateAclsRequest, answer) as broker:
        refused = create_acls(Access({1: broker.address}), list(ACLS.values()))
    return {name for name, acl in ACLS.items() if acl in refused}


def _delete_acls(kafka: Kafka) -> Collection[str]:
    def answer(request: Any) -> Any:  # noqa: ANN401 the library's classes
        result = DeleteAclsResponse.DeleteAclsFilterResult
        codes = kafka.answer([one.principal_filter.removeprefix("User:") for one in request.filters])
        results = [result(error_code=code, error_message=None, matching_acls=[]) for code in codes.values()]
        return DeleteAclsResponse(throttle_time_ms=0, filter_results=results)

    with listening(DeleteAclsRequest, answer) as broker:
        refused = delete_acls(Access({1: broker.address}), list(ACLS.values()))
    return {name for name, acl in ACLS.items() if acl in refused}


CHANGES: tuple[Callable[[Kafka], Collection[str]], ...] = (
    _settings,
    _create,
    _grow,
    _delete,
    _reassign,
    _quotas,
    _scram,
    _create_acls,
    _delete_acls,
)


OF_THE_CONTROLLER = (_create, _grow, _delete, _reassign)


@pytest.mark.parametrize("code", [code for code in PASSING if code != QUOTA])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_is_refused_for_a_while_is_made(change: Callable[[Kafka], Collection[str]], code: int) -> None:
    is_whole = code == NOT_CONTROLLER and change in OF_THE_CONTROLLER
    kafka = Kafka({"a": [code, code], "c": [DENIED] * (3 if is_whole else 1)})
    assert list(change(kafka)) == ["c"]
    assert kafka.asked == [["a", "b", "c"]] * 3 if is_whole else [["a", "b", "c"], ["a"], ["a"]]


@pytest.mark.parametrize("code", [*LASTING, TIMED_OUT])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_what_is_refused_for_good_is_told(change: Callable[[Kafka], Collection[str]], code: int) -> None:
    kafka = Kafka({"b": [code] * 9})
    is_done = change is _delete and code == GONE
    assert list(change(kafka)) == ([] if is_done else ["b"])
    again = [names for names in kafka.asked if names != ["a", "b", "c"]]
    assert len(again) <= 2  # smaller requests, where Kafka says that it was too much at once


def test_before_a_topic_is_sent_again_it_is_asked_whether_that_makes_sense() -> None:
    class Pointless(Exception):
        """It does not."""

    def check() -> None:
        raise Pointless

    kafka = Kafka({"a": [-1]})
    with pytest.raises(Pointless):
        _topics(kafka).create([_placed("a")], check=check)
    with pytest.raises(Pointless):
        _topics(Kafka({"a": [-1]})).grow({"a": Growth(2, ((1,),))}, check=check)
    assert kafka.asked == [["a"]]


codes = st.sampled_from((0, TIMED_OUT, *PASSING, *LASTING))


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(codes, max_size=3)))
def test_the_last_answer_about_each_is_what_counts(answers: dict[str, list[int]]) -> None:
    kafka = Kafka(answers)

    def send(names: Sequence[str], attempt: int) -> dict[str, Refusal]:
        assert len(kafka.asked) == attempt
        return {name: Refusal(code) for name, code in kafka.answer(names).items() if code}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(insisting, "_FIRST_PAUSE_S", 0.0)
        refused = insist(send, list(answers))
    last = {name: next((code for code in some if code not in PASSING), 0) for name, some in answers.items()}
    assert refused == {name: reason_of(code, None) for name, code in last.items() if code}


@pytest.mark.parametrize(("code", "most"), [(-1, 5), (NOT_CONTROLLER, 10**6)])
def test_what_does_not_pass_is_told_in_the_end(code: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insisting, "_FIRST_PAUSE_S", 0.0)
    kafka = Kafka({"a": [code] * 10**6})

    def send(names: Sequence[str], _attempt: int) -> dict[str, Refusal]:
        return {name: Refusal(code, "no session") for name, code in kafka.answer(names).items() if code}

    assert insist(send, "ab", 1.0) == {"a": "no session"}
    first, *again = kafka.asked
    assert first == ["a", "b"]
    assert {tuple(names) for names in again} == {("a",)}
    assert len(kafka.asked) <= most


def test_what_was_told_is_not_lost_if_nobody_answers_any_more() -> None:
    def send(names: Sequence[str], attempt: int) -> dict[str, Refusal]:
        if attempt:
            raise Unavailable("no broker answers")
        return {name: Refusal(code) for name, code in zip(names, (40, 11, 0), strict=True) if code}

    assert insist(send, NAMES) == {"a": "InvalidConfigurationError", "b": reason_of(11, None)}
    with pytest.raises(Unavailable):
        insist(lambda names, _: send(names, 1), NAMES)


def test_a_deletion_that_was_made_although_it_was_refused_is_made() -> None:
    kafka = Kafka({"a": [-1, 91], "b": [91]})
    assert list(_scram(kafka)) == ["b"]
    assert kafka.asked == [["a", "b", "c"], ["a"]]


def test_where_nothing_is_to_be_changed_nothing_is_sent() -> None:
    def send(_names: Sequence[str], _attempt: int) -> dict[str, Refusal]:
        raise AssertionError

    assert insist(send, []) == {}


numbers = st.integers(-1, 130)


@given(
    answers=st.lists(
        st.tuples(st.text("abc", min_size=1), numbers, st.none() | st.text()), unique_by=lambda one: one[0]
    ),
    harmless=st.lists(numbers, max_size=3),
)
def test_refusals_are_the_answers_with_an_error_that_matters(
    answers: list[tuple[str, int, str | None]], harmless: list[int]
) -> None:
    told = [{"name": name, "error_code": code, "error_message": message} for name, code, message in answers]
    fine = {0, *harmless}
    assert refusals(told, *harmless) == {n: Refusal(code, text) for n, code, text in answers if code not in fine}


def test_an_answer_without_a_message_has_a_reason_too() -> None:
    (refusal,) = refusals([{"name": "t", "error_code": 17}, {"name": "u", "error_code": 0}]).values()
    assert refusal.reason == "InvalidTopicError"
