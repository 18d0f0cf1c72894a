"""Records as programs give them: a file, or one after the other."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.common.records import NewRecord
from provision.errors import ProvisionError, UsageError
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
        (["a"], r"records\[0\]: str 'a' is neither"),
        ([(b"k", b"v"), (b"k",)], r"records\[1\]: "),
        (Path("nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (Path("records.dat"), "records.dat: its format is not known"),
    ],
)
def test_what_is_none_is_told_with_its_place(given: Any, told: str) -> None:  # noqa: ANN401 anything
    with pytest.raises(UsageError, match=told):
        list(new_records(given, 1))


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (("k", b"v"), "key is bytes or None, not str 'k'"),
        ((b"k", "v"), "value is bytes or None, not str 'v'"),
        (NewRecord(5), "value is bytes or None, not int 5"),  # type: ignore[arg-type]
        (NewRecord(b"v", bytearray(b"k")), "key is bytes or None, not bytearray"),  # type: ignore[arg-type]
        (NewRecord("x" * 99), f"value is bytes or None, not str '{'x' * 39}…"),  # type: ignore[arg-type]
        (NewRecord(b"v", partition=-1), f"partition is a whole number from 0 to {2**31 - 1}, or None, not int -1"),
        (NewRecord(b"v", partition=2**31), f"or None, not int {2**31}"),
        (NewRecord(b"v", partition=True), "or None, not bool True"),
        (NewRecord(b"v", partition="0"), "or None, not str '0'"),  # type: ignore[arg-type]
        (
            NewRecord(b"v", timestamp_ms=-7),
            f"timestamp_ms is a whole number from 1 to {2**63 - 1}, or None, not int -7",
        ),
        (NewRecord(b"v", timestamp_ms=0), "or None, not int 0"),
        (NewRecord(b"v", timestamp_ms=1.5), "or None, not float 1.5"),  # type: ignore[arg-type]
        (NewRecord(b"v", timestamp_ms=2**63), f"or None, not int {2**63}"),
        (NewRecord(b"v", headers={"a": b"b"}), "headers are pairs of a name and bytes, in a tuple, not dict"),  # type: ignore[arg-type]
        (NewRecord(b"v", headers=None), "headers are pairs of a name and bytes, in a tuple, not NoneType"),  # type: ignore[arg-type]
        (NewRecord(b"v", headers=("ab",)), "headers are pairs of a name and bytes, in a tuple, not tuple"),  # type: ignore[arg-type]
        (NewRecord(b"v", headers=((b"a", b"b"),)), "headers: a name is text, not bytes b'a'"),  # type: ignore[arg-type]
        (NewRecord(b"v", headers=(("a", "b"),)), "headers: a is bytes or None, not str 'b'"),  # type: ignore[arg-type]
        (NewRecord(b"v", headers=(("a\ud800", b""),)), r"headers: 'a\ud800' has half of a character"),
    ],
)
def test_a_record_that_cannot_be_written_as_it_is_is_told_after_those_before_it(record: Any, told: str) -> None:  # noqa: ANN401
    records = new_records([NewRecord(b"fine"), record, NewRecord(b"never")], 3)
    assert next(records) == NewRecord(b"fine")
    with pytest.raises(UsageError) as caught:
        next(records)
    assert caught.value.what.startswith("records[1]: ")
    assert told in caught.value.what


@given(
    st.builds(
        NewRecord,
        st.none() | st.binary(max_size=5),
        st.none() | st.binary(max_size=5),
        st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.none() | st.binary(max_size=5))).map(
            tuple
        ),
        st.none() | st.integers(0, 2**31 - 1),
        st.none() | st.integers(1, 2**63 - 1),
    )
)
def test_a_record_of_what_its_fields_may_be_stays_as_it_is(record: NewRecord) -> None:
    assert list(new_records([record], 3)) == [record]


def test_a_line_that_is_none_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"value": "a"}\n{"value": "a", "partition": 7}\n')
    with pytest.raises(ProvisionError, match=r"a\.jsonl:2: the partition must be from 0 to 1, not 7") as raised:
        list(new_records(tmp_path / "a.jsonl", 2))
    assert raised.value.exit_code == 1  # as of the command: records before it may be written
