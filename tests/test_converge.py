"""A living cluster becomes what its file says: the whole pipeline on the fake runtime and a Kafka in memory."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from provision import pipeline, preparing
from provision.apply.nodes import NodeWork
from provision.apply.rolling import Roller
from provision.cluster.model import Topic, TopicPolicy
from provision.common.interrupts import handle_signals
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import (
    Interrupted,
    KafkaRefused,
    NodeFailed,
    NotReady,
    PartlyApplied,
    ProvisionError,
    Refused,
    UsageError,
)
from provision.events import ActionDone, ActionStep, Event, Listener, Notice, Planned, silent
from provision.kafka.access import Access
from provision.kafka.levels import Level
from provision.operations import life
from provision.operations.life import restart_rolling, start
from provision.operations.remove import down
from provision.operations.status import status, wait_for
from provision.operations.topics import KafkaCluster, apply_for
from provision.pipeline import UpOptions, UpResult
from provision.plan.actions import Action, Kind, Plan, Removal, Verb
from provision.plan.observed import WAS_ASKED_TO_STOP, WAS_KILLED, NodeState
from provision.plan.topic_changes import TOPIC
from provision.preparing import Prepared
from provision.resources.rounds import Agree, accept_all
from provision.resources.topics import DesiredTopics
from provision.runtime import directories
from provision.runtime.fake import FakeRuntime
from provision.spec.source import Source
from tests.fake_kafka import OFFSETS, FakeKafka, Partition, SpokenRuntime
from tests.fake_kafka import Topic as KeptTopic
from tests.runtimes import FakeRuntimes

PATIENT = UpOptions(timeout_s=60.0)


class Living:
    """An environment whose file is changed again and again."""

    def __init__(self, directory: Path, runtime: SpokenRuntime | None = None) -> None:
        self.path = directory / "living.yaml"
        self.runtime = runtime or SpokenRuntime()
        self.runtimes = FakeRuntimes(directory / "home", self.runtime)
        self.home = self.runtimes.home
        self.kafka = FakeKafka(self.runtime, "living")
        self.told: list[Event] = []
        self.listen: Listener = self.told.append
        self.file: dict[str, object] = {"name": "living", "brokers": {"nodes": 3}}

    @property
    def source(self) -> Source:
        """The file as it is now."""
        return Source(self.path)

    def want(self, **sections: object) -> Self:
        """Change sections of the file."""
        self.file |= sections
        self.path.write_text(yaml.safe_dump(self.file))
        return self

    def tell(self, event: Event) -> None:
        """Pass on what is told."""
        self.listen(event)

    def plan(self) -> Prepared:
        """What would be done."""
        return preparing.prepare(self.source, self.runtimes)

    def up(self, options: UpOptions = PATIENT, agree: Agree = accept_all, **sections: object) -> UpResult:
        """Do it."""
        self.want(**sections)
        self.told.clear()
        return pipeline.up(self.source, self.runtimes, options, tell=self.tell, agree=agree)

    def settles(self, **sections: object) -> list[str]:
        """Do it, and see that it is done; returns what was done, in the order in which it ended."""
        self.want(**sections).up()
        assert [str(action) for action in self.plan().plan.actions] == []
        return self.done

    @property
    def done(self) -> list[str]:
        """What the last `up` did."""
        return [f"{e.verb} {e.resource}" for e in self.told if isinstance(e, ActionDone)]

    @property
    def notices(self) -> list[str]:
        """The sentences that the last `up` told of nodes that have stopped."""
        texts = (event.text for event in self.told if isinstance(event, Notice))
        return [text for text in texts if "has stopped meanwhile" in text]

    @property
    def state(self) -> object:
        """All that there is."""
        topics = {n: ([(p.replicas, p.target) for p in t.partitions], t.config) for n, t in self.kafka.topics.items()}
        return repr((self.runtime.observe("living"), topics, self.kafka.quotas, self.kafka.set_on_brokers))

    def interrupts_moves(self) -> None:
        """Have Ctrl-C come when replicas are on their way, once."""

        def interrupt(what: str, _about: object) -> None:
            if what == "moving" and any(partition.target for _, partition in self.kafka.each()):
                self.kafka.on_call = lambda _what, _about: None
                raise KeyboardInterrupt

        self.kafka.on_call = interrupt

    def replicas(self, topic: str) -> list[tuple[int, ...]]:
        """Of each partition."""
        return [partition.replicas for partition in self.kafka.topics[topic].partitions]


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Living:
    return living_in(tmp_path, monkeypatch)


def living_in(directory: Path, monkeypatch: pytest.MonkeyPatch, runtime: SpokenRuntime | None = None) -> Living:
    found = Living(directory, runtime)
    found.kafka.speak(monkeypatch)
    return found


def topic(name: str = "t", partitions: int = 3, replication_factor: int = 3, **config: object) -> dict[str, object]:
    named = {key.replace("_", "."): value for key, value in config.items()}
    return {"name": name, "partitions": partitions, "replication_factor": replication_factor, "config": named}


def brokers(nodes: int = 3, properties: dict[str, object] | None = None, **keys: object) -> dict[str, object]:
    return {"nodes": nodes, "properties": properties or {}, **keys}


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_the_first_up_makes_everything_and_the_second_finds_nothing_to_do(living: Living) -> None:
    done = living.settles(topics=[topic(min_insync_replicas=2)])
    assert done[-1] == "create topic t"
    assert living.replicas("t") == [(1, 2, 3), (2, 3, 1), (3, 1, 2)]
    assert not living.up().changed
    assert living.done == []


def test_what_a_broker_takes_while_it_runs_restarts_nobody_and_is_in_its_file(living: Living) -> None:
    living.settles()
    done = living.settles(brokers=brokers(properties={"num.io.threads": 7}))
    assert sorted(done) == ["configure broker-1", "configure broker-2", "configure broker-3"]
    assert list(living.kafka.set_on_brokers.values()) == [{"num.io.threads": "7"}] * 3
    files = {file.name: file.text for file in living.runtime.read_files("living", "broker-2")}
    assert "num.io.threads=7\n" in files["server.properties"]
    assert set(files) == {"fingerprint", "java.security", "launch.json", "log4j.properties", "server.properties"}


def test_what_a_broker_does_not_take_is_rolled_out_with_the_controller_last(living: Living) -> None:
    living.settles(topics=[topic(min_insync_replicas=2)])
    done = living.settles(brokers=brokers(properties={"num.network.threads": 5}))
    assert done == ["restart broker-2", "restart broker-3", "restart broker-1"]
    assert {static["num.network.threads"] for static in living.kafka.static.values()} == {"5"}


def test_a_rolling_restart_takes_the_active_controller_last(living: Living) -> None:
    living.settles()
    assert restart_rolling(living.runtime, "living", (), Patience(5.0)) == (
        "zookeeper-1",
        "broker-2",
        "broker-3",
        "broker-1",
    )


@pytest.mark.parametrize("again", [start, restart_rolling])
def test_what_has_no_nodes_any_more_is_not_started_again_without_a_word(
    living: Living, again: Callable[..., object]
) -> None:
    living.settles()
    for node in living.runtime.observe("living").nodes:
        living.runtime.remove_node("living", node.name)
    with pytest.raises(UsageError, match="living has no nodes"):
        again(living.runtime, "living", (), Patience(5.0))


def test_an_interrupt_ends_a_rolling_restart_when_the_node_at_hand_runs_again(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    living.settles()
    stopped: list[str] = []
    stop = living.runtime.stop_node

    def stop_and_interrupt(environment: str, node: str, patience_s: float) -> None:
        stop(environment, node, patience_s)
        stopped.append(node)
        if node == "broker-2":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(living.runtime, "stop_node", stop_and_interrupt)
    before = signal.getsignal(signal.SIGINT)
    handle_signals(lambda _way_on: None)
    with pytest.raises(Interrupted) as raised:
        restart_rolling(living.runtime, "living", (), Patience(5.0))
    signal.signal(signal.SIGINT, before)
    assert raised.value.why == "restarted before: zookeeper-1; it ended at broker-2"
    assert stopped == ["zookeeper-1", "broker-2"]
    assert {node.state for node in living.runtime.observe("living").nodes} == {NodeState.RUNNING}


ENDS = [
    pytest.param(WAS_ASKED_TO_STOP, (), id="killed command had begun to stop it"),
    pytest.param(WAS_KILLED, (), id="killed by hand"),
    pytest.param(None, ["INFO Terminating process due to signal SIGTERM"], id="exit code not known"),
    pytest.param(1, ["java.lang.OutOfMemoryError: Java heap space"], id="crashed"),
]


def ends_when(living: Living, moment: str, node: str, exit_code: int | None, log: Sequence[str]) -> None:
    """Let a node end once, at that step of its own."""
    tell = living.told.append

    def listen(event: Event) -> None:
        tell(event)
        if isinstance(event, ActionStep) and (event.resource, event.step) == (node, moment):
            living.runtime.exit_node("living", node, exit_code, log)

    living.listen = listen


@pytest.mark.parametrize(("exit_code", "log"), ENDS)
@pytest.mark.parametrize("moment", ["waiting until the others can do without it", "stopping"])
@pytest.mark.parametrize("node", ["broker-1", "broker-2", "zookeeper-1"])
@pytest.mark.parametrize("change", ["restart", "recreate"])
def test_a_node_that_ends_between_the_plan_and_its_own_step_is_replaced_all_the_same(
    living: Living, change: str, node: str, moment: str, exit_code: int | None, log: list[str]
) -> None:
    living.settles(topics=[topic(min_insync_replicas=2)])
    ends_when(living, moment, node, exit_code, log)
    keys = {"properties": {"num.network.threads": 5}} if change == "restart" else {"heap": "301m"}
    ensemble = {"properties": {"tickTime": 1999}} if change == "restart" else {"heap": "301m"}
    done = living.settles(brokers=brokers(**keys), zookeeper=ensemble)
    assert done == [f"{change} {one}" for one in ("zookeeper-1", "broker-2", "broker-3", "broker-1")]
    assert {there.state for there in living.runtime.observe("living").nodes} == {NodeState.RUNNING}


@pytest.mark.parametrize(("exit_code", "log"), ENDS)
def test_a_rolling_restart_starts_a_node_that_has_ended_before_its_turn_came(
    living: Living, exit_code: int | None, log: list[str]
) -> None:
    living.settles()
    ends_when(living, "waiting until the others can do without it", "broker-2", exit_code, log)
    restarted = restart_rolling(living.runtime, "living", (), Patience(5.0), living.tell)
    assert restarted == ("zookeeper-1", "broker-2", "broker-3", "broker-1")
    assert {there.state for there in living.runtime.observe("living").nodes} == {NodeState.RUNNING}


def stops_when(living: Living, resource: str, node: str) -> None:
    """Let somebody stop another node each time that a step on this one begins."""

    def listen(event: Event) -> None:
        living.told.append(event)
        if isinstance(event, ActionStep) and event.resource == resource:
            living.runtime.exit_node("living", node, WAS_ASKED_TO_STOP)

    living.listen = listen


def test_another_node_that_has_stopped_is_started_before_one_goes_down(living: Living) -> None:
    living.settles()

    def listen(event: Event) -> None:
        if isinstance(event, ActionStep) and event.resource == "broker-2" and not living.notices:
            living.runtime.exit_node("living", "broker-3", WAS_ASKED_TO_STOP)
        living.told.append(event)

    living.listen = listen
    done = living.settles(brokers=brokers(heap="301m"))
    assert done == ["recreate broker-3", "start broker-3", "recreate broker-2", "recreate broker-1"]
    assert living.notices == ["broker-3 has stopped meanwhile; living is planned again, with its start"]


def test_it_goes_on_only_once_with_a_node_that_stops_again_and_again(living: Living) -> None:
    living.settles()
    stops_when(living, "broker-2", "broker-3")
    with pytest.raises(NodeFailed, match="broker-3 is stopped"):
        living.up(brokers=brokers(heap="301m"))
    assert len(living.notices) == 1


def test_nobody_goes_down_for_a_node_that_has_crashed(living: Living) -> None:
    living.settles()

    def listen(event: Event) -> None:
        living.told.append(event)
        if isinstance(event, ActionStep) and event.resource == "broker-2":
            living.runtime.exit_node("living", "broker-3", 1)

    living.listen = listen
    with pytest.raises(NodeFailed, match="broker-3 exited with code 1"):
        living.up(brokers=brokers(heap="301m"))
    states = {there.name: there.state for there in living.runtime.observe("living").nodes}
    assert [name for name, state in states.items() if state is not NodeState.RUNNING] == ["broker-3"]
    assert living.notices == []


def test_a_node_that_a_killed_restart_had_begun_to_stop_is_started_by_an_up_with_nothing_else_to_do(
    living: Living,
) -> None:
    living.settles()

    def listen(event: Event) -> None:
        living.told.append(event)
        if isinstance(event, Planned) and not living.notices:
            living.runtime.exit_node("living", "broker-1", WAS_ASKED_TO_STOP)

    living.listen = listen
    assert living.settles() == ["start broker-1"]


@pytest.mark.parametrize("verb", [Verb.MOVE, Verb.JOIN])
def test_a_step_that_does_not_start_a_node_with_its_data_ends_if_it_has_exited(living: Living, verb: Verb) -> None:
    living.settles()
    living.runtime.exit_node("living", "broker-2", WAS_ASKED_TO_STOP)
    acted: list[Verb] = []
    with pytest.raises(NodeFailed, match="broker-2 is stopped"):
        Roller(living.runtime, "living", 1, Patience(5.0), silent).step("broker-2", verb, lambda _: acted.append(verb))
    assert acted == []


def test_what_was_set_by_hand_is_taken_back(living: Living) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"num.io.threads": "33", "log.retention.ms": "7"}
    assert living.settles() == ["configure broker-2"]
    assert living.kafka.set_on_brokers[2] == {"num.io.threads": "4"}


def test_what_was_set_by_hand_before_all_went_down_is_taken_back(living: Living) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"num.io.threads": "33"}
    goes_down(living, keep_data=True)
    assert "configure broker-2" in living.settles()
    assert living.kafka.set_on_brokers[2] == {"num.io.threads": "4"}


def test_of_a_new_cluster_nobody_reads_back_what_was_just_written(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provision.pipeline.observe_details", None)
    assert living.up().changed


def steps(living: Living, broker: int, key: str) -> list[object]:
    """What was sent to a broker for a key, beginning with what was refused if there was anything."""
    requests = [about for what, about in living.kafka.calls if what == "alter" and isinstance(about, dict)]
    return [values[key] for about in requests for at, values in about.items() if at == ("broker", str(broker))]


def test_a_pool_of_threads_that_was_raised_twice_is_lowered_in_steps_before_the_restart(living: Living) -> None:
    living.settles()
    for threads in (8, 16):
        done = living.settles(brokers=brokers(properties={"num.io.threads": threads}))
        assert sorted(done) == ["configure broker-1", "configure broker-2", "configure broker-3"]
    living.kafka.calls.clear()
    done = living.settles(brokers=brokers(), topics=[topic()])
    assert sorted(done[:3]) == ["configure broker-1", "configure broker-2", "configure broker-3"]
    assert done[3:] == ["restart broker-2", "restart broker-3", "restart broker-1", "create topic t"]
    assert steps(living, 2, "num.io.threads") == [None, "8", None]
    assert not any(living.kafka.set_on_brokers.values())
    assert {static["num.io.threads"] for static in living.kafka.static.values()} == {"4"}


@pytest.mark.parametrize(("by_hand", "sent"), [("33", ["4", "16", "8", "4"]), ("1", ["4", "2", "4"])])
def test_a_pool_of_threads_that_was_set_by_hand_is_taken_back_in_steps(
    living: Living, by_hand: str, sent: list[str]
) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"num.io.threads": by_hand}
    assert living.settles() == ["configure broker-2"]
    assert steps(living, 2, "num.io.threads") == sent


def test_a_pool_of_threads_that_no_file_names_goes_back_to_kafkas_default_in_steps(living: Living) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"background.threads": "50"}
    assert living.settles() == ["configure broker-2"]
    assert steps(living, 2, "background.threads") == [None, "25", "12", None]
    assert living.kafka.set_on_brokers[2] == {}


def test_a_pool_of_threads_that_is_to_be_more_than_doubled_by_the_file_is_a_restart(living: Living) -> None:
    living.settles()
    done = living.settles(brokers=brokers(properties={"num.io.threads": 16}))
    assert done == ["restart broker-2", "restart broker-3", "restart broker-1"]
    assert not living.kafka.set_on_brokers


def test_what_was_set_by_hand_on_a_broker_that_was_down_is_taken_back_once_it_is_up(living: Living) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"num.io.threads": "33"}
    living.runtime.exit_node("living", "broker-2", 1)
    assert living.settles() == ["start broker-2", "configure broker-2"]
    assert living.kafka.set_on_brokers[2] == {"num.io.threads": "4"}


def test_what_a_broker_took_while_it_ran_does_not_outlive_the_file_that_said_it(living: Living) -> None:
    living.settles(brokers=brokers(properties={"num.io.threads": 8}))
    living.settles(brokers=brokers(properties={"num.io.threads": 16}))
    living.runtime.exit_node("living", "broker-1", 1)
    living.settles(brokers=brokers(properties={"num.io.threads": 8}))
    assert {settings["num.io.threads"] for settings in living.kafka.set_on_brokers.values()} == {"8"}
    assert living.kafka.static[1]["num.io.threads"] == "8"


def test_a_roll_that_fails_ends_there_and_the_next_up_goes_on(living: Living) -> None:
    living.settles()
    verb_of_kafka = living.runtime.on_verb

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-3"):
            raise ProvisionError("the engine is gone")
        verb_of_kafka(verb, subject)

    living.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="the engine is gone") as caught:
        living.up(brokers=brokers(heap="300m"))
    assert living.done == ["recreate broker-2"]
    assert "not done: broker-1, 3" in caught.value.why
    living.runtime.on_verb = verb_of_kafka
    assert living.settles() == ["start broker-3", "recreate broker-1"]


def test_a_new_version_goes_through_the_brokers_twice(living: Living) -> None:
    living.settles(kafka={"version": "3.8.1"}, topics=[topic(min_insync_replicas=2)])
    done = living.settles(kafka={"version": "3.9.1"})
    assert done == [
        "fetch software apache/kafka:3.9.1",
        "recreate zookeeper-1",
        *(f"recreate broker-{number}" for number in (2, 3, 1)),
        *(f"restart broker-{number}" for number in (2, 3, 1)),
    ]
    assert not any("inter.broker.protocol.version" in static for static in living.kafka.static.values())


def test_an_ensemble_grows_one_by_one_and_never_shrinks(living: Living) -> None:
    living.settles(topics=[topic()])
    rolled = [f"restart broker-{number}" for number in (2, 3, 1)]
    done = living.settles(zookeeper={"nodes": 3})
    assert done[-6:] == ["restart zookeeper-1", "start zookeeper-2", "start zookeeper-3", *rolled]
    done = living.settles(zookeeper={"nodes": 5})
    ensemble = ["start zookeeper-4", "start zookeeper-5", *(f"restart zookeeper-{number}" for number in (1, 2, 3))]
    assert done[-8:] == [*ensemble, *rolled]
    before = living.state
    with pytest.raises(Refused, match="left as it is"):
        living.up(zookeeper={"nodes": 3})
    assert living.state == before


def goes_down(living: Living, *, keep_data: bool = False) -> None:
    """All at once, which nobody may do to a cluster that is to serve."""
    verb_of_kafka, living.runtime.on_verb = living.runtime.on_verb, lambda _verb, _subject: None
    down(living.runtime, "living", living.home, keep_data=keep_data)
    living.runtime.on_verb = verb_of_kafka


def starts_late(living: Living, node: str) -> None:
    """Let a node take its time to start, so that whoever does not wait for it is there before it."""
    verb_of_kafka = living.runtime.on_verb

    def late(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", node):
            time.sleep(0.3)
        verb_of_kafka(verb, subject)

    living.runtime.on_verb = late


ENSEMBLE_STARTS = ["start zookeeper-1", "start zookeeper-2", "start zookeeper-3"]


def test_an_ensemble_grows_over_kept_data_from_whoever_has_them(living: Living) -> None:
    living.settles()
    goes_down(living, keep_data=True)
    starts_late(living, "zookeeper-1")
    done = living.settles(zookeeper={"nodes": 3})
    assert [action for action in done if action.startswith("start zookeeper")] == ENSEMBLE_STARTS
    assert living.kafka.members_with_data == {"zookeeper-1", "zookeeper-2", "zookeeper-3"}


def test_an_ensemble_grows_over_data_in_a_directory_of_the_users(living: Living, tmp_path: Path) -> None:
    living.settles(storage="./data")
    data = directories.create(tmp_path / "data", "zookeeper-1", "living")
    (data / "myid").write_text("1\n")
    goes_down(living)
    assert living.runtime.observe("living").is_absent
    starts_late(living, "zookeeper-1")
    done = living.settles(zookeeper={"nodes": 3})
    assert [action for action in done if action.startswith("start zookeeper")] == ENSEMBLE_STARTS


def test_a_growth_that_is_killed_while_the_only_member_is_replaced_goes_on_from_it(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    living.settles(topics=[topic()])
    start_node = living.runtime.start_node

    def killed(environment: str, node: str) -> None:
        if node == "zookeeper-1":
            raise ProvisionError("killed")
        start_node(environment, node)

    monkeypatch.setattr(living.runtime, "start_node", killed)
    with pytest.raises(ProvisionError, match="killed"):
        living.up(zookeeper={"nodes": 3})
    monkeypatch.setattr(living.runtime, "start_node", start_node)
    assert {n.state for n in living.runtime.observe("living").of_role("zookeeper")} == {NodeState.CREATED}
    with pytest.raises(Refused, match="zookeeper-1, zookeeper-2, zookeeper-3 cannot be started on its own"):
        life.start(living.runtime, "living", (), Patience(5.0))
    starts_late(living, "zookeeper-1")
    assert living.settles()[:3] == ENSEMBLE_STARTS


def test_an_ensemble_with_kept_data_that_stays_as_it_is_comes_up(living: Living) -> None:
    living.settles(zookeeper={"nodes": 3})
    goes_down(living, keep_data=True)
    starts_late(living, "zookeeper-1")
    assert "start zookeeper-3" in living.settles()
    goes_down(living, keep_data=True)
    assert "start zookeeper-5" in living.settles(zookeeper={"nodes": 5})


def test_a_quorum_that_would_begin_without_the_kept_data_is_refused(living: Living) -> None:
    kraft = {"version": "4.3.0", "mode": "kraft"}
    living.want(kafka=kraft, controllers={"nodes": 1})
    prepared = living.plan()
    for node in prepared.cluster.nodes:
        living.runtime.create_storage(prepared.cluster, node)
        living.runtime.fill_storage(prepared.cluster.name, node.name)
    before = living.state
    with pytest.raises(Refused) as caught:
        living.up(controllers={"nodes": 3})
    assert "controller-2, 3: it has no data while broker-1 … 3, controller-1 kept theirs" in caught.value.why
    assert caught.value.hint == "undo the change, or `provision down` removes the rest"
    assert living.state == before


@pytest.mark.parametrize("cut_off", [(), ("broker-2",), ("zookeeper-1", "broker-3")])
def test_nodes_that_lost_their_network_join_it_one_after_the_other_and_nothing_restarts(
    living: Living, cut_off: tuple[str, ...]
) -> None:
    living.settles(topics=[topic()])
    living.runtime.lose_network("living", *cut_off)
    joins = [f"join {node}" for node in cut_off or ("zookeeper-1", "broker-1", "broker-2", "broker-3")]
    assert living.settles() == ([] if cut_off else ["create network living"]) + joins


def test_a_node_at_another_address_joins_at_its_own_while_the_others_can_do_without_it(living: Living) -> None:
    living.settles(topics=[topic(min_insync_replicas=2)])
    nodes = living.runtime._nodes("living")  # noqa: SLF001 what only an engine does
    nodes["broker-2"] = replace(nodes["broker-2"], astray="it has the address 10.0.0.9 instead of its own, 10.0.0.5")
    living.kafka.topics["t"].partitions[0].lagging = frozenset({1, 3})
    with pytest.raises(NotReady, match="broker-2 cannot be taken down"):
        living.up(UpOptions(timeout_s=0.3))
    living.kafka.topics["t"].partitions[0].lagging = frozenset()
    assert living.settles() == ["join broker-2"]


# -- brokers come and go ----------------------------------------------------------------------------------------------


def test_brokers_that_come_get_nothing_unless_rebalance_is_asked_for(living: Living) -> None:
    living.settles(topics=[topic("t", 4, 1)])
    living.settles(brokers=brokers(4))
    assert {row[0] for row in living.replicas("t")} == {1, 2, 3}
    assert living.settles(rebalance=True)[-1] == "reassign topic t"
    assert sorted(row[0] for row in living.replicas("t")) == [1, 2, 3, 4]


def test_an_even_spread_takes_in_what_the_same_up_makes_and_deletes(living: Living) -> None:
    living.settles(brokers=brokers(2), rebalance=True, topics=[topic("a", 2, 1), topic("b", 4, 1)])
    living.settles(topics=[{"name": "c", "replicas": [[1], [1], [1]]}, topic("b", 4, 1)], prune=True)
    assert living.replicas("c") == [(1,)] * 3
    assert sorted(row[0] for row in living.replicas("b")) == [1, 2, 2, 2]


def test_brokers_that_go_are_emptied_first_also_of_what_the_file_does_not_name(living: Living) -> None:
    living.settles(brokers=brokers(5), topics=[topic("t", 10, 3, min_insync_replicas=2)])
    living.kafka.topics["mine"] = KeptTopic([Partition((5, 4))])
    living.kafka.topics[OFFSETS] = KeptTopic([Partition((4, 5, 1)), Partition((1, 2, 3))])
    done = living.settles(brokers=brokers(3))
    assert done[-2:] == ["remove broker-4", "remove broker-5"]
    assert {broker for name in living.kafka.topics for row in living.replicas(name) for broker in row} == {1, 2, 3}
    assert living.runtime.observe("living").storages == {"zookeeper-1", "broker-1", "broker-2", "broker-3"}


def test_a_broker_that_holds_the_only_room_for_replicas_does_not_go(living: Living) -> None:
    living.settles()
    living.kafka.topics["mine"] = KeptTopic([Partition((1, 2, 3))])
    before = living.state
    with pytest.raises(Refused) as caught:
        living.up(brokers=brokers(2))
    assert "topic mine: it has 3 replicas" in caught.value.why
    assert living.state == before


def test_a_stopped_broker_that_leaves_is_started_emptied_and_removed(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 2)])
    living.runtime.exit_node("living", "broker-3", 1)
    done = living.settles(brokers=brokers(2))
    assert "start broker-3" in done
    assert done[-1] == "remove broker-3"


@pytest.fixture
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers in memory know everything at once."""
    monkeypatch.setattr("provision.apply.leaving._LAG_S", 0.0)


