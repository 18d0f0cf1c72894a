"""Commands are killed, each once: `status` is true, `up` converges, `down` leaves nothing, no record is lost.

In `tests/matrix/test_kills.py` one is killed after the other.
"""

import json
import logging
from pathlib import Path

import pytest

from tests.engine import SHORT_SESSION, Provision, write_environment
from tests.soak.conftest import NAME as UPDATED
from tests.soak.conftest import TOPIC, Bench, Shape, running
from tests.soak.killing import Instant, Journal, becomes_whole, instants, leaves_nothing, status_is_true, was_killed
from tests.soak.traffic import Traffic, assert_nothing_lost

pytestmark = [pytest.mark.soak, pytest.mark.row("soak")]

NAME = "killed"
ZOOKEEPER = f"brokers: {{port: auto, properties: {SHORT_SESSION}}}\ntopics: [{{name: t}}]\n"
KRAFT = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
TRIES = 3
BEFORE, SERVED, AFTER = 500, 100, 500
_log = logging.getLogger(__name__)


def parts(kills: int, each: int) -> pytest.MarkDecorator:
    """So many kills on each runtime; each of the tests has its share, which takes some minutes."""
    return pytest.mark.parametrize(("part", "kills"), [(part, each) for part in range(1, kills // each + 1)])


def recovers(provision: Provision, env: str, *, whole: bool) -> None:
    """After a kill `status` is true, `down` leaves nothing, and before that `up` makes it `whole`, if it is to."""
    status_is_true(provision, NAME)
    if whole:
        becomes_whole(provision, env)
    leaves_nothing(provision, NAME)


@parts(kills=40, each=5)
def test_an_up_that_is_killed(provision: Provision, tmp_path: Path, part: int, kills: int) -> None:
    killed = 0
    for number, instant in enumerate(instants("up", part, kills)):
        env = write_environment(tmp_path, NAME, KRAFT if number % 2 else ZOOKEEPER)
        journal = Journal(provision, NAME)
        with provision.start("up", env) as process:
            killed += was_killed(process, journal, instant)
        _log.info("%s: %d lines", instant, journal.lines)
        recovers(provision, env, whole=number % 4 < 3)
    assert killed


@parts(kills=30, each=5)
def test_a_down_that_is_killed(provision: Provision, tmp_path: Path, part: int, kills: int) -> None:
    killed = 0
    for number, instant in enumerate(instants("down", part, kills)):
        env = write_environment(tmp_path, NAME, KRAFT if number % 2 else ZOOKEEPER)
        provision.ok("up", env)
        for attempt in range(TRIES):  # it may be over before it is killed
            journal = Journal(provision, NAME)
            with provision.start("down", NAME) as process:
                if was_killed(process, journal, Instant(instant.lines >> attempt, instant.delay_s * (not attempt))):
                    killed += 1
                    break
            provision.ok("up", env)
        _log.info("%s: %d lines", instant, journal.lines)
        recovers(provision, env, whole=number % 4 < 3)
    assert killed


@parts(kills=30, each=2)
def test_an_update_that_is_killed_loses_no_record(provision: Provision, tmp_path: Path, part: int, kills: int) -> None:
    three, four = Shape(), Shape(brokers=4, rebalance=True, properties={"queued.max.requests": 600})
    killed = 0
    with running(provision, tmp_path, three) as bench:
        with Traffic(provision, UPDATED, TOPIC) as traffic:
            traffic.wait_for(BEFORE)
            for number, instant in enumerate(instants("update", part, kills)):
                killed += _killed_update(bench, three if number % 2 else four, instant)
                traffic.wait_for(SERVED)
                _becomes_whole(bench)
            traffic.wait_for(AFTER)
            traffic.stop()
        _log.info("%s", assert_nothing_lost(bench.provision, UPDATED, TOPIC, traffic, at_least=BEFORE + AFTER))
    assert killed


def _killed_update(bench: Bench, shape: Shape, instant: Instant) -> bool:
    journal = Journal(bench.provision, UPDATED)
    command = bench.begin_up(shape)
    try:
        killed = was_killed(command.process, journal, instant)
    finally:
        command.close()
    _log.info("%s: %d lines", instant, journal.lines)
    status_is_true(bench.provision, UPDATED)
    return killed


def _becomes_whole(bench: Bench) -> None:
    shown = json.loads(bench.up(tries=TRIES))
    assert shown["ready"]
    assert len([node for node in shown["nodes"] if node["role"] == "broker"]) == bench.shape.brokers
    assert {node["state"] for node in shown["nodes"]} == {"running"}
    assert all(topic["under_replicated"] == 0 for topic in shown["topics"])
    plan = bench.provision("plan", bench.file, "--detailed-exitcode")
    assert plan.code == 0, plan.out + plan.err
