"""Replicas, leaders, quorums, throttles and settings: each named with its cause, and nothing said too early."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provision.cluster.model import RenderedFile
from provision.common.values import replace
from provision.kafka.readiness import BrokerAnswers
from provision.operations.doctor.facts import Arrival, Facts, Inside, known
from provision.plan.observed import (
    Move,
    NodeState,
    ObservedBroker,
    ObservedCluster,
    ObservedNode,
    ObservedPartition,
    ObservedTopic,
)
from provision.runtime.health import Vitals
from tests.operations.doctor.world import described, facts, found, node

EXITED = NodeState.EXITED
NOW = {name: Vitals(started_s=time.time() + 1e6) for name in ("broker-1", "broker-2", "broker-3")}
"""Nodes that have just been started, however long the tests take."""
LEADER_RATE = "leader.replication.throttled.rate"
LEADER_REPLICAS = "leader.replication.throttled.replicas"


def three(*third: ObservedNode) -> tuple[ObservedNode, ...]:
    """Three brokers, the last of them as it is given."""
    return (node("broker-1"), node("broker-2"), *(third or (node("broker-3"),)))


def topic(
    *partitions: tuple[tuple[int, ...], tuple[int, ...]], config: Mapping[str, str] | None = None
) -> ObservedTopic:
    """A topic whose partitions have these replicas, and of them these in sync, the first of which leads."""
    return ObservedTopic(
        "t",
        tuple(
            ObservedPartition(number, next((b for b in replicas if b in in_sync), -1), replicas, in_sync)
            for number, (replicas, in_sync) in enumerate(partitions)
        ),
        config=config or {},
    )


def inside(*topics: ObservedTopic, up: tuple[int, ...] = (1, 2), **of: Any) -> Inside:  # noqa: ANN401 its fields
    """What these brokers report."""
    cluster = ObservedCluster("id", 1, tuple(ObservedBroker(b, None) for b in up), topics)
    silent = {b: "it does not answer in time" for b in (1, 2, 3) if b not in up}
    every: dict[str, Any] = {"answers": BrokerAnswers(dict.fromkeys(up, cluster), silent), "topics": topics}
    return Inside(**every | {"settings": {}, "moves": {}, "slow": silent} | of)


LACKING = topic(((1, 2, 3), (1, 2)), ((3, 1, 2), (1, 2)))


@pytest.mark.parametrize(
    ("third", "log", "vitals", "cause"),
    [
        (node("broker-3", EXITED, exit_code=143), "", Vitals(), "broker-3 is stopped"),
        (
            node("broker-3", EXITED),
            "[2020-01-01 10:00:00,000] INFO Terminating process due to signal SIGTERM",
            Vitals(),
            "broker-3 is stopped",
        ),
        (node("broker-3", EXITED, exit_code=137), "", Vitals(), "broker-3 has exited with code 137"),
        (
            node("broker-3", EXITED, exit_code=1),
            "[2026-01-01 10:00:00,000] ERROR no (kafka.Kafka$)\njava.io.IOException: No space left on device",
            Vitals(),
            "broker-3 has exited: its disk is full",
        ),
        (node("broker-3", NodeState.PAUSED), "", Vitals(), "broker-3 is paused"),
        (node("broker-3"), "", Vitals(stopped=True), "a signal (SIGSTOP) has stopped the process of broker-3"),
        (node("broker-3"), "", Vitals(), "broker-3 does not answer: it does not answer in time"),
        (node("broker-3", NodeState.CREATED), "", Vitals(), "broker-3 was never started"),
        (
            node("broker-3", astray="it is not in the network shop"),
            "",
            Vitals(),
            "broker-3: it is not in the network shop",
        ),
    ],
)
def test_replicas_that_lack_are_told_with_the_broker_and_why(
    third: ObservedNode, log: str, vitals: Vitals, cause: str
) -> None:
    told = found(facts(*three(third), logs={"broker-3": log}, vitals={"broker-3": vitals}, inside=inside(LACKING)))[
        "under-replicated"
    ]
    assert told.cause == cause
    assert told.node == "broker-3"
    assert told.title == "2 of the 2 partitions on broker-3 are not in sync there"
    assert told.evidence == ("t-0: replicas 1, 2, 3; in sync 1, 2", "t-1: replicas 3, 1, 2; in sync 1, 2")
    assert told.fix


def test_a_broker_that_is_not_there() -> None:
    assert found(facts(*three()[:2], inside=inside(LACKING)))["under-replicated"].cause == "broker-3 is not there"


def test_a_broker_that_was_just_started_needs_a_moment() -> None:
    assert found(facts(*three(), vitals=NOW, inside=inside(LACKING, up=(1, 2, 3)))) == {}
    assert found(facts(*three(), vitals=NOW, inside=inside(LACKING))) == {}


@pytest.mark.parametrize("ago_s", [-1e6, 60])
def test_one_that_was_stopped_needs_more(ago_s: float) -> None:
    stopped = node("broker-3", EXITED, exit_code=143)
    vitals = {"broker-3": Vitals(ended_s=time.time() - ago_s)}
    assert list(found(facts(*three(stopped), vitals=vitals, inside=inside(LACKING)))) == [
        "node-stopped",
        "under-replicated",
    ]


def test_one_that_was_killed_is_told_at_once() -> None:
    killed = node("broker-3", EXITED, exit_code=137)
    just = {"broker-3": Vitals(ended_s=time.time() + 1e6)}
    assert "under-replicated" in found(facts(*three(killed), vitals=just, inside=inside(LACKING)))


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({1: {LEADER_RATE: "1000"}}, {LEADER_REPLICAS: "*"}),
        ({1: {LEADER_RATE: "1000"}}, {LEADER_REPLICAS: "0:1, 1:1"}),
        ({0: {LEADER_RATE: "1000"}}, {LEADER_REPLICAS: "*"}),  # of all brokers
        ({3: {"follower.replication.throttled.rate": "1000"}}, {"follower.replication.throttled.replicas": "1:3"}),
    ],
)
def test_a_throttle_is_the_cause_where_it_holds(settings: dict[int, dict[str, str]], config: dict[str, str]) -> None:
    lacking = replace(LACKING, config=config)
    of_all = {key: (rate, "") for key, rate in settings.pop(0, {}).items()}
    of = inside(lacking, up=(1, 2, 3), settings=settings, defaults=of_all)
    told = found(facts(*three(), vitals=NOW, inside=of))
    assert list(told) == ["stale-throttle", "under-replicated"] or list(told) == ["under-replicated", "stale-throttle"]
    assert told["under-replicated"].cause == "the replication of broker-3 is throttled to 1000 B/s"
    assert list(map(str, told["stale-throttle"].repairs)) == ["remove the replication throttle"]
    assert ("--entity-default" in told["stale-throttle"].fix) is bool(of_all)


def test_a_throttle_of_others_is_not() -> None:
    lacking = replace(LACKING, config={LEADER_REPLICAS: "7:1,0:2"})
    settings = {1: {LEADER_RATE: "1000"}}
    told = found(facts(*three(), vitals=NOW, inside=inside(lacking, up=(1, 2, 3), settings=settings)))
    assert list(told) == ["stale-throttle"]


def test_a_throttle_is_not_stale_while_something_moves() -> None:
    settings, moves = {1: {LEADER_RATE: "1000"}}, {("t", 0): Move((3, 1, 2), (3,), (1,))}
    moving = topic(((1, 2), (1, 2)))
    arriving = {("t", 0): Arrival(1000, 10)}
    of = inside(moving, up=(1, 2, 3), settings=settings, moves=moves, arrivals=arriving)
    assert found(facts(*three(), inside=of)) == {}


def test_partitions_without_a_leader() -> None:
    stopped = node("broker-3", EXITED, exit_code=143)
    none = ObservedTopic("t", (ObservedPartition(0, -1, (3,), (3,)),))
    told = found(facts(*three(stopped), inside=inside(none)))["no-leader"]
    assert told.title == "1 partition has no leader: only broker-3 could lead it"
    assert told.cause == "broker-3 is stopped"
    assert told.fix == "provision start shop broker-3"
    assert list(map(str, told.repairs)) == ["start broker-3"]


def test_a_topic_with_one_replica_lacks_none() -> None:
    assert found(facts(*three(), inside=inside(topic(((1,), (1,)), ((2,), (2,))), up=(1, 2, 3)))) == {}


@pytest.mark.parametrize(
    ("config", "settings", "file"),
    [
        ({"min.insync.replicas": "3"}, {}, ""),
        ({}, {1: {"min.insync.replicas": "3"}}, ""),
        ({}, {}, "min.insync.replicas=3\n"),
    ],
)
def test_a_minimum_that_is_not_met_wherever_it_is_set(
    config: dict[str, str], settings: dict[int, dict[str, str]], file: str
) -> None:
    stopped = node("broker-3", EXITED, exit_code=143)
    lacking = replace(LACKING, config=config)
    of = facts(*three(stopped), inside=inside(lacking, settings=settings))
    of = replace(
        of,
        nodes={
            name: replace(about, files=(RenderedFile(name, "server.properties", file.encode()),))
            for name, about in of.nodes.items()
        },
    )
    told = found(of)["min-isr-not-met"]
    assert told.title == "nobody can write with acks=all to 2 partitions of t"
    assert told.evidence[0] == "min.insync.replicas=3"
    assert told.cause == "broker-3 is stopped"


@pytest.mark.parametrize(("version", "fails"), [("3.6.2", True), ("3.9.1", False), ("2.8.2", True), ("4.3.0", False)])
def test_a_minimum_above_the_replicas_counts_as_their_number_in_newer_releases(version: str, *, fails: bool) -> None:
    two = topic(((1, 2), (1, 2)), config={"min.insync.replicas": "3"})
    of = facts(*three(), inside=inside(two, up=(1, 2, 3)))
    observed = known(of.observed)
    assert observed
    told = found(replace(of, observed=replace(observed, version=version)))
    assert ("min-isr-not-met" in told) is fails
    if fails:
        assert told["min-isr-not-met"].cause == "t has 2 replicas only"
        assert told["min-isr-not-met"].fix == "set min.insync.replicas of t to at most 2"


def _moving(third: ObservedNode, arrival: Arrival, settings: Mapping[int, Mapping[str, str]] | None = None) -> Facts:
    partition = topic(((1, 2), (1, 2)), config={LEADER_REPLICAS: "*"})
    up = (1, 2, 3) if third.state is NodeState.RUNNING else (1, 2)
    moves = {("t", 0): Move((3, 2, 1), (3,), (1,))}
    of = inside(partition, up=up, moves=moves, arrivals={("t", 0): arrival}, settings=settings or {})
    return facts(*three(third), inside=of)


@pytest.mark.parametrize(
    ("third", "arrival", "rate", "cause"),
    [
        (node("broker-3", NodeState.PAUSED), Arrival(5000, 0), "", "broker-3 is paused"),
        (node("broker-3"), Arrival(5000, 0), "", "broker-3 runs and has not caught up yet"),
        (node("broker-3"), Arrival(5000, 40), "1", "the replication of broker-3 is throttled to 1 B/s"),
    ],
)
def test_a_reassignment_that_hangs(third: ObservedNode, arrival: Arrival, rate: str, cause: str) -> None:
    told = found(_moving(third, arrival, {1: {LEADER_RATE: rate}} if rate else None))["reassignment-hangs"]
    assert told.cause == cause
    assert told.evidence[0].startswith("t-0: 2, 1 → 3, 2; ")


@pytest.mark.parametrize(("arrival", "rate"), [(Arrival(5000, 40), ""), (Arrival(5000, 40), "1000")])
def test_a_reassignment_that_goes_on(arrival: Arrival, rate: str) -> None:
    assert found(_moving(node("broker-3"), arrival, {1: {LEADER_RATE: rate}} if rate else None)) == {}


def test_leaders_that_stay_where_they_are_only_if_kafka_does_not_give_them_back() -> None:
    elsewhere = ObservedTopic("t", (ObservedPartition(0, 2, (1, 2), (1, 2)),))
    of = facts(*three(), inside=inside(elsewhere, up=(1, 2, 3)))
    assert found(of) == {}
    told = RenderedFile("broker-1", "server.properties", b"auto.leader.rebalance.enable=false\n")
    nodes = {**of.nodes, "broker-1": replace(of.nodes["broker-1"], files=(told,))}
    leaders = found(replace(of, nodes=nodes))["leaders-not-preferred"]
    assert leaders.evidence == ("t-0: leader 2, preferred 1",)
    assert list(map(str, leaders.repairs)) == ["elect preferred leaders"]


def test_a_setting_for_all_brokers_unless_it_changes_nothing() -> None:
    defaults = {"log.retention.ms": ("5", ""), "min.insync.replicas": ("1", "1")}
    told = found(facts(*three(), inside=inside(up=(1, 2, 3), defaults=defaults)))["dynamic-default"]
    assert told.evidence == ("log.retention.ms=5, without it unset",)
    assert told.fix.startswith("provision tool shop kafka-configs -- --alter --entity-type brokers --entity-default")


def test_a_dynamic_setting_that_is_not_in_the_file(tmp_path: Path) -> None:
    source = described(tmp_path, "brokers:\n  properties:\n    num.io.threads: 4\n")
    of = facts(*three(), source=source, inside=inside(LACKING, settings={1: {"num.io.threads": "5"}}))
    (file,) = (RenderedFile("broker-1", "server.properties", b"num.io.threads=4\n"),)
    nodes = {**of.nodes, "broker-1": replace(of.nodes["broker-1"], files=(file,))}
    told = found(replace(of, nodes=nodes))["dynamic-setting"]
    assert told.evidence == ("num.io.threads=5, in its file 4",)
    assert told.file == f"{source.file}:3"
    same = inside(LACKING, settings={1: {"num.io.threads": "4", LEADER_RATE: "1"}})
    assert "dynamic-setting" not in found(replace(of, nodes=nodes, inside=same))
