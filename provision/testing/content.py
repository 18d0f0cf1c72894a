"""Records as a test writes them down."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from provision import NewRecord
from provision.common.records import FIRST_MS, LAST_MS, LAST_PARTITION, Headers

Content = bytes | str | Mapping[str, Any] | NewRecord
"""A record as a test writes it down."""
_KNOWN = ("key", "value", "headers", "partition", "timestamp", "timestamp_ms")
_PAIR = 2
_SHOWN = 40


def new_records(given: Path | Iterable[Content]) -> Path | list[NewRecord]:
    """The records that a test gives, all checked before any is written; a path stays one.

    Raises:
        TypeError, ValueError: it is a single one, or one of them is no record; says which, and what of it is wrong.
    """
    __tracebackhide__ = True
    if isinstance(given, Path):
        return given
    if isinstance(given, str | bytes | bytearray | Mapping | NewRecord) or not isinstance(given, Iterable):
        hint = "write [record] for a single one, and a pathlib.Path for a file"
        raise TypeError(f"records are several, in a list for example, not {_shown(given)}: {hint}")
    return [new_record(record, f"records[{number}]") for number, record in enumerate(given)]


def new_record(content: Content, place: str = "record") -> NewRecord:
    """A record as a test writes it down; `place` is what errors call it.

    Raises:
        TypeError, ValueError: it is nothing that can be a record; says what of it is wrong.
    """
    __tracebackhide__ = True
    if isinstance(content, NewRecord):
        parts: Mapping[str, Any] = {name: getattr(content, name) for name in NewRecord.__match_args__}
    elif isinstance(content, Mapping):
        parts = content
    elif isinstance(content, bytes | str):
        parts = {"value": content}
    else:
        raise TypeError(f"{place} is text, bytes or a mapping, not {_shown(content)}")
    if unknown := [name for name in parts if name not in _KNOWN]:
        known = ", ".join(_KNOWN)
        raise TypeError(f"{place} has no {', '.join(map(str, unknown))}: a record has {known}")
    if "value" not in parts:
        raise ValueError(f"{place} needs a value; None is a tombstone")
    if "timestamp" in parts and "timestamp_ms" in parts:
        raise ValueError(f"{place} has both timestamp and timestamp_ms, which are the same")
    time = "timestamp" if "timestamp" in parts else "timestamp_ms"
    return NewRecord(
        _bytes(parts["value"], f"{place}: value"),
        _bytes(parts.get("key"), f"{place}: key"),
        _headers(parts.get("headers"), f"{place}: headers"),
        _number(parts.get("partition"), 0, LAST_PARTITION, f"{place}: partition is a whole number from 0"),
        _number(parts.get(time), FIRST_MS, LAST_MS, f"{place}: {time} is in milliseconds since 1970"),
    )


def _bytes(given: Any, place: str) -> bytes | None:  # noqa: ANN401 anything
    __tracebackhide__ = True
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return _encoded(given, place)
    raise TypeError(f"{place} is text, bytes or None, not {_shown(given)}")


def _encoded(text: str, place: str) -> bytes:
    __tracebackhide__ = True
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])[1:-1]
        raise ValueError(f"{place} has {half}, which is half of a character: UTF-8 cannot write it") from error


def _headers(given: Any, place: str) -> Headers:  # noqa: ANN401 anything
    __tracebackhide__ = True
    if given is None:
        return ()
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == _PAIR for p in pairs):
        raise TypeError(f"{place} are a mapping, or a list of pairs, not {_shown(given)}")
    for name, _ in pairs:
        if not isinstance(name, str):
            raise TypeError(f"{place}: a name is text, not {_shown(name)}")
        _encoded(name, f"{place}: a name")
    return tuple((name, _bytes(value, f"{place}: {name}")) for name, value in pairs)


def _number(given: Any, least: int, most: int, rule: str) -> int | None:  # noqa: ANN401 anything
    __tracebackhide__ = True
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{rule}, not {_shown(given)}")
    if not least <= given <= most:
        raise ValueError(f"{rule}, not {given}")
    return given


def _shown(given: object) -> str:
    text = repr(given)
    return f"{type(given).__name__} {text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…'}"
