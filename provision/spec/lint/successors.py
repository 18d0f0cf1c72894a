"""Replacements for keys that a version does not have, as far as they are certain.

By section, key, and whether the key was removed (else it comes later). Sources: "Notable changes" of each release in
Kafka's upgrade notes; KIP-724, KIP-830, KIP-937, KIP-1041.
"""

from provision.spec.lint.known import BROKER, TOPIC

_GONE, _TO_COME = True, False
_OLD_CLIENTS = "remove it: no client is that old any more"
_ONE_FORMAT = "remove it: there is one format of messages"
_QUOTAS = "remove it, and set default quotas with kafka-configs"

INSTEAD = {
    (BROKER, "inter.broker.protocol.version", _GONE): "remove it: it is metadata.version now, see kafka-features",
    (BROKER, "log.message.format.version", _GONE): _ONE_FORMAT,
    (TOPIC, "message.format.version", _GONE): _ONE_FORMAT,
    (BROKER, "log.message.downconversion.enable", _GONE): _OLD_CLIENTS,
    (TOPIC, "message.downconversion.enable", _GONE): _OLD_CLIENTS,
    (BROKER, "log.message.timestamp.difference.max.ms", _GONE): (
        "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"
    ),
    (TOPIC, "message.timestamp.difference.max.ms", _GONE): (
        "use message.timestamp.before.max.ms and message.timestamp.after.max.ms"
    ),
    (BROKER, "log.message.timestamp.before.max.ms", _TO_COME): "use log.message.timestamp.difference.max.ms",
    (BROKER, "log.message.timestamp.after.max.ms", _TO_COME): "use log.message.timestamp.difference.max.ms",
    (TOPIC, "message.timestamp.before.max.ms", _TO_COME): "use message.timestamp.difference.max.ms",
    (TOPIC, "message.timestamp.after.max.ms", _TO_COME): "use message.timestamp.difference.max.ms",
    (BROKER, "delegation.token.master.key", _GONE): "use delegation.token.secret.key",
    (BROKER, "auto.include.jmx.reporter", _GONE): (
        "name org.apache.kafka.common.metrics.JmxReporter in metric.reporters, which is the default"
    ),
    (BROKER, "offsets.commit.required.acks", _GONE): "remove it: all in-sync replicas acknowledge a commit",
    (BROKER, "eligible.leader.replicas.enable", _GONE): "remove it: it is a feature now, see kafka-features",
    (BROKER, "quota.producer.default", _GONE): _QUOTAS,
    (BROKER, "quota.consumer.default", _GONE): _QUOTAS,
}
