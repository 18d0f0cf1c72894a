"""`provision produce`: what it reads, what it adds, and what it says of input that is wrong."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from provision.cli.run import run
from provision.common.pacing import paced
from provision.common.records import CODECS, NewRecord
from provision.errors import UsageError
from provision.kafka.access import Access
from tests.cli.world import settle


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The records, and then the options of each call."""
    settle(tmp_path, monkeypatch)
    found: list[Any] = []

    def produce(_access: Access, topic: str, records: Iterable[NewRecord], **options: Any) -> int:  # noqa: ANN401 any
        found.extend([topic, *records, options])
        return len(found) - 2

    monkeypatch.setattr("provision.kafka.writing.produce", produce)
    return found


@pytest.mark.parametrize(
    ("name", "content", "options", "records"),
    [
        ("in.jsonl", '{"key": "1", "value": "a"}\n', [], [NewRecord(b"a", b"1")]),
        ("in.csv", "id,value\n1,a\n", ["--key", "id"], [NewRecord(b"a", b"1")]),
        ("in.txt", "1:a\n", ["--key", ":"], [NewRecord(b"a", b"1")]),
        ("in.txt", "1:a\n", ["--key-separator", ":"], [NewRecord(b"a", b"1")]),
        ("in.data", "a\n", ["--format", "text"], [NewRecord(b"a")]),
        (
            "in.jsonl",
            '{"value": "a", "headers": {"x": "1"}}\n',
            ["--header", "y=2=3", "--header", "z="],
            [NewRecord(b"a", None, (("x", b"1"), ("y", b"2=3"), ("z", b"")))],
        ),
    ],
)
def test_a_file_is_written_as_its_format_says(
    written: list[Any], name: str, content: str, options: list[str], records: list[NewRecord]
) -> None:
    Path(name).write_text(content)
    assert run(["produce", "orders", "--from", name, *options]) == 0
    assert written[:-1] == ["orders", *records]


@pytest.mark.parametrize("codec", CODECS)
def test_the_codec_is_handed_on(written: list[Any], codec: str) -> None:
    Path("in.txt").write_text("a\n")
    assert run(["produce", "orders", "--from", "in.txt", "--compression", codec]) == 0
    assert written[-1]["compression"] == codec


@pytest.mark.parametrize(
    ("options", "told", "code"),
    [
        (["--from", "nowhere.txt"], "nowhere.txt cannot be read", 64),
        (["--from", "in.data"], "the name of in.data does not say what format it has", 64),
        (["--from", "in.jsonl"], "in.jsonl, line 2: this is not JSON", 1),
        (["--header", "x"], "--header x: write it like NAME=VALUE", 64),
        (["--header", "=x"], "--header =x: write it like NAME=VALUE", 64),
        (["--key", ""], "--key is empty", 64),
    ],
)
def test_what_is_wrong_is_told(
    written: list[Any], capsys: pytest.CaptureFixture[str], options: list[str], told: str, code: int
) -> None:
    Path("in.data").write_text("a\n")
    Path("in.jsonl").write_text('{"value": "a"}\n{\n')
    assert run(["produce", "orders", *options]) == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("rate", [0, 0.0, -1, float("nan"), float("inf"), True, "5", None])
def test_a_rate_that_is_none_is_told_at_once(rate: Any) -> None:  # noqa: ANN401 anything
    with pytest.raises(UsageError, match="a rate is a number of records a second, more than 0, not"):
        paced([1], rate)


def test_a_rate_is_kept_on_average() -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    handed: Callable[[], float] = lambda: now[0]  # noqa: E731 a clock
    assert list(paced(range(11), 10, sleep=sleep, clock=handed)) == list(range(11))
    assert now[0] == pytest.approx(101.0)
    now[0] += 5  # what was late is made up for
    assert sum(slept) == pytest.approx(1.0)
