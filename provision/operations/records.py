"""What programs give as records."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from provision.common.records import NewRecord
from provision.errors import UsageError
from provision.spec.record_files import SUFFIXES, BadRecord, RecordFile, format_of

Pair = tuple[bytes | None, bytes | None]
"""A key and a value."""
_PAIR = 2


def new_records(
    given: Path | Iterable[NewRecord | Pair], partitions: int, largest_bytes: int | None = None
) -> Iterator[NewRecord]:
    """The records of a file or of a program, one after the other as they are read.

    Args:
        given: the path of a file, or records and pairs of key and value.
        partitions: of the topic to which they go.
        largest_bytes: the size of the largest record that is of use.

    Raises:
        UsageError: it is neither, there is no such file, or one of them is no record; says which.
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
    except BadRecord as error:
        raise UsageError(f"{file}:{error.line}: {error}", hint=error.hint) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read", why=error.strerror or str(error)) from error


def _of_program(given: Iterable[NewRecord | Pair]) -> Iterator[NewRecord]:
    for number, record in enumerate(given):
        if isinstance(record, NewRecord):
            yield record
        elif isinstance(record, tuple) and len(record) == _PAIR:
            yield NewRecord(record[1], record[0])
        else:
            raise UsageError(f"records[{number}]: {record!r} is neither a NewRecord nor a pair of key and value")
