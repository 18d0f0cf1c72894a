"""Brokers that are killed: who is told of it, and on real clusters that nobody has to notice it first.

The controllers of most of the real ones would not notice for ten minutes by themselves.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision import Environment, Interrupted, KafkaRefused, NewRecord, ProvisionError, Unavailable
from provision.cluster.model import node_with_id
from provision.events import Notice
from provision.kafka.access import Access
from provision.kafka.quorum import Quorum
from provision.observe.leaders import active_controller
from provision.operations import life
from tests.engine import image, java, wait_until
from tests.test_converge import Living, living_in

PARTITIONS = 3
SESSION_MS = 600_000
PROPERTIES = {"broker.session.timeout.ms": SESSION_MS}

UNREGISTER = "provision.kafka.registration.unregister"


class _Controllers:
    """A KRaft cluster of nodes that do not run really, and what its controllers are told."""

    def __init__(self, living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
        self.living, self.told = living, dict[int, set[int]]()
        self.voters: Sequence[int] | None = ()
        self.fails: BaseException | None = None
        self.notices: list[str] = []
        monkeypatch.setattr("provision.operations.life.ask_for_quorum", self._quorum)
        monkeypatch.setattr(UNREGISTER, self._unregister)

    def up(self, brokers: int, controllers: int = 0) -> None:
        kraft = {"version": "4.3.0", "mode": "kraft"}
        self.living.want(kafka=kraft, brokers={"nodes": brokers}, controllers={"nodes": controllers}).up()
        self.living.runtime.on_verb = lambda _verb, _subject: None  # a cluster that is to serve may not be killed
        self.voters = range(1001, 1001 + controllers) if controllers else range(1, 1 + min(brokers, 3))

    def kill(self, *nodes: str, unregister: bool = True) -> int:
        return life.kill(self.living.runtime, "living", nodes, self._tell, unregister=unregister)

    def _tell(self, event: object) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)

    def _quorum(self, access: Access) -> Quorum | None:
        assert access.brokers
        return None if self.voters is None else Quorum(min(self.voters), {}, dict.fromkeys(self.voters, 0))

    def _unregister(self, access: Access, broker: int, _patience: object) -> None:
        there = self.living.runtime.observe("living").node(node_with_id(broker))
        assert there is not None
        assert there.state == "exited"  # before, it would register again
        if self.fails:
            raise self.fails
        self.told[broker] = set(access.brokers)


@pytest.fixture
def controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Controllers:
    return _Controllers(living_in(tmp_path, monkeypatch), monkeypatch)


@pytest.mark.parametrize(
    ("brokers", "own", "before", "killed", "told"),
    [
        pytest.param(3, 0, [], ["broker-1"], {1: {2, 3}}, id="one of three"),
        pytest.param(5, 0, [], ["broker-4", "broker-5"], {4: {1, 2, 3}, 5: {1, 2, 3}}, id="none of the voters"),
        pytest.param(5, 0, [], ["broker-1", "broker-5"], {1: {2, 3, 4}, 5: {2, 3, 4}}, id="a voter and another one"),
        pytest.param(3, 0, [], ["broker-1", "broker-2"], {}, id="most voters"),
        pytest.param(3, 0, ["broker-3"], ["broker-1"], {}, id="most voters, one after the other"),
        pytest.param(5, 0, ["broker-5"], ["broker-1"], {1: {2, 3, 4}}, id="beside one that is down"),
        pytest.param(1, 0, [], ["broker-1"], {}, id="the only one"),
        pytest.param(3, 0, [], [], {}, id="all"),
        pytest.param(2, 1, [], ["broker-2"], {2: {1}}, id="beside a controller"),
        pytest.param(2, 3, [], ["broker-2", "controller-1"], {2: {1}}, id="with one of three controllers"),
        pytest.param(2, 3, [], ["broker-2", "controller-1", "controller-3"], {}, id="with most controllers"),
        pytest.param(2, 1, [], ["broker-1", "broker-2"], {}, id="all brokers"),
        pytest.param(3, 3, [], ["controller-2"], {}, id="a controller, which is not registered"),
    ],
)
def test_the_controllers_that_are_left_are_told(
    controllers: _Controllers, brokers: int, own: int, before: list[str], killed: list[str], told: object
) -> None:
    controllers.up(brokers, own)
    for node in before:
        controllers.living.runtime.kill_node("living", node)
    assert controllers.kill(*killed) == (len(killed) or brokers + own)
    assert controllers.told == told


def test_nobody_is_told_unless_that_is_asked_for(controllers: _Controllers) -> None:
    controllers.up(3)
    assert controllers.kill("broker-1", unregister=False) == 1
    assert controllers.told == {}


def test_where_nobody_knows_the_quorum_it_is_killed_and_nobody_is_told(controllers: _Controllers) -> None:
    controllers.up(3)
    controllers.voters = None
    assert controllers.kill("broker-1") == 1
    assert controllers.told == {}


def test_zookeeper_is_not_told(controllers: _Controllers) -> None:
    controllers.living.up()
    controllers.living.runtime.on_verb = lambda _verb, _subject: None
    assert controllers.kill("broker-1") == 1
    assert controllers.told == {}


@pytest.mark.parametrize("when", ["before the kill", "after it"])
@pytest.mark.parametrize("error", [Unavailable("nobody answers"), KafkaRefused("Kafka does not let provision in")])
def test_whatever_keeps_controllers_from_being_told_the_broker_is_killed(
    controllers: _Controllers, monkeypatch: pytest.MonkeyPatch, when: str, error: ProvisionError
) -> None:
    def fails(_access: Access) -> Quorum:
        raise error

    controllers.up(5)
    if when == "after it":
        controllers.fails = error
    else:
        monkeypatch.setattr("provision.operations.life.ask_for_quorum", fails)
    assert controllers.kill("broker-1") == 1
    assert controllers.living.runtime.observe("living").node("broker-1").state == "exited"  # type: ignore[union-attr]
    assert controllers.notices == [f"the controllers are not told of the killed brokers: {error}"]
    assert controllers.told == {}


@pytest.mark.parametrize("killed", [["broker-1"], ["broker-4", "broker-5"]])
def test_an_interrupt_is_none_of_these(controllers: _Controllers, killed: list[str]) -> None:
    controllers.up(5)
    controllers.fails = Interrupted("interrupted")
    with pytest.raises(Interrupted):
        controllers.kill(*killed)


@contextmanager
def running(name: str, home: Path, version: str, controllers: int) -> Iterator[Environment]:
    """Three brokers with a topic of three replicas."""
    java(version)
    with Environment(
        name=name,
        home=home,
        runtime="process",
        kafka={"version": version, "mode": "kraft"},
        brokers={"nodes": 3, "port": "auto", "properties": PROPERTIES},
        controllers={"nodes": controllers, "properties": PROPERTIES if controllers else {}},
        topics=[{"name": "t", "partitions": PARTITIONS, "replication_factor": 3}],
    ) as environment:
        yield environment


def leads(environment: Environment) -> int:
    """The active controller's id."""
    cluster = environment.status().cluster
    assert cluster is not None
    return active_controller(environment.observe(), cluster)


