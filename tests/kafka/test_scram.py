"""Requests about users with SCRAM, to a broker that answers as a test says."""

import hashlib
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kafka.protocol.admin import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
)

from provision.errors import KafkaRefused, Unavailable
from provision.kafka.access import Access
from provision.kafka.scram import ScramChange, alter_scram, describe_scram, scram_of
from tests.kafka.scripted import listening

NOT_CONTROLLER, DENIED, UNACCEPTABLE = 41, 31, 93
WORD = 'pa"ß wörd'


def described(users: dict[str, list[tuple[int, int]]], error: int = 0, of_one: int = 0) -> Any:  # noqa: ANN401
    result = DescribeUserScramCredentialsResponse.DescribeUserScramCredentialsResult
    return DescribeUserScramCredentialsResponse(
        throttle_time_ms=0,
        error_code=error,
        error_message=None,
        results=[
            result(
                user=user,
                error_code=of_one,
                error_message=None,
                credential_infos=[
                    result.CredentialInfo(mechanism=mechanism, iterations=iterations) for mechanism, iterations in some
                ],
            )
            for user, some in users.items()
        ],
    )


def test_all_users_are_read_with_their_mechanisms_and_those_unknown_here_left_out() -> None:
    answer = described({"app": [(1, 4096), (2, 8192)], "ops": [(9, 5000)]})
    with listening(DescribeUserScramCredentialsRequest, lambda _: answer) as broker:
        access = Access({1: broker.address})
        expected = {"app": {"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 8192}, "ops": {}}
        assert describe_scram(access) == scram_of(access, 1) == expected
    assert [request.users for request in broker.asked] == [None, None]


@pytest.mark.parametrize("answer", [described({}, DENIED), described({"app": []}, of_one=DENIED)])
def test_a_cluster_that_does_not_tell_says_so(answer: Any) -> None:  # noqa: ANN401
    with (
        listening(DescribeUserScramCredentialsRequest, lambda _: answer) as broker,
        pytest.raises(KafkaRefused) as caught,
    ):
        describe_scram(Access({1: broker.address}))
    assert caught.value.what == "reading users: Kafka denies this user permission"


def test_what_is_made_of_a_password_is_sent_and_not_the_password() -> None:
    result = AlterUserScramCredentialsResponse.AlterUserScramCredentialsResult
    answer = AlterUserScramCredentialsResponse(
        throttle_time_ms=0,
        results=[
            result(user="app", error_code=0, error_message=None),
            result(user="ops", error_code=UNACCEPTABLE, error_message="too many iterations"),
            result(user="gone", error_code=0, error_message=None),
        ],
    )
    changes = [
        ScramChange("app", "SCRAM-SHA-256", 4096, WORD),
        ScramChange("ops", "SCRAM-SHA-512", 16384, WORD, ("SCRAM-SHA-256",)),
        ScramChange("gone", remove=("SCRAM-SHA-256", "SCRAM-SHA-512")),
    ]
    with listening(AlterUserScramCredentialsRequest, lambda _: answer) as broker:
        assert alter_scram(Access({1: broker.address}), changes) == {"ops": "too many iterations"}
    (request,) = broker.asked
    assert [(row.name, row.mechanism) for row in request.deletions] == [("ops", 1), ("gone", 1), ("gone", 2)]
    for row, change, code, algorithm in zip(request.upsertions, changes, (1, 2), ("sha256", "sha512"), strict=False):
        assert (row.name, row.mechanism, row.iterations) == (change.user, code, change.iterations)
        assert bytes(row.salted_password) == hashlib.pbkdf2_hmac(
            algorithm, WORD.encode(), bytes(row.salt), change.iterations
        )
    first, second = request.upsertions
    assert first.salt != second.salt
    assert WORD not in repr(changes)


def told(codes: dict[str, int]) -> Any:  # noqa: ANN401
    """What a broker answers to changes of these users."""
    result = AlterUserScramCredentialsResponse.AlterUserScramCredentialsResult
    results = [result(user=user, error_code=code, error_message=None) for user, code in codes.items()]
    return AlterUserScramCredentialsResponse(throttle_time_ms=0, results=results)


def _always(answer: Any, _request: Any) -> Any:  # noqa: ANN401
    return answer


@pytest.mark.parametrize("controller", [0, 1, 2])
def test_in_zookeeper_mode_the_controller_is_found_wherever_it_is(controller: int) -> None:
    changes = [ScramChange("app", "SCRAM-SHA-256", 4096, WORD), ScramChange("gone", remove=("SCRAM-SHA-512",))]
    elsewhere = told({"app": NOT_CONTROLLER, "gone": NOT_CONTROLLER})
    answers = [told({"app": 0, "gone": DENIED}) if number == controller else elsewhere for number in range(3)]
    with ExitStack() as stack:
        brokers = [
            stack.enter_context(listening(AlterUserScramCredentialsRequest, partial(_always, answer)))
            for answer in answers
        ]
        access = Access({number: broker.address for number, broker in enumerate(brokers, start=1)})
        assert list(alter_scram(access, changes)) == ["gone"]
        assert [len(broker.asked) for broker in brokers] == [int(number <= controller) for number in range(3)]


def test_a_controller_that_moves_meanwhile_is_asked_for_what_is_left_and_what_was_refused_stays_told() -> None:
    answers = [told({"app": NOT_CONTROLLER, "gone": DENIED}), told({"app": 0})]
    changes = [ScramChange(user, "SCRAM-SHA-256", 4096, WORD) for user in ("app", "gone")]
    with listening(AlterUserScramCredentialsRequest, lambda _: answers.pop(0)) as broker:
        assert list(alter_scram(Access({1: broker.address}), changes)) == ["gone"]
    assert [[one.name for one in request.upsertions] for request in broker.asked] == [["app", "gone"], ["app"]]


def test_where_no_broker_is_the_controller_that_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.kafka.scram.REQUEST_TIMEOUT_S", 0.2)
    with listening(AlterUserScramCredentialsRequest, lambda _: told({"app": NOT_CONTROLLER})) as broker:
        refused = alter_scram(Access({1: broker.address}), [ScramChange("app", "SCRAM-SHA-256", 4096, WORD)])
    assert list(refused) == ["app"]
    assert len(broker.asked) > 1


def test_where_nobody_answers_that_is_told() -> None:
    with pytest.raises(Unavailable, match="reading users: no broker answers"):
        describe_scram(Access({1: "127.0.0.1:1"}))