LATE = [Partition((3,)), Partition((1,)), Partition((3, 2))]


def comes_when(living: Living, verb: str, node: str, *, times: int = 1) -> None:
    """Somebody makes a topic on a broker just before, or just after, something is done with the broker's node."""
    verb_of_kafka, left = living.runtime.on_verb, [times]

    def come(done: str, subject: str) -> None:
        verb_of_kafka(done, subject)
        if (done, subject) == (verb, node) and left[0]:
            left[0] -= 1
            living.kafka.topics[f"late{left[0]}"] = KeptTopic([replace(partition) for partition in LATE])

    living.runtime.on_verb = come


@pytest.mark.usefixtures("no_lag")
def test_what_comes_to_a_leaving_broker_before_it_is_stopped_moves_in_the_same_up(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    came: list[str] = []

    def come(what: str, _about: object) -> None:
        if what == "elect" and not came:
            came.append(what)
            living.kafka.topics["late"] = KeptTopic([replace(partition) for partition in LATE])

    living.kafka.on_call = come
    done = living.settles(brokers=brokers(2))
    assert done[-2:] == ["reassign topic late", "remove broker-3"]


@pytest.mark.usefixtures("no_lag")
def test_what_comes_to_a_leaving_broker_up_to_its_stop_moves_before_it_goes(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    comes_when(living, "stop_node", "broker-3")
    done = living.settles(brokers=brokers(2))
    assert done[-3:] == ["reassign topic t", "reassign topic late0", "remove broker-3"]
    assert {broker for name in living.kafka.topics for row in living.replicas(name) for broker in row} == {1, 2}
    assert living.runtime.observe("living").storages == {"zookeeper-1", "broker-1", "broker-2"}


@pytest.mark.usefixtures("no_lag")
@pytest.mark.parametrize("storage", ["memory", "volume"])
@pytest.mark.parametrize("kind", ["docker", "process"])
def test_a_leaving_broker_whose_data_would_go_with_its_process_is_frozen_until_it_is_judged(
    living: Living, monkeypatch: pytest.MonkeyPatch, kind: str, storage: str
) -> None:
    monkeypatch.setattr(FakeRuntime, "kind", kind)
    frozen = kind == "docker" and storage == "memory"
    same: dict[str, object] = {"offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1}
    living.settles(topics=[topic("t", 3, 1)], storage=storage, brokers=brokers(3, same))
    comes_when(living, "pause_node" if frozen else "stop_node", "broker-3")
    halted: list[str] = []
    come = living.runtime.on_verb

    def note(verb: str, subject: str) -> None:
        come(verb, subject)
        if subject == "broker-3" and verb in ("pause_node", "stop_node", "start_node"):
            halted.append(verb)

    living.runtime.on_verb = note
    done = living.settles(brokers=brokers(2, same))
    assert done[-3:] == ["reassign topic t", "reassign topic late0", "remove broker-3"]
    halt = "pause_node" if frozen else "stop_node"
    assert halted == [halt, "start_node", halt]


@pytest.mark.parametrize("kind", ["docker", "process"])
def test_what_a_broker_had_in_memory_and_lost_is_said_before_it_starts(
    living: Living, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(FakeRuntime, "kind", kind)
    living.settles(topics=[topic("t", 3, 3)], storage="memory")
    living.runtime.exit_node("living", "broker-2", 137)
    (start,) = living.plan().plan.actions
    lost = "; it starts empty: what it had in memory is gone" if kind == "docker" else ""
    assert (start.resource, start.cause) == ("broker-2", f"exited with 137{lost}")
    told: list[Event] = []
    life.start(living.runtime, "living", [], Patience(5), told.append)
    notices = [one.text for one in told if isinstance(one, Notice)]
    assert notices == (["broker-2: it starts empty: what it had in memory is gone"] if kind == "docker" else [])
    living.runtime.exit_node("living", "zookeeper-1", 137)
    assert [one.cause for one in living.plan().plan.actions] == ["exited with 137"]


@pytest.mark.parametrize(
    ("kind", "replicas", "nodes", "why"),
    [
        ("process", 1, [], None),
        ("process", 1, ["broker-1"], None),
        ("docker", 3, ["broker-2"], None),
        ("docker", 2, ["broker-1"], None),
        ("docker", 1, ["zookeeper-1"], None),
        ("docker", 1, ["broker-1", "broker-2", "broker-3"], "no other broker runs"),
        ("docker", 3, [], "no other broker runs"),
        ("docker", 1, ["broker-1", "broker-2"], "no other broker is in sync: t-"),
    ],
)
def test_a_stop_is_refused_only_if_it_would_lose_what_is_nowhere_else(
    living: Living, monkeypatch: pytest.MonkeyPatch, kind: str, replicas: int, nodes: list[str], why: str | None
) -> None:
    monkeypatch.setattr(FakeRuntime, "kind", kind)
    living.settles(topics=[topic("t", 3, replicas)], storage="memory")
    living.runtime.on_verb = lambda _verb, _subject: None  # the Kafka in memory forbids to stop it as a whole
    if why is None:
        assert life.stop(living.runtime, "living", nodes) == len(nodes or living.runtime.observe("living").nodes)
        return
    with pytest.raises(Refused, match="stopping living would lose its records") as refused:
        life.stop(living.runtime, "living", nodes)
    assert why in refused.value.why
    assert "storage: volume" in refused.value.hint
    assert all(node.state is NodeState.RUNNING for node in living.runtime.observe("living").nodes)


@pytest.mark.parametrize(
    ("kind", "keep_data", "is_kept"), [("docker", True, False), ("docker", False, True), ("process", True, True)]
)
def test_a_down_that_is_to_keep_data_is_refused_if_it_would_lose_them(
    living: Living, monkeypatch: pytest.MonkeyPatch, kind: str, keep_data: bool, is_kept: bool
) -> None:
    monkeypatch.setattr(FakeRuntime, "kind", kind)
    living.settles(topics=[topic("t", 3, 1)], storage="memory")
    living.runtime.on_verb = lambda _verb, _subject: None
    before = living.state
    if is_kept:
        assert down(living.runtime, "living", living.home, keep_data=keep_data)
        return
    with pytest.raises(Refused, match="stopping living would lose its records") as refused:
        down(living.runtime, "living", living.home, keep_data=keep_data)
    assert "`provision down living` removes all" in refused.value.hint
    assert living.state == before


@pytest.mark.usefixtures("no_lag")
def test_a_leaving_broker_to_which_something_comes_again_and_again_stays_and_serves_it(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    quiet = living.runtime.on_verb
    comes_when(living, "stop_node", "broker-3", times=9)
    with pytest.raises(Refused, match="broker-3 is not removed") as caught:
        living.up(brokers=brokers(2))
    assert caught.value.why == "it holds late6-0, and 1 more"
    (there,) = (node for node in living.runtime.observe("living").nodes if node.name == "broker-3")
    assert there.state is NodeState.RUNNING
    living.runtime.on_verb = quiet
    assert living.settles() == ["reassign topic late6", "remove broker-3"]


@pytest.mark.parametrize("moment", ["before", "while"])
def test_what_comes_to_a_leaving_broker_of_kraft_until_it_is_unregistered_keeps_it(
    living: Living, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """As one of several replicas it can be named until then: a controller asks only that one of them lives."""
    living.settles()
    cluster = living.plan().cluster
    runs = ("stop_node", "broker-3") if moment == "before" else ("", "")
    comes_when(living, *runs)

    def unregister(_access: Access, _broker: int, _patience: Patience) -> None:
        living.kafka.topics["late0"] = KeptTopic([replace(partition) for partition in LATE])

    monkeypatch.setattr("provision.kafka.registration.unregister", unregister)
    work = NodeWork(cluster, living.runtime, Roller(living.runtime, "living", 1, Patience(5.0), silent), silent)
    with pytest.raises(Refused, match="broker-3 is not removed") as caught:
        work.perform(Action(Verb.REMOVE, Kind.NODE, "broker-3", "it leaves", subject=Removal(3, registered=True)))
    assert caught.value.why == "it holds late0-0, and 1 more"
    there = living.runtime.observe("living").node("broker-3")
    assert there
    assert there.state is NodeState.RUNNING


def test_the_storage_of_a_broker_that_is_gone_stays_while_a_topic_names_it(living: Living) -> None:
    """Its container was removed by hand, or a command was killed at the wrong moment."""
    living.settles(topics=[topic("t", 3, 1)])
    living.want(brokers=brokers(2))
    cluster = living.plan().cluster
    living.runtime.exit_node("living", "broker-3", 1)
    living.runtime.remove_node("living", "broker-3")
    work = NodeWork(cluster, living.runtime, Roller(living.runtime, "living", 1, Patience(5.0), silent), silent)
    with pytest.raises(Refused, match="broker-3 is not removed"):
        work.perform(Action(Verb.REMOVE, Kind.STORAGE, "broker-3", "its node is removed already"))
    assert "broker-3" in living.runtime.observe("living").storages


def test_a_removal_does_not_wait_for_a_broker_that_has_exited(living: Living) -> None:
    living.settles()
    cluster = living.want(brokers=brokers(2)).plan().cluster
    verb_of_kafka = living.runtime.on_verb

    def die(verb: str, subject: str) -> None:
        verb_of_kafka(verb, subject)
        if (verb, subject) == ("stop_node", "broker-3"):
            living.runtime.exit_node("living", "broker-2", 1)

    living.runtime.on_verb = die
    work = NodeWork(cluster, living.runtime, Roller(living.runtime, "living", 1, Patience(60.0), silent), silent)
    with pytest.raises(NodeFailed, match="broker-2 exited with code 1"):
        work.perform(Action(Verb.REMOVE, Kind.NODE, "broker-3", "it leaves", subject=Removal(3, registered=False)))
    there = living.runtime.observe("living").node("broker-3")
    assert there
    assert there.state is NodeState.RUNNING


def test_a_broker_is_not_removed_while_others_count_it_among_the_living(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    living.settles()
    cluster = living.plan().cluster
    said = living.kafka.cluster()
    monkeypatch.setattr(living.kafka, "cluster", lambda: said)
    roller = Roller(living.runtime, "living", 1, Patience(0.1), silent)
    with pytest.raises(NotReady, match="what it holds is not certain") as caught:
        NodeWork(cluster, living.runtime, roller, silent).perform(
            Action(Verb.REMOVE, Kind.NODE, "broker-3", "it leaves", subject=Removal(3, registered=False))
        )
    assert "broker-1: it counts broker-3 among the living" in caught.value.why
    there = living.runtime.observe("living").node("broker-3")
    assert there
    assert there.state is NodeState.RUNNING


def test_a_first_up_over_kept_data_that_fails_takes_no_broker_away_to_which_records_have_moved(living: Living) -> None:
    living.settles(topics=[topic("t", 4, 1)])
    goes_down(living, keep_data=True)
    came: list[str] = []

    def fail(what: str, _about: object) -> None:
        if what == "elect":
            came.append(what)
            raise ProvisionError("the engine is gone")

    living.kafka.on_call = fail
    with pytest.raises(ProvisionError, match="the engine is gone"):
        living.up(brokers=brokers(4), rebalance=True)
    assert came
    assert living.runtime.observe("living").nodes == ()
    assert "broker-4" in living.runtime.observe("living").storages
    living.kafka.on_call = lambda _what, _about: None
    living.settles()
    assert sorted(row[0] for row in living.replicas("t")) == [1, 2, 3, 4]


@pytest.mark.parametrize("grown", ["zookeeper", "brokers"])
def test_a_first_up_over_kept_data_that_fails_before_new_nodes_run_leaves_none_of_theirs(
    living: Living, monkeypatch: pytest.MonkeyPatch, grown: str
) -> None:
    living.settles()
    goes_down(living, keep_data=True)
    before = living.runtime.observe("living").storages

    def fail(*_: object) -> None:
        raise ProvisionError("the image is gone")

    with monkeypatch.context() as patch:
        patch.setattr(living.runtime, "start_node", fail)
        with pytest.raises(ProvisionError, match="the image is gone"):
            living.want(**{grown: {"nodes": 5}}).up()
    assert living.runtime.observe("living").storages == before


def test_brokers_leave_over_kept_data_only_when_they_are_back_and_have_given_away_what_they_hold(
    living: Living,
) -> None:
    living.settles(topics=[topic("t", 6, 1)])
    goes_down(living, keep_data=True)
    kept = living.runtime.observe("living")
    started: list[str] = []
    verb_of_kafka = living.runtime.on_verb
    living.runtime.on_verb = lambda verb, _subject: started.append(verb)
    fewer = living.want(brokers=brokers(1)).plan().plan
    assert [(action.verb, action.name) for action in fewer.actions] == [
        (Verb.REFUSE, "broker-2"),
        (Verb.REFUSE, "broker-3"),
    ]
    with pytest.raises(Refused) as caught:
        living.up()
    assert "`provision up --set brokers.nodes=3` first" in caught.value.hint
    assert started == []
    assert living.runtime.observe("living") == kept
    living.runtime.on_verb = verb_of_kafka
    living.settles(brokers=brokers(3))
    done = living.settles(brokers=brokers(1))
    assert done[-3:] == ["reassign topic t", "remove broker-2", "remove broker-3"]
    assert set(living.replicas("t")) == {(1,)}


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("cut_off_at", ["stop_node", "remove_node", "remove_storage"])
def test_a_removal_that_was_cut_off_goes_on(living: Living, cut_off_at: str, stopped: bool) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    verb_of_kafka = living.runtime.on_verb

    def cut_off(verb: str, subject: str) -> None:
        verb_of_kafka(verb, subject)
        if (verb, subject) == (cut_off_at, "broker-3"):
            raise KeyboardInterrupt

    living.runtime.on_verb = cut_off
    with pytest.raises(Interrupted):
        living.up(brokers=brokers(2))
    living.runtime.on_verb = lambda _verb, _subject: None
    for node in living.runtime.observe("living").nodes if stopped else ():
        living.runtime.stop_node("living", node.name, 1.0)
    living.runtime.on_verb = verb_of_kafka
    living.settles()
    assert "broker-3" not in living.runtime.observe("living").storages


# -- topics -----------------------------------------------------------------------------------------------------------


def test_replicas_and_what_is_demanded_of_them_never_contradict_each_other(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    done = living.settles(topics=[topic("t", 6, 3, min_insync_replicas=3)])
    assert done == ["reassign topic t", "configure topic t", "grow topic t"]
    assert {len(row) for row in living.replicas("t")} == {3}
    assert living.settles(topics=[topic("t", 6, 1)]) == ["configure topic t", "reassign topic t"]
    assert living.kafka.topics["t"].config == {}


def test_prune_deletes_what_the_file_does_not_name_but_for_kafkas_own(living: Living) -> None:
    living.settles(topics=[topic("a"), topic("b")])
    living.kafka.use()
    assert living.settles(topics=[topic("b")]) == []
    assert living.settles(prune=True) == ["delete topic a"]
    assert set(living.kafka.topics) == {"b", OFFSETS}


def test_a_topic_that_shows_only_later_is_compared_in_a_second_round(living: Living) -> None:
    living.settles(topics=[topic("t", 1, 1, retention_ms=5)])
    living.kafka.hidden = {"t"}

    def show(what: str, _about: object) -> None:
        if what == "create":
            living.kafka.hidden.clear()

    living.kafka.on_call = show
    done = living.settles(topics=[topic("t", 1, 1, retention_ms=6), topic("u", 1, 1)])
    assert done == ["create topic u", "configure topic t"]


def test_topics_that_kafka_refuses_are_told_and_the_rest_is_done(living: Living) -> None:
    living.settles()
    living.kafka.refusals = {"bad": "no such setting", "worse": "nor that"}
    with pytest.raises(PartlyApplied) as caught:
        living.up(topics=[topic("bad"), topic("good"), topic("worse")])
    assert caught.value.why == "topic bad: no such setting\ntopic worse: nor that"
    assert living.done == ["create topic good"]
    living.kafka.refusals = {}
    assert living.settles() == ["create topic bad", "create topic worse"]


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({}, KafkaRefused),
        ({"topics": [topic("bad"), topic("good"), topic("worse")]}, PartlyApplied),
        ({"brokers": brokers(4)}, PartlyApplied),
        ({"quotas": [{"user": "*", "producer_byte_rate": 5}]}, PartlyApplied),
    ],
)
def test_what_is_refused_altogether_is_not_partly_applied(
    living: Living, changes: dict[str, Any], raised: type[ProvisionError]
) -> None:
    living.settles()
    living.kafka.refusals = {"bad": "no such setting", "worse": "nor that"}
    with pytest.raises(ProvisionError, match="could not be applied") as caught:
        living.up(**{"topics": [topic("bad"), topic("worse")]} | changes)
    assert type(caught.value) is raised
    assert ("the rest is done" in caught.value.hint) is (raised is PartlyApplied)


def test_a_first_up_whose_topics_are_refused_leaves_nothing(living: Living) -> None:
    living.kafka.refusals = {"t": "no such setting"}
    with pytest.raises(ProvisionError) as caught:
        living.up(topics=[topic()])
    assert not isinstance(caught.value, PartlyApplied)
    assert "no such setting" in caught.value.why
    assert living.runtime.observe("living").is_absent


def test_brokers_stay_when_what_they_keep_cannot_move(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    living.kafka.refusals = {"t": "partition 2: not now"}
    with pytest.raises(PartlyApplied, match="topic t could not be applied"):
        living.up(brokers=brokers(2))
    assert living.runtime.observe("living").node("broker-3")
    living.kafka.refusals = {}
    assert living.settles()[-1] == "remove broker-3"


def test_a_move_that_is_cut_off_is_gone_on_with_and_its_throttle_taken_back(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)], throttle="10m")

    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(topics=[topic("t", 3, 2)])
    assert living.kafka.set_on_brokers
    living.kafka.paces = 5
    planned = living.plan().plan.actions
    assert [(action.verb, action.name) for action in planned] == [("reassign", "t"), ("restore", "of replication")]
    living.settles()
    assert not any(living.kafka.set_on_brokers.values())
    assert living.kafka.topics["t"].config == {}


def test_a_drain_that_is_cut_off_is_gone_on_with_at_once(living: Living) -> None:
    living.settles(topics=[topic("t", 4, 2)], brokers=brokers(4))
    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(brokers=brokers(3), throttle="1m")
    living.kafka.paces = 12
    done = living.settles(throttle="20m")  # the move is resumed before anything waits for it
    assert done == ["reassign topic t", "restore throttle of replication", "remove broker-4"]
    assert not any(living.kafka.set_on_brokers.values())
    put_on = [about for what, about in living.kafka.calls if what == "alter"]
    assert "20971520" in str(put_on), "another throttle holds for what is under way"


def test_a_roll_goes_on_beside_a_move_that_is_under_way(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 2)])
    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(topics=[topic("t", 3, 3)])
    living.kafka.paces = 12
    done = living.settles(brokers=brokers(properties={"num.network.threads": 5}))
    assert done == ["restart broker-2", "restart broker-3", "restart broker-1", "reassign topic t"]


def test_what_still_moves_within_a_throttle_is_waited_for_before_it_goes(living: Living) -> None:
    living.settles(topics=[topic("a", 2, 1), topic("b", 1, 1)], throttle="10m")
    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(topics=[topic("a", 2, 2), topic("b", 1, 1)])
    living.kafka.paces = 5
    assert living.settles(topics=[topic("b", 1, 1)]) == ["reassign topic a", "restore throttle of replication"]
    assert living.kafka.topics["a"].config == {}


def test_what_shows_only_when_a_broker_is_back_must_be_in_the_saved_plan(living: Living) -> None:
    living.settles()
    living.kafka.set_on_brokers[2] = {"num.io.threads": "6"}
    living.runtime.exit_node("living", "broker-2", 1)
    saved = living.plan().saved
    with pytest.raises(Refused, match="does not include everything"):
        living.up(UpOptions(timeout_s=60.0, saved=saved), agree=saved.require_known)
    assert living.done == ["start broker-2"]


# -- topics alone -----------------------------------------------------------------------------------------------------


def test_a_topic_that_comes_between_the_plan_and_its_creation_is_made_as_declared_too(living: Living) -> None:
    living.settles()
    access = Access(living.runtime.observe("living").broker_endpoints)
    desired = {TOPIC: DesiredTopics((Topic("t", 2, 3, {"retention.ms": "7"}),), TopicPolicy())}
    shown: list[Plan] = []

    def agree(plan: Plan) -> None:
        if not shown:  # somebody else is faster
            living.kafka.topics["t"] = KeptTopic([Partition((1,))])
        shown.append(plan)

    cluster = KafkaCluster("living", access)
    done = apply_for(cluster, desired, living.home, patience=Patience(5.0), agree=agree)
    assert [[action.verb for action in plan.actions] for plan in shown] == [
        [Verb.CREATE],
        [Verb.REASSIGN, Verb.CONFIGURE, Verb.GROW],
    ]
    assert [action.verb for action in done.actions] == [Verb.REASSIGN, Verb.CONFIGURE, Verb.GROW]
    assert [len(row) for row in living.replicas("t")] == [3, 3]
    assert living.kafka.topics["t"].config == {"retention.ms": "7"}


# -- how far it goes --------------------------------------------------------------------------------------------------

SILENT = "broker-2: it does not answer in time"


def late() -> NotReady:
    return NotReady("a record was not acknowledged within 5 s", why=SILENT)


@pytest.mark.parametrize(
    "failure", [late(), KafkaRefused("creating a topic: Kafka refused"), KeyboardInterrupt()], ids=repr
)
def test_a_round_trip_that_fails_undoes_nothing(
    living: Living, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(_access: Access, _patience: Patience) -> None:
        raise failure

    monkeypatch.setattr("provision.kafka.roundtrip.roundtrip", fail)
    with pytest.raises((NotReady, KafkaRefused, Interrupted)) as raised:
        living.up(UpOptions(timeout_s=60.0, until=Level.ROUNDTRIP), topics=[topic()])
    assert raised.value.why.splitlines()[-1] == (
        "living is up and has reached topics; `provision down living` removes it"
    )
    assert status(living.runtime, "living").level is Level.TOPICS
    assert not living.up().changed


def test_a_broker_that_dies_during_the_round_trip_is_told_itself(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_access: Access, _patience: Patience) -> None:
        living.runtime.exit_node("living", "broker-2", 1, ["java.lang.OutOfMemoryError: Java heap space"])
        raise late()

    monkeypatch.setattr("provision.kafka.roundtrip.roundtrip", die)
    with pytest.raises(NodeFailed, match="broker-2 exited with code 1") as raised:
        living.up(UpOptions(timeout_s=60.0, until=Level.ROUNDTRIP))
    assert raised.value.why.splitlines()[:2] == ["the JVM ran out of memory", SILENT]


@pytest.mark.parametrize("command", ["up", "wait"])
def test_a_round_trip_has_what_is_left_of_the_time(
    living: Living, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    given: list[Patience] = []
    monkeypatch.setattr("provision.kafka.roundtrip.roundtrip", lambda _access, patience: given.append(patience))
    until = Level.ROUNDTRIP
    living.settles()
    reached = (
        living.up(UpOptions(timeout_s=7.0, until=until)).assessment
        if command == "up"
        else wait_for(living.runtime, "living", until, None, Patience(7.0), silent)
    )
    assert reached.level is until
    assert [patience.timeout_s for patience in given] == [7.0]


@pytest.mark.parametrize("said", [False, "false", "FALSE"])
def test_a_round_trip_whose_topic_could_not_be_deleted_is_refused_before_anything_is_made(
    living: Living, said: object
) -> None:
    with pytest.raises(UsageError, match="a round trip would leave its topic behind"):
        living.up(UpOptions(until=Level.ROUNDTRIP), brokers=brokers(properties={"delete.topic.enable": said}))
    assert living.runtime.observe("living").is_absent


@pytest.mark.parametrize("until", [Level.PROCESS, Level.BROKERS])
def test_only_what_is_going_to_be_done_is_shown(living: Living, until: Level) -> None:
    shown: list[Plan] = []
    living.up(UpOptions(timeout_s=60.0, until=until), agree=shown.append, topics=[topic("a"), topic("b")])
    assert {str(action.kind) for plan in shown for action in plan.actions} <= {"network", "storage", "node", "software"}
    (planned,) = (event.plan for event in living.told if isinstance(event, Planned))
    assert len(planned["actions"]) == len(living.done) == len(shown[0].actions)


# -- consent ----------------------------------------------------------------------------------------------------------


def test_who_does_not_agree_stops_it_before_anything_is_touched(living: Living) -> None:
    living.settles()
    before = living.state
    shown: list[Plan] = []

    def disagree(plan: Plan) -> None:
        shown.append(plan)
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        living.up(agree=disagree, brokers=brokers(properties={"num.network.threads": 5}))
    assert [action.verb for action in shown[0].needs_consent] == [Verb.RESTART] * 3
    assert living.state == before


def test_what_shows_only_when_brokers_answer_is_agreed_to_then(living: Living) -> None:
    living.settles(topics=[topic("a"), topic("b")])
    living.runtime.exit_node("living", "broker-2", 1)
    shown: list[list[str]] = []
    living.want(topics=[topic("b"), topic("c")], prune=True)
    living.up(agree=lambda plan: shown.append([action.key for action in plan.actions]))
    assert shown == [["start broker-2"], ["create topic c", "delete topic a"]]


def test_a_plan_that_was_shown_is_not_asked_about_again(living: Living) -> None:
    living.settles(topics=[topic("a")])
    shown: list[Plan] = []
    living.up(agree=shown.append, topics=[], prune=True)
    assert len(shown) == 1


def test_a_saved_plan_is_carried_out_once(living: Living) -> None:
    living.settles()
    saved = living.want(brokers=brokers(4), topics=[topic()]).plan().saved
    assert living.up(UpOptions(timeout_s=60.0, saved=saved)).changed
    before = living.state
    with pytest.raises(Refused, match="the plan is stale"):
        living.up(UpOptions(timeout_s=60.0, saved=saved))
    assert living.state == before


def test_a_saved_plan_for_the_first_up_is_carried_out_too(living: Living) -> None:
    saved = living.want(topics=[topic()]).plan().saved
    living.up(UpOptions(timeout_s=60.0, saved=saved))
    assert living.plan().plan.actions == ()


def test_a_stale_plan_for_a_first_up_leaves_nothing_and_keeps_nothing(living: Living) -> None:
    saved = living.want(topics=[topic()]).plan().saved
    with pytest.raises(Refused, match="the plan is stale"):
        living.up(UpOptions(timeout_s=60.0, saved=saved), topics=[])
    assert living.runtime.observe("living").is_absent


def test_a_throttle_is_remembered_as_long_as_the_data_that_have_it(living: Living, tmp_path: Path) -> None:
    living.settles(topics=[topic("t", 3, 1)], storage=str(tmp_path / "data"), throttle="10m")
    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(topics=[topic("t", 3, 2)])
    living.runtime.on_verb = lambda _verb, _subject: None  # whoever stops them all does not ask what they can spare
    down(living.runtime, "living", living.home)
    assert living.home.throttle("living").read("fake")
    down(living.runtime, "living", living.home, keep_data=True)
    assert living.home.throttle("living").read("fake")
    down(living.runtime, "living", living.home, delete_data=True)
    assert living.home.throttle("living").read("fake") == {}


def test_no_down_deletes_the_note_of_an_external_clusters_throttle(living: Living) -> None:
    """An environment may have the name of the file, or there may be none of that name."""
    living.settles(topics=[topic("t", 3, 1)])
    access = Access(living.runtime.observe("living").broker_endpoints)
    desired = {TOPIC: DesiredTopics((Topic("t", 3, 2, {}),), TopicPolicy(throttle_bytes_per_s=1024))}
    cluster = KafkaCluster("living", access, external=True)
    living.interrupts_moves()
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        apply_for(cluster, desired, living.home, patience=Patience(5.0))
    assert any(living.kafka.set_on_brokers.values())
    here = living.runtime
    elsewhere = SpokenRuntime()  # nothing is there
    here.on_verb = lambda _verb, _subject: None
    for runtime in (elsewhere, here):
        down(runtime, "living", living.home, delete_data=runtime is here)
        assert living.home.external_throttle("living").read("fake")


def test_a_down_that_finds_nothing_forgets_nothing(living: Living, tmp_path: Path) -> None:
    """Its data are in a directory of the user's, or in another runtime."""
    living.settles(topics=[topic("t", 3, 1)], storage=str(tmp_path / "data"), throttle="10m")
    living.interrupts_moves()
    with pytest.raises(Interrupted):
        living.up(topics=[topic("t", 3, 2)])
    living.runtime.on_verb = lambda _verb, _subject: None
    for _ in range(3):
        down(living.runtime, "living", living.home)
        assert living.home.throttle("living").read("fake")


def test_a_throttle_on_an_external_cluster_is_taken_back_by_the_next_apply(living: Living) -> None:
    living.settles(topics=[topic("t", 3, 1)])
    access = Access(living.runtime.observe("living").broker_endpoints)
    cluster = KafkaCluster("living", access, external=True)
    desired = {TOPIC: DesiredTopics((Topic("t", 3, 2, {}),), TopicPolicy(throttle_bytes_per_s=1024))}
    living.interrupts_moves()
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        apply_for(cluster, desired, living.home, patience=Patience(5.0))
    down(SpokenRuntime(), "living", living.home)
    living.kafka.paces = 2
    apply_for(cluster, desired, living.home, patience=Patience(5.0))
    assert not any(living.kafka.set_on_brokers.values())
    assert living.home.external_throttle("living").read("fake") == {}


def test_down_takes_everything_and_the_next_up_starts_over(living: Living) -> None:
    living.settles(topics=[topic()], throttle="1m")
    living.kafka.topics.clear()
    living.kafka.members_with_data.clear()
    down(living.runtime, "living", living.home)
    assert living.runtime.observe("living").is_absent
    assert "create topic t" in living.settles()
    assert {node.state for node in living.runtime.observe("living").nodes} == {NodeState.RUNNING}
