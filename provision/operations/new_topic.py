"""A topic to create by hand."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from provision.catalogue.images import default_image
from provision.catalogue.versions import version_of
from provision.cluster.model import Role
from provision.errors import InvalidEnvironment, UsageError
from provision.plan.observed import ObservedEnvironment
from provision.spec.loader import load_topic

ELSEWHERE: Mapping[str, Any] = {"bootstrap_servers": "elsewhere:9092"}
"""The sections of a cluster of which neither the version nor the brokers are known."""


class NewTopic(Struct, frozen=True):
    """What it has; `replication_factor` None means 3, or the number of brokers if fewer."""

    name: str
    partitions: int
    replication_factor: int | None
    config: Mapping[str, str]

    @classmethod
    def of(
        cls,
        name: str,
        partitions: int | None = None,
        replication_factor: int | None = None,
        config: Mapping[str, str | float | bool] | None = None,
        *,
        cluster: Mapping[str, Any],
    ) -> "NewTopic":
        """One for which the rules hold that an environment file of this cluster (`sections_of`) has for its topics.

        Raises:
            UsageError: one of them does not; says which.
        """
        settings = dict(config) if isinstance(config, Mapping) else config
        values = {"name": name, "partitions": partitions, "replication_factor": replication_factor, "config": settings}
        try:
            topic = load_topic(
                {key: value for key, value in values.items() if value is not None or key == "name"}, cluster
            )
        except InvalidEnvironment as error:
            why = "\n".join(
                f"{problem.path.removeprefix('topics[0].')}: {problem.message}" for problem in error.problems
            )
            raise UsageError(
                "no topic of this cluster can be like that", why=why, hint=error.problems[0].hint
            ) from error
        return cls(topic.name, topic.partitions or 1, topic.replication_factor, topic.config)


def sections_of(observed: ObservedEnvironment) -> Mapping[str, Any]:
    """What a file would say of the nodes that are there, as far as the rules for topics depend on it."""
    nodes = [*(node.name for node in observed.nodes), *observed.gone]
    brokers = sum(Role.parse(name)[0] is Role.BROKER for name in nodes)
    version = version_of(observed.version)
    if not brokers or version is None:
        return ELSEWHERE
    kafka = {"version": observed.version} | ({"mode": observed.mode} if observed.mode else {})
    if observed.software not in ("", f"kafka {version}", default_image(version)):
        kafka["distribution" if observed.runtime == "process" else "image"] = observed.software
    return {"kafka": kafka, "brokers": {"nodes": brokers}}
