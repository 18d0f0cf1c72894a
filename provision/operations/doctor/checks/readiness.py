"""What is not ready, though no other entry says why."""

from collections.abc import Iterator

from provision.operations.doctor.away import RETURNING_S, is_passing, is_stopped_as_a_whole, started_within
from provision.operations.doctor.facts import Facts
from provision.operations.doctor.findings import Finding
from provision.operations.doctor.registry import last_check
from provision.plan.observed import NodeState


@last_check("not-ready")
def not_ready(facts: Facts) -> Iterator[Finding]:
    """The environment is not ready, and nothing that is known explains it."""
    is_coming = any(started_within(facts, RETURNING_S)) or any(
        is_passing(node, about) for node, about in facts.in_state(NodeState.EXITED)
    )
    if facts.missing and not is_coming and not is_stopped_as_a_whole(facts):
        yield Finding(
            "not-ready",
            f"{facts.name} is not ready",
            evidence=tuple(f"{node}: {reason}" for node, reason in facts.missing.items()),
            cause="it is not known; it may still be starting",
            fix=f"provision wait {facts.name}; if it stays so, provision logs {facts.name}",
        )
