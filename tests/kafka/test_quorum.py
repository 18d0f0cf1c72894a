"""What is made of a description of the KRaft quorum: who lags, and who has been heard of."""

import threading
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kafka.protocol.admin import DescribeQuorumRequest, DescribeQuorumResponse

from provision.kafka.access import Access
from provision.kafka.quorum import CAUGHT_UP_MS, Quorum, ask_for_quorum, describe_quorum
from tests.kafka.scripted import listening

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


NOT_CONTROLLER = 41


def described(leader: int, *, code: int = 0, partition_code: int = 0) -> Any:  # noqa: ANN401 the library's classes
    """Two voters of which the second never had all, as a broker tells it."""
    topic: Any = DescribeQuorumResponse.TopicData
    partition = topic.PartitionData
    voters = [
        partition.ReplicaState(
            replica_id=voter, log_end_offset=9, last_fetch_timestamp=fetched, last_caught_up_timestamp=caught_up
        )
        for voter, fetched, caught_up in ((1, 7, 6), (2, 5, -1))
    ]
    told = partition(
        partition_index=0, error_code=partition_code, leader_id=leader, leader_epoch=3, high_watermark=8,
        current_voters=voters, observers=[],
    )  # fmt: skip
    return DescribeQuorumResponse(error_code=code, topics=[topic(topic_name="__cluster_metadata", partitions=[told])])


def always(answer: Any, _request: Any) -> Any:  # noqa: ANN401 see above
    return answer


TOLD = Quorum(1, {1: 7, 2: 5}, {1: 6, 2: -1})


def test_what_the_active_controller_notes_of_the_metadata_is_asked_for() -> None:
    with listening(DescribeQuorumRequest, partial(always, described(1))) as broker:
        assert describe_quorum(Access.at(broker.address), -1) == TOLD
    (request,) = broker.asked
    assert [(t.topic_name, [p.partition_index for p in t.partitions]) for t in request.topics] == [
        ("__cluster_metadata", [0])
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(1, code=NOT_CONTROLLER), id="no controller"),
        pytest.param(described(1, partition_code=NOT_CONTROLLER), id="no leader of the metadata"),
        pytest.param(described(-1), id="a leader that is not known"),
        pytest.param(None, id="the connection ends"),
    ],
)
def test_an_answer_without_a_leader_tells_of_no_quorum(answer: Any) -> None:  # noqa: ANN401 see above
    with listening(DescribeQuorumRequest, partial(always, answer)) as broker:
        assert describe_quorum(Access.at(broker.address), -1) is None
    assert len(broker.asked) == 1


def test_the_first_answer_counts_and_no_broker_has_none() -> None:
    with ExitStack() as stack:
        brokers = [
            stack.enter_context(listening(DescribeQuorumRequest, partial(always, described(leader))))
            for leader in (-1, 1, 2)
        ]
        assert ask_for_quorum(Access.at(",".join(broker.address for broker in brokers))) == TOLD
        assert ask_for_quorum(Access.at(brokers[0].address)) is None
    assert ask_for_quorum(Access({})) is None


def test_silent_brokers_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    all_asked = threading.Barrier(4, timeout=30.0)
    monkeypatch.setattr("provision.kafka.quorum.describe_quorum", partial(describe_quorum, timeout_s=60.0))

    def wait_for_the_others(_request: object) -> None:
        all_asked.wait()  # one after the other, the first would wait for nobody

    with ExitStack() as stack:
        brokers = [stack.enter_context(listening(DescribeQuorumRequest, wait_for_the_others)) for _ in range(4)]
        assert ask_for_quorum(Access.at(",".join(broker.address for broker in brokers))) is None


def test_a_broker_that_does_not_answer_tells_of_no_quorum() -> None:
    assert describe_quorum(Access.at("127.0.0.1:1"), -1, timeout_s=0.2) is None
