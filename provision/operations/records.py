"""What programs give as records."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from provision.common.records import FIRST_MS, LAST_MS, LAST_PARTITION, NewRecord
from provision.errors import ProvisionError, UsageError
from provision.spec.record_files import SUFFIXES, BadRecord, RecordFile, format_of

Pair = tuple[bytes | None, bytes | None]
"""A key and a value."""
_PAIR = 2
_SHOWN = 40
_CONTENT = (bytes, type(None))


def new_records(
    given: Path | Iterable[NewRecord | Pair], partitions: int, largest_bytes: int | None = None
) -> Iterator[NewRecord]:
    """The records of a file or of a program, one after the other as they are read.

    Args:
        given: the path of a file, or records and pairs of key and value.
        partitions: of the topic to which they go.
        largest_bytes: the size of the largest record that is of use.

    Raises:
        UsageError: it is neither, there is no such file, or something in the list is no record; says which.
        ProvisionError: a line of the file is no record.
    """
    if isinstance(given, Path):
        return _of_file(given, partitions, largest_bytes)
    if isinstance(given, str | bytes | NewRecord) or not isinstance(given, Iterable):
        hint = "a list of them, also of a single one; or a pathlib.Path for a file"
        raise UsageError(f"{type(given).__name__} is not several records", hint=hint)
    return _of_program(given)


def _of_file(file: Path, partitions: int, largest_bytes: int | None) -> Iterator[NewRecord]:
    form = format_of(str(file))
    if form is None:
        raise UsageError(f"{file}: its format is not known", hint=f"a name that ends in {SUFFIXES}")
    try:
        yield from RecordFile(str(file), form, "key" if form == "csv" else None).records(partitions, largest_bytes)
    except BadRecord as error:  # some before it may be written
        raise ProvisionError(f"{file}:{error.line}: {error}", hint=error.hint) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read", why=error.strerror or str(error)) from error


def _of_program(given: Iterable[NewRecord | Pair]) -> Iterator[NewRecord]:
    for number, one in enumerate(given):
        if isinstance(one, NewRecord):
            record = one
        elif isinstance(one, tuple) and len(one) == _PAIR:
            record = NewRecord(one[1], one[0])
        else:
            raise UsageError(f"records[{number}]: {_shown(one)} is neither a NewRecord nor a pair of key and value")
        if wrong := _wrong_with(record):
            raise UsageError(f"records[{number}]: {wrong}")
        yield record


def _wrong_with(record: NewRecord) -> str:
    """What of a record cannot be written as it is; nothing if all can."""
    contents: tuple[tuple[str, Any], ...] = (("value", record.value), ("key", record.key))
    for name, content in contents:
        if not isinstance(content, _CONTENT):
            return f"{name} is bytes or None, not {_shown(content)}"
    for name, number, least, most in (
        ("partition", record.partition, 0, LAST_PARTITION),
        ("timestamp_ms", record.timestamp_ms, FIRST_MS, LAST_MS),
    ):
        if number is not None and not _is_within(number, least, most):
            return f"{name} is a whole number from {least} to {most}, or None, not {_shown(number)}"
    return _wrong_headers(record.headers) if record.headers != () else ""


def _is_within(number: Any, least: int, most: int) -> bool:  # noqa: ANN401 anything
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _wrong_headers(headers: Any) -> str:  # noqa: ANN401 anything
    if not isinstance(headers, tuple | list) or not all(
        isinstance(one, tuple | list) and len(one) == _PAIR for one in headers
    ):
        return f"headers are pairs of a name and bytes, in a tuple, not {_shown(headers)}"
    for name, content in headers:
        if not isinstance(name, str):
            return f"headers: a name is text, not {_shown(name)}"
        if any("\ud800" <= character <= "\udfff" for character in name):
            return f"headers: {name!a} has half of a character, which UTF-8 cannot write"
        if not isinstance(content, _CONTENT):
            return f"headers: {name} is bytes or None, not {_shown(content)}"
    return ""


def _shown(given: object) -> str:
    text = repr(given)
    return f"{type(given).__name__} {text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…'}"
