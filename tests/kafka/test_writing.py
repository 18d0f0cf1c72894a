"""What librdkafka does not do by itself: asking more often which broker leads, and counting what is acknowledged."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from provision.common.records import NewRecord
from provision.errors import Interrupted, ProvisionError, UsageError
from provision.kafka import writing
from provision.kafka.access import Access

import provision.kafka.library  # isort: skip # noqa: F401 the library first
from confluent_kafka import KafkaException  # isort: skip

_BEFORE_WRITING = 2
ACCESS = Access({1: "127.0.0.1:1"})


class _Library:
    """Its producer, of a topic whose leader has gone: the record gets there once it has asked that often for another.

    Args:
        answers: what each question gives; an error where nobody answers in time.
    """

    def __init__(self, answers: list[Exception | None]) -> None:
        self.answers = [*[None] * _BEFORE_WRITING, *answers]
        self._unacknowledged: list[Callable[[None, None], None]] = []
        self.written = 0

    def list_topics(self, topic: str, timeout: float) -> object:
        assert timeout > 0
        if self.answers and (error := self.answers.pop(0)):  # on a busy machine it is asked once more
            raise error
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    def produce(self, *_record: object, on_delivery: Callable[[None, None], None]) -> None:
        self._unacknowledged.append(on_delivery)

    def poll(self, timeout: float) -> None:
        time.sleep(timeout)
        if not self.answers:
            self.flush(timeout)

    def flush(self, _timeout: float) -> None:
        self.written += len(self._unacknowledged)
        while self._unacknowledged:
            self._unacknowledged.pop()(None, None)

    def purge(self) -> None: ...


@pytest.mark.parametrize(
    "answers",
    [[], [None], [None, None], [KafkaException("timed out"), None], [None, KafkaException("timed out")]],
)
def test_it_is_asked_who_leads_until_a_record_is_acknowledged(
    answers: list[Exception | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _Library(answers)
    _use(library, monkeypatch)
    assert writing.produce(ACCESS, "orders", [NewRecord(b"one"), NewRecord(b"two")], cluster="one") == 2
    assert not library.answers


class _Mine(BaseException):
    """Whatever else ends a program."""


@pytest.mark.parametrize("count", [0, 1, 499, 500, 1234])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ProvisionError, ProvisionError),
        (KeyboardInterrupt, Interrupted),
        (ValueError, ValueError),
        (_Mine, _Mine),
    ],
    ids=["ours", "Ctrl-C", "a mistake", "anything"],
)
def test_whatever_the_records_end_with_those_before_are_written_and_counted(
    error: Callable[[str], BaseException], kind: type[BaseException], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def records() -> Iterator[NewRecord]:
        yield from (NewRecord(str(number).encode()) for number in range(count))
        raise error("of theirs")

    library = _Library([None])  # acknowledges nothing by itself
    _use(library, monkeypatch)
    with pytest.raises(kind) as raised:
        writing.produce(ACCESS, "orders", records(), cluster="one")
    assert library.written == count
    told = f"{count} {'record was' if count == 1 else 'records were'} acknowledged"
    assert getattr(raised.value, "__notes__", []) == [told]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"compression": "foo"}, "a codec is none, gzip, snappy, lz4 or zstd, not 'foo'"),
        ({"compression": None}, "lz4 or zstd, not None"),
        ({"compression": []}, r"lz4 or zstd, not \[\]"),
        ({"largest_bytes": "1m"}, "a whole number of bytes, not '1m'"),
        ({"largest_bytes": 1.5}, "a whole number of bytes, not 1.5"),
        ({"largest_bytes": True}, "a whole number of bytes, not True"),
        ({"largest_bytes": 0}, "at most 900.0 MiB, and more than nothing"),
        ({"largest_bytes": 2**31}, "at most 900.0 MiB, and more than nothing"),
    ],
)
def test_options_that_cannot_be_are_told_before_anything_is_asked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        writing.produce(ACCESS, "orders", [], cluster="one", **options)


def _use(library: _Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_producer", lambda *_: library)
    monkeypatch.setattr(writing, "settings_of", lambda *_: {})
    monkeypatch.setattr(writing, "_may_write_exactly_once", lambda *_: {})
    monkeypatch.setattr(writing, "_ASK_S", 0.01)
    monkeypatch.setattr(writing, "_POLL_S", 0.001)
