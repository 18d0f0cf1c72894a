"""`up --timings`: the events of an `up` as stretches of time, in a table and in JSON."""

import json
from pathlib import Path

import pytest

from provision.cli.timings import Timings, timed
from provision.events import (
    ActionDone,
    ActionSkipped,
    Event,
    LevelReached,
    NodeReady,
    NodeWaiting,
    Notice,
    StageDone,
)
from tests.cli.program import Case, Ended, results
from tests.cli.world import NAME

BEGAN = 1000.0
EVENTS: tuple[Event, ...] = (
    StageDone("load", at_s=1000.25),
    StageDone("observe", "nodes", at_s=1000.5),
    Notice("nothing to measure", at_s=1000.5),
    ActionDone("network shop", "create", 0.125, at_s=1000.625),
    ActionDone("storage broker-1", "create", 0.125, at_s=1000.75),
    ActionDone("broker-1", "create", 0.0, at_s=1000.75),
    ActionDone("storage broker-1", "format", 0.25, at_s=1001.0),
    ActionDone("broker-1", "start", 0.0, at_s=1001.0),
    NodeWaiting("broker-1", "it is starting", at_s=1001.5),
    LevelReached("process", 0.75, at_s=1001.5),
    NodeWaiting("broker-1", "it does not know the cluster yet", at_s=1002.0),
    NodeReady("broker-1", "127.0.0.1:9092", at_s=1003.0),
    LevelReached("brokers", 2.25, at_s=1003.0),
    ActionDone("topic orders", "create", 0.5, at_s=1003.5),
    ActionSkipped("25 topics", "create", 0.5, "existed already", at_s=1004.0),
)
SPANS = [
    ("load", "", 0.0, 0.25, ""),
    ("observe", "nodes", 0.25, 0.25, ""),
    ("network", "shop", 0.5, 0.125, ""),
    ("level", "process", 0.5, 1.0, "broker-1: it is starting"),
    ("storage", "broker-1", 0.625, 0.125, ""),
    ("create", "broker-1", 0.75, 0.0, ""),
    ("format", "broker-1", 0.75, 0.25, ""),
    ("start", "broker-1", 1.0, 0.0, ""),
    ("ready", "broker-1", 1.0, 2.0, "it does not know the cluster yet"),
    ("level", "brokers", 1.5, 1.5, "broker-1: it does not know the cluster yet"),
    ("topics", "create topic orders", 3.0, 0.5, ""),
    ("topics", "create 25 topics", 3.5, 0.5, ""),
]


def test_each_stretch_of_time_has_its_phase_what_it_was_and_what_was_waited_for() -> None:
    timings = Timings(BEGAN)
    for event in EVENTS:
        timings(event)
    assert [tuple(one.values()) for one in timings.as_dicts()] == SPANS


def test_every_event_is_passed_on() -> None:
    passed: list[Event] = []
    listener = Timings(BEGAN).beside(passed.append)
    for event in EVENTS:
        listener(event)
    assert passed == list(EVENTS)


def _fail() -> None:
    with timed(wanted=True) as timings:
        assert timings is not None
        timings(LevelReached("quorum", 1.0))
        raise ValueError("no")


def test_the_table_is_shown_also_where_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"):
        _fail()
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].split() == ["PHASE", "WHAT", "BEGAN", "SECONDS", "WAITED", "FOR"]
    assert [line.split()[0] for line in shown[1:]] == ["program", "level"]


def test_up_tells_where_the_time_went(tmp_path: Path) -> None:
    lines = (
        ["up", NAME, "--timings"],
        ["up", NAME, "--timings", "-o", "json"],
        ["up", NAME, "-o", "json"],
    )
    table, as_json, without = results([Case(line) for line in lines], tmp_path)
    assert {one.code for one in (table, as_json, without)} == {0}
    assert "PHASE" in table.err
    assert "PHASE" not in table.out
    assert "phases" not in json.loads(without.out)
    assert "PHASE" not in without.err
    assert _phases(as_json) == [
        "program",
        "load",
        "choose",
        "resolve",
        "observe",
        "render",
        "observe",
        "plan",
        "topics",
    ]
    assert "topics" in json.loads(as_json.out)["timings"]


def _phases(ended: Ended) -> list[str]:
    """The phases before anything is waited for."""
    return [one["phase"] for one in json.loads(ended.out)["phases"] if one["phase"] not in ("ready", "level")]
