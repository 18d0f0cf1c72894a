"""Commands are killed one after the other, in whatever state the one before left the environment.

After each kill `status` is true. In the end one `up` converges, `down` leaves nothing, and no record is lost that was
acknowledged. In `tests/soak/test_kills.py` each kill is followed by an `up`.
"""

import json
import logging
import random
from pathlib import Path

import pytest

from tests.e2e.conftest import nothing_is_left, provision
from tests.engine import Provision, write_environment
from tests.soak.conftest import NAME as UPDATED
from tests.soak.conftest import TOPIC, Shape, running
from tests.soak.killing import (
    LINES,
    LONGEST_S,
    Instant,
    Journal,
    becomes_whole,
    leaves_nothing,
    status_is_true,
    was_killed,
)
from tests.soak.traffic import Traffic, assert_nothing_lost

__all__ = ["nothing_is_left", "provision"]

pytestmark = [pytest.mark.matrix, pytest.mark.row("soak")]

NAME = "killed"
FILE = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t}]\n"
UPS, DOWNS, UPDATES = 9, 7, 9
BEFORE, SERVED, AFTER = 500, 20, 500
_log = logging.getLogger(__name__)


def an_instant(command: str, chance: random.Random, *, goes_on: bool) -> Instant:
    """One of a command, which has less to do where it goes on with what another one left."""
    lines = chance.randrange(LINES[command] // (3 if goes_on else 1))
    return Instant(lines, chance.choice((0.0, chance.uniform(0, 0.2), chance.uniform(0, LONGEST_S[command]))))


def test_ups_and_downs_that_are_killed_in_any_order(provision: Provision, tmp_path: Path) -> None:
    chance = random.Random("up and down")  # noqa: S311 no secret
    env = write_environment(tmp_path, NAME, FILE)
    left = {"up": UPS, "down": DOWNS}
    done = "down"
    for _ in range(4 * (UPS + DOWNS)):
        # One that was not killed has left nothing to do.
        command = {"up": "down", "down": "up"}.get(done) or chance.choice(("up", "down"))
        instant, journal = an_instant(command, chance, goes_on=not done), Journal(provision, NAME)
        with provision.start(command, env) as process:
            killed = was_killed(process, journal, instant)
        _log.info("%s %s: %d lines, %s", command, instant, journal.lines, "killed" if killed else "done")
        done = "" if killed else command
        if killed:
            left[command] -= 1
            status_is_true(provision, NAME)
        if sum(max(count, 0) for count in left.values()) == 0:
            break
    assert max(left.values()) <= 0, left
    becomes_whole(provision, env)
    leaves_nothing(provision, NAME)


def test_updates_that_are_killed_one_after_the_other_lose_no_record(provision: Provision, tmp_path: Path) -> None:
    chance = random.Random("update")  # noqa: S311 no secret
    killed = 0
    with running(provision, tmp_path, Shape(mode="kraft")) as bench:
        with Traffic(provision, UPDATED, TOPIC) as traffic:
            traffic.wait_for(BEFORE)
            for number in range(4 * UPDATES):
                # The first is set while brokers run, the second when each is restarted in its turn.
                settings = {"num.network.threads": 3 + number % 2, "queued.max.requests": 501 + number}
                instant, journal = an_instant("update", chance, goes_on=False), Journal(provision, UPDATED)
                command = bench.begin_up(Shape(mode="kraft", properties=settings))
                try:
                    killed += was_killed(command.process, journal, instant)
                finally:
                    command.close()
                _log.info("%s: %d lines, %d killed", instant, journal.lines, killed)
                if command.process.returncode:
                    status_is_true(provision, UPDATED)
                traffic.wait_for(SERVED)  # what is left serves
                if killed == UPDATES:
                    break
            assert killed == UPDATES
            shown = json.loads(bench.up())
            assert shown["ready"]
            assert {node["state"] for node in shown["nodes"]} == {"running"}
            assert provision("plan", bench.file, "--detailed-exitcode").code == 0
            traffic.wait_for(AFTER)
            traffic.stop()
        _log.info("%s", assert_nothing_lost(provision, UPDATED, TOPIC, traffic, at_least=BEFORE + AFTER))
