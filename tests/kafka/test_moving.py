"""Reassignments on a Kafka in memory: the throttle comes first and goes last, whatever happens in between."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cluster.fingerprint import with_fingerprint
from provision.common.patience import Patience
from provision.errors import Interrupted, NotReady, PartlyApplied, ProvisionError, Unavailable
from provision.events import Event, Progress
from provision.home.place import Home
from provision.home.throttles import ThrottleNote
from provision.kafka.admin import Admin
from provision.kafka.moving import Watch, move, restore_throttle
from tests.fake_kafka import FakeAdmin, FakeKafka, Partition, SpokenRuntime, Topic
from tests.plan.world import cluster_of, files_of

LEADER, FOLLOWER = "leader.replication.throttled.rate", "follower.replication.throttled.rate"
LEADERS, FOLLOWERS = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
TARGETS = {"t": {0: (2, 3), 1: (2, 1)}}


class Moves:
    """A cluster with two topics, and the connection to it."""

    def __init__(self, kafka: FakeKafka, note: ThrottleNote) -> None:
        self.kafka, self.note = kafka, note
        self.admin: Admin = FakeAdmin(kafka)  # type: ignore[assignment]
        self.told: list[Event] = []

    def __call__(
        self,
        throttle: int | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        stalled_s: float = 5.0,
        sizes_every_s: float = 2.0,
    ) -> dict[str, str]:
        """Move what is to move."""
        watch = Watch(Patience(stalled_s), check, self.told.append, pause_s=0.01, sizes_every_s=sizes_every_s)
        return move(self.admin, self.kafka.cluster(), TARGETS, self.note, throttle, watch)

    @property
    def done(self) -> list[str]:
        """The calls that changed something."""
        return [what for what, _ in self.kafka.calls if what != "moving"]

    @property
    def settings(self) -> tuple[dict[int, dict[str, str]], dict[str, str]]:
        """What is set on the brokers, and on the topic that moves."""
        return {b: dict(v) for b, v in self.kafka.set_on_brokers.items() if v}, dict(self.kafka.topics["t"].config)


@pytest.fixture
def moves(tmp_path: Path) -> Moves:
    runtime, cluster = SpokenRuntime(), cluster_of()
    kafka = FakeKafka(runtime, "orders")
    for node in cluster.nodes:
        files = files_of(cluster, node.name)
        runtime.create_node(cluster, node, with_fingerprint(node.name, files))
        runtime.start_node("orders", node.name)
    kafka.topics = {
        "t": Topic([Partition((1, 2)), Partition((1, 2)), Partition((3,))], {"a": "1"}),
        "other": Topic([Partition((1,))]),
    }
    return Moves(kafka, Home.at(tmp_path / "home").throttle("orders"))


def test_without_a_throttle_nothing_is_set_or_noted(moves: Moves, tmp_path: Path) -> None:
    assert moves() == {}
    assert moves.done == ["reassign", "elect"]
    assert [partition.replicas for partition in moves.kafka.topics["t"].partitions] == [(2, 3), (2, 1), (3,)]
    assert not (tmp_path / "home").exists()


def test_the_throttle_is_noted_before_it_is_put_on_and_taken_back_at_the_end(moves: Moves) -> None:
    noted: list[bool] = []
    moves.kafka.on_call = lambda what, _about: noted.append(bool(moves.note.read("fake"))) if what != "moving" else None
    before = moves.settings
    moves(1000)
    assert moves.done == ["alter", "reassign", "alter", "elect"]
    assert noted == [True, True, True, False]
    assert moves.settings == before


def test_it_holds_for_every_broker_and_for_the_replicas_that_move(moves: Moves) -> None:
    moves(1000)
    (_, put_on), *_ = moves.kafka.calls
    rates = dict.fromkeys((LEADER, FOLLOWER), "1000")
    assert put_on == {
        ("broker", "1"): rates,
        ("broker", "2"): rates,
        ("broker", "3"): rates,
        ("topic", "t"): {LEADERS: "0:1,0:2,1:1,1:2", FOLLOWERS: "0:3"},
    }


def test_what_was_set_before_is_what_is_set_afterwards(moves: Moves) -> None:
    moves.kafka.set_on_brokers = {1: {LEADER: "7", "num.io.threads": "9"}, 3: {FOLLOWER: "8"}}
    moves.kafka.topics["t"].config[LEADERS] = "*"
    before = moves.settings
    moves(1000)
    assert (
        moves.settings
        == before
        == ({1: {LEADER: "7", "num.io.threads": "9"}, 3: {FOLLOWER: "8"}}, {"a": "1", LEADERS: "*"})
    )


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ProvisionError("a node has exited")])
def test_a_command_that_dies_leaves_the_note_and_the_next_one_takes_the_throttle_back(
    moves: Moves, error: BaseException
) -> None:
    def die() -> None:
        raise error

    before = moves.settings
    with pytest.raises((type(error), Interrupted)):
        moves(1000, check=die)
    assert moves.settings != before
    restore_throttle(moves.admin, moves.kafka.cluster(), ThrottleNote(moves.note.directory))
    assert moves.settings == before
    assert moves.note.read("fake") == {}


def test_the_older_note_wins_because_only_it_is_from_before_any_throttle(moves: Moves) -> None:
    moves.kafka.set_on_brokers = {1: {LEADER: "7"}}
    before = moves.settings
    for _ in range(2):
        with pytest.raises(Interrupted, match="interrupted"):
            moves(1000, check=interrupt)
    moves(2000)
    assert moves.settings == before


def test_a_throttle_that_was_left_goes_with_a_move_that_needs_none(moves: Moves) -> None:
    before = moves.settings
    with pytest.raises(Interrupted, match="interrupted"):
        moves(1000, check=interrupt)
    moves()
    assert moves.settings == before
    assert moves.note.read("fake") == {}


def test_the_note_of_another_cluster_is_nothing_to_take_back(moves: Moves) -> None:
    moves.note.write("gone", {("broker", "9"): {LEADER: "7"}})
    restore_throttle(moves.admin, moves.kafka.cluster(), moves.note)
    assert moves.done == []
    assert moves.note.read("gone") == {("broker", "9"): {LEADER: "7"}}  # it may be another living cluster of that name


def test_what_moves_is_told_until_all_has_arrived(moves: Moves) -> None:
    moves.kafka.paces = 2
    moves()
    assert moves.told == [Progress("partitions moved", 0, 2)] * 2
    assert moves.done == ["reassign", "elect"]


def test_moves_of_others_are_not_waited_for(moves: Moves) -> None:
    moves.kafka.paces = 10_000
    moves.kafka.topics["other"].partitions[0].target = (2,)
    moves.kafka.topics["t"].partitions[2].target = (1,)

    def arrive(what: str, _about: object) -> None:
        if what == "moving":
            for partition in moves.kafka.topics["t"].partitions[:2]:
                partition.replicas, partition.target = partition.target or partition.replicas, None

    moves.kafka.on_call = arrive
    moves()
    assert moves.kafka.topics["other"].partitions[0].target == (2,)


def test_when_nothing_moves_any_more_it_ends_and_kafka_goes_on_throttled(moves: Moves) -> None:
    moves.kafka.paces = 1_000_000
    with pytest.raises(NotReady, match="2 of 2 partitions have not arrived") as caught:
        moves(1000, stalled_s=0.05)
    assert caught.value.why == "nothing has moved for 0.05 s; the first is t-0"
    assert "`provision up` again" in caught.value.hint
    assert moves.done == ["alter", "reassign"]
    assert moves.note.read("fake")


def test_bytes_that_arrive_are_movement_too(moves: Moves) -> None:
    moves.kafka.paces = 30

    def grow(what: str, _about: object) -> None:
        if what == "moving":
            moves.kafka.topics["t"].partitions[0].arrived += 1

    moves.kafka.on_call = grow
    began = time.monotonic()
    moves(stalled_s=0.05, sizes_every_s=0.0)
    assert time.monotonic() - began > 5 * 0.05
    assert len(moves.told) == 30
    # Of the two partitions one is new on one broker, and the other is only led by another.
    assert moves.told[-1] == Progress("partitions moved", 0, 2, f"{1024 - 30} B to go")


def test_what_producers_add_is_no_movement(moves: Moves) -> None:
    moves.kafka.paces = 10_000

    def grow(what: str, _about: object) -> None:
        if what == "moving":
            moves.kafka.topics["t"].partitions[0].size += 1

    moves.kafka.on_call = grow
    with pytest.raises(NotReady, match="2 of 2 partitions have not arrived"):
        moves(stalled_s=0.05, sizes_every_s=0.0)


def test_a_controller_that_moves_is_asked_again(moves: Moves) -> None:
    silences = iter([True, True])

    def be_silent(what: str, _about: object) -> None:
        if what == "moving" and next(silences, False):
            raise Unavailable("the controller moves")

    moves.kafka.on_call = be_silent
    assert moves() == {}
    assert moves.done == ["reassign", "elect"]


def test_the_first_replica_of_every_moved_partition_is_elected(moves: Moves) -> None:
    moves()
    assert moves.kafka.calls[-1] == ("elect", {"t": [0, 1]})


def test_topics_that_kafka_refuses_to_move_are_returned_with_its_reason(moves: Moves) -> None:
    moves.kafka.refusals = {"t": "partition 0: InvalidReplicaAssignmentError"}
    assert moves() == {"t": "partition 0: InvalidReplicaAssignmentError"}


def test_without_the_throttle_that_was_asked_for_nothing_moves(moves: Moves) -> None:
    moves.kafka.refusals = {"2": "not authorized"}
    with pytest.raises(PartlyApplied, match="nothing was moved") as caught:
        moves(1000)
    assert caught.value.why == "broker 2: not authorized"
    assert moves.done == ["alter"]
    assert moves.note.read("fake"), "the other brokers have it"


def test_a_topic_that_takes_no_throttle_stays_and_the_others_move(moves: Moves) -> None:
    moves.kafka.refusals = {"t": "not authorized"}
    replicas: dict[str, dict[int, tuple[int, ...]]] = {"t": {0: (2, 3)}, "other": {0: (3,)}}
    watch = Watch(Patience(5.0), lambda: None, moves.told.append)
    failed = move(moves.admin, moves.kafka.cluster(), replicas, moves.note, 1000, watch)
    assert failed == {"t": "it could not be throttled: not authorized"}
    assert ("reassign", {"other": {0: (3,)}}) in moves.kafka.calls
    assert moves.kafka.topics["other"].partitions[0].replicas == (3,)


def test_a_list_that_the_metadata_would_not_keep_is_all_replicas(moves: Moves) -> None:
    moves.kafka.topics["t"] = Topic([Partition((1, 2)) for _ in range(5000)])
    replicas = {"t": dict.fromkeys(range(5000), (2, 3))}
    watch = Watch(Patience(5.0), lambda: None, moves.told.append)
    move(moves.admin, moves.kafka.cluster(), replicas, moves.note, 1000, watch)
    (_, put_on), *_ = moves.kafka.calls
    assert isinstance(put_on, dict)
    assert put_on["topic", "t"] == {LEADERS: "*", FOLLOWERS: "*"}


def test_what_cannot_be_taken_back_is_told_and_stays_noted(moves: Moves) -> None:
    with pytest.raises(Interrupted, match="interrupted"):
        moves(1000, check=interrupt)
    moves.kafka.refusals = {"3": "not authorized"}
    with pytest.raises(PartlyApplied, match="could not be removed") as caught:
        restore_throttle(moves.admin, moves.kafka.cluster(), moves.note)
    assert caught.value.why == "broker 3: not authorized"
    assert moves.note.read("fake")


def test_a_topic_that_is_gone_needs_nothing_taken_back(moves: Moves) -> None:
    with pytest.raises(Interrupted, match="interrupted"):
        moves(1000, check=interrupt)
    del moves.kafka.topics["t"]
    restore_throttle(moves.admin, moves.kafka.cluster(), moves.note)
    assert moves.note.read("fake") == {}
    assert not any(moves.kafka.set_on_brokers.values())
