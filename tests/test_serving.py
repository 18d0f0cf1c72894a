"""Topics are ready when their leaders serve them, and a broker that dies meanwhile says so: whichever command waits."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from provision.common.patience import Patience
from provision.errors import KafkaRefused, NodeFailed, NotReady, PartlyApplied, Unavailable
from provision.events import ActionDone, ActionFailed, ActionSkipped, ActionStarted, Event, silent
from provision.kafka.access import Access
from provision.kafka.levels import Level
from provision.kafka.readiness import BrokerAnswers
from provision.operations import topics as operations
from provision.operations.new_topic import NewTopic
from provision.operations.status import status, wait_for
from provision.operations.topics import KafkaCluster, apply_for, cluster_of, create_topic
from provision.pipeline import UpOptions
from provision.plan.observed import ObservedBroker, ObservedCluster, ObservedEnvironment
from provision.resources.registry import desired_resources
from tests.fake_kafka import Partition
from tests.fake_kafka import Topic as KeptTopic
from tests.test_converge import Living, living_in, topic

LOG = ["starting", "java.io.IOException: Too many open files", "Exiting Kafka"]


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    found = living_in(tmp_path, monkeypatch)
    monkeypatch.setattr(operations, "_CREATED_S", 0.4)
    return found


def by_up(living: Living) -> None:
    living.up(UpOptions(timeout_s=0.4), topics=[topic()])


def by_wait(living: Living) -> None:
    living.kafka.topics["t"] = KeptTopic([Partition((1, 2, 3))])
    wait_for(living.runtime, "living", Level.TOPICS, None, Patience(0.4), silent)


def by_apply(living: Living) -> None:
    desired = desired_resources(living.want(topics=[topic()]).source.load(silent), 3)
    apply_for(
        cluster_of(living.runtime, living.runtime.observe("living")), desired, living.home, patience=Patience(0.4)
    )


def by_hand(living: Living) -> None:
    create_topic(cluster_of(living.runtime, living.runtime.observe("living")), NewTopic("t", 3, 3, {}))


WAYS = pytest.mark.parametrize("way", [by_up, by_wait, by_apply, by_hand])
CREATING = pytest.mark.parametrize("way", [by_up, by_apply, by_hand])
Way = Callable[[Living], None]


@WAYS
def test_nobody_says_ready_before_the_leaders_serve_in_zookeeper_mode(living: Living, way: Way) -> None:
    living.settles()
    living.kafka.unserved = 10**6
    with pytest.raises(NotReady) as raised:
        way(living)
    assert raised.value.why.splitlines()[0] == "broker-1: it does not serve t-0 yet"
    living.kafka.unserved = 0
    assert status(living.runtime, "living").level is Level.TOPICS


@WAYS
def test_everybody_waits_until_they_serve(living: Living, way: Way) -> None:
    living.settles()
    living.kafka.unserved = 1
    way(living)
    assert living.kafka.unserved < 0


def test_the_status_is_not_ready_either(living: Living) -> None:
    living.settles(topics=[topic()])
    living.kafka.unserved = 1
    found = status(living.runtime, "living")
    assert found.level is Level.BROKERS
    assert set(found.missing.values()) == {"it does not serve t-0 yet"}


@CREATING
@pytest.mark.parametrize("answers", [True, False], ids=["the request is answered", "the request is not"])
def test_a_broker_that_dies_while_topics_are_made_is_told_with_its_reason(
    living: Living, way: Way, *, answers: bool
) -> None:
    living.settles()

    def die(what: str, _about: object) -> None:
        if what == ("created" if answers else "create"):
            living.runtime.exit_node("living", "broker-2", 1, LOG)
            if not answers:
                raise Unavailable("creating topics: the brokers do not answer")

    living.kafka.on_call = die
    with pytest.raises(NodeFailed) as raised:
        way(living)
    assert raised.value.what == "broker-2 exited with code 1"
    assert raised.value.log == tuple(LOG)
    assert "do not answer" not in str(raised.value)


def test_a_broker_that_dies_a_moment_after_its_connections_is_told_too(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    living.settles()
    observe, looks = living.runtime.observe, itertools.count()

    def observe_and_exit(name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        if next(looks) == 3:
            living.runtime.exit_node("living", "broker-2", 1, LOG)
        return observe(name, wanted)

    def die(what: str, _about: object) -> None:
        if what == "create":
            monkeypatch.setattr(living.runtime, "observe", observe_and_exit)
            raise Unavailable("creating topics: the brokers do not answer")

    living.kafka.on_call = die
    with pytest.raises(NodeFailed, match="broker-2 exited"):
        by_hand(living)


def test_topics_apply_starts_no_node_again(living: Living) -> None:
    living.settles()

    def die(what: str, _about: object) -> None:
        if what == "created":
            living.runtime.exit_node("living", "broker-2", 1, ["KeeperException$NodeExistsException"])

    living.kafka.on_call = die
    with pytest.raises(NodeFailed, match="broker-2 exited"):
        by_apply(living)


# -- what is said of brokers that are silent --------------------------------------------------------------------------


def brokers(*known: int) -> ObservedCluster:
    return ObservedCluster("id", 1, tuple(ObservedBroker(number, None) for number in known), ())


SILENCE = "it does not answer in time"


@pytest.mark.parametrize(
    ("answers", "what", "why"),
    [
        (BrokerAnswers({}, {1: SILENCE, 2: SILENCE}), "no broker of c answers", f"broker-1: {SILENCE}"),
        (
            BrokerAnswers({1: brokers(1, 2, 3), 2: brokers(1, 2, 3)}, {3: SILENCE}),
            "not every broker of c answers",
            f"broker-3: {SILENCE}",
        ),
        (
            BrokerAnswers({1: brokers(1), 2: brokers(1, 2)}, {}),
            "the brokers of c do not know each other yet",
            "broker-1: it does not know broker 2 yet",
        ),
    ],
)
def test_what_is_said_of_the_brokers_is_what_they_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: BrokerAnswers, what: str, why: str
) -> None:
    living = living_in(tmp_path, monkeypatch).want(topics=[topic()])
    monkeypatch.setattr(operations, "ask_brokers", lambda *_, **__: answers)
    monkeypatch.setattr(operations, "agreed", lambda *_, **__: None)
    with pytest.raises(Unavailable) as raised:
        operations.plan_for(
            KafkaCluster("c", Access({})), desired_resources(living.source.load(silent), 3), living.home
        )
    assert raised.value.what == what
    assert raised.value.why.splitlines()[0] == why


# -- how each of them ends --------------------------------------------------------------------------------------------


def ends(told: list[Event]) -> list[tuple[str, str]]:
    of_topics = (event for event in told if "topic" in getattr(event, "resource", ""))
    return [
        (type(event).__name__, event.resource)
        for event in of_topics
        if isinstance(event, ActionStarted | ActionDone | ActionFailed | ActionSkipped)
    ]


def appear(living: Living, *names: str) -> None:
    """Have topics made by somebody else when ours are about to be."""

    def make(what: str, _about: object) -> None:
        if what == "create":
            living.kafka.on_call = lambda _what, _about: None
            for name in names:
                living.kafka.topics[name] = KeptTopic([Partition((1, 2, 3))] * 3)

    living.kafka.on_call = make


def test_a_topic_that_existed_already_ends_too(living: Living) -> None:
    living.settles()
    appear(living, "a")
    living.up(topics=[topic("a"), topic("b")])
    assert ends(living.told)[:4] == [
        ("ActionStarted", "topic a"),
        ("ActionStarted", "topic b"),
        ("ActionSkipped", "topic a"),
        ("ActionDone", "topic b"),
    ]


MANY = [f"t-{number}" for number in range(25)]


@pytest.mark.parametrize(
    ("existing", "refused", "end"),
    [((), (), "ActionDone"), (MANY[:1], (), "ActionDone"), (MANY, (), "ActionSkipped"), ((), MANY[:2], "ActionFailed")],
)
def test_a_group_ends_as_what_it_began_as(
    living: Living, existing: Sequence[str], refused: Sequence[str], end: str
) -> None:
    living.settles()
    living.kafka.refusals = dict.fromkeys(refused, "no such setting")
    appear(living, *existing)
    with pytest.raises(PartlyApplied, match="2 of 25 topics") if refused else nullcontext():
        living.up(topics=[topic(name) for name in MANY])
    assert ends(living.told)[:2] == [("ActionStarted", "25 topics"), (end, "25 topics")]
    for event in living.told:
        if isinstance(event, ActionFailed):
            assert isinstance(event.error, KafkaRefused)
            assert event.error.what == "2 of them could not be applied"
