"""A change that is going on, or that was begun and not finished."""

from collections.abc import Iterator

from provision.operations.doctor.away import passing
from provision.operations.doctor.facts import Facts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState


@check("change-running")
def change_running(facts: Facts) -> Iterator[Finding]:
    """A command is changing it: what is unfinished now is its work, and no failure."""
    if holder := known(facts.changing):
        yield Finding(
            "change-running",
            f"{facts.name} is being changed by `provision {holder.command}`",
            evidence=(str(holder),),
            cause="until it has ended, nodes may be missing, down or starting, which is not told here",
            fix=f"wait until it has ended, then provision doctor {facts.name} again",
            severity=Severity.WARNING,
        )


@check("change-interrupted")
def change_interrupted(facts: Facts) -> Iterator[Finding]:
    """Nodes that were never started, that run different releases, or that are only partly created."""
    observed = known(facts.observed)
    if observed is None or passing(facts) or not (observed.nodes or observed.is_half_removed):
        return
    created = [f"{node.name} was never started" for node in observed.nodes if node.state is NodeState.CREATED]
    versions = {node.name: node.version for node in observed.nodes if node.version}
    differing = [f"{name}: Kafka {version}" for name, version in sorted(versions.items())]
    evidence = [
        *(["some of the data are deleted, and some are not"] if observed.is_half_removed else ()),
        *created,
        *(differing if len(set(versions.values())) > 1 else ()),
        *(["something is only partly created"] if observed.incomplete else ()),
    ]
    if evidence:
        yield Finding(
            "change-interrupted",
            f"a change of {observed.name} was begun and not finished",
            evidence=tuple(evidence),
            cause="the command that made it was ended, or failed",
            fix=f"provision up {observed.name}, which finishes it"
            + (", and begins anew; or provision down" if observed.is_half_removed else ""),
            severity=Severity.WARNING,
        )
