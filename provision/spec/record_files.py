"""Files of records: JSON lines, plain text, or CSV, read line by line.

- `jsonl`: a line is an object with `value`, and optionally `key`, `headers`, `partition` and `timestamp`, or what
  `record_json` makes of a record; or, if `key`
  names a field, it is the value itself.
- `text`: a line, which ends with LF or CRLF, is a value; if there is a `key`, it is the text between the key and the
  value.
- `csv`: the first line names the columns, and one of them has the keys: `key`, or what `key` names. Columns `value`,
  `partition` and `timestamp` are what they say, all others are headers. Without a column `value`, the value is a JSON
  object of all columns.
"""

import csv
import hashlib
import io
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, get_args

from msgspec import Raw, Struct

from provision.common.records import FIRST_MS, LAST_MS, LAST_PARTITION, NewRecord
from provision.spec.record_json import as_bytes, as_json, content_in, exact, headers_in
from provision.spec.topic_takes import Takes
from provision.spec.units import size_text

Format = Literal["jsonl", "text", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".csv": "csv",
}
SUFFIXES = ", ".join(_SUFFIXES)
_FIELDS = frozenset({"key", "value", "headers", "partition", "timestamp"})
_IN_BASE64 = frozenset(map(exact, ("key", "value", "headers")))
_WHERE_IT_WAS = frozenset({"topic", "offset"})
"""What `consume` writes, too, and what does not matter to whoever writes it again."""
_PARTITIONS = LAST_PARTITION + 1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARTS = ("value", "partition", "timestamp")
_NO_TIME_MS = -1  # of a record without a time, as Kafka says it
_SHOWN = 40
_LONGEST_NUMBER, _LONGEST_WHOLE = 20, 4000
_MINUS_ZERO = Raw(b"-0")
"""The only whole number in JSON that Python would write otherwise."""
_LONGEST_LINE = 1024**3
_ROOM_BYTES, _ESCAPED = 1024**2, 8
Make = Callable[[bytes, Any], NewRecord]
"""Makes a record of a line, and of that as JSON."""


class BadRecord(ValueError):
    """A line (counted from 1) that is no record; `hint` says what to do."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.hint = line, hint


class _Wrong(ValueError):
    """What is wrong with a record whose line the caller knows."""


class _NoNumber(ValueError):
    """A number that cannot be one in JSON that others read."""


class _Twice(ValueError):
    """A name that an object has more than once."""


class RecordFile(Struct, frozen=True):
    """A file of records: its path, its format, and what `key` means in that."""

    path: str
    format: Format
    key: str | None = None

    @property
    def name(self) -> str:
        """The file's name without its directory."""
        return Path(self.path).name

    def records(self, partitions: int, largest_bytes: int | None = None) -> Iterator[NewRecord]:
        """The records in order, which go to a topic with so many partitions, none of them larger than that.

        Raises:
            BadRecord: a line is none.
            OSError: the file cannot be read.
        """
        with open(self.path, "rb") as stream:  # noqa: PTH123 the path is a text
            yield from read_records(stream, self.format, self.key, partitions, largest_bytes)

    def check(self, takes: Takes, most: int) -> None:
        """Read the first records, but not more than `most`; raises as `records`, and for one that is not taken."""
        for _ in islice(self._taken(takes), most):
            pass

    def count(self, takes: Takes) -> int:
        """How many records there are; all of them are read. Raises as `check`."""
        return sum(1 for _ in self._taken(takes))

    def _taken(self, takes: Takes) -> Iterator[NewRecord]:
        with open(self.path, "rb") as stream:  # noqa: PTH123
            for line, record in _numbered(stream, self.format, self.key, takes.partitions, _LONGEST_LINE):
                if refusal := takes.refusal(record):
                    raise BadRecord(line, *refusal)
                yield record

    def digest(self) -> str:
        """A hash of the content and of how it is read."""
        with open(self.path, "rb") as stream:  # noqa: PTH123
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256(f"{self.format} {self.key} {content}".encode()).hexdigest()


def format_of(file: str) -> Format | None:
    """The format that a file's name says; None if it says none."""
    return _SUFFIXES.get(Path(file).suffix.lower())


def read_records(
    stream: BinaryIO,
    form: Format,
    key: str | None = None,
    partitions: int = _PARTITIONS,
    largest_bytes: int | None = None,
) -> Iterator[NewRecord]:
    """The records of a stream, in order.

    Args:
        stream: is read to its end, as far as records are asked for.
        form: one of `FORMATS`.
        key: see the top of this module.
        partitions: of the topic to which they go; a record for another one is wrong.
        largest_bytes: the size of the largest record that is of use: no more of a line is read than one can have.

    Raises:
        BadRecord: a line is none.
    """
    return (record for _, record in _numbered(stream, form, key, partitions, _longest(largest_bytes)))


_Numbered = Iterator[tuple[int, NewRecord]]
"""Records with their lines."""


