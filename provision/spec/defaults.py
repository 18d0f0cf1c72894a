"""What applies unless the file says otherwise."""

from typing import TYPE_CHECKING

from provision.catalogue.versions import FIRST_WITH_SHARE_GROUPS, KRAFT, KafkaVersion, release_of

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

DEDUPE_BUFFER_BYTES = 16 * 1024**2


def internal_topic_settings(brokers: int, version: KafkaVersion, mode: str) -> dict[str, str]:
    """Replicas of Kafka's own topics: 3, or the number of brokers if fewer; and a buffer that fits a small heap."""
    factor = min(3, brokers)
    settings = {
        "log.cleaner.dedupe.buffer.size": str(DEDUPE_BUFFER_BYTES),
        "offsets.topic.replication.factor": str(factor),
        "transaction.state.log.replication.factor": str(factor),
        "transaction.state.log.min.isr": str(min(2, factor)),
    }
    if mode == KRAFT and version >= FIRST_WITH_SHARE_GROUPS:
        settings["share.coordinator.state.topic.replication.factor"] = str(factor)
        settings["share.coordinator.state.topic.min.isr"] = str(min(2, factor))
    return settings


def mode_of(spec: "EnvironmentSpec") -> str:
    """The mode in the file, else the default mode of its version."""
    return spec.kafka.mode or release_of(KafkaVersion.parse(spec.kafka.version)).modes[0]


def replication_factor_of(spec: "EnvironmentSpec", topic_index: int, brokers: int | None = None) -> int:
    """The topic's factor: its own, that of its replicas, the file's default, else 3 or `brokers` if fewer."""
    topic = spec.topics[topic_index]
    named = len(topic.replicas[0]) if topic.replicas else None
    default = spec.topic_defaults.replication_factor
    return topic.replication_factor or named or default or min(3, brokers or spec.brokers.nodes)


def partitions_of(spec: "EnvironmentSpec", topic_index: int) -> int:
    """The topic's partitions: its own number, that of its replicas, else the file's default."""
    topic = spec.topics[topic_index]
    return topic.partitions or (len(topic.replicas) if topic.replicas else spec.topic_defaults.partitions)
