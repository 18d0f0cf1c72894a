"""Why a record was not written: which of a batch it is about, and the setting of the topic that it is beyond."""

import time
from collections.abc import Collection

import pytest

from provision.errors import KafkaRefused, ProvisionError, Unavailable
from provision.kafka import unwritten as told
from provision.kafka.access import Access
from provision.kafka.unwritten import Sent, Settings, unwritten

import provision.kafka.library  # isort: skip # noqa: F401 the library first
from confluent_kafka import KafkaError  # isort: skip

ACCESS = Access({1: "127.0.0.1:1"})
INVALID_RECORD, INVALID_TIMESTAMP, TOO_LARGE = 87, 32, 10
BESIDE = KafkaError._INVALID_DIFFERENT_RECORD  # noqa: SLF001 its name for it
NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000


def sent(number: int, *, has_key: bool = True, timestamp_ms: int | None = None) -> Sent:
    return Sent(number, 5, has_key, timestamp_ms)


def settings(monkeypatch: pytest.MonkeyPatch, found: Settings) -> None:
    def settings_of(_access: Access, _topic: str, keys: Collection[str]) -> Settings:
        return {key: value for key, value in found.items() if key in keys}

    monkeypatch.setattr(told, "settings_of", settings_of)


COMPACTED: Settings = {"cleanup.policy": ("compact,delete", "set on the topic")}
TIMELY: Settings = {
    "message.timestamp.before.max.ms": (str(HOUR_MS), "set on the topic"),
    "message.timestamp.after.max.ms": (str(HOUR_MS), "Kafka's default"),
}
OLD_TIMELY: Settings = {"message.timestamp.difference.max.ms": (str(HOUR_MS), "set on the topic")}


@pytest.mark.parametrize(
    ("found", "failures", "what", "why"),
    [
        (
            COMPACTED,
            [(sent(1), BESIDE), (sent(2, has_key=False), INVALID_RECORD), (sent(3), BESIDE)],
            "orders does not take record 2, which has no key",
            "a record of a compacted topic needs one: cleanup.policy is compact,delete (set on the topic)",
        ),
        (
            COMPACTED,
            [(sent(1), INVALID_RECORD), (sent(2, has_key=False), INVALID_RECORD)],
            "orders does not take record 2, which has no key",
            "needs one",
        ),
        (
            TIMELY,
            [(sent(1), INVALID_TIMESTAMP), (sent(2, timestamp_ms=5), INVALID_TIMESTAMP)],
            "orders does not take record 2, whose time is 1970-01-01T00:00:00Z",
            f"its message.timestamp.before.max.ms is {HOUR_MS} (set on the topic)",
        ),
        (
            TIMELY,
            [
                (sent(1, timestamp_ms=NOW_MS), INVALID_TIMESTAMP),
                (sent(2, timestamp_ms=NOW_MS + 2 * HOUR_MS), INVALID_TIMESTAMP),
            ],
            "orders does not take record 2, whose time is 2",
            f"its message.timestamp.after.max.ms is {HOUR_MS} (Kafka's default)",
        ),
        (
            OLD_TIMELY,
            [(sent(4, timestamp_ms=2**63 - 1), INVALID_TIMESTAMP)],
            f"orders does not take record 4, whose time is {2**63 - 1} ms after 1970",
            f"its message.timestamp.difference.max.ms is {HOUR_MS} (set on the topic)",
        ),
        (
            {"max.message.bytes": ("3", "set on the topic")},
            [(sent(7), TOO_LARGE)],
            "orders does not take record 7, which is too large: 5 B",
            "its max.message.bytes is 3 (set on the topic)",
        ),
        ({}, [(sent(7), TOO_LARGE)], "orders does not take record 7", "it is more than its max.message.bytes"),
    ],
)
def test_a_refusal_names_the_record_and_the_setting(
    found: Settings, failures: list[tuple[Sent, int]], what: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(monkeypatch, found)
    error = unwritten(ACCESS, "orders", [(one, KafkaError(code)) for one, code in failures])
    assert isinstance(error, KafkaRefused)
    assert error.what.startswith(what)
    assert why in error.why
    assert error.hint


@pytest.mark.parametrize(
    ("found", "failure", "code"),
    [
        ({"cleanup.policy": ("delete", "Kafka's default")}, sent(3, has_key=False), INVALID_RECORD),
        (COMPACTED, sent(3), INVALID_RECORD),
        ({}, sent(3, has_key=False), INVALID_RECORD),
        (TIMELY, sent(3), INVALID_TIMESTAMP),
        (TIMELY, sent(3, timestamp_ms=NOW_MS), INVALID_TIMESTAMP),
    ],
)
def test_a_refusal_for_another_reason_is_told_as_kafka_says_it(
    found: Settings, failure: Sent, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(monkeypatch, found)
    error = unwritten(ACCESS, "orders", [(failure, KafkaError(code, "as Kafka says it"))])
    assert "record 3" in error.what
    assert "as Kafka says it" in f"{error.what} {error.why}"
    assert "needs" not in error.why


def test_where_nobody_answers_any_more_the_refusal_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings_of(*_asked: object) -> Settings:
        raise Unavailable("no broker answers")

    monkeypatch.setattr(told, "settings_of", settings_of)
    error = unwritten(ACCESS, "orders", [(sent(3, has_key=False), KafkaError(INVALID_RECORD))])
    assert isinstance(error, ProvisionError)
    assert not isinstance(error, Unavailable)
    assert "record 3" in error.what
