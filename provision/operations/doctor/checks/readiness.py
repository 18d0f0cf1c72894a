"""What is not ready, though no other entry says why."""

from collections.abc import Iterator

from provision.operations.doctor.away import is_stopped_as_a_whole, passing
from provision.operations.doctor.facts import Facts
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.registry import last_check


@last_check("not-ready")
def not_ready(facts: Facts) -> Iterator[Finding]:
    """The environment is not ready, and nothing that is known explains it."""
    if facts.missing and not passing(facts) and not is_stopped_as_a_whole(facts):
        yield Finding(
            "not-ready",
            f"{facts.name} is not ready",
            evidence=tuple(f"{node}: {reason}" for node, reason in facts.missing.items()),
            cause="it is not known; it may still be starting",
            fix=f"provision wait {facts.name}; if it stays so, provision logs {facts.name}",
        )


@last_check("not-examined")
def not_examined(facts: Facts) -> Iterator[Finding]:
    """Something could not be asked, so that it is not known whether it is as it should be."""
    if (unasked := list(facts.unasked)) and not passing(facts):
        yield Finding(
            "not-examined",
            f"not everything of {facts.name} could be examined",
            evidence=tuple(f"{what}: {why}" for what, why in unasked),
            cause="what should tell it did not answer, or not in time",
            fix=f"provision doctor {facts.name} again; a machine that is very busy needs more time",
            severity=Severity.WARNING,
        )
