"""What is made of a description of the KRaft quorum: who lags, and who has been heard of."""

import pytest

from provision.kafka import quorum as module
from provision.kafka.access import Access
from provision.kafka.quorum import CAUGHT_UP_MS, Quorum, ask_for_quorum

NOW = 1_700_000_000_000
LATE = NOW - CAUGHT_UP_MS


def quorum(caught_up: dict[int, int], fetched: dict[int, int] | None = None, leader: int = 1) -> Quorum:
    """Voters of which the leader, 1, has just noted itself."""
    return Quorum(leader, {1: NOW, **dict.fromkeys(caught_up, NOW), **(fetched or {})}, {1: NOW, **caught_up})


@pytest.mark.parametrize(
    ("caught_up", "lacking"),
    [
        pytest.param({}, (), id="one voter"),
        pytest.param({2: NOW, 3: NOW}, (), id="all have all"),
        pytest.param({2: LATE, 3: NOW}, (), id="just in time"),
        pytest.param({2: LATE - 1, 3: NOW}, (2,), id="one lags"),
        pytest.param({3: LATE - 1, 2: 0}, (2, 3), id="two lag, in the order of their ids"),
        pytest.param({2: -1, 3: NOW}, (2,), id="one never had all"),
        pytest.param({1: -1, 2: NOW, 3: NOW}, (), id="the leader needs nothing"),
    ],
)
def test_who_lacks_something(caught_up: dict[int, int], lacking: tuple[int, ...]) -> None:
    assert quorum(caught_up).lacking() == lacking


def test_time_is_what_the_active_controller_noted_last_and_not_that_of_this_machine() -> None:
    assert quorum({2: 5}, {1: 10, 2: 7}).now_ms == 10
    assert Quorum(1, {1: 0, 2: 5}, {1: 0, 2: 5}).now_ms == 5
    assert Quorum(1, {1: CAUGHT_UP_MS, 2: 0}, {1: 0, 2: 0}).lacking() == ()
    assert Quorum(1, {}, {}).now_ms == -1
    assert Quorum(1, {}, {}).lacking() == ()


@pytest.mark.parametrize(
    ("voter", "since", "heard"),
    [
        pytest.param(1, NOW + 9, True, id="the leader"),
        pytest.param(2, NOW - 1, True, id="asked since"),
        pytest.param(2, NOW, False, id="asked at that very time"),
        pytest.param(2, NOW + 1, False, id="asked before"),
        pytest.param(3, 0, False, id="never asked"),
        pytest.param(4, NOW + 9, True, id="no voter"),
    ],
)
def test_who_has_been_heard_of(voter: int, since: int, *, heard: bool) -> None:
    assert quorum({}, {2: NOW, 3: -1}).heard_of(voter, since) is heard


def test_the_first_answer_counts_and_no_broker_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def describe(access: Access, broker: int) -> Quorum | None:
        address = access.brokers[broker]
        asked.append(address)
        return None if address == "a:1" else Quorum(1, {}, {})

    monkeypatch.setattr(module, "describe_quorum", describe)
    assert ask_for_quorum(Access.at("a:1,b:2,c:3")) == Quorum(1, {}, {})
    assert asked == ["a:1", "b:2"]
    assert ask_for_quorum(Access({})) is None
    assert ask_for_quorum(Access.at("a:1")) is None


def test_a_broker_that_does_not_answer_tells_of_no_quorum() -> None:
    assert module.describe_quorum(Access.at("127.0.0.1:1"), -1, timeout_s=0.2) is None
