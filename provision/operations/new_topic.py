"""A topic to create by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.errors import InvalidEnvironment, UsageError
from provision.spec.loader import load_topic


@dataclass(frozen=True, slots=True)
class NewTopic:
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
        config: Mapping[str, Any] | None = None,
    ) -> "NewTopic":
        """One for which the rules hold that an environment file has for its topics.

        Raises:
            UsageError: one of them does not; says which.
        """
        settings = dict(config) if isinstance(config, Mapping) else config
        values = {"name": name, "partitions": partitions, "replication_factor": replication_factor, "config": settings}
        try:
            topic = load_topic({key: value for key, value in values.items() if value is not None or key == "name"})
        except InvalidEnvironment as error:
            why = "\n".join(
                f"{problem.path.removeprefix('topics[0].')}: {problem.message}" for problem in error.problems
            )
            raise UsageError("no topic can be like that", why=why, hint=error.problems[0].hint) from error
        return cls(topic.name, topic.partitions or 1, topic.replication_factor, topic.config)
