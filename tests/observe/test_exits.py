"""Whether a node that has exited was asked to, or failed."""

import pytest

from provision.common.texts import ANOTHER_BEGINS
from provision.observe.exits import was_stopped
from provision.plan.observed import NodeState, ObservedNode

SIGTERM = "[2026-01-01 10:00:00,000] INFO Terminating process due to signal SIGTERM (org.apache.kafka.common.utils.L)"
REFUSED = "org.apache.kafka.common.errors.InvalidConfigurationException: Unknown topic config name: foo"
FATAL = "[2026-01-01 10:00:00,000] ERROR [KafkaServer id=1] Fatal error during startup. Prepare to shutdown (kafka.s)"
SHUT_DOWN = "[2026-01-01 10:00:01,000] INFO [KafkaServer id=1] shut down completed (kafka.server.KafkaServer)"


@pytest.mark.parametrize(
    ("exit_code", "log", "stopped"),
    [
        (143, [], True),
        (143, [FATAL, SHUT_DOWN], True),
        (1, [SIGTERM, SHUT_DOWN], False),
        (0, [SIGTERM, SHUT_DOWN], False),
        (None, [REFUSED, SIGTERM, SHUT_DOWN], True),
        (None, [FATAL, SHUT_DOWN], False),
        (None, [SIGTERM, SHUT_DOWN, ANOTHER_BEGINS, FATAL], False),
        (None, [SIGTERM, SHUT_DOWN, "INFO Registered kafka:type=kafka.Log4jController MBean (kafka.u)", FATAL], False),
        (None, [FATAL, ANOTHER_BEGINS, *["INFO a line"] * 500, SIGTERM, *["INFO a line"] * 500, SHUT_DOWN], True),
        (None, [], False),
    ],
)
def test_what_was_asked_to_stop(exit_code: int | None, log: list[str], *, stopped: bool) -> None:
    node = ObservedNode("broker-1", "broker", NodeState.EXITED, "", exit_code=exit_code)
    assert was_stopped(node, log) == stopped


@pytest.mark.parametrize(("exit_code", "stopped"), [(143, True), (137, False), (1, False), (None, False)])
def test_of_an_ensemble_only_the_exit_code_tells(exit_code: int | None, *, stopped: bool) -> None:
    node = ObservedNode("zookeeper-1", "zookeeper", NodeState.EXITED, "", exit_code=exit_code)
    assert (
        was_stopped(node, ["[2026-01-01 10:00:00,000] INFO binding to port (org.apache.zookeeper.server)"]) == stopped
    )
