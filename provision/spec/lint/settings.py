"""The properties of a file with the places they come from, as rules ask for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from provision.catalogue.versions import KafkaVersion, unsupported
from provision.spec.checks import mode_of
from provision.spec.defaults import internal_topic_settings
from provision.spec.lint.known import BROKER, TOPIC, facts, line_of, whole_number
from provision.spec.model import EnvironmentSpec
from provision.spec.yaml_text import Path

# What brokers and topics are warned of in the same words: why, and what to do.
UNCLEAN_ELECTION = (
    "a replica that is behind may become leader: records that were acknowledged are lost",
    "remove it, unless answering matters more than keeping",
)
FLUSHED_ONE_BY_ONE = (
    "every message is forced to disk by itself, which is slow; replicas keep records safe",
    "remove it",
)


def is_reference(value: str) -> bool:
    """Whether a configuration provider of Kafka's fills the value in: nobody else knows it."""
    return "${" in value


@dataclass(frozen=True, slots=True)
class Place:
    """A mapping of properties: where it stands, whose keys they are, and what it says."""

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
    """The version whose rules hold; None where nobody knows it, or `checks` refuses it."""
    version = KafkaVersion.parse(spec.kafka.version)
    return None if spec.bootstrap_servers or unsupported(version) else version


@dataclass(frozen=True)
class Settings:
    """What one broker gets: of several mappings the later ones win, and what none says is the default."""

    spec: EnvironmentSpec
    version: KafkaVersion
    layers: tuple[Place, ...]

    def said(self, key: str) -> tuple[str, Path] | None:
        """What the file says, and where."""
        for place in reversed(self.layers):
            if key in place.properties:
                return place.properties[key], (*place.path, key)
        return None

    def number(self, key: str) -> int | None:
        """The number that holds, from the file or a default; None where there is none (`keys` tells what is wrong)."""
        known = facts(BROKER, key, line_of(self.version))
        if known is None:
            return None
        said = self.said(key)
        text = said[0] if said else self._defaults.get(key) or known.default
        return None if text is None or known.demand(text) else whole_number(text)

    def place(self, *keys: str) -> Path | None:
        """Where the file has the first of `keys` that it says; None where it says none."""
        return next((said[1] for key in keys if (said := self.said(key))), None)

    @cached_property
    def _defaults(self) -> Mapping[str, str]:
        return internal_topic_settings(self.spec.brokers.nodes, self.version, mode_of(self.spec))


def brokers(spec: EnvironmentSpec) -> Iterator[Settings]:
    """What all brokers get, then what each one that differs gets."""
    version = version_of(spec)
    if version is None:
        return
    common = Place(("brokers", "properties"), BROKER, spec.brokers.properties)
    yield Settings(spec, version, (common,))
    for broker, override in spec.brokers.overrides.items():
        if override.properties:
            own = Place(("brokers", "overrides", broker, "properties"), BROKER, override.properties)
            yield Settings(spec, version, (common, own))
