"""Nodes that have exited: why, as the runtime or their log tells."""

from collections.abc import Iterator, Sequence

from provision.kafka.causes import Failure, failure_ids
from provision.kafka.failures import explain, lines_of, telling
from provision.observe.exits import has_ended_by_itself
from provision.operations.doctor.away import is_stopped_as_a_whole
from provision.operations.doctor.checks.engine import ended_with_engine
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Severity, starting
from provision.operations.doctor.registry import check
from provision.plan.observed import WAS_KILLED, NodeState, ObservedNode

_SHOWING, _EVIDENCE = 2, 4


def _is_meant(facts: Facts, node: ObservedNode) -> bool:
    """Whether it was stopped with everything else."""
    return facts.may_have_been_stopped(node) and is_stopped_as_a_whole(facts)


@check("wrong-architecture", "port-taken")
def not_started(facts: Facts) -> Iterator[Finding]:
    """A node that the runtime could not start, for a reason that it gives itself."""
    for node, known_of in facts.in_state(NodeState.CREATED):
        vitals = known(known_of.vitals)
        failure = explain([vitals.error]) if vitals and vitals.error else None
        if vitals and failure and failure.id in ("wrong-architecture", "port-taken"):
            yield Finding(
                failure.id,
                f"{node.name} could not be started: {failure.reason}",
                evidence=(f"{node.name} is {node.state}", vitals.error),
                cause=failure.reason,
                file=facts.line_for(node.name, *failure.keys),
                fix=f"{failure.hint}; then provision up {facts.name}",
                node=node.name,
            )


@check(*failure_ids(), "node-killed", "node-stopped", "node-exited")
def exited(facts: Facts) -> Iterator[Finding]:
    """A node that has exited: the reason is that of its log, or how it was ended."""
    by_engine = ended_with_engine(facts)
    for node, known_of in facts.in_state(NodeState.EXITED, NodeState.RESTARTING):
        failure = facts.failure_of(node)
        if failure:
            yield _of_failure(facts, node, known_of, failure)
        elif node.name not in by_engine and not _is_meant(facts, node):
            yield _without_reason(facts, node, known_of)


def _of_failure(facts: Facts, node: ObservedNode, known_of: NodeFacts, failure: Failure) -> Finding:
    log = known(known_of.log) or ()
    text = "\n".join((failure.reason, *telling(log)))
    return Finding(
        failure.id,
        f"{node.name} exited: {failure.reason}",
        evidence=_evidence(node, (*lines_of(log, failure)[:_SHOWING], *telling(log))),
        cause=failure.reason,
        file=facts.line_of_property(node.name, text) or facts.line_for(node.name, *failure.keys),
        fix=f"{failure.hint}; then provision up {facts.name}" if failure.hint else f"provision up {facts.name}",
        repairs=starting(node.name) if failure.transient else (),
        node=node.name,
    )


def _without_reason(facts: Facts, node: ObservedNode, known_of: NodeFacts) -> Finding:
    log = known(known_of.log) or ()
    fix = f"provision start {facts.name} {node.name}"
    if facts.was_stopped(node):
        return Finding(
            "node-stopped",
            f"{node.name} is stopped",
            evidence=_evidence(node, log[-1:]),
            cause="it was asked to stop, by `provision stop` or by SIGTERM",
            fix=fix,
            severity=Severity.WARNING,
            repairs=starting(node.name),
            node=node.name,
        )
    if node.exit_code == WAS_KILLED or (node.exit_code is None and not has_ended_by_itself(node, log)):
        untold = node.exit_code is None and facts.may_have_been_stopped(node)
        return Finding(
            "node-killed",
            f"{node.name} was {'stopped or ' if untold else ''}killed",
            evidence=_evidence(node, log[-1:]),
            cause="a signal ended it, of which ZooKeeper writes nothing: SIGKILL, or a SIGTERM"
            " that `provision stop` did not send"
            if untold
            else "SIGKILL ended it in the middle of its work: somebody sent it, or the system was out of memory",
            fix=f"{fix}; if it happens again, give the machine more memory or the nodes less (`heap`)",
            repairs=starting(node.name),
            node=node.name,
        )
    return Finding(
        "node-exited",
        f"{node.name} exited" + (f" with code {node.exit_code}" if node.exit_code is not None else ""),
        evidence=_evidence(node, telling(log)),
        cause="its log tells no reason that is known",
        fix=f"provision logs {facts.name} {node.name} shows its whole log; then {fix}",
        node=node.name,
    )


def _evidence(node: ObservedNode, lines: Sequence[str]) -> tuple[str, ...]:
    code = f", exit code {node.exit_code}" if node.exit_code is not None else ""
    memory = ", killed for its memory" if node.out_of_memory else ""
    chosen = list(dict.fromkeys(lines))[:_EVIDENCE]
    return (f"{node.name} is {node.state}{code}{memory}", *(f"log: {line}" for line in chosen))
