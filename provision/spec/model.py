"""The environment file as pydantic models. They describe its form; consistency is checked in `checks`.

The text below each field is its description in the JSON Schema. `docs/reference/environment-file.md` has more; it must
name every key (tested).
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from provision.catalogue.images import is_of_line, kafka_line_of
from provision.catalogue.versions import DEFAULT_VERSION, KafkaVersion, version_or_newest
from provision.security.profiles import PLAIN_TEXT
from provision.spec.acls import Acls
from provision.spec.certificates import CertificatesSpec
from provision.spec.java import JavaSpec
from provision.spec.limits import MAX_BROKERS, MAX_PARTITIONS
from provision.spec.listeners import Listeners, SecurityByListener
from provision.spec.names import (
    LISTENER_IN_WORDS,
    LISTENER_PATTERN,
    LONGEST_NAME,
    NAME_IN_WORDS,
    NAME_PATTERN,
    USER_IN_WORDS,
    USER_PATTERN,
)
from provision.spec.ports import LAST_PORT, PORT, is_port
from provision.spec.quotas import QuotaSpec
from provision.spec.record_files import Format
from provision.spec.section import Section
from provision.spec.swarm import SwarmSpec
from provision.spec.units import parse_duration_s, parse_size_bytes
from provision.spec.users import UserSpec
from provision.spec.yaml_text import Decimal

PRUNED = ("topic", "user", "acl", "quota")
"""What `prune` deletes: the first word of each pattern of `keep`."""
IMAGE_PATTERN = r"^[a-z0-9][A-Za-z0-9._/:@-]*$"
RACK_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TOPIC_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"

IN_WORDS = {
    NAME_PATTERN: f"an environment's name: {NAME_IN_WORDS}",
    IMAGE_PATTERN: "an image: write one like apache/kafka:3.9.1, or one with a digest",
    RACK_PATTERN: "a rack: 1 to 64 letters, digits, dots, hyphens and underscores, the first one a letter or digit",
    USER_PATTERN: USER_IN_WORDS,
    LISTENER_PATTERN: LISTENER_IN_WORDS,
    TOPIC_PATTERN: "a topic's name: 1 to 249 letters, digits, dots, hyphens and underscores",
}
"""What each pattern requires, as worded in errors."""
LONGEST = {NAME_PATTERN: LONGEST_NAME, RACK_PATTERN: 64, USER_PATTERN: 64, LISTENER_PATTERN: 32, TOPIC_PATTERN: 249}
"""How many characters a text may have that matches it."""


_SHOWN = 80
"""So many characters of a text are repeated in an error."""


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
            shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
            return f"the text {shown!r}" if value else "an empty text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case bytes():
            return "bytes"
        case set() | frozenset():
            return "a set"
        case PurePath():
            return f"the path {str(value)!r}"
    return f"a Python object of the type {type(value).__name__}"  # only programs can give such values


def version_text(value: object) -> object:
    """A version as text. A number of a file, such as 3.10, has kept its text; in a program's number it is lost."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    if isinstance(value, float):
        raise ValueError(f"must be text, not the number {value}, which 3.10 and 3.1 share")  # noqa: TRY004 pydantic's protocol
    return value


def _version(text: str) -> str:
    return str(version_or_newest(text))


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
    if isinstance(value, int | str) and is_port(value):
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


def _patterns(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError('must be a list, as in ["topic legacy.*"]')  # noqa: TRY004 pydantic's protocol
    return value


def _kept(value: object) -> object:
    kind, _, name = value.partition(" ") if isinstance(value, str) and value.isprintable() else ("", "", "")
    if kind not in PRUNED or not name.strip():
        kinds = ", ".join(PRUNED)
        raise ValueError(f"must be one of {kinds}, then a name or a pattern with `*`, as in `topic legacy.*`")
    return value


def _heap(text: str) -> str:
    if parse_size_bytes(text) < parse_size_bytes(_LEAST_HEAP):
        raise ValueError(f"with {text} no node starts: a heap has at least {_LEAST_HEAP}")
    return text


_LEAST_HEAP = "8m"  # a single ZooKeeper node starts with it; brokers need several times as much
# How the JSON Schema describes what validators check.
_TEXT_OR_TEXTS = {"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}
_SCALAR = {"type": ["string", "number", "boolean"]}
_VERSION = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+){0,2}$"}
_DURATION = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"}
_SIZE = {"type": "string", "pattern": r"^[0-9]+[kmg]$"}

Addresses = Annotated[str, BeforeValidator(addresses_in), WithJsonSchema(_TEXT_OR_TEXTS)]
Duration = Annotated[str, AfterValidator(lambda text: (parse_duration_s(text), text)[1]), WithJsonSchema(_DURATION)]
Size = Annotated[str, AfterValidator(lambda text: (parse_size_bytes(text), text)[1]), WithJsonSchema(_SIZE)]
Heap = Annotated[str, AfterValidator(_heap), WithJsonSchema(_SIZE)]
HostPort = Annotated[int | Literal["auto"], PlainValidator(_port), WithJsonSchema(PORT)]
OptionalPort = Annotated[
    int | Literal["auto"] | None,
    PlainValidator(_optional_port),
    WithJsonSchema({"anyOf": [*PORT["anyOf"], {"type": "null"}]}),
]
Version = Annotated[str, BeforeValidator(version_text), AfterValidator(_version), WithJsonSchema(_VERSION)]
Properties = dict[
    Annotated[str, AfterValidator(_property_key)],
    Annotated[str, BeforeValidator(_property_value), WithJsonSchema(_SCALAR)],
]
_KEPT = {"type": "string", "pattern": rf"^({'|'.join(PRUNED)}) .*\S"}
Kept = Annotated[str, BeforeValidator(_kept), WithJsonSchema(_KEPT)]
Rack = Annotated[str, Field(pattern=RACK_PATTERN)]
Replicas = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]  # others may have a broker 0


