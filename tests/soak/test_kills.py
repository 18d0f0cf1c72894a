"""Commands are killed at random instants: `status` is true, `up` converges, `down` leaves nothing, no record is lost.

An instant is one of a command's progress, told by its journal, and a random delay from there: so the instants of a test
are spread over the whole command, however fast the machine is. `tests/test_killed.py` tries every single step.
"""

import json
import logging
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.engine import COMMAND_TIMEOUT_S, SHORT_SESSION, Provision, engine, wait_until, write_environment
from tests.soak.conftest import NAME as UPDATED
from tests.soak.conftest import TOPIC, Bench, Shape, running
from tests.soak.traffic import Traffic, assert_nothing_lost

pytestmark = pytest.mark.row("soak")

NAME = "killed"
ZOOKEEPER = f"brokers: {{port: auto, properties: {SHORT_SESSION}}}\ntopics: [{{name: t}}]\n"
KRAFT = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
LINES = {"up": 12, "update": 14, "down": 8}
"""How many lines the journal of such a command has at least."""
LONGEST_S = {"up": 3.0, "update": 4.0, "down": 0.3}
"""The longest delay: at some lines a command is for longer than at others."""
TRIES = 3
BEFORE, SERVED, AFTER = 500, 100, 500
_log = logging.getLogger(__name__)


def parts(few: int, many: int, each: int, docker: str = "matrix", process: str = "matrix") -> pytest.MarkDecorator:
    """So few kills in `make test-matrix`, so many in `make test-soak`; each of the tests there has its share."""
    first = pytest.param(0, few, marks=pytest.mark.group(docker=docker, process=process))
    soak = [pytest.param(part, each, marks=pytest.mark.soak) for part in range(1, many // each + 1)]
    return pytest.mark.parametrize(("part", "kills"), [first, *soak])


@dataclass(frozen=True, slots=True)
class Instant:
    """When a command is killed: when its journal has so many lines of it, and so long after that."""

    lines: int
    delay_s: float


def instants(command: str, part: int, count: int) -> Iterator[Instant]:
    """One in each of `count` equal parts of the command; the same ones in every run."""
    chance = random.Random(f"{command} {part}")  # noqa: S311 no secret
    for number in range(count):
        lines = int((number + chance.random()) / count * LINES[command])
        yield Instant(lines, chance.choice((0.0, chance.uniform(0, 0.2), chance.uniform(0, LONGEST_S[command]))))


class Journal:
    """The journal of one environment, from now on."""

    def __init__(self, provision: Provision, name: str) -> None:
        self._file = provision.home / "journals" / f"{name}.jsonl"
        self._before = self._all()

    def _all(self) -> int:
        return self._file.read_bytes().count(b"\n") if self._file.exists() else 0

    @property
    def lines(self) -> int:
        """How many have come."""
        return self._all() - self._before


def was_killed(process: subprocess.Popen[str], journal: Journal, instant: Instant) -> bool:
    """Kill a command at that instant; False if it has ended before."""
    deadline = time.monotonic() + COMMAND_TIMEOUT_S
    while journal.lines < instant.lines and process.poll() is None:
        assert time.monotonic() < deadline, f"its journal has no {instant.lines} lines"
        time.sleep(0.005)
    time.sleep(instant.delay_s)
    process.kill()
    return process.wait(30) != 0


def really_running(provision: Provision, name: str) -> set[str]:
    """The nodes that have a process, whatever the program says."""
    if provision.runtime == "docker":
        found = engine().api.containers(filters={"label": [f"provision.environment={name}", "provision.node"]})
        return {str(one["Labels"]["provision.node"]) for one in found if one["Labels"]["provision.role"] in ROLES}
    mark = re.compile(rf"-Dprovision\.node={re.escape(str(provision.home))}/environments/{name}/([a-z]+-\d+)")
    lines: list[str] = []
    for process in provision._processes(name):  # noqa: SLF001 as `traces`
        with suppress(psutil.Error):  # it has just ended
            lines.append(" ".join(process.cmdline()))
    return {match[1] for line in lines if (match := mark.search(line))}


ROLES = ("zookeeper", "controller", "broker")


def is_told_as_it_is(provision: Provision, name: str) -> bool:
    """Whether `status` names the nodes that run, and no others; what is not there is not known."""
    status = provision("status", name, "-o", "json")
    if status.code == 64:
        return really_running(provision, name) == set()
    assert status.code == 0, status.err
    shown = json.loads(status.out)
    assert shown["nodes"] or not shown["ready"]
    told = {node["name"] for node in shown["nodes"] if node["state"] == "running"}
    assert not shown["ready"] or len(told) == len(shown["nodes"])
    return told == really_running(provision, name)


def status_is_true(provision: Provision, name: str) -> None:
    """Soon, as what was asked of the engine may still be done. A kill in the middle of a change is told."""
    assert wait_until(lambda: is_told_as_it_is(provision, name)), provision("status", name)
    runs = json.loads(provision.ok("history", name, "-o", "json"))
    is_told = "the last change was killed" in provision("status", name).err
    assert is_told == bool(runs and runs[-1]["outcome"] == "killed"), runs[-1:]


def becomes_whole(provision: Provision, env: str) -> None:
    """By one `up`, after which there is nothing left to do."""
    shown = json.loads(provision.ok("up", env, "-o", "json"))
    assert shown["ready"]
    assert {node["state"] for node in shown["nodes"]} == {"running"}
    plan = provision("plan", env, "--detailed-exitcode")
    assert plan.code == 0, plan.out + plan.err


def leaves_nothing(provision: Provision, name: str) -> None:
    """`down` does."""
    provision.ok("down", name)
    assert provision.traces(name) == []
    assert json.loads((provision.home / "ports.json").read_text()) == {}
    assert list((provision.home / "locks").iterdir()) == []
    if provision.runtime == "docker":
        volumes = engine().api.volumes(filters={"label": f"provision.environment={name}"})["Volumes"]
        assert [volume["Name"] for volume in volumes or ()] == []


def recovers(provision: Provision, env: str, *, whole: bool) -> None:
    """After a kill `status` is true, `down` leaves nothing, and before that `up` makes it `whole`, if it is to."""
    status_is_true(provision, NAME)
    if whole:
        becomes_whole(provision, env)
    leaves_nothing(provision, NAME)


@parts(few=3, many=40, each=10)
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


@parts(few=2, many=30, each=10, docker="soak", process="soak")
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


@parts(few=1, many=30, each=6, docker="soak")
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
