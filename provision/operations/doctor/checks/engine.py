"""The Docker engine: whether it answers, was restarted, and has the right time."""

from collections.abc import Iterator

from provision.operations.doctor.facts import Facts, Unasked, known
from provision.operations.doctor.findings import Finding, Severity, starting
from provision.operations.doctor.registry import check
from provision.plan.observed import NodeState
from provision.runtime.health import Vitals

_CLOCK_S = 5.0
# Nodes end a moment before the engine that ends them, and with its next start if it crashed.
_BEFORE_S, _AFTER_S = 120.0, 60.0


def ended_with_engine(facts: Facts) -> tuple[str, ...]:
    """The nodes that exited because the engine was restarted."""
    machine = known(facts.machine)
    if machine is None or machine.started_s is None:
        return ()
    ended = []
    for node, known_of in facts.in_state(NodeState.EXITED):
        vitals = known(known_of.vitals)
        if vitals and _was_ended(vitals, machine.started_s):
            ended.append(node.name)
    return tuple(ended)


def _was_ended(vitals: Vitals, engine_started_s: float) -> bool:
    if vitals.started_s is None or vitals.ended_s is None or vitals.started_s >= engine_started_s:
        return False
    return engine_started_s - _BEFORE_S <= vitals.ended_s <= engine_started_s + _AFTER_S


@check("engine-unreachable")
def unreachable(facts: Facts) -> Iterator[Finding]:
    """The engine that would have the environment does not answer."""
    asked = facts.cluster.runtime if facts.cluster else ""
    observed = known(facts.observed)
    if facts.engine and asked != "process" and (observed is None or observed.is_absent):
        yield Finding(
            "engine-unreachable",
            "the Docker engine does not answer",
            evidence=(facts.engine.why,),
            cause="it is not running, or DOCKER_HOST or the Docker context name another one",
            file=facts.line_of("runtime"),
            fix="start Docker (`systemctl start docker`), or set `runtime: process`",
        )
    elif isinstance(facts.observed, Unasked):
        yield Finding("engine-unreachable", "the environment cannot be looked at", evidence=(facts.observed.why,))


@check("engine-restarted")
def restarted(facts: Facts) -> Iterator[Finding]:
    """A restart of the engine has ended the nodes: containers are not started again by themselves."""
    if ended := ended_with_engine(facts):
        yield Finding(
            "engine-restarted",
            f"the Docker engine was restarted, which ended {', '.join(ended)}",
            evidence=tuple(f"{name} exited when the engine stopped or started" for name in ended),
            cause="an engine that stops ends its containers",
            fix=f"provision up {facts.name}",
            repairs=starting(*ended),
        )


@check("engine-clock-off")
def clock(facts: Facts) -> Iterator[Finding]:
    """The clock of the engine's machine is off, so timestamps of records and certificates do not fit."""
    machine = known(facts.machine)
    if machine and machine.clock_ahead_s is not None and abs(machine.clock_ahead_s) > _CLOCK_S:
        way = "ahead of" if machine.clock_ahead_s > 0 else "behind"
        yield Finding(
            "engine-clock-off",
            f"the engine's clock is {abs(machine.clock_ahead_s):.0f} s {way} this machine's",
            evidence=(f"{machine.name} tells a time {machine.clock_ahead_s:+.0f} s from here",),
            cause="one of the two does not synchronize its clock, as virtual machines after sleep",
            fix="synchronize both (`timedatectl set-ntp true`), or restart the engine's virtual machine",
            severity=Severity.WARNING,
        )