def _numbered(stream: BinaryIO, form: Format, key: str | None, partitions: int, longest: int) -> _Numbered:
    match form:
        case "text":
            return _text(stream, key, longest)
        case "jsonl":
            return _json_lines(stream, key, partitions, longest)
        case "csv":
            return _table(stream, key, partitions, longest)


def _longest(largest_bytes: int | None) -> int:
    """How long what stands for a record may be, in bytes.

    JSON may write a byte with six, and have it in base64 as well; numbers, names and spaces have room beside it.
    """
    return _LONGEST_LINE if largest_bytes is None else min(_LONGEST_LINE, _ESCAPED * largest_bytes + _ROOM_BYTES)


def _lines(stream: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream, with their numbers, without a byte order mark; one without end is not waited for.

    Raises:
        BadRecord: a line is longer than any record may be.
    """
    number = 1
    while line := stream.readline(longest + 1):
        if len(line) > longest:
            raise _too_long(number, longest)
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line:
            yield number, line
        number += 1


def _too_long(line: int, longest: int) -> BadRecord:
    hint = "each line is one record"
    if longest < _LONGEST_LINE:
        hint += "; for larger ones, --max-record-size"
    return BadRecord(line, f"it is longer than {size_text(longest)}", hint)


# -- plain text -------------------------------------------------------------------------------------------------------


def _text(stream: BinaryIO, separator: str | None, longest: int) -> _Numbered:
    between = separator.encode() if separator is not None else None
    for number, line in _lines(stream, longest):
        content = line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line
        if between is None:
            yield number, NewRecord(content)
            continue
        key, found, value = content.partition(between)
        if not found:
            raise BadRecord(number, f"there is no {separator!r} between a key and a value", "every line needs a key")
        yield number, NewRecord(value, key)


# -- JSON lines -------------------------------------------------------------------------------------------------------


def _json_lines(stream: BinaryIO, key: str | None, partitions: int, longest: int) -> _Numbered:
    make = _described_for(partitions) if key is None else _keyed_by(key)
    decoder = _decoder(key)
    for number, line in _lines(stream, longest):
        content = line.strip()
        if not content:
            continue
        try:
            record = make(content, decoder.decode(content.decode()))
        except json.JSONDecodeError as error:
            raise BadRecord(number, f"this is not JSON: {error.msg} (column {error.colno})", _ONE_A_LINE) from error
        except UnicodeDecodeError as error:
            raise BadRecord(number, "this is not UTF-8 text") from error
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])[1:-1]
            raise BadRecord(number, f"{half} is half of a character, which UTF-8 cannot write") from error
        except RecursionError as error:
            raise BadRecord(number, "it is nested too deeply") from error
        except _NoNumber as error:
            raise BadRecord(number, str(error)) from error
        except _Twice as error:
            raise BadRecord(number, str(error), _ONCE) from error
        except _Wrong as error:
            raise BadRecord(number, str(error), _AS_IN) from error
        yield number, record


def _decoder(key: str | None) -> json.JSONDecoder:
    """What reads a line: no object in it may have a name twice, or only not the key's, if the line is the value."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            for name, times in Counter(name for name, _ in pairs).items():
                if times > 1 and key in (None, name):
                    raise _Twice(f"{_shown(name)} is there {'twice' if times == 2 else f'{times} times'}")  # noqa: PLR2004
        return found

    return json.JSONDecoder(object_pairs_hook=once, parse_int=_whole, parse_float=_decimal, parse_constant=_constant)


def _whole(text: str) -> int | Raw:
    if len(text) > _LONGEST_WHOLE:
        raise _NoNumber(f"a number has {len(text)} digits; the most is {_LONGEST_WHOLE}")
    return _MINUS_ZERO if text == "-0" else int(text)


def _decimal(text: str) -> Raw:
    """A number as it is written, with digits that a float would not keep; but none that others read as infinity."""
    if math.isinf(float(text)):
        raise _NoNumber(f"{_cut(text)} is too large a number")
    return Raw(text.encode())


def _constant(name: str) -> Raw:
    raise _NoNumber(f"{name} is no number in JSON; write null, or a text")


_ONE_A_LINE = "each line is one JSON object"
_ONCE = "name it once; headers of the same name are a list of pairs"
_AS_IN = 'a line is like {"key": "1", "value": "a"}'


def _described_for(partitions: int) -> Make:
    """What makes a record of an object with its parts."""

    def make(_line: bytes, entry: Any) -> NewRecord:  # noqa: ANN401 any JSON
        if not isinstance(entry, dict):
            raise _Wrong(f"a record is an object, not {_kind(entry)}")
        if unknown := sorted(entry.keys() - _FIELDS - _IN_BASE64 - _WHERE_IT_WAS):
            raise _Wrong(f"a record has no {', '.join(unknown)}: it has {', '.join(sorted(_FIELDS))}")
        if not {"value", exact("value")} & entry.keys():
            raise _Wrong("a record needs a value; null is a tombstone")
        partition, timestamp = entry.get("partition"), entry.get("timestamp")
        try:
            parts = content_in(entry, "value"), content_in(entry, "key"), headers_in(entry, _kind)
        except UnicodeEncodeError:
            raise
        except ValueError as error:
            raise _Wrong(str(error)) from error
        return NewRecord(
            *parts,
            None if partition is None else _partition(partition, partitions),
            None if timestamp in (None, _NO_TIME_MS) else _timestamp(timestamp),
        )

    return make


def _keyed_by(field: str) -> Make:
    """What makes a record of a whole line, whose key is one of its fields."""

    def make(line: bytes, entry: Any) -> NewRecord:  # noqa: ANN401 any JSON
        if not isinstance(entry, dict) or field not in entry:
            raise _Wrong(f"there is no field {field!r} for the key")
        return NewRecord(line, as_bytes(entry[field]))

    return make


def _partition(given: Any, partitions: int) -> int:  # noqa: ANN401 any JSON
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < partitions:
        last = f"from 0 to {partitions - 1}" if partitions > 1 else "0, as there is no other"
        raise _Wrong(f"the partition must be {last}, not {_shown(given)}")
    return given


def _timestamp(given: Any) -> int:  # noqa: ANN401 any JSON
    """Milliseconds since 1970, from that or from a time of ISO 8601."""
    if isinstance(given, str):
        try:
            time = datetime.fromisoformat(given)
        except ValueError:
            time = None
        if time and time.tzinfo:
            given = round(time.timestamp() * 1000)
    if isinstance(given, bool) or not isinstance(given, int) or not FIRST_MS <= given <= LAST_MS:
        raise _Wrong(
            f"a timestamp is in milliseconds since 1970, or like 2026-01-31T12:00:00Z, after 1970; not {_shown(given)}"
        )
    return given


def _kind(value: Any) -> str:  # noqa: ANN401 any JSON
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null", dict: "an object"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:  # noqa: ANN401 any JSON
    return _cut(as_json(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# -- CSV --------------------------------------------------------------------------------------------------------------


def _table(stream: BinaryIO, key: str | None, partitions: int, longest: int) -> _Numbered:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    lines = _LinesOfRow(text, longest)
    rows = csv.reader(lines, strict=True)
    try:
        columns = _columns(lines.row(rows), key or "key")
        while (row := lines.row(rows)) is not None:
            if row:
                yield rows.line_num, _of_row(columns, row, key or "key", partitions)
    except (csv.Error, _Wrong) as error:
        raise BadRecord(max(rows.line_num, 1), str(error)) from error
    except UnicodeDecodeError as error:
        raise BadRecord(rows.line_num + 1, "this is not UTF-8 text, here or a little later") from error
    finally:
        text.detach()  # the stream is its opener's


class _LinesOfRow:
    """The lines of a text, of which a row has at most so many characters.

    Its fields are bounded by that, too. The library's own bound for a field is the same for the whole process, so it is
    another one only while a line is parsed that goes beyond it, which nothing interrupts, and not while one is read.
    """

    _parsing = threading.Lock()

    def __init__(self, text: TextIO, longest: int) -> None:
        self._text, self._longest = text, longest
        self._number = self._taken = 0
        self._is_raised = False
        with self._parsing:
            self._bound = csv.field_size_limit()

    def row(self, rows: Iterator[list[str]]) -> list[str] | None:
        """The next row that the library makes of these lines; None if there is none."""
        self._taken = 0
        try:
            return next(rows, None)
        finally:
            self._restore()

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(self._longest + 1 - self._taken):
            self._number += 1
            self._taken += len(line)
            if self._taken > self._longest:
                raise _too_long(self._number, self._longest)
            if self._taken > self._bound:
                self._raise()
            yield line
            self._restore()

    def _raise(self) -> None:
        self._parsing.acquire()
        self._is_raised = True
        csv.field_size_limit(self._longest)

    def _restore(self) -> None:
        if self._is_raised:
            csv.field_size_limit(self._bound)
            self._is_raised = False
            self._parsing.release()


def _columns(row: list[str] | None, key: str) -> list[str]:
    if not row:
        raise _Wrong("the first line must name the columns")
    if len(set(row)) < len(row):
        raise _Wrong("two columns have the same name")
    if key not in row:
        raise _Wrong(f"the first line names the columns, and none is {key!r}: name the one that has the keys")
    return row


def _of_row(columns: list[str], values: list[str], key: str, partitions: int) -> NewRecord:
    """A record from a row; an empty key is none."""
    if len(values) != len(columns):
        raise _Wrong(f"there are {len(columns)} columns, and {len(values)} values here")
    row = dict(zip(columns, values, strict=True))
    keyed = row[key].encode() or None
    if "value" not in row or key == "value":
        return NewRecord(as_bytes(row), keyed)
    partition, timestamp = row.get("partition"), row.get("timestamp")
    return NewRecord(
        row["value"].encode(),
        keyed,
        tuple((name, text.encode()) for name, text in row.items() if name not in (key, *_PARTS)),
        _partition(_number(partition), partitions) if partition else None,
        _timestamp(_number(timestamp)) if timestamp not in (None, "", str(_NO_TIME_MS)) else None,
    )


def _number(text: str) -> int | str:
    is_number = text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER
    return int(text) if is_number else text
