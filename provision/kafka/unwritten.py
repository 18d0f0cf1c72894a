"""Why a record was not written: what librdkafka says of it, in terms of the record and of the topic's settings.

If a broker refuses a record, it refuses all that came with it in one batch. So which one it is about is found among
those that failed, by what the topic takes.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import KafkaTimeoutError, SaslAuthenticationFailedError, for_code
from kafka.protocol.admin.configs import DescribeConfigsRequest

from provision.common.clocks import now_s
from provision.errors import KafkaRefused, ProvisionError, Unavailable
from provision.kafka.access import Access
from provision.kafka.connection import ask_any
from provision.kafka.translation import as_provision_error
from provision.spec.units import size_text

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_TOPIC_RESOURCE, _DESCRIBE_VERSION = 2, 1
_TOO_LARGE = {10: "max.message.bytes", 18: "segment.bytes"}
"""Kafka's errors for records that are too large, with the setting that says so."""
_INVALID_TIMESTAMP, _INVALID_RECORD = 32, 87
_BESIDE = "_INVALID_DIFFERENT_RECORD"  # another one of its batch was refused
_BEFORE = ("message.timestamp.before.max.ms", "message.timestamp.difference.max.ms")
_AFTER = ("message.timestamp.after.max.ms", "message.timestamp.difference.max.ms")
_POLICY = "cleanup.policy"
_SOURCES = {1: "set on the topic", 5: "Kafka's default"}
SIZES = ("max.message.bytes", "segment.bytes")
"""The settings that say how large batches and records may be."""

Settings = dict[str, tuple[str, str]]
"""Settings by their names, with their values and where they are set."""


class Sent(NamedTuple):
    """What is remembered of a record until it is acknowledged; `number` counts from 1."""

    number: int
    size_bytes: int
    has_key: bool
    timestamp_ms: int | None


def unwritten(access: Access, topic: str, failures: Sequence[tuple[Sent, "KafkaError"]]) -> ProvisionError:
    """The error to tell for records that failed, at least one."""
    failures = [one for one in failures if one[1].name() != _BESIDE] or failures
    sent, error = failures[0]
    code = error.code()
    if key := _TOO_LARGE.get(code):
        what = f"{topic} does not take record {sent.number}, which is too large: {size_text(sent.size_bytes)}"
        return KafkaRefused(what, why=_limit(access, topic, key), hint=f"raise {key} of the topic")
    if error.name() == "_UNKNOWN_PARTITION":
        return ProvisionError(f"{topic} does not have the partition of record {sent.number}")
    alike = [one for one, other in failures if other.code() == code]
    if code == _INVALID_RECORD and (found := _keyless(access, topic, alike)):
        return found
    if code == _INVALID_TIMESTAMP and (found := _untimely(access, topic, alike)):
        return found
    return unacknowledged(sent.number, topic, _as_of_the_library(error))


def unacknowledged(number: int, topic: str, error: Exception) -> ProvisionError:
    """The error for a record that failed with this one of the library."""
    return as_provision_error(f"writing record {number} to {topic}", error)


def _keyless(access: Access, topic: str, refused: Sequence[Sent]) -> KafkaRefused | None:
    value, where = _settings_if_told(access, topic, [_POLICY]).get(_POLICY, ("", ""))
    first = next((one for one in refused if not one.has_key), None)
    if first is None or "compact" not in value:
        return None
    why = f"a record of a compacted topic needs one: {_POLICY} is {value} ({where})"
    return KafkaRefused(f"{topic} does not take record {first.number}, which has no key", why=why, hint="give it a key")


def _untimely(access: Access, topic: str, refused: Sequence[Sent]) -> KafkaRefused | None:
    settings = _settings_if_told(access, topic, {*_BEFORE, *_AFTER})
    now_ms = int(now_s() * 1000)
    for one in refused:
        if one.timestamp_ms is None:
            continue
        early_ms = now_ms - one.timestamp_ms
        for key in _BEFORE if early_ms > 0 else _AFTER:
            value, where = settings.get(key, ("", ""))
            if value and abs(early_ms) > int(value):
                what = f"{topic} does not take record {one.number}, whose time is {_time(one.timestamp_ms)}"
                return KafkaRefused(what, why=f"its {key} is {value} ({where})", hint=f"raise {key} of the topic")
    return None


def _time(timestamp_ms: int) -> str:
    """As ISO 8601 if there is such a year, in milliseconds since 1970 otherwise."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp_ms} ms after 1970"


def _as_of_the_library(error: "KafkaError") -> Exception:
    """The same error of kafka-python, which has the same numbers for what brokers say."""
    if error.code() > 0:
        found: Exception = for_code(error.code())(error.str())
        return found
    if error.name() in ("_AUTHENTICATION", "_SSL"):
        return SaslAuthenticationFailedError(error.str())
    return KafkaTimeoutError(error.str())


# -- the topic's settings ---------------------------------------------------------------------------------------------


def settings_of(access: Access, topic: str, keys: Collection[str] = SIZES) -> Settings:
    """Settings of a topic; nothing without the permission to read them, or where Kafka does not have them.

    Raises:
        Unavailable: no broker answers.
        KafkaRefused: the credentials are not accepted.
    """
    of = DescribeConfigsRequest.DescribeConfigsResource

    def request() -> Any:  # noqa: ANN401 the library's classes
        asked = of(resource_type=_TOPIC_RESOURCE, resource_name=topic, configuration_keys=list(keys))
        return DescribeConfigsRequest(resources=[asked], version=_DESCRIBE_VERSION)

    answer = ask_any(access, request, f"reading the settings of {topic}")
    return {
        entry.name: (entry.value, _SOURCES.get(entry.config_source, "set on the brokers for all topics"))
        for result in answer.results
        for entry in result.configs or ()
        if entry.value
    }


def _settings_if_told(access: Access, topic: str, keys: Collection[str]) -> Settings:
    try:
        return settings_of(access, topic, keys)
    except Unavailable:  # the first error is what is told
        return {}


def _limit(access: Access, topic: str, key: str) -> str:
    """The topic's limit for a record, and where it is set."""
    if found := _settings_if_told(access, topic, [key]).get(key):
        value, where = found
        return f"its {key} is {value} ({where})"
    return f"it is more than its {key}"  # without permission to read it
