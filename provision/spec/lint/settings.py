"""The properties of a file with their positions, for the rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from msgspec import Struct

from provision.catalogue.versions import KafkaVersion, unsupported
from provision.spec.defaults import internal_topic_settings, mode_of
from provision.spec.lint.known import BROKER, TOPIC, facts, line_of, whole_number
from provision.spec.model import EnvironmentSpec
from provision.spec.yaml_text import Path

# Warnings shared by brokers and topics: why, and what to do.
UNCLEAN_ELECTION = (
    "a replica that is behind may become leader: records that were acknowledged are lost",
    "remove it, unless answering matters more than keeping",
)
FLUSHED_ONE_BY_ONE = (
    "every message is forced to disk by itself, which is slow; replicas keep records safe",
    "remove it",
)


def is_reference(value: str) -> bool:
    """Whether one of Kafka's configuration providers supplies the value, so that it is unknown here."""
    return "${" in value


class Place(Struct, frozen=True):
    """A mapping of properties: its path, whose keys they are, and its values."""

    path: Path
    section: str
    properties: Mapping[str, str]


def places(spec: EnvironmentSpec) -> Iterator[Place]:
    """Every mapping of Kafka's properties in a file."""
    yield Place(("controllers", "properties"), BROKER, spec.controllers.properties)
    yield Place(("brokers", "properties"), BROKER, spec.brokers.properties)
    for broker, override in spec.brokers.overrides.items():
        yield Place(("brokers", "overrides", broker, "properties"), BROKER, override.properties)
    yield Place(("topic_defaults", "config"), TOPIC, spec.topic_defaults.config)
    for index, topic in enumerate(spec.topics):
        yield Place(("topics", index, "config"), TOPIC, topic.config)


def version_of(spec: EnvironmentSpec) -> KafkaVersion | None:
    """The version whose rules apply; None if it is unknown, or rejected by `checks`."""
    version = KafkaVersion.parse(spec.kafka.version)
    return None if spec.bootstrap_servers or unsupported(version) else version


@dataclass(frozen=True)
class Settings:
    """The properties of one broker: later mappings override earlier ones and the defaults."""

    spec: EnvironmentSpec
    version: KafkaVersion
    layers: tuple[Place, ...]

    def said(self, key: str) -> tuple[str, Path] | None:
        """The value in the file, and its path."""
        for place in reversed(self.layers):
            if key in place.properties:
                return place.properties[key], (*place.path, key)
        return None

    def number(self, key: str) -> int | None:
        """The effective number, from the file or a default; None if it is not one (`keys` reports that)."""
        known = facts(BROKER, key, line_of(self.version))
        if known is None:
            return None
        said = self.said(key)
        text = said[0] if said else self._defaults.get(key) or known.default
        return None if text is None or known.demand(text) else whole_number(text)

    def place(self, *keys: str) -> Path | None:
        """The path of the first of `keys` that the file sets; None if it sets none."""
        return next((said[1] for key in keys if (said := self.said(key))), None)

    @cached_property
    def _defaults(self) -> Mapping[str, str]:
        return internal_topic_settings(self.spec.brokers.nodes, self.version, mode_of(self.spec))


def brokers(spec: EnvironmentSpec) -> Iterator[Settings]:
    """The properties of all brokers, then those of each broker that differs."""
    version = version_of(spec)
    if version is None:
        return
    common = Place(("brokers", "properties"), BROKER, spec.brokers.properties)
    yield Settings(spec, version, (common,))
    for broker, override in spec.brokers.overrides.items():
        if override.properties:
            own = Place(("brokers", "overrides", broker, "properties"), BROKER, override.properties)
            yield Settings(spec, version, (common, own))
