"""Settings that every broker gets unless the file overrides them; the checks take them into account."""

from provision.catalogue.versions import FIRST_WITH_SHARE_GROUPS, KRAFT, KafkaVersion

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