class KafkaSpec(Section):
    """The Kafka version, and its origin."""

    version: Version = str(DEFAULT_VERSION)
    """The Kafka version, such as 3.9.1; a release line, such as 3.9, stands for its newest known version."""
    mode: Literal["zookeeper", "kraft"] | None = None
    """Where the cluster keeps its metadata: in ZooKeeper (up to 3.9) or in a KRaft quorum (from 3.3 on)."""
    image: Annotated[str, Field(pattern=IMAGE_PATTERN)] | None = None
    """Docker only: the image to run, by tag or pinned by digest. Default: `apache/kafka` of the version."""
    distribution: Annotated[str, AfterValidator(_path)] | None = None
    """With `runtime: process` only: the directory of an unpacked Kafka, used instead of fetched jars."""

    @model_validator(mode="before")
    @classmethod
    def _version_of_image(cls, section: object) -> object:
        """Take a version that is missing, or only a line, from the image's tag if that gives one."""
        if not isinstance(section, dict) or not isinstance(section.get("image"), str):
            return section
        try:
            version = KafkaVersion.parse(kafka_line_of(section["image"]) or "")
        except ValueError:
            return section
        line = section.get("version", "")
        fits = isinstance(line, str | int | Decimal) and (line == "" or is_of_line(version, str(line)))
        return section | {"version": str(version)} if fits else section


class ZooKeeperSpec(Section):
    """The ensemble."""

    nodes: Annotated[int, AfterValidator(_ensemble), WithJsonSchema({"enum": [1, 3, 5, 7]})] = 1
    """The size of the ensemble."""
    image: Annotated[str, Field(pattern=IMAGE_PATTERN)] | None = None
    """Docker only: the image of the ensemble. Default: that of the brokers."""
    port: OptionalPort = None
    """Host port of node 1 on 127.0.0.1; node 2 gets the next one, and so on. `auto` leases free ports."""
    heap: Heap = "64m"
    """`-Xms` and `-Xmx` of each node."""
    java: JavaSpec = JavaSpec()
    """How the JVM of each node is started."""
    properties: Properties = {}
    """Additional keys for `zookeeper.properties`."""


def _quorum(nodes: int) -> int:
    if nodes not in (0, 1, 3, 5, 7):
        raise ValueError(
            f"a quorum has 1, 3, 5 or 7 controllers, or 0 where brokers are controllers too, not {nodes}: a majority "
            "must remain when one fails, and an even number gains nothing"
        )
    return nodes


class ControllersSpec(Section):
    """Dedicated KRaft controllers."""

    nodes: Annotated[int, AfterValidator(_quorum), WithJsonSchema({"enum": [0, 1, 3, 5, 7]})] = 0
    """The number of dedicated controllers. With 0, brokers are controllers too."""
    heap: Heap = "128m"
    """`-Xms` and `-Xmx` of each controller."""
    java: JavaSpec = JavaSpec()
    """How the JVM of each node is started."""
    properties: Properties = {}
    """Additional keys for `controller.properties`."""


class BrokerOverride(Section):
    """Settings of one broker that differ from the others."""

    rack: Rack | None = None
    """The broker's rack."""
    heap: Heap | None = None
    """`-Xms` and `-Xmx` of the broker."""
    properties: Properties = {}
    """Additional keys for the broker's `server.properties`; they win over `brokers.properties`."""


class BrokersSpec(Section):
    """The brokers, all alike except for their overrides."""

    nodes: Annotated[int, Field(ge=1, le=MAX_BROKERS)] = 1
    """The number of brokers."""
    port: HostPort = 9092
    """Host port of broker 1 on 127.0.0.1; broker 2 gets the next one, and so on. `auto` leases free ports."""
    racks: list[Rack] = []
    """Racks, assigned to the brokers in turn."""
    heap: Heap = "256m"
    """`-Xms` and `-Xmx` of each broker."""
    memory: Size = "1g"
    """The memory limit of each broker's container, at least 128 MiB more than the heap."""
    java: JavaSpec = JavaSpec()
    """How the JVM of each node is started."""
    properties: Properties = {}
    """Additional keys for every `server.properties`."""
    overrides: dict[Annotated[int, Field(ge=1)], BrokerOverride] = {}
    """Settings of single brokers, by the broker's number, which counts from 1."""


