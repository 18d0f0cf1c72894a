"""Why a node has ended is told in one way, by `status`, by `doctor` and by what waits for it."""

from pathlib import Path

import pytest

from provision.common.texts import ANOTHER_BEGINS
from provision.environment import Environment
from provision.errors import NodeFailed
from provision.kafka.failures import explain
from provision.kafka.levels import Level
from tests.cli.world import NAME, settle

SIGTERM = "[2026-01-01 10:00:00,000] INFO Terminating process due to signal SIGTERM (org.apache.kafka.common.utils.L)"
SHUTS_DOWN = "[2026-01-01 10:00:00,500] INFO [KafkaServer id=1] shutting down (kafka.server.KafkaServer)"
SHUT_DOWN = "[2026-01-01 10:00:01,000] INFO [KafkaServer id=1] shut down completed (kafka.server.KafkaServer)"
FULL = "[2026-01-01 10:00:00,000] ERROR Error while writing (kafka.s)\njava.io.IOException: No space left on device"
DISK = FULL.splitlines()
REASON = getattr(explain(DISK), "reason", "")
STOPPED, KILLED, EXITED, FAILED = "node-stopped", "node-killed", "node-exited", "disk-full"

ABNORMAL = [
    "[2026-01-01 10:00:00,000] ERROR Unexpected exception, exiting abnormally (org.apache.zookeeper.server.Main)",
    "java.lang.IllegalStateException: something nobody has heard of",
    "[2026-01-01 10:00:00,100] ERROR Exiting JVM with code 1 (org.apache.zookeeper.util.ServiceUtils)",
]
BY_ITSELF = [
    ABNORMAL,
    ABNORMAL[:2],
    ["[2026-01-01 10:00:00,100] INFO Exiting JVM with code 0 (org.apache.zookeeper.util.ServiceUtils)"],
    ["[2026-01-01 10:00:00,000] ERROR Severe unrecoverable error, from thread : SyncThread:0 (o.a.z.s.Critical)"],
    ["# A fatal error has been detected by the Java Runtime Environment:"],
]
FOLLOWER_GONE = [
    "[2026-01-01 10:00:00,000] ERROR Unexpected exception in LearnerHandler:  (org.apache.zookeeper.server.quorum.L)",
    "java.io.EOFException",
]

ENDS = [
    ("broker-1", 143, [], STOPPED),
    ("broker-1", 143, [*DISK, SHUTS_DOWN, SHUT_DOWN], STOPPED),
    ("broker-1", 1, [*DISK, SHUTS_DOWN, SHUT_DOWN], FAILED),
    ("broker-1", 1, [SIGTERM, SHUTS_DOWN, SHUT_DOWN], EXITED),
    ("broker-1", 137, [], KILLED),
    ("broker-1", 137, [SIGTERM, SHUTS_DOWN], KILLED),
    ("broker-1", None, [SIGTERM, SHUTS_DOWN, SHUT_DOWN], STOPPED),
    ("broker-1", None, [*DISK, SIGTERM, SHUTS_DOWN], STOPPED),
    ("broker-1", None, [SHUTS_DOWN, SHUT_DOWN], KILLED),  # it shut down, and nobody had asked it to
    ("broker-1", None, [*DISK, SHUTS_DOWN, SHUT_DOWN], FAILED),
    ("broker-1", None, [SIGTERM, SHUT_DOWN, ANOTHER_BEGINS, *DISK], FAILED),
    ("broker-1", None, [SIGTERM, SHUT_DOWN, ANOTHER_BEGINS, "[2026-01-01 10:00:02,000] INFO a line"], KILLED),
    ("broker-1", None, [*DISK, ANOTHER_BEGINS, SIGTERM, SHUT_DOWN], STOPPED),
    ("zookeeper-1", 143, DISK, STOPPED),
    ("zookeeper-1", 137, [], KILLED),
    ("zookeeper-1", None, [], KILLED),  # whoever stops it from here notes it
    ("zookeeper-1", None, DISK, FAILED),
    ("zookeeper-1", None, [*DISK, ANOTHER_BEGINS, "[2026-01-01 10:00:02,000] INFO a line"], KILLED),
    *(("zookeeper-1", None, log, EXITED) for log in BY_ITSELF),
    ("zookeeper-1", 1, ABNORMAL, EXITED),
    ("zookeeper-1", 143, ABNORMAL, STOPPED),
    ("zookeeper-1", None, [*ABNORMAL, ANOTHER_BEGINS, "[2026-01-01 10:00:02,000] INFO a line"], KILLED),
    ("zookeeper-1", None, FOLLOWER_GONE, KILLED),
    ("zookeeper-1", 143, FOLLOWER_GONE, STOPPED),  # a leader that was stopped after the others
]


@pytest.mark.parametrize(("node", "exit_code", "log", "ended"), ENDS)
def test_it_is_told_in_one_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, exit_code: int | None, log: list[str], ended: str
) -> None:
    runtime, _ = settle(tmp_path, monkeypatch)
    runtime.exit_node(NAME, node, exit_code, log)
    environment = Environment.named(NAME)
    named = [one for one in environment.examine().findings if one.node == node and one.id in _ALL]
    assert [one.id for one in named] == [ended]
    is_untold = ended == KILLED and node == "zookeeper-1" and exit_code is None
    assert ("of which ZooKeeper writes nothing" in named[0].cause) is is_untold
    assert ("was stopped or killed" in named[0].title) is is_untold
    status = environment.status()
    assert (REASON in status.health[node].detail) is (REASON in named[0].title) is (ended == FAILED)
    with pytest.raises(NodeFailed) as raised:
        environment.wait(Level.BROKERS, timeout_s=1)
    assert (f"{node} is stopped" in str(raised.value)) is (ended == STOPPED)
    assert (REASON in raised.value.why) is (ended == FAILED)
    assert (raised.value.log == ()) is (ended == STOPPED)


_ALL = {STOPPED, KILLED, EXITED, FAILED}
