"""Files of records: what each line means, in every format, and what is wrong with one that means nothing."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.common.records import NewRecord, Record
from provision.errors import InvalidEnvironment
from provision.spec import record_files
from provision.spec.loader import load
from provision.spec.record_files import FORMATS, BadRecord, Format, RecordFile, format_of, read_records
from provision.spec.record_json import json_line


def read(text: str | bytes, form: Format, key: str | None = None, partitions: int = 3) -> list[NewRecord]:
    content = text.encode() if isinstance(text, str) else text
    return list(read_records(io.BytesIO(content), form, key, partitions))


@pytest.mark.parametrize(
    ("form", "key", "text", "records"),
    [
        ("text", None, "a\nb\r\n\nlast", [NewRecord(b"a"), NewRecord(b"b"), NewRecord(b""), NewRecord(b"last")]),
        ("text", ":", "1:a\n2:b:c\n:d\n", [NewRecord(b"a", b"1"), NewRecord(b"b:c", b"2"), NewRecord(b"d", b"")]),
        ("text", None, b"\xff\x00\n", [NewRecord(b"\xff\x00")]),
        ("text", None, "bin\x01\r\nlast\r", [NewRecord(b"bin\x01"), NewRecord(b"last\r")]),
        ("text", None, "\ra\rb\r\r\n\r\n\r", [NewRecord(b"\ra\rb\r"), NewRecord(b""), NewRecord(b"\r")]),
        ("text", ":", "1:a\r\n2:b\r", [NewRecord(b"a", b"1"), NewRecord(b"b\r", b"2")]),
        ("text", None, "", []),
        ("jsonl", None, '{"value": "a"}\n\n  {"key": "1", "value": null}\n', [NewRecord(b"a"), NewRecord(None, b"1")]),
        (
            "jsonl",
            None,
            '{"key": 1, "value": {"n": "ä"}, "headers": {"h": "x", "n": 2}, "partition": 2, "timestamp": 5}',
            [NewRecord('{"n":"ä"}'.encode(), b"1", (("h", b"x"), ("n", b"2")), 2, 5)],
        ),
        ("jsonl", None, '{"value": "", "headers": [["a", "1"], ["a", "2"]]}', [
            NewRecord(b"", headers=(("a", b"1"), ("a", b"2"))),
        ]),
        ("jsonl", None, '{"value": "", "headers": {"a": null, "b": ""}}', [
            NewRecord(b"", headers=(("a", None), ("b", b""))),
        ]),
        ("jsonl", None, '{"topic": "t", "offset": 3, "value_base64": "/w==", "timestamp": -1}', [NewRecord(b"\xff")]),
        ("jsonl", None, '{"key_base64": null, "value": "a"}', [NewRecord(b"a")]),
        ("jsonl", None, '{"value": "a", "timestamp": "2026-01-01T00:00:00Z"}', [
            NewRecord(b"a", timestamp_ms=1767225600000),
        ]),
        ("jsonl", None, '\ufeff{"value": "a"}', [NewRecord(b"a")]),
        ("jsonl", None, "\ufeff", []),
        ("text", None, "\ufeffa\n\ufeffb\n", [NewRecord(b"a"), NewRecord("\ufeffb".encode())]),
        ("text", None, "\ufeff\n", [NewRecord(b"")]),
        ("text", None, "\ufeff", []),
        ("text", ":", "\ufeff1:a\n", [NewRecord(b"a", b"1")]),
        ("jsonl", "id", '{"id": 7, "name": "x"}\n', [NewRecord(b'{"id": 7, "name": "x"}', b"7")]),
        ("csv", None, "key,value\n1,a\n\n,b\n", [NewRecord(b"a", b"1"), NewRecord(b"b")]),
        ("csv", None, 'value,key\r\n"a\nb",1\r\n', [NewRecord(b"a\nb", b"1")]),
        (
            "csv",
            None,
            "key,value,partition,timestamp,trace\n1,a,2,9,t\n2,b,,,u\n",
            [
                NewRecord(b"a", b"1", (("trace", b"t"),), 2, 9),
                NewRecord(b"b", b"2", (("trace", b"u"),)),
            ],
        ),
        ("csv", None, 'key,value\r1,"a\rb\r\n"\r2,c\r', [NewRecord(b"a\rb\r\n", b"1"), NewRecord(b"c", b"2")]),
        ("jsonl", None, '{"value": "a"}\r\n{"value":\r"b\\r"}\r', [NewRecord(b"a"), NewRecord(b"b\r")]),
        ("csv", "id", "id,name\n1,x\n", [NewRecord(b'{"id":"1","name":"x"}', b"1")]),
        ("csv", "id", "\ufeffid,value\n1,x\n", [NewRecord(b"x", b"1")]),
        ("csv", None, "key,value,timestamp\n1,a,-1\n2,b,1\n", [
            NewRecord(b"a", b"1"), NewRecord(b"b", b"2", timestamp_ms=1),
        ]),
        ("jsonl", "id", '{"id": 1, "a": 2, "a": 3}', [NewRecord(b'{"id": 1, "a": 2, "a": 3}', b"1")]),
    ],
)  # fmt: skip
def test_lines_are_records(form: Format, key: str | None, text: str | bytes, records: list[NewRecord]) -> None:
    assert read(text, form, key) == records


@pytest.mark.parametrize(
    ("form", "key", "text", "line", "told"),
    [
        ("text", ":", "1:a\nno key\n", 2, "there is no ':' between a key and a value"),
        ("jsonl", None, '{"value": 1}\n\n{"value": \n', 3, "this is not JSON"),
        ("jsonl", None, "[1]\n", 1, "a record is an object, not a list"),
        ("jsonl", None, '{"key": "1"}\n', 1, "a record needs a value"),
        ("jsonl", None, '{"value": 1, "keys": 2}\n', 1, "a record has no keys: it has headers, key, partition"),
        ("jsonl", None, '{"value": 1, "partition": 3}\n', 1, "the partition must be from 0 to 2, not 3"),
        ("jsonl", None, '{"value": 1, "partition": true}\n', 1, "the partition must be from 0 to 2, not true"),
        ("jsonl", None, '{"value": 1, "timestamp": "yesterday"}\n', 1, "a timestamp is in milliseconds since 1970"),
        ("jsonl", None, '{"value": 1, "timestamp": 0}\n', 1, "after 1970; not 0"),
        ("jsonl", None, '{"value": 1, "timestamp": -2}\n', 1, "after 1970; not -2"),
        ("csv", None, "key,value,timestamp\n1,a,0\n", 2, "after 1970; not 0"),
        ("csv", None, "key,value,timestamp\n1,a,-2\n", 2, 'after 1970; not "-2"'),
        ("jsonl", None, '{"value": 1}\n{"value": 1, "value": 2}\n', 2, '"value" is there twice'),
        ("jsonl", None, '{"value": {"a": [{"b": 1, "b": 1, "b": 2}]}}\n', 1, '"b" is there 3 times'),
        ("jsonl", None, '{"value": 1, "headers": {"h": "1", "h": "2"}}\n', 1, '"h" is there twice'),
        ("jsonl", "id", '{"id": 1, "id": 1}\n', 1, '"id" is there twice'),
        ("jsonl", None, '{"value": 1, "headers": "x"}\n', 1, "headers are an object, or a list of pairs, not a text"),
        *(
            ("jsonl", None, text, 1, r"\ud800 is half of a character")
            for text in (
                '{"value": "\\ud800"}',
                '{"value": 1, "key": "a\\ud800"}',
                '{"value": {"a": "\\ud800"}}',
                '{"value": 1, "headers": {"a": "\\ud800"}}',
            )
        ),
        ("jsonl", None, '{"value": "a", "value_base64": "/w=="}', 1, "value and value_base64 are not the same"),
        ("jsonl", None, '{"value": "a", "key_base64": "a"}', 1, "key_base64 has what is not base64"),
        ("jsonl", None, '{"value": "a", "key_base64": "ä"}', 1, "key_base64 has what is not base64"),
        ("jsonl", None, '{"value_base64": 5}', 1, "value_base64 has what is not base64"),
        ("jsonl", None, '{"value": "a", "headers_base64": "x"}', 1, "headers_base64 are an object, or a list of pairs"),
        (
            "jsonl",
            None,
            '{"value": "a", "headers": {"a": "b"}, "headers_base64": [["a", "/w=="]]}',
            1,
            "headers and headers_base64 are not the same",
        ),
        ("jsonl", None, b'{"value": "\xff"}\n', 1, "this is not UTF-8 text"),
        ("jsonl", None, f'{{"value": {"[" * 100_000}\n', 1, "it is nested too deeply"),
        (
            "jsonl",
            None,
            f'{{"value": 1, "partition": {"9" * 5000}}}\n',
            1,
            "a number has 5000 digits; the most is 4000",
        ),
        ("jsonl", "id", '{"name": 1}\n', 1, "there is no field 'id' for the key"),
        ("csv", None, "", 1, "the first line must name the columns"),
        ("csv", None, "id,name\n1,x\n", 1, "none is 'key': name the one that has the keys"),
        ("csv", None, "key,key\n", 1, "two columns have the same name"),
        ("csv", None, "key,value\n1,a\n2\n", 3, "there are 2 columns, and 1 values here"),
        ("csv", None, 'key,value\n1,"a\n', 2, "unexpected end of data"),
        ("csv", None, "key,value,partition\n1,a,-1\n", 2, 'the partition must be from 0 to 2, not "-1"'),
        ("jsonl", None, b"\xff\xfe\x00", 1, "this is not UTF-8 text"),
        ("jsonl", None, '{"value": "a"}\n'.encode("utf-16"), 1, "this is not UTF-8 text"),
        ("jsonl", None, '{"value": "a"}\n'.encode("utf-16-le"), 1, "this is not JSON"),
        ("csv", None, b"key,value\n1,\xff\n", 1, "this is not UTF-8 text"),
    ],
)
def test_a_line_that_is_no_record_is_named(
    form: Format, key: str | None, text: str | bytes, line: int, told: str
) -> None:
    with pytest.raises(BadRecord) as raised:
        read(text, form, key)
    assert told in str(raised.value)
    assert raised.value.line == line


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("1e400", "1e400 is too large a number"),
        ("-1e400", "-1e400 is too large a number"),
        (f"{'1' * 999}.5", f"{'1' * 40}… is too large a number"),
        ("9" * 5000, "a number has 5000 digits; the most is 4000"),
        ("NaN", "NaN is no number in JSON; write null, or a text"),
        ("-Infinity", "-Infinity is no number in JSON; write null, or a text"),
    ],
)
@pytest.mark.parametrize(
    ("key", "line"),
    [
        (None, '{"value": %s}'),
        (None, '{"value": {"a": [%s]}}'),
        (None, '{"value": 1, "key": %s}'),
        (None, '{"value": 1, "headers": {"h": %s}}'),
        (None, '{"value": 1, "partition": %s}'),
        (None, '{"value": 1, "timestamp": %s}'),
        ("id", '{"id": %s}'),
        ("id", '{"id": 1, "more": {"a": %s}}'),
    ],
)
def test_a_number_that_is_none_in_json_is_named(key: str | None, line: str, number: str, told: str) -> None:
    with pytest.raises(BadRecord) as raised:
        read(f'{{"{key or "value"}": 1}}\n{line % number}', "jsonl", key)
    assert (str(raised.value), raised.value.line) == (told, 2)


@pytest.mark.parametrize(
    "number",
    [
        "3.00000000000000000001",
        "1.10",
        "1e3",
        "1E+03",
        "-0",
        "-0.0",
        "0",
        "1e-400",
        str(2**64 + 1),
        f"-{10**30}",
        "0.1",
    ],
)
def test_a_number_stays_as_it_is_written(number: str) -> None:
    line = '{"key": %s, "value": {"a": [%s, true]}, "headers": {"h": %s}}'.replace("%s", number)
    written = number.encode()
    content = b'{"a":[%s,true]}' % written
    assert read(line, "jsonl") == [NewRecord(content, written, (("h", written),))]
    assert read(line, "jsonl", "key") == [NewRecord(line.encode(), written)]
    assert read(line, "jsonl", "value") == [NewRecord(line.encode(), content)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"value": 1, "partition": 1.0}', "the partition must be from 0 to 2, not 1.0"),
        ('{"value": 1, "partition": -0}', "the partition must be from 0 to 2, not -0"),
        ('{"value": 1, "partition": [1.10]}', "the partition must be from 0 to 2, not [1.10]"),
        ('{"value": 1, "timestamp": 1e3}', "after 1970; not 1e3"),
        ('{"value": 1, "headers": 1.5}', "headers are an object, or a list of pairs, not a number"),
        ("1.5", "a record is an object, not a number"),
    ],
)
def test_a_number_in_a_wrong_place_is_named_as_it_is_written(line: str, told: str) -> None:
    with pytest.raises(BadRecord) as raised:
        read(line, "jsonl")
    assert told in str(raised.value)


@given(st.binary(max_size=200), st.sampled_from(FORMATS), st.sampled_from([None, ":", "key"]))
def test_whatever_is_in_a_file_it_is_records_or_a_line_that_is_none(
    content: bytes, form: Format, key: str | None
) -> None:
    lines = content.count(b"\n") + content.count(b"\r") + 1
    try:
        found: list[NewRecord] | BadRecord = read(content, form, key)
    except BadRecord as error:
        found = error
    if isinstance(found, BadRecord):
        assert 1 <= found.line <= lines
        assert str(found)
    else:
        assert all(isinstance(record, NewRecord) for record in found)


@given(st.lists(st.tuples(st.none() | st.text(max_size=9), st.none() | st.text(max_size=9)), max_size=9))
def test_what_is_written_as_json_is_read_back(pairs: list[tuple[str | None, str | None]]) -> None:
    pairs = [(k, v) for k, v in pairs if _is_utf8(k) and _is_utf8(v)]
    text = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in pairs)
    expected = [(None if k is None else k.encode(), None if v is None else v.encode()) for k, v in pairs]
    assert [(record.key, record.value) for record in read(text, "jsonl")] == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
BYTES = st.none() | st.binary(max_size=9) | TEXTS.map(str.encode)


@given(
    st.lists(
        st.builds(
            Record,
            TEXTS,
            st.integers(0, 2),
            st.integers(0, 2**63 - 1),
            BYTES,
            BYTES,
            st.lists(st.tuples(st.sampled_from("abc") | TEXTS, BYTES), max_size=4).map(tuple),
            st.just(-1) | st.integers(1, 2**63 - 1),
        ),
        max_size=4,
    )
)
def test_a_record_that_is_written_as_json_is_read_as_it_was(records: list[Record]) -> None:
    expected = [
        NewRecord(one.value, one.key, one.headers, one.partition, None if one.timestamp_ms < 0 else one.timestamp_ms)
        for one in records
    ]
    assert read(b"".join(map(json_line, records)), "jsonl") == expected


def test_json_shows_texts_and_only_beside_them_what_has_none() -> None:
    plain = json.loads(json_line(Record("t", 0, 1, b"k", b"v", (("a", b"1"), ("b", None)), 5)))
    assert plain == {
        "topic": "t",
        "partition": 0,
        "offset": 1,
        "key": "k",
        "value": "v",
        "headers": {"a": "1", "b": None},
        "timestamp": 5,
    }
    odd = json.loads(json_line(Record("t", 0, 1, b"\xfe", None, (("a", b"\xff"), ("a", b"1")), 5)))
    assert odd == plain | {
        "key": "\ufffd",
        "key_base64": "/g==",
        "value": None,
        "headers": [["a", "\ufffd"], ["a", "1"]],
        "headers_base64": [["a", "/w=="], ["a", "MQ=="]],
    }


def _is_utf8(text: str | None) -> bool:
    return text is None or not any("\ud800" <= character <= "\udfff" for character in text)


def test_the_ending_says_the_format() -> None:
    assert [format_of(f"a/b.{end}") for end in ("jsonl", "NDJSON", "txt", "csv", "json", "xml")] == [
        "jsonl", "jsonl", "text", "csv", None, None,
    ]  # fmt: skip


def test_the_digest_is_that_of_the_content_and_of_how_it_is_read(tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("a")
    two.write_text("a")
    assert RecordFile(str(one), "text").digest() == RecordFile(str(two), "text").digest()
    assert RecordFile(str(one), "text").digest() != RecordFile(str(one), "text", ":").digest()
    two.write_text("b")
    assert RecordFile(str(one), "text").digest() != RecordFile(str(two), "text").digest()


class Endless(io.RawIOBase):
    """What never ends: the same bytes after others; it counts how many were read."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first, self._again, self.read_bytes = first, again, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 what can be written to
        """Fill a buffer."""
        some = self._first or self._again * max(1, len(buffer) // len(self._again))
        count = min(len(buffer), len(some))
        buffer[:count] = some[:count]
        self._first = self._first[count:]
        self.read_bytes += count
        return count


@pytest.mark.parametrize(
    ("form", "first", "again"),
    [
        ("text", b"", b"y"),
        ("jsonl", b"", b"y"),
        ("jsonl", b'{"value": "', b"y"),
        ("csv", b"", b"y"),
        ("csv", b"key,value\n", b"y"),
        ("csv", b"key,value\n", b","),
        ("csv", b'key,value\n1,"', b"y\n"),
        ("csv", b"key,value\n", b'"a\n",'),
    ],
)
@pytest.mark.parametrize("largest_bytes", [1024, 1024**2])
def test_of_what_never_ends_no_more_is_read_than_a_record_can_have(
    form: Format, first: bytes, again: bytes, largest_bytes: int
) -> None:
    endless = Endless(first, again)
    with pytest.raises(BadRecord, match="longer than") as caught, io.BufferedReader(endless) as stream:
        list(record_files.read_records(stream, form, largest_bytes=largest_bytes))
    assert caught.value.line >= 1 + first.count(b"\n")
    assert "--max-record-size" in caught.value.hint
    assert endless.read_bytes <= 8 * largest_bytes + 2 * 1024**2


@pytest.mark.parametrize(
    "record",
    [
        Record("t", 0, 0, b"\x00" * 1000, b"\x01" * 99_000),
        Record("t", 0, 0, None, b"\xff" * 100_000),
        Record("t", 0, 0, None, None, tuple((f"h{number}", b"\xfe" * 90) for number in range(1000))),
        Record("t", 0, 0, None, "\U0001f600".encode() * 25_000),
    ],
)
def test_the_largest_record_fits_however_it_is_written(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "_ROOM_BYTES", 8192)
    (read,) = record_files.read_records(io.BytesIO(json_line(record)), "jsonl", largest_bytes=100_000)
    assert (read.key, read.value, read.headers) == (record.key, record.value, record.headers)


def test_a_field_of_a_table_may_be_as_large_as_a_record() -> None:
    table = f"key,value\n1,{'x' * 1_000_000}\n2,y\n"
    first, second = record_files.read_records(io.BytesIO(table.encode()), "csv", largest_bytes=1024**2)
    assert (len(first.value or b""), second.value) == (1_000_000, b"y")


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_a_line_without_end_is_not_waited_for(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "_LONGEST_LINE", 1024**2)
    with open("/dev/zero", "rb") as endless, pytest.raises(BadRecord, match=r"longer than 1\.0 MiB") as caught:  # noqa: PTH123
        list(record_files.read_records(endless, form))
    assert caught.value.line == 1
    assert "--max" not in caught.value.hint


def test_a_line_may_be_as_long_as_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "_LONGEST_LINE", 8)
    assert [one.value for one in record_files.read_records(io.BytesIO(b"1234567\n12345678"), "text")] == [
        b"1234567",
        b"12345678",
    ]
    with pytest.raises(BadRecord):
        list(record_files.read_records(io.BytesIO(b"1\n123456789"), "text"))


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/"])
def test_a_device_or_a_directory_is_no_file_of_records(device: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(f"topics: [{{name: t, records: {{file: {device}, format: text}}}}]\n", encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == ("topics[0].records", f"{device} is not a file")


@pytest.mark.parametrize("device", ["/dev/zero", "/"])
def test_nor_one_with_a_password(device: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    text = f"security: sasl-tls\nusers: [{{name: app, password: {{file: {device}}}}}]\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (2, f"{device} is not a file")


LARGE = csv.field_size_limit() + 1
"""More than the library lets a field have."""


def _table_of(rows: int, field: str = '"' + "x" * LARGE + '"') -> bytes:
    return b"key,value\n" + b"".join(f"{number},{field}\n".encode() for number in range(rows))


@pytest.mark.parametrize(
    ("content", "fails"),
    [(_table_of(3), False), (_table_of(2) + b"1\n", True), (_table_of(2) + b"1,\xff\n", True), (b"", True)],
    ids=["read", "a wrong row", "no text", "empty"],
)
def test_the_library_has_the_same_bound_as_before_for_everybody_else(content: bytes, *, fails: bool) -> None:
    before = csv.field_size_limit()
    read = record_files.read_records(io.BytesIO(content), "csv", largest_bytes=1024**2)
    with pytest.raises(BadRecord) if fails else nullcontext():
        for record in read:
            assert len(record.value or b"") == LARGE
            assert csv.field_size_limit() == before
    assert csv.field_size_limit() == before
    with pytest.raises(csv.Error, match="field larger than field limit"):
        list(csv.reader(["x" * LARGE]))


def test_one_that_is_left_in_the_middle_keeps_nobody_else_from_reading() -> None:
    left = record_files.read_records(io.BytesIO(_table_of(3)), "csv", largest_bytes=1024**2)
    assert next(left).key == b"0"
    assert len(list(record_files.read_records(io.BytesIO(_table_of(3)), "csv", largest_bytes=1024**2))) == 3
    assert [record.key for record in left] == [b"1", b"2"]


def test_tables_are_read_side_by_side() -> None:
    def read(_number: int) -> list[int]:
        content = io.BytesIO(_table_of(20, '"' + f"{'y' * LARGE}\n" * 3 + '"'))
        return [len(record.value or b"") for record in record_files.read_records(content, "csv", largest_bytes=1024**2)]

    before = csv.field_size_limit()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read, range(8))) == [[3 * LARGE + 3] * 20] * 8
    assert csv.field_size_limit() == before