class TopicDefaults(Section):
    """Defaults for topics."""

    partitions: Annotated[int, Field(ge=1, le=MAX_PARTITIONS)] = 1
    """The number of partitions of topics that do not set it."""
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    """The replicas of each partition of topics that do not set it. Default: 3, or one per broker if fewer."""
    config: Properties = {}
    """Configuration of every topic; a topic's own keys win."""


class RecordsSpec(Section):
    """A file of records; written as a text, it is only the file."""

    file: Annotated[str, AfterValidator(_path)]
    """The file, relative to the environment file."""
    format: Format | None = None
    """The format of the file. Default: what the ending of its name says."""
    key: Annotated[str, Field(min_length=1)] | None = None
    """JSON lines: the field with the key; CSV: the column; text: what is between the key and the value."""

    @model_validator(mode="before")
    @classmethod
    def _only_the_file(cls, section: object) -> object:
        return {"file": section} if isinstance(section, str) else section


class TopicSpec(Section):
    """A declared topic."""

    name: Annotated[str, Field(pattern=TOPIC_PATTERN)]
    """The topic's name."""
    partitions: Annotated[int, Field(ge=1, le=MAX_PARTITIONS)] | None = None
    """The number of partitions."""
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    """The replicas of each partition."""
    replicas: Annotated[list[Replicas], Field(min_length=1)] | None = None
    """The brokers of every partition, the preferred leader first."""
    config: Properties = {}
    """Configuration of the topic, such as `retention.ms`."""
    grow_compacted: bool = False
    """Whether partitions may be added to a compacted topic, even though keys then change their partition."""
    records: RecordsSpec | None = None
    """A file of records that are written to the topic once, when it is created."""


class EnvironmentSpec(Section):
    """One environment file."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """The environment's name. Default: the file's name without its suffix."""
    bootstrap_servers: Addresses | None = None
    """The address of a cluster that others run. Such a file describes only its topics, ACLs and quotas."""
    runtime: Literal["auto", "docker", "process", "swarm"] = "auto"
    """Where nodes run: as containers of one engine or of a swarm, or as processes. `auto`: Docker, else processes."""
    swarm: SwarmSpec = SwarmSpec()
    """With `runtime: swarm` only: how nodes are reached on its engines."""
    kafka: KafkaSpec = KafkaSpec()
    """Which Kafka runs."""
    zookeeper: ZooKeeperSpec = ZooKeeperSpec()
    """The ZooKeeper ensemble, in ZooKeeper mode."""
    controllers: ControllersSpec = ControllersSpec()
    """Dedicated controllers, in KRaft mode."""
    brokers: BrokersSpec = BrokersSpec()
    """The brokers."""
    listeners: Listeners = {}
    """The listeners of brokers for clients on this machine, by name, if there are several."""
    security: SecurityByListener = PLAIN_TEXT
    """How connections to brokers and between nodes are secured: all of them, or by listener."""
    certificates: CertificatesSpec | None = None
    """Your own certificates: the authority that issues those of nodes and users."""
    users: list[UserSpec] = []
    """Who may connect, beside provision itself."""
    acls: Acls = []
    """Who may do what. With this key, or `allow` or `super` of a user, whatever is not allowed is refused."""
    storage: Annotated[str, AfterValidator(_path)] = "volume"
    """Where data is kept: `volume`, `memory` (in Docker with ZooKeeper only until a broker stops), or a directory."""
    templates: Annotated[str, AfterValidator(_path)] | None = None
    """A directory of configuration templates of your own, which take precedence over the shipped ones."""
    vars: dict[str, Any] = {}
    """Whatever your own templates use as `vars`."""
    ttl: Duration | None = None
    """The environment's time to live, recorded with it."""
    warm: bool = True
    """Whether `up` may train missing archives in the background, if nothing else is slowed by it."""
    topic_defaults: TopicDefaults = TopicDefaults()
    """Defaults for all topics."""
    topics: list[TopicSpec] = []
    """The topics that must exist."""
    quotas: list[QuotaSpec] = []
    """Client quotas."""
    prune: bool = False
    """Whether topics that the file does not name are deleted, and quotas and ACLs if the file has any, too."""
    keep: Annotated[list[Kept], BeforeValidator(_patterns)] = []
    """What `prune` leaves alone: patterns such as `topic legacy.*`, as a plan shows what it would delete."""
    rebalance: bool = False
    """Whether replicas and leaders are kept evenly spread over the brokers."""
    throttle: Size | None = None
    """The rate that moved replicas may use, per second and broker."""
