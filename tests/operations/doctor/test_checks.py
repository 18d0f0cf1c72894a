"""What the checks find in given facts: each failure by its id, with its evidence and what mends it."""

from pathlib import Path

from provision.operations.doctor.findings import Severity
from provision.operations.doctor.registry import CHECKS
from provision.plan.observed import NodeState
from provision.runtime.health import Usage, Vitals
from tests.operations.doctor.world import described, facts, found, missing, node


def test_nothing_is_wrong_with_nodes_that_run() -> None:
    assert found(facts(node("zookeeper-1"), node("broker-1"))) == {}


def test_what_two_checks_find_of_a_node_is_told_once() -> None:
    log = "[2026-01-01 10:00:00,000] ERROR Error while accepting connection\njava.io.IOException: Too many open files"
    busy = Vitals(open_files=Usage(100, 100))
    running = facts(
        node("broker-1"),
        logs={"broker-1": log},
        vitals={"broker-1": busy},
        assessment=missing({"broker-1": "it does not answer"}),
    )
    (finding,) = found(running).values()
    assert finding.id == "too-few-open-files"
    assert "100 of 100 open files are in use" in finding.evidence
    assert any("Too many open files" in line for line in finding.evidence)


def test_what_nothing_explains_is_told_as_not_ready() -> None:
    silent = facts(node("broker-1"), assessment=missing({"broker-1": "it does not answer"}))
    assert list(found(silent)) == ["not-ready"]
    paused = facts(node("broker-1", NodeState.PAUSED), assessment=missing({"broker-1": "it is paused"}))
    assert list(found(paused)) == ["paused-node"]


def test_every_check_names_what_it_finds() -> None:
    assert CHECKS
    assert all(entry.ids for entry in CHECKS)


def test_a_paused_node() -> None:
    found_here = found(facts(node("broker-1"), node("broker-2", NodeState.PAUSED)))
    (finding,) = found_here.values()
    assert finding.id == "paused-node"
    assert finding.fix == "provision start shop broker-2"
    assert list(map(str, finding.repairs)) == ["start broker-2"]


def test_a_frozen_node() -> None:
    assert list(found(facts(node("broker-1"), vitals={"broker-1": Vitals(stopped=True)}))) == ["frozen-node"]


def test_out_of_memory_with_the_line_that_limits_it(tmp_path: Path) -> None:
    source = described(tmp_path, "brokers:\n  nodes: 1\n  memory: 300m\n")
    killed = node("broker-1", NodeState.EXITED, exit_code=137, out_of_memory=True)
    (finding,) = found(facts(killed, source=source)).values()
    assert finding.id == "out-of-memory"
    assert finding.file == f"{source.file}:3"
    assert "exit code 137" in finding.evidence[0]


def test_a_property_that_a_broker_does_not_accept_with_its_line(tmp_path: Path) -> None:
    source = described(tmp_path, "brokers:\n  properties:\n    num.io.threads: 4\n    log.roll.ms: x\n")
    log = """\
[2026-01-01 10:00:00,000] ERROR Exiting (kafka.Kafka$)
org.apache.kafka.common.config.ConfigException: Invalid value x for configuration log.roll.ms: not a number"""
    (finding,) = found(
        facts(node("broker-1", NodeState.EXITED, exit_code=1), logs={"broker-1": log}, source=source)
    ).values()
    assert finding.id == "configuration-invalid"
    assert finding.file == f"{source.file}:4"


def test_killed_and_stopped_are_told_apart() -> None:
    killed, stopped = (
        node("broker-1", NodeState.EXITED, exit_code=137),
        node("broker-2", NodeState.EXITED, exit_code=143),
    )
    found_here = found(facts(killed, stopped))
    assert list(found_here) == ["node-killed", "node-stopped"]
    assert found_here["node-stopped"].severity is Severity.WARNING
