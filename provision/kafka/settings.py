"""Dynamic settings of topics and brokers, which Kafka stores itself: read, set and removed."""

from collections.abc import Iterable, Mapping
from typing import Any

import kafka  # noqa: F401 the package first
from kafka.admin import ConfigResource, ConfigResourceType

from provision.errors import Unavailable
from provision.kafka.translation import translated

_RESOURCES_PER_REQUEST = 500
Entries = Mapping[str, Mapping[str, Any]]
"""By key: the value, where it comes from, and whether it can be changed while the broker runs."""


class SettingsAdmin:
    """The settings of topics and brokers."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 the library's client, or a fake one
        self._client = client

    def alter(
        self, changes: Mapping[tuple[str, str], Mapping[str, str | None]], *, validate_only: bool = False
    ) -> dict[tuple[str, str], str]:
        """Set, or with None remove, settings of `("topic", "orders")` or `("broker", "1")`, incrementally (KIP-339).

        Returns:
            The failures with Kafka's reasons. With `validate_only` nothing is changed.
        """
        resources = [
            ConfigResource(
                ConfigResourceType[kind.upper()],
                name,
                {key: ("DELETE", None) if value is None else ("SET", value) for key, value in settings.items()},
            )
            for (kind, name), settings in changes.items()
        ]
        failed: dict[tuple[str, str], str] = {}
        for start in range(0, len(resources), _RESOURCES_PER_REQUEST):
            batch = resources[start : start + _RESOURCES_PER_REQUEST]
            with translated("changing settings"):
                answer = self._client.alter_configs(
                    batch, validate_only=validate_only, raise_on_unknown=False, incremental=True
                )
            failed |= {
                (kind, name): str(reason)
                for kind, outcomes in answer.items()
                for name, reason in outcomes.items()
                if reason != "OK"
            }
        return failed

    def describe(
        self, kind: str, names: Iterable[str], keys: Iterable[str] | None = None, *, synonyms: bool = False
    ) -> dict[str, Entries]:
        """Every setting, or those of `keys`, of topics or brokers, by name.

        With `synonyms` each has all values that Kafka has for it, the effective one first.
        """
        wanted = None if keys is None else dict.fromkeys(keys)
        resources = [ConfigResource(ConfigResourceType[kind.upper()], name, wanted) for name in names]
        found: dict[str, Entries] = {}
        for start in range(0, len(resources), _RESOURCES_PER_REQUEST):
            batch = resources[start : start + _RESOURCES_PER_REQUEST]
            with translated(f"reading the settings of {kind}s"):
                described = self._client.describe_configs(batch, include_synonyms=synonyms, config_filter="all")
            answer = described.get(kind, {})
            if unknown := [resource.name for resource in batch if not answer.get(resource.name)]:
                raise Unavailable(  # the client drops the error, but every resource has settings
                    f"reading the settings of {kind}s: the broker that was asked does not know {unknown[0]} yet",
                    hint="try again in a moment",
                )
            found |= answer
        return found
