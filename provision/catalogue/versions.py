"""The known Kafka versions. Adding one is one entry; the module imports nothing of provision.

Sources: the release notes and `gradle/dependencies.gradle` of each Kafka release for the Java range and the bundled
ZooKeeper.
"""

import re

from msgspec import Struct

_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
_LINE = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:\.(?:0|[1-9][0-9]{0,3}))?")


class KafkaVersion(Struct, frozen=True, order=True):
    """A Kafka release, for example 3.9.1; ordered as releases are."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "KafkaVersion":
        """Read `major.minor.patch`.

        Raises:
            ValueError: the text has another form.
        """
        match = _VERSION.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a Kafka version of the form 3.9.1")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


ZOOKEEPER, KRAFT = "zookeeper", "kraft"
FIRST_WITH_SCRAM_IN_KRAFT = KafkaVersion(3, 5, 0)
"""From this version on Kafka keeps users in KRaft's metadata (KIP-900)."""


def keeps_users(version: KafkaVersion | None, mode: str) -> bool:
    """Whether Kafka keeps users in the cluster, in that mode; None for a version that is not known."""
    return mode != KRAFT or version is None or version >= FIRST_WITH_SCRAM_IN_KRAFT


# What binds SLF4J to a logging library.
_RELOAD4J = ("org.slf4j:slf4j-reload4j:1.7.36!",)


def _log4j2(version: str) -> tuple[str, ...]:
    return tuple(f"org.apache.logging.log4j:{name}:{version}!" for name in ("log4j-slf4j-impl", "log4j-core"))


class LoggingFile(Struct, frozen=True):
    """How a logging library is configured: the file's name, and the system property for its path."""

    name: str
    property: str


LOG4J = LoggingFile("log4j.properties", "log4j.configuration")
LOG4J2 = LoggingFile("log4j2.properties", "log4j2.configurationFile")


class Release(Struct, frozen=True):
    """What a Kafka release line needs. The entry applies from version `first` up to the next entry's."""

    first: KafkaVersion
    java: range
    """The major versions of Java it runs on."""
    tools: dict[str, str]
    """By the name of Kafka's own script: the main class, and the arguments that the script adds before the user's."""
    zookeeper: str = ""
    """The release line of ZooKeeper that it includes; empty from 4.0 on."""
    modes: tuple[str, ...] = (ZOOKEEPER, KRAFT)
    """Its metadata modes, the default first."""
    logging: tuple[str, ...] = ()
    """The artifacts that bind SLF4J to a logging library, if those of the broker and the tools do not."""
    logging_file: LoggingFile = LOG4J


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

# The option for a tool's servers, if it is not --bootstrap-server; None: it has none, or its own way.
TOOL_ADDRESS: dict[str, str | None] = {
    "kafka-dump-log": None,
    "kafka-producer-perf-test": None,
    "kafka-storage": None,
    "zookeeper-shell": _SERVER,
}
TOOL_ADDRESSES = (_BOOTSTRAP, "--bootstrap-controller", "--broker-list", "--zookeeper")
"""All arguments by which a user can give an address."""


def address_option(tool: str, version: KafkaVersion) -> str | None:
    """The argument that takes the address: its name, empty if it has none, None if the tool takes no address."""
    if tool == "kafka-get-offsets" and version < KafkaVersion(3, 0, 0):
        return "--broker-list"  # KIP-635 renamed it
    return TOOL_ADDRESS.get(tool, _BOOTSTRAP)


# The option for the file that tells a tool how to get in, if it is not --command-config; None: it has none.
_TOOL_CONFIG: dict[str, str | None] = {
    "kafka-console-consumer": "--consumer.config",
    "kafka-console-producer": "--producer.config",
    "kafka-consumer-perf-test": "--consumer.config",
    "kafka-dump-log": None,
    "kafka-leader-election": "--admin.config",
    "kafka-producer-perf-test": "--producer.config",
    "kafka-storage": None,
    "kafka-verifiable-consumer": "--consumer.config",
    "kafka-verifiable-producer": "--producer.config",
    "zookeeper-shell": None,
}
TOOL_CONFIGS = ("--command-config", *sorted({option for option in _TOOL_CONFIG.values() if option}))
"""All options by which a user can name such a file."""


def config_option(tool: str, version: KafkaVersion) -> str | None:
    """The argument that takes the file of a client's properties; None if the tool takes none."""
    if tool == "kafka-get-offsets" and version < KafkaVersion(3, 0, 0):
        return None  # KIP-635 added it
    option = _TOOL_CONFIG.get(tool, "--command-config")
    return option and ("--command-config" if version >= KafkaVersion(4, 2, 0) else option)  # KIP-1147


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

_TOOLS_4_0 = {tool: main for tool, main in _TOOLS_3_8.items() if tool != "zookeeper-shell"} | {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
}
_TOOLS_4_3 = _TOOLS_4_0 | {"kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments"}

