"""The environment file as pydantic models. They describe its form; consistency is checked in `checks`.

The field descriptions are the reference's text: `docs/reference/environment-file.md` must name every key (tested).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from provision.catalogue.images import kafka_line_of
from provision.catalogue.versions import DEFAULT_VERSION, KafkaVersion
from provision.spec.names import NAME_IN_WORDS, NAME_PATTERN
from provision.spec.quotas import QuotaSpec
from provision.spec.section import Section
from provision.spec.units import parse_duration_s, parse_size_bytes

LAST_PORT = 65535
IMAGE_PATTERN = r"^[a-z0-9][A-Za-z0-9._/:@-]*$"
RACK_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TOPIC_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"

IN_WORDS = {
    NAME_PATTERN: f"an environment's name: {NAME_IN_WORDS}",
    IMAGE_PATTERN: "an image: write one like apache/kafka:3.9.1, or one with a digest",
    RACK_PATTERN: "a rack: 1 to 64 letters, digits, dots, hyphens and underscores, the first one a letter or digit",
    TOPIC_PATTERN: "a topic's name: 1 to 249 letters, digits, dots, hyphens and underscores",
}
"""What each pattern requires, as worded in errors."""


def kind_of(value: object) -> str:
    """A value of an environment file as worded in errors."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}" if value else "an empty text"
        case list():
            return "a list"
    return "a mapping"


def _version(text: str) -> str:
    KafkaVersion.parse(text)
    return text


def _ensemble(nodes: int) -> int:
    if nodes not in (1, 3, 5, 7):
        raise ValueError(
            f"an ensemble has 1, 3, 5 or 7 nodes, not {nodes}: a majority must remain when one fails, "
            "and an even number gains nothing"
        )
    return nodes


def _property_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(  # noqa: TRY004 pydantic's protocol
            f"a property's value is a text, a number, true or false; not {kind_of(value)}"
        )
    text = str(value)
    if any(character in text for character in "\n\r\0"):
        raise ValueError("a property's value cannot contain a line break or a null character")
    return text


def _property_key(key: str) -> str:
    if not key or not all(character.isalnum() or character in "._-" for character in key) or not key.isascii():
        raise ValueError(f"{key!r} cannot be a property's name: letters, digits, dots, hyphens and underscores only")
    return key


def _port(value: object) -> int | str:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LAST_PORT):
        return value
    raise ValueError(f"a port is a number from 1 to {LAST_PORT}, or auto; not {kind_of(value)}")


def _optional_port(value: object) -> int | str | None:
    return None if value is None else _port(value)


def _path(text: str) -> str:
    if not text.strip() or any(character in text for character in "\n\r\0"):
        raise ValueError("a path cannot be empty or contain a line break or a null character")
    return text


def addresses_in(value: object) -> str:
    """Addresses given as a text with commas, or as a list of texts, as one text.

    Raises:
        ValueError: one has another form than `host:port`.
    """
    items = value if isinstance(value, list) else [value]
    texts = [part.strip() for item in items if isinstance(item, str) for part in item.split(",")]
    if not texts or not all(isinstance(item, str) for item in items):
        raise ValueError(
            f"addresses are like kafka.example:9092, several with commas or as a list; not {kind_of(value)}"
        )
    for text in texts:
        host, _, port = text.rpartition(":")
        is_port = port.isdecimal() and len(port) <= len(str(LAST_PORT)) and 1 <= int(port) <= LAST_PORT
        if not host or not is_port or any(c in host for c in " /@"):
            raise ValueError(f"{text!r} is not an address like kafka.example:9092")
    return ",".join(texts)


Addresses = Annotated[str, BeforeValidator(addresses_in)]
Duration = Annotated[str, AfterValidator(lambda text: (parse_duration_s(text), text)[1])]
Size = Annotated[str, AfterValidator(lambda text: (parse_size_bytes(text), text)[1])]
HostPort = Annotated[int | Literal["auto"], PlainValidator(_port)]
Properties = dict[Annotated[str, AfterValidator(_property_key)], Annotated[str, BeforeValidator(_property_value)]]
Rack = Annotated[str, Field(pattern=RACK_PATTERN)]
Replicas = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class KafkaSpec(Section):
    """The Kafka version, and its origin."""

    version: Annotated[str, AfterValidator(_version)] = str(DEFAULT_VERSION)
    mode: Literal["zookeeper", "kraft"] | None = None
    image: Annotated[str, Field(pattern=IMAGE_PATTERN)] | None = None
    distribution: Annotated[str, AfterValidator(_path)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _version_of_image(cls, section: object) -> object:
        """Take a missing version from the image's tag, if that gives one."""
        if not isinstance(section, dict) or "version" in section or not isinstance(section.get("image"), str):
            return section
        try:
            version = KafkaVersion.parse(kafka_line_of(section["image"]) or "")
        except ValueError:
            return section
        return section | {"version": str(version)}


class ZooKeeperSpec(Section):
    """The ensemble."""

    nodes: Annotated[int, AfterValidator(_ensemble)] = 1
    image: Annotated[str, Field(pattern=IMAGE_PATTERN)] | None = None
    port: Annotated[int | Literal["auto"] | None, PlainValidator(_optional_port)] = None
    heap: Size = "64m"
    properties: Properties = {}


def _quorum(nodes: int) -> int:
    if nodes not in (0, 1, 3, 5, 7):
        raise ValueError(
            f"a quorum has 1, 3, 5 or 7 controllers, or 0 where brokers are controllers too, not {nodes}: a majority "
            "must remain when one fails, and an even number gains nothing"
        )
    return nodes


class ControllersSpec(Section):
    """Dedicated KRaft controllers."""

    nodes: Annotated[int, AfterValidator(_quorum)] = 0
    heap: Size = "128m"
    properties: Properties = {}


class BrokerOverride(Section):
    """Settings of one broker that differ from the others."""

    rack: Rack | None = None
    heap: Size | None = None
    properties: Properties = {}


class BrokersSpec(Section):
    """The brokers, all alike except for their overrides."""

    nodes: Annotated[int, Field(ge=1, le=100)] = 1
    port: HostPort = 9092
    racks: list[Rack] = []
    heap: Size = "256m"
    memory: Size = "1g"
    properties: Properties = {}
    overrides: dict[Annotated[int, Field(ge=1)], BrokerOverride] = {}


class TopicDefaults(Section):
    """Defaults for topics."""

    partitions: Annotated[int, Field(ge=1, le=100_000)] = 1
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    config: Properties = {}


class TopicSpec(Section):
    """A declared topic."""

    name: Annotated[str, Field(pattern=TOPIC_PATTERN)]
    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    replicas: Annotated[list[Replicas], Field(min_length=1)] | None = None
    config: Properties = {}
    grow_compacted: bool = False


class EnvironmentSpec(Section):
    """One environment file."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    bootstrap_servers: Addresses | None = None
    runtime: Literal["auto", "docker", "process"] = "auto"
    kafka: KafkaSpec = KafkaSpec()
    zookeeper: ZooKeeperSpec = ZooKeeperSpec()
    controllers: ControllersSpec = ControllersSpec()
    brokers: BrokersSpec = BrokersSpec()
    storage: Annotated[str, AfterValidator(_path)] = "volume"
    templates: Annotated[str, AfterValidator(_path)] | None = None
    vars: dict[str, Any] = {}
    ttl: Duration | None = None
    topic_defaults: TopicDefaults = TopicDefaults()
    topics: list[TopicSpec] = []
    quotas: list[QuotaSpec] = []
    prune: bool = False
    rebalance: bool = False
    throttle: Size | None = None
