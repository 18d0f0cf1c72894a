"""Facts made by hand, for tests of checks."""

from pathlib import Path
from typing import Any

from provision.cluster.model import RenderedFile, Role
from provision.kafka.levels import Level
from provision.observe.readiness import Assessment
from provision.operations.doctor.checks import findings
from provision.operations.doctor.facts import Facts, NodeFacts
from provision.operations.doctor.findings import Finding
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.health import Vitals
from provision.spec.source import Source

NAME = "shop"


def node(name: str, state: NodeState = NodeState.RUNNING, **of: Any) -> ObservedNode:  # noqa: ANN401 its fields
    """A node that the runtime has."""
    return ObservedNode(name, Role.parse(name)[0], state, "", **of)


def facts(
    *nodes: ObservedNode,
    logs: dict[str, str] | None = None,
    vitals: dict[str, Vitals] | None = None,
    **of: Any,  # noqa: ANN401
) -> Facts:
    """The facts of an environment with these nodes, with the logs and vitals of some; `of` are further facts."""
    known = {
        one.name: NodeFacts(
            one.name,
            log=tuple((logs or {}).get(one.name, "").splitlines()),
            files=(RenderedFile(one.name, "server.properties", b""),),
            vitals=(vitals or {}).get(one.name, Vitals()),
        )
        for one in nodes
    }
    observed = ObservedEnvironment(
        NAME, "docker", network=True, storages=frozenset(one.name for one in nodes), nodes=nodes
    )
    every: dict[str, Any] = {"name": NAME, "observed": observed, "nodes": known}
    return Facts(**every | of)


def missing(reasons: dict[str, str]) -> Assessment:
    """An environment that is not ready for these reasons."""
    return Assessment(ObservedEnvironment(NAME, "docker"), Level.NONE, reasons)


def described(directory: Path, text: str) -> Source:
    """A file of that environment."""
    file = directory / f"{NAME}.yaml"
    file.write_text(text)
    return Source(file)


def found(facts_of: Facts) -> dict[str, Finding]:
    """What all checks find, by id; each failure once."""
    every = findings(facts_of)
    by_id = {finding.id: finding for finding in every}
    assert len(by_id) == len(every), [finding.id for finding in every]
    return by_id
