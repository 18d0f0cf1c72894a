"""Commands that are killed at random instants, and what has to hold of the environment after that.

An instant is one of a command's progress, told by its journal, and a random delay from there: so the instants of a test
are spread over the whole command, however fast the machine is. `tests/test_killed.py` tries every single step.
"""

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.engine import COMMAND_TIMEOUT_S, Provision, Result, engine, wait_until

LINES = {"up": 12, "update": 14, "down": 8}
"""How many lines the journal of such a command has at least."""
LONGEST_S = {"up": 3.0, "update": 4.0, "down": 0.3}
"""The longest delay: at some lines a command is for longer than at others."""
ROLES = ("zookeeper", "controller", "broker")


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
    """Kill a command at that instant; False if it has ended before, and then well."""
    deadline = time.monotonic() + COMMAND_TIMEOUT_S
    while journal.lines < instant.lines and process.poll() is None:
        assert time.monotonic() < deadline, f"its journal has no {instant.lines} lines"
        time.sleep(0.005)
    time.sleep(instant.delay_s)
    process.kill()
    code = process.wait(30)
    assert code in (0, -signal.SIGKILL), f"it ended by itself with {code}"
    return code != 0


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


def is_told_as_it_is(provision: Provision, name: str, told: Result) -> bool:
    """Whether `status` named the nodes that run, and no others; what is not there is not known."""
    if told.code == 64:
        return really_running(provision, name) == set()
    assert told.code == 0, told.err
    shown = json.loads(told.out)
    assert shown["nodes"] or not shown["ready"]
    running = {node["name"] for node in shown["nodes"] if node["state"] == "running"}
    assert not shown["ready"] or len(running) == len(shown["nodes"])
    return running == really_running(provision, name)


def status_is_true(provision: Provision, name: str) -> None:
    """Soon, as what was asked of the engine may still be done. A kill in the middle of a change is told."""
    told: list[Result] = []

    def is_true() -> bool:
        told.append(provision("status", name, "-o", "json"))
        return is_told_as_it_is(provision, name, told[-1])

    assert wait_until(is_true), told[-1]
    runs = json.loads(provision.ok("history", name, "-o", "json"))
    is_told = "the last change was killed" in told[-1].err
    assert is_told == bool(runs and runs[-1]["outcome"] == "killed"), (runs[-1:], told[-1])


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
