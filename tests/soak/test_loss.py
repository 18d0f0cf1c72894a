"""No change of a cluster loses a record that was acknowledged, and neither does a leader that dies in its middle."""

import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from provision.common.values import replace
from provision.errors import Interrupted
from provision.kafka.access import Access
from provision.kafka.admin import connected
from provision.kafka.brokers import dynamic_overrides
from tests.engine import COMMAND_TIMEOUT_S, Provision
from tests.soak.command import Command
from tests.soak.conftest import NAME, TOPIC, Bench, Shape, running
from tests.soak.traffic import Traffic, assert_nothing_lost, fill, kill_leader

pytestmark = pytest.mark.row("soak")

BEFORE, SERVED, AFTER = 1000, 200, 1000
TRIES = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change that is made while records are written."""

    begin: Callable[[Bench], Command]
    """Starts the command that makes the change, and does not wait for it."""
    before: Shape = field(default_factory=Shape)
    """The environment before the change."""
    middle: str = ""
    """What the command writes when it is in the middle of the change."""
    moves: bool = False
    """Whether replicas move: then there is so much of them that the throttle lets them be met on their way."""


MOVING = "partitions moved"
THROTTLE = "1m"  # for what `fill` writes some ten seconds


def restart(bench: Bench) -> Command:
    return bench.begin("restart", NAME, "--rolling")


def becomes(shape: Shape) -> Callable[[Bench], Command]:
    return lambda bench: bench.begin_up(shape)


def scenarios_of(mode: str) -> dict[str, Scenario]:
    """The changes that both modes know."""
    three, five = Shape(mode=mode), Shape(mode=mode, brokers=5)
    return {
        "rolling restart": Scenario(restart, three, " restarted ("),
        "scale out": Scenario(becomes(replace(five, rebalance=True, throttle=THROTTLE)), three, MOVING, moves=True),
        "scale in": Scenario(becomes(replace(three, throttle=THROTTLE)), five, MOVING, moves=True),
        "upgrade": Scenario(becomes(three), replace(three, version="3.8.1"), " replaced ("),
    }


ONE = Shape(replication_factor=1, min_insync_replicas=1)
SCENARIOS = {
    **scenarios_of("zookeeper"),
    "rolling change of a setting": Scenario(
        becomes(Shape(properties={"queued.max.requests": 600})), middle=" restarted ("
    ),
    "replication factor up": Scenario(becomes(Shape(throttle=THROTTLE)), ONE, MOVING, moves=True),
    "replication factor down": Scenario(becomes(ONE), middle=" actions ("),  # nothing is copied: it is over at once
    **{f"kraft {name}": scenario for name, scenario in scenarios_of("kraft").items()},
}


class Trouble(StrEnum):
    """What happens in the middle of the change."""

    NONE = "nothing"
    LEADER_KILLED = "leader killed"
    COMMAND_INTERRUPTED = "command interrupted"
    COMMAND_KILLED = "command killed"


_ENDS_WITH = {Trouble.COMMAND_INTERRUPTED: Interrupted.exit_code, Trouble.COMMAND_KILLED: -signal.SIGKILL}

# What CI runs, in `make test-matrix`: a command that is killed, and one that is interrupted; all others: the soak run.
QUICK = {
    ("process", "scale out", Trouble.COMMAND_KILLED),
    ("process", "scale in", Trouble.COMMAND_INTERRUPTED),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every change with every trouble."""
    if "scenario" in metafunc.fixturenames:
        table = [_parameter(name, trouble) for name in SCENARIOS for trouble in Trouble]
        metafunc.parametrize(("scenario", "trouble"), table)


def _parameter(scenario: str, trouble: Trouble) -> object:
    slow = {runtime: "matrix" if (runtime, scenario, trouble) in QUICK else "soak" for runtime in ("docker", "process")}
    return pytest.param(scenario, trouble, marks=pytest.mark.group(**slow), id=f"{scenario}-{trouble}")


def test_no_acknowledged_record_is_lost(provision: Provision, tmp_path: Path, scenario: str, trouble: Trouble) -> None:
    change_of = SCENARIOS[scenario]
    with running(provision, tmp_path, change_of.before) as bench:
        if change_of.moves:
            fill(bench.bootstrap_servers, TOPIC)
        began = time.monotonic()
        with Traffic(provision, NAME, TOPIC) as traffic:
            traffic.wait_for(BEFORE)
            change = change_of.begin(bench)
            if trouble is Trouble.NONE:
                code = change.end(COMMAND_TIMEOUT_S)
                assert code == 0, f"the change failed with {code}:\n{change.said()}"
            else:
                _make_trouble(bench, change, change_of.middle, trouble)
            if trouble in (Trouble.COMMAND_INTERRUPTED, Trouble.COMMAND_KILLED):
                traffic.wait_for(SERVED)  # what is left serves
            _is_whole(bench.up(tries=1 if trouble is Trouble.NONE else TRIES))
            traffic.wait_for(AFTER)
            traffic.stop()
        took_s = time.monotonic() - began
        _is_settled(bench)
        proof = assert_nothing_lost(bench.provision, NAME, TOPIC, traffic, at_least=BEFORE + AFTER)
    _log.info(
        "%.1f s of traffic, longest pause of a partition %.1f s, errors %s: %s",
        took_s,
        traffic.longest_pause_s,
        dict(traffic.errors),
        proof,
    )


def _make_trouble(bench: Bench, change: Command, middle: str, trouble: Trouble) -> None:
    node = ""
    try:
        came = change.messages.wait_for(middle, COMMAND_TIMEOUT_S)
        assert came, f"{middle!r} did not come:\n{change.said()}"
        match trouble:
            case Trouble.LEADER_KILLED:
                node = kill_leader(bench.provision, NAME, TOPIC)
            case Trouble.COMMAND_INTERRUPTED:
                change.process.send_signal(signal.SIGINT)
            case _:
                change.process.kill()
    finally:
        code = change.end(COMMAND_TIMEOUT_S)
    if trouble in _ENDS_WITH:  # when a leader dies the command may fail: what counts is that `up` mends it
        assert code == _ENDS_WITH[trouble], f"with {trouble} the change ended with {code}:\n{change.said()}"
    _log.info("%s %s; the change ended with %d:\n%s", trouble, node, code, change.messages.last())


def _is_settled(bench: Bench) -> None:
    """Nothing is left to do, and nothing of what a change needs only for a while is left behind."""
    plan = bench.provision("plan", bench.file, "--detailed-exitcode")
    assert plan.code == 0, plan.out + plan.err
    with connected(Access.at(bench.bootstrap_servers)) as admin:
        brokers = admin.brokers.settings(range(1, bench.shape.brokers + 1))
    (topic,) = json.loads(bench.provision.ok("topics", "describe", NAME, TOPIC, "-o", "json"))
    beside = [*topic["config"], *(key for entries in brokers.values() for key in dynamic_overrides(entries))]
    assert not [key for key in beside if "throttled" in key]


def _is_whole(shown: str) -> None:
    status = json.loads(shown)
    assert status["ready"]
    assert {node["state"] for node in status["nodes"]} == {"running"}
    assert all(topic["under_replicated"] == 0 for topic in status["topics"])