def leaders(environment: Environment) -> set[int]:
    (topic,) = environment.topics(["t"], settings=False)
    return {partition.leader for partition in topic.partitions}


def write_to_all(environment: Environment, value: bytes) -> None:
    environment.produce("t", [NewRecord(value=value, partition=number) for number in range(PARTITIONS)])


@pytest.mark.process
@pytest.mark.row("apart")
@pytest.mark.parametrize(
    ("version", "controllers", "which"),
    [
        pytest.param("3.9.1", 0, "another", id="combined"),
        pytest.param("3.9.1", 0, "active", id="the active controller", marks=pytest.mark.matrix),
        pytest.param("4.3.0", 1, "another", id="controllers of their own", marks=pytest.mark.matrix),
        pytest.param("3.3.2", 0, "another", id="the oldest", marks=pytest.mark.soak),
    ],
)
def test_controllers_that_are_told_of_a_killed_broker_need_not_notice_it(
    tmp_path: Path, version: str, controllers: int, which: str
) -> None:
    with running("told-of-killed", tmp_path, version, controllers) as environment:
        active = leads(environment)
        killed = active if which == "active" else next(number for number in (1, 2, 3) if number != active)
        write_to_all(environment, b"before")
        assert environment.kill(f"broker-{killed}", unregister=True) == 1
        assert wait_until(lambda: leaders(environment) == {1, 2, 3} - {killed})
        write_to_all(environment, b"after")
        assert environment.start().level.name == "TOPICS"  # it could not register for ten minutes otherwise
        read = [record.value for record in environment.consume("t", to_end=True)]
        assert Counter(read) == {b"before": PARTITIONS, b"after": PARTITIONS}


@pytest.mark.engine
@pytest.mark.row("apart")
@pytest.mark.matrix
def test_a_broker_that_is_back_before_its_controllers_have_answered_keeps_its_registration(tmp_path: Path) -> None:
    kafka = {"mode": "kraft", "image": image()}
    topics = [{"name": "t", "partitions": PARTITIONS, "replication_factor": 3}]
    with Environment(
        name="back-at-once",
        home=tmp_path,
        runtime="docker",
        kafka=kafka,
        brokers={"nodes": 3, "port": "auto"},
        topics=topics,
    ) as environment:
        for _ in range(3):  # at the address of the one that was killed nobody answers, for which the others wait long
            assert environment.kill(f"broker-{leads(environment)}", unregister=True) == 1
            assert environment.start().level.name == "TOPICS"
