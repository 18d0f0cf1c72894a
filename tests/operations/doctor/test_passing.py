"""What passes by itself is no failure: nodes that go down and come up, and what only one look shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from provision.operations.doctor import examine as examination
from provision.operations.doctor.facts import Facts
from provision.plan.observed import NodeState
from provision.spec.source import Source
from tests.operations.doctor.test_inside import LACKING, inside, three
from tests.operations.doctor.world import NAME, facts, found, node

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(minutes=5)


def logged(at: datetime, text: str) -> str:
    """A line as brokers in containers write it."""
    return f"[{at:%Y-%m-%d %H:%M:%S},000] INFO [BrokerServer id=3] {text} (kafka.server.BrokerServer)"


@pytest.mark.parametrize(
    ("at", "text", "told"),
    [
        (LATER, "shutting down", False),
        (LATER, "started", True),
        (EARLIER, "shutting down", True),  # it should be down by now
    ],
)
def test_a_broker_that_goes_down_is_not_told(at: datetime, text: str, *, told: bool) -> None:
    of = facts(*three(), logs={"broker-3": logged(at, text)}, inside=inside(LACKING, up=(1, 2, 3)))
    assert ("under-replicated" in found(of)) is told


@pytest.mark.parametrize("at", [LATER, EARLIER])
def test_a_broker_that_was_stopped_is_told_at_once(at: datetime) -> None:
    stopped = node("broker-3", NodeState.EXITED)  # of a process, the exit code is not known
    of = facts(
        *three(stopped),
        logs={"broker-3": logged(at, "Terminating process due to signal SIGTERM")},
        inside=inside(LACKING),
    )
    assert {"node-stopped", "under-replicated"} <= found(of).keys()


def _looks(monkeypatch: pytest.MonkeyPatch, looks: Sequence[Facts]) -> tuple[list[str], int]:
    """The ids that an examination tells, and how often it looked."""
    left = list(looks)
    monkeypatch.setattr(examination, "gather", lambda *_: (left.pop(0), None))
    source = Source(None, values={"name": NAME})
    diagnosis, _ = examination.examine(source, None)  # type: ignore[arg-type]  # nothing is asked
    return [finding.id for finding in diagnosis.findings], len(looks) - len(left)


def test_what_may_pass_is_told_if_a_second_look_finds_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = facts(*three(node("broker-3", NodeState.PAUSED)), inside=inside(LACKING))
    well = facts(*three())
    paused = facts(*three(node("broker-3", NodeState.PAUSED)))
    assert _looks(monkeypatch, [lacking, lacking]) == (["paused-node", "under-replicated"], 2)
    assert _looks(monkeypatch, [lacking, well]) == ([], 2)
    assert _looks(monkeypatch, [paused]) == (["paused-node"], 1)
    assert _looks(monkeypatch, [well]) == ([], 1)