RELEASES = (
    Release(KafkaVersion(2, 8, 0), range(8, 18), _TOOLS_2_8, "3.5", modes=(ZOOKEEPER,), logging=_RELOAD4J),
    Release(KafkaVersion(3, 0, 0), range(8, 18), _TOOLS_2_8, "3.6", modes=(ZOOKEEPER,), logging=_RELOAD4J),
    Release(KafkaVersion(3, 3, 0), range(8, 18), _TOOLS_3_3, "3.6", logging=_RELOAD4J),
    Release(KafkaVersion(3, 5, 0), range(8, 22), _TOOLS_3_5, "3.6", logging=_RELOAD4J),
    Release(KafkaVersion(3, 6, 0), range(8, 22), _TOOLS_3_6, "3.8", logging=_RELOAD4J),
    Release(KafkaVersion(3, 7, 0), range(8, 22), _TOOLS_3_7, "3.8", logging=_RELOAD4J),
    Release(KafkaVersion(3, 8, 0), range(8, 22), _TOOLS_3_8, "3.8", logging=_RELOAD4J),
    Release(KafkaVersion(3, 9, 0), range(8, 22), _TOOLS_3_8, "3.8"),
    Release(
        KafkaVersion(4, 0, 0), range(17, 26), _TOOLS_4_0, modes=(KRAFT,), logging=_log4j2("2.24.3"), logging_file=LOG4J2
    ),
    Release(
        KafkaVersion(4, 2, 0), range(17, 26), _TOOLS_4_0, modes=(KRAFT,), logging=_log4j2("2.25.4"), logging_file=LOG4J2
    ),
    Release(
        KafkaVersion(4, 3, 0), range(17, 26), _TOOLS_4_3, modes=(KRAFT,), logging=_log4j2("2.25.4"), logging_file=LOG4J2
    ),
)

OLDEST = RELEASES[0].first
_LAST_LINES = {2: 8, 3: 9}
FIRST_WITH_DIRECTORY_IDS = KafkaVersion(3, 7, 0)
FIRST_WITH_SHARE_GROUPS = KafkaVersion(4, 0, 0)
DEFAULT_VERSION = KafkaVersion(3, 9, 1)
NEWEST = tuple(
    KafkaVersion.parse(text)
    for text in (
        *("2.8.2", "3.0.2", "3.1.2", "3.2.3", "3.3.2", "3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1"),
        *("4.0.0", "4.1.1", "4.2.0", "4.3.0"),
    )
)
"""The newest known version of each release line, the oldest line first."""


def release_of(version: KafkaVersion) -> Release:
    """The entry that applies to `version`: the newest one that is not newer than it."""
    return max((release for release in RELEASES if release.first <= version), key=lambda release: release.first)


_ELR, _GROUP, _SHARE, _STREAMS, _TRANSACTION = (
    ("eligible.leader.replicas.version", 1),
    ("group.version", 1),
    ("share.version", 1),
    ("streams.version", 1),
    ("transaction.version", 2),
)
# By release line, the level of `metadata.version` and the other features with which `kafka-storage format` makes a new
# cluster begin: what is fixed when a line is released (KIP-584), so that patch releases do not change it.
_FEATURES: dict[tuple[int, int], tuple[int, tuple[tuple[str, int], ...]]] = {
    (3, 3): (7, ()),
    (3, 4): (8, ()),
    (3, 5): (11, ()),
    (3, 6): (14, ()),
    (3, 7): (19, ()),
    (3, 8): (20, ()),
    (3, 9): (21, ()),
    (4, 0): (25, (_GROUP, _TRANSACTION)),
    (4, 1): (27, (_ELR, _GROUP, _TRANSACTION)),
    (4, 2): (29, (_ELR, _GROUP, _SHARE, _STREAMS, _TRANSACTION)),
    (4, 3): (30, (_ELR, _GROUP, _SHARE, _STREAMS, _TRANSACTION)),
}


def features_of(version: KafkaVersion) -> tuple[tuple[str, int], ...] | None:
    """The features of a new KRaft cluster with their levels, `metadata.version` first; None if they are not known."""
    known = _FEATURES.get((version.major, version.minor))
    return (("metadata.version", known[0]), *known[1]) if known else None


def version_or_newest(text: str) -> KafkaVersion:
    """Read a version; a release line stands for its newest known version: `3.6` for 3.6.2, `4` for 4.3.0.

    Raises:
        ValueError: the text has another form, or no version of that line is known.
    """
    if not _LINE.fullmatch(text):
        return KafkaVersion.parse(text)
    if known := [version for version in NEWEST if f"{version}.".startswith(f"{text}.")]:
        return known[-1]
    first = KafkaVersion.parse(f"{text}.0" if "." in text else f"{text}.0.0")
    if unsupported(first):
        return first  # what is wrong with it is told as for any version
    raise ValueError(f"no version of Kafka {text} is known")


def unsupported(version: KafkaVersion) -> tuple[str, str] | None:
    """Why a version is not available, and what to do; None if it is available as far as known."""
    if version < OLDEST:
        return f"Kafka {version} is too old", f"{OLDEST} is the oldest that is supported"
    last = _LAST_LINES.get(version.major)
    if last is not None and version.minor > last:
        return f"there is no Kafka {version}", f"after {version.major}.{last} came {version.major + 1}.0"
    return None


def version_of(text: str) -> KafkaVersion | None:
    """The version in a text that was read back; None if it is none that this program could have written."""
    try:
        version = KafkaVersion.parse(text)
    except ValueError:
        return None
    return None if version < OLDEST else version


def coordinates(version: KafkaVersion) -> tuple[str, ...]:
    """The Maven artifacts whose runtime dependencies make up a release.

    A `!` excludes an artifact's own dependency management. A broker alone logs nothing: the binding of SLF4J to a
    logging library is left to the distribution. Only in 3.9 the tools include it; before, they name one that has moved.
    """
    broker = f"org.apache.kafka:kafka_2.13:{version}"
    tools = f"org.apache.kafka:kafka-tools:{version}"
    return (broker, tools, *release_of(version).logging)


def core_jar(version: KafkaVersion) -> str:
    """The name of a release's jar of the broker; other distributions' versions have another form."""
    return f"kafka_2.13-{version}.jar"


RELOCATED = frozenset({"slf4j-log4j12"})
"""Artifacts without a jar: their POM only points to the new name (slf4j-log4j12 became slf4j-reload4j)."""
