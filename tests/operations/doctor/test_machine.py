"""What is wrong with a machine, and what would be chosen there."""

from pathlib import Path

import pytest

from provision.common.values import replace
from provision.operations.doctor.facts import Unasked
from provision.operations.doctor.machine import CHECKS, MachineFacts
from provision.runtime.health import Machine, Space
from provision.runtime.process.java import Java

GIB = 1024**3
JAVA = Java("/usr/bin/java", 17, "PATH")
FINE = MachineFacts(
    here=Machine("this machine", "Linux 6", "amd64", 2, 8 * GIB, spaces=(Space("/home", 100 * GIB, 50 * GIB),)),
    engine=Machine("the Docker engine", "28.0.1", "amd64", clock_ahead_s=0.1),
    java=(JAVA,),
    ports={},
    ours=frozenset(),
    directories={Path("/home/state"): ""},
    available_memory_bytes=4 * GIB,
    open_files=20000,
    threads=30000,
)
NO_ENGINE = Unasked("no Docker engine answers")


def ids(facts: MachineFacts) -> list[str]:
    return [finding.id for check in CHECKS for finding in check(facts)]


def test_nothing_is_wrong_with_a_fine_machine() -> None:
    assert ids(FINE) == []
    assert FINE.chosen[0] == "docker"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(FINE, engine=NO_ENGINE, java=()), ["no-runtime"]),
        (replace(FINE, engine=NO_ENGINE, java=(replace(JAVA, version=8),)), []),
        (replace(FINE, engine=NO_ENGINE, java=(replace(JAVA, version=25),)), ["no-runtime"]),
        (replace(FINE, engine=Machine("it", clock_ahead_s=-3600.0)), ["engine-clock-off"]),
        (replace(FINE, directories={Path("/home/state"): "it cannot be written to"}), ["home-not-usable"]),
        (replace(FINE, ports={9092: "java"}), ["port-taken"]),
        (replace(FINE, ports={9092: "java"}, ours=frozenset({9092})), []),
        (replace(FINE, here=Machine("it", spaces=(Space("/home", 100 * GIB, GIB // 2),))), ["disk-full"]),
        (replace(FINE, available_memory_bytes=GIB // 4), ["little-memory"]),
        (replace(FINE, open_files=1024), ["too-few-open-files"]),
        (replace(FINE, threads=500), ["too-few-threads"]),
        (replace(FINE, open_files=None, threads=None), []),
    ],
)
def test_each_is_found(facts: MachineFacts, expected: list[str]) -> None:
    assert ids(facts) == expected


def test_without_an_engine_processes_are_chosen_if_there_is_a_java() -> None:
    assert replace(FINE, engine=NO_ENGINE).chosen == (
        "process",
        "no Docker engine can be used: no Docker engine answers",
    )
    assert replace(FINE, engine=NO_ENGINE, java=()).chosen[0] == ""
