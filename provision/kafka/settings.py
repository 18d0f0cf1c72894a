"""Dynamic settings of topics and brokers, which Kafka stores itself: read, set and removed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import UnknownTopicOrPartitionError, for_code
from kafka.protocol.admin.configs import DescribeConfigsRequest
from msgspec import Struct

from provision.errors import KafkaRefused, ProvisionError, Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import ask_any
from provision.kafka.insisting import Refusal, insist
from provision.kafka.translation import as_provision_error, translated

_UNKNOWN_TOPIC = UnknownTopicOrPartitionError.errno
# Brokers from 2.0 on support it, and 4.x still does.
_VERSION = 1
_RESOURCES_PER_REQUEST = 500
_CODED = re.compile(r"\[Error (-?\d+)\]")
_UNCODED = 42
Entries = Mapping[str, Mapping[str, Any]]
"""By key: the value, where it comes from, and whether it can be changed while the broker runs."""


class ResourceType(IntEnum):
    """What has settings, as the protocol numbers it."""

    TOPIC = 2
    BROKER = 4


class Resource(Struct, frozen=True):
    """What has settings; `configs` are the keys that are asked for, None for all."""

    resource_type: ResourceType
    name: str
    configs: Mapping[str, Any] | None


class SettingsAdmin:
    """The settings of topics and brokers.

    Args:
        client: the library's admin client.
        access: how the cluster is reached; asks for the error that the client drops from an answer without settings.
    """

    def __init__(self, client: Any, access: Access | None = None) -> None:  # noqa: ANN401 the library's client, or a fake one
        self._client, self._access = client, access

    def alter(
        self, changes: Mapping[tuple[str, str], Mapping[str, str | None]], *, validate_only: bool = False
    ) -> dict[tuple[str, str], str]:
        """Set, or with None remove, settings of `("topic", "orders")` or `("broker", "1")`, incrementally (KIP-339).

        Returns:
            The failures with Kafka's reasons. With `validate_only` nothing is changed.
        """

        def send(left: Sequence[tuple[str, str]], _: int) -> dict[tuple[str, str], Refusal]:
            return self._alter({at: changes[at] for at in left}, validate_only=validate_only)

        every, failed = list(changes), dict[tuple[str, str], str]()
        for start in range(0, len(every), _RESOURCES_PER_REQUEST):
            failed |= insist(send, every[start : start + _RESOURCES_PER_REQUEST])
        return failed

    def _alter(
        self, changes: Mapping[tuple[str, str], Mapping[str, str | None]], *, validate_only: bool
    ) -> dict[tuple[str, str], Refusal]:
        from kafka.admin import ConfigResource, ConfigResourceType

        resources = [
            ConfigResource(
                ConfigResourceType[kind.upper()],
                name,
                {key: ("DELETE", None) if value is None else ("SET", value) for key, value in settings.items()},
            )
            for (kind, name), settings in changes.items()
        ]
        with translated("changing settings"):
            answer = self._client.alter_configs(
                resources, validate_only=validate_only, raise_on_unknown=False, incremental=True
            )
        return {
            (kind, name): _refusal(str(outcome))
            for kind, outcomes in answer.items()
            for name, outcome in outcomes.items()
            if outcome != "OK"
        }

    def describe(
        self, kind: str, names: Iterable[str], keys: Iterable[str] | None = None, *, synonyms: bool = False
    ) -> dict[str, Entries]:
        """Every setting, or those of `keys`, of topics or brokers, by name.

        With `synonyms` each has all values that Kafka has for it, the effective one first.
        """
        wanted = None if keys is None else dict.fromkeys(keys)
        resources = [Resource(ResourceType[kind.upper()], name, wanted) for name in names]
        found: dict[str, Entries] = {}
        for start in range(0, len(resources), _RESOURCES_PER_REQUEST):
            batch = resources[start : start + _RESOURCES_PER_REQUEST]
            with translated(f"reading the settings of {kind}s"):
                described = self._client.describe_configs(batch, include_synonyms=synonyms, config_filter="all")
            answer = described.get(kind, {})
            if unknown := [resource for resource in batch if not answer.get(resource.name)]:
                raise self._why_none(kind, unknown[0])  # every resource has settings
            found |= answer
        return found

    def _why_none(self, kind: str, resource: Resource) -> ProvisionError:
        doing = f"reading the settings of {kind}s"
        unknown = Unavailable(
            f"{doing}: the broker that was asked does not know {resource.name} yet", hint="try again in a moment"
        )
        if self._access is None:
            return unknown
        of = DescribeConfigsRequest.DescribeConfigsResource
        asked = of(resource_type=resource.resource_type.value, resource_name=resource.name, configuration_keys=None)
        access = self._access
        if kind == "broker" and int(resource.name) in access.brokers:
            access = access.to({int(resource.name): access.brokers[int(resource.name)]})
        answer = ask_any(access, lambda: DescribeConfigsRequest(resources=[asked], version=_VERSION), doing)
        (result,) = answer.results
        if result.error_code in (0, _UNKNOWN_TOPIC):  # 0: it knows it by now, or the one that is asked this time does
            return unknown
        refusal = as_provision_error(doing, for_code(result.error_code)(result.error_message or ""))
        return refusal if isinstance(refusal, KafkaRefused) else unknown


def _refusal(outcome: str) -> Refusal:
    """A refusal from the text that the library makes of it: `[Error 40] InvalidConfigurationError: the reason`."""
    coded = _CODED.match(outcome)
    return Refusal(int(coded[1]) if coded else _UNCODED, outcome)
