"""Records as programs give them: a file, or one after the other."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from provision.common.records import NewRecord
from provision.errors import UsageError
from provision.operations.records import new_records


def test_records_and_pairs_are_read_one_after_the_other() -> None:
    def given() -> Iterable[Any]:
        yield (b"k", b"v")
        yield NewRecord(b"w")
        raise AssertionError("read too far")

    records = new_records(given(), 1)
    assert [next(records), next(records)] == [NewRecord(b"v", b"k"), NewRecord(b"w")]


@pytest.mark.parametrize(
    ("name", "content", "records"),
    [
        ("a.jsonl", '{"key": "1", "value": "a"}\n{"value": null}\n', [NewRecord(b"a", b"1"), NewRecord(None)]),
        ("a.txt", "a\nb\n", [NewRecord(b"a"), NewRecord(b"b")]),
        ("a.csv", "key,value\n1,a\n", [NewRecord(b"a", b"1")]),
    ],
)
def test_a_path_is_a_file_of_them(tmp_path: Path, name: str, content: str, records: list[NewRecord]) -> None:
    (tmp_path / name).write_text(content)
    assert list(new_records(tmp_path / name, 2)) == records


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("abc", "str is not several records"),
        (b"abc", "bytes is not several records"),
        (NewRecord(b"a"), "NewRecord is not several records"),
        (5, "int is not several records"),
        (["a"], r"records\[0\]: 'a' is neither"),
        ([(b"k", b"v"), (b"k",)], r"records\[1\]: "),
        (Path("nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (Path("records.dat"), "records.dat: its format is not known"),
    ],
)
def test_what_is_none_is_told_with_its_place(given: Any, told: str) -> None:  # noqa: ANN401 anything
    with pytest.raises(UsageError, match=told):
        list(new_records(given, 1))


def test_a_line_that_is_none_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"value": "a"}\n{"value": "a", "partition": 7}\n')
    with pytest.raises(UsageError, match=r"a\.jsonl:2: the partition must be from 0 to 1, not 7"):
        list(new_records(tmp_path / "a.jsonl", 2))
