"""What librdkafka does not do by itself while it waits: it is asked more often which broker leads."""

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from provision.common.records import NewRecord
from provision.kafka import writing
from provision.kafka.access import Access

import provision.kafka.library  # isort: skip # noqa: F401 the library first
from confluent_kafka import KafkaException  # isort: skip

_BEFORE_WRITING = 2


class _Library:
    """Its producer, of a topic whose leader has gone: the record gets there once it has asked that often for another.

    Args:
        answers: what each question gives; an error where nobody answers in time.
    """

    def __init__(self, answers: list[Exception | None]) -> None:
        self.answers = [*[None] * _BEFORE_WRITING, *answers]
        self._unacknowledged: list[Callable[[None, None], None]] = []

    def list_topics(self, topic: str, timeout: float) -> object:
        assert timeout > 0
        if error := self.answers.pop(0):
            raise error
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    def produce(self, *_record: object, on_delivery: Callable[[None, None], None]) -> None:
        self._unacknowledged.append(on_delivery)

    def poll(self, timeout: float) -> None:
        time.sleep(timeout)
        while self._unacknowledged and not self.answers:
            self._unacknowledged.pop()(None, None)

    def flush(self, _timeout: float) -> None: ...

    def purge(self) -> None: ...


@pytest.mark.parametrize(
    "answers",
    [[], [None], [None, None], [KafkaException("timed out"), None], [None, KafkaException("timed out")]],
)
def test_it_is_asked_who_leads_until_a_record_is_acknowledged(
    answers: list[Exception | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _Library(answers)
    monkeypatch.setattr(writing, "_producer", lambda *_: library)
    monkeypatch.setattr(writing, "_limits_of", lambda *_: {})
    monkeypatch.setattr(writing, "_may_write_exactly_once", lambda *_: {})
    monkeypatch.setattr(writing, "_ASK_S", 0.01)
    monkeypatch.setattr(writing, "_POLL_S", 0.001)
    access = Access({1: "127.0.0.1:1"})
    assert writing.produce(access, "orders", [NewRecord(b"one"), NewRecord(b"two")], cluster="one") == 2
    assert not library.answers
