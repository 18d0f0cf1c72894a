"""Nodes that are not where or what they should be, though no log says so."""

from collections.abc import Iterator

from provision.cluster.model import Role
from provision.operations.doctor.facts import Facts, known
from provision.operations.doctor.findings import Finding, Severity, joining, starting
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState


@check("paused-node")
def paused(facts: Facts) -> Iterator[Finding]:
    """A node keeps its process and ports, and answers nothing."""
    for node, _ in facts.in_state(NodeState.PAUSED):
        how = "`docker pause`" if facts.is_in_docker else "SIGSTOP"
        yield Finding(
            "paused-node",
            f"{node.name} is paused",
            evidence=(f"{node.name} is {node.state}",),
            cause=f"somebody paused it ({how})",
            fix=f"provision start {facts.name} {node.name}",
            repairs=starting(node.name),
            node=node.name,
        )


@check("frozen-node")
def frozen(facts: Facts) -> Iterator[Finding]:
    """The JVM of a container is stopped by a signal: the engine calls it running, and it answers nothing."""
    for node, known_of in facts.running:
        vitals = known(known_of.vitals)
        if vitals and vitals.stopped:
            yield Finding(
                "frozen-node",
                f"{node.name} is frozen",
                evidence=(f"{node.name} is {node.state}, but its process is stopped (state T)",),
                cause="a signal stopped its process (SIGSTOP); connections are accepted, and nothing is answered",
                fix=f"provision start {facts.name} {node.name}",
                repairs=starting(node.name),
                node=node.name,
            )


@check("slow-node")
def slow(facts: Facts) -> Iterator[Finding]:
    """A broker answers, but not in the time in which clients expect it."""
    for broker, why in (known(facts.inside.slow) or {}).items():
        if not why:
            name = Role.BROKER.node(broker)
            yield Finding(
                "slow-node",
                f"{name} is slow",
                evidence=("it did not answer within 2 s, and did within 10 s",),
                cause="it is starting, or its machine or its disk is busy",
                fix="give it a moment; then look at the load of the machine",
                severity=Severity.WARNING,
                node=name,
            )


@check("network-lost", "wrong-address")
def astray(facts: Facts) -> Iterator[Finding]:
    """A node runs where the others do not look for it."""
    observed = known(facts.observed)
    for node, _ in facts.in_state(NodeState.RUNNING, NodeState.PAUSED):
        if not node.astray:
            continue
        yield Finding(
            "network-lost" if node.cut_off else "wrong-address",
            f"{node.name} is cut off: {node.astray}" if node.cut_off else f"{node.name} is not at its own address",
            evidence=(node.astray,),
            cause="its network was removed (`docker network prune`), or it was disconnected from it",
            fix=f"provision up {facts.name}",
            repairs=joining(node.name) if observed and observed.network else (),
            node=node.name,
        )
