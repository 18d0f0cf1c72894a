"""The Kafka versions and images this program knows. Adding one is one entry; the module imports nothing of ours.

Sources: the release notes and `gradle/dependencies.gradle` of each Kafka release for the Java range and the bundled
ZooKeeper; the Dockerfiles of the images for their layout.
"""

import re
from dataclasses import dataclass

_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True, order=True)
class KafkaVersion:
    """A Kafka release, for example 3.9.1; ordered as releases are."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "KafkaVersion":
        """Read `major.minor.patch`.

        Raises:
            ValueError: when the text has another form.
        """
        match = _VERSION.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a Kafka version of the form 3.9.1")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Release:
    """What a Kafka release line needs. `first` is the first version the entry speaks for, up to the next entry's."""

    first: KafkaVersion
    java: range
    """The major versions of Java it runs on."""
    tools: dict[str, str]
    """By the name of Kafka's own script: the main class, and the arguments that the script puts before the user's."""


_TOOLS_2_8 = {
    "kafka-acls": "kafka.admin.AclCommand",
    "kafka-broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "kafka.tools.ConsoleConsumer",
    "kafka-console-producer": "kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "kafka.admin.ConsumerGroupCommand",
    "kafka-consumer-perf-test": "kafka.tools.ConsumerPerformance",
    "kafka-delete-records": "kafka.admin.DeleteRecordsCommand",
    "kafka-dump-log": "kafka.tools.DumpLogSegments",
    "kafka-get-offsets": "kafka.tools.GetOffsetShell",
    "kafka-leader-election": "kafka.admin.LeaderElectionCommand",
    "kafka-log-dirs": "kafka.admin.LogDirsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-reassign-partitions": "kafka.admin.ReassignPartitionsCommand",
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-topics": "kafka.admin.TopicCommand",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "zookeeper-shell": "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka -server",
}
_BOOTSTRAP = "--bootstrap-server"
_SERVER = ""  # the first argument itself, with no name

# How a tool is told whom to speak to. The others take --bootstrap-server; None: it speaks to nobody, or in its own way.
TOOL_ADDRESS: dict[str, str | None] = {
    "kafka-dump-log": None,
    "kafka-producer-perf-test": None,
    "kafka-storage": None,
    "zookeeper-shell": _SERVER,
}
TOOL_ADDRESSES = (_BOOTSTRAP, "--bootstrap-controller", "--broker-list", "--zookeeper")
"""The arguments by which a user says an address."""


def address_option(tool: str, version: KafkaVersion) -> str | None:
    """The argument that takes the address: its name, empty where it has none, None where the tool takes no address."""
    if tool == "kafka-get-offsets" and version < KafkaVersion(3, 0, 0):
        return "--broker-list"  # KIP-635 renamed it
    return TOOL_ADDRESS.get(tool, _BOOTSTRAP)


# Tools moved from the core jar to kafka-tools one by one (KAFKA-14525): each table names those that moved since the
# last. A test looks every class up in the jars of its release.
_TOOLS_3_3 = _TOOLS_2_8 | {
    "kafka-features": "kafka.admin.FeatureCommand",
    "kafka-metadata-quorum": "kafka.admin.MetadataQuorumCommand",
}
_TOOLS_3_5 = _TOOLS_3_3 | {
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
}
_TOOLS_3_6 = _TOOLS_3_5 | {
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
}
_TOOLS_3_7 = _TOOLS_3_6 | {
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
}
_TOOLS_3_8 = _TOOLS_3_7 | {
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}

RELEASES = (
    Release(KafkaVersion(2, 8, 0), java=range(8, 18), tools=_TOOLS_2_8),
    Release(KafkaVersion(3, 3, 0), java=range(8, 18), tools=_TOOLS_3_3),
    Release(KafkaVersion(3, 5, 0), java=range(8, 22), tools=_TOOLS_3_5),
    Release(KafkaVersion(3, 6, 0), java=range(8, 22), tools=_TOOLS_3_6),
    Release(KafkaVersion(3, 7, 0), java=range(8, 22), tools=_TOOLS_3_7),
    Release(KafkaVersion(3, 8, 0), java=range(8, 22), tools=_TOOLS_3_8),
)

OLDEST = RELEASES[0].first
FIRST_WITHOUT_ZOOKEEPER = KafkaVersion(4, 0, 0)
DEFAULT_VERSION = KafkaVersion(3, 9, 1)


def release_of(version: KafkaVersion) -> Release:
    """The entry that speaks for `version`: the newest one that is not newer than it."""
    return max((release for release in RELEASES if release.first <= version), key=lambda release: release.first)


def coordinates(version: KafkaVersion) -> tuple[str, ...]:
    """The Maven artifacts whose runtime dependencies make up a release.

    A `!` keeps an artifact's own rules for versions out. A broker alone logs nothing: the binding of SLF4J to a logging
    library is left to the distribution. From 3.9 on it comes with the tools; before, they name one that has moved.
    """
    broker = f"org.apache.kafka:kafka_2.13:{version}"
    tools = f"org.apache.kafka:kafka-tools:{version}"
    if version >= KafkaVersion(3, 9, 0):
        return (broker, tools)
    return (broker, tools, "org.slf4j:slf4j-reload4j:1.7.36!")


RELOCATED = frozenset({"slf4j-log4j12"})
"""Artifacts without a jar: their POM only says where they went (slf4j-log4j12 became slf4j-reload4j)."""


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """Where an image keeps what a node needs; `user` is the number of its unprivileged account."""

    repository: str
    java: str
    libs: str
    user: int


APACHE_KAFKA = ImageLayout(repository="apache/kafka", java="java", libs="/opt/kafka/libs", user=1000)
IMAGES = (APACHE_KAFKA,)


def layout_of(image: str) -> ImageLayout:
    """The layout of an image by its repository; an unknown one is taken to be laid out like `apache/kafka`."""
    repository = image.split("@", maxsplit=1)[0]
    return next((layout for layout in IMAGES if repository.startswith(layout.repository)), APACHE_KAFKA)
