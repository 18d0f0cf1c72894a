"""Records as JSON, one object a line: what `consume -o json` writes, files of records have and `produce` reads.

Keys, values and headers are texts. Bytes that are no UTF-8 have no text that stands for them alone; beside a text to
look at there is then `key_base64`, `value_base64` or `headers_base64`, which has them as they are. So what is written
is read as it was.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from provision.common.records import Headers, Record

_PAIR = 2


def json_line(record: Record) -> bytes:
    """A record that was read, with where it was."""
    shown: dict[str, Any] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    for name, content in (("key", record.key), ("value", record.value)):
        shown[name] = _text(content)
        if not _is_exact(content):
            shown[exact(name)] = _encoded(content)
    pairs = [(name, _text(content)) for name, content in record.headers]
    names = {name for name, _ in record.headers}
    shown["headers"] = dict(pairs) if len(names) == len(pairs) else pairs
    if not all(_is_exact(content) for _, content in record.headers):
        shown[exact("headers")] = [[name, _encoded(content)] for name, content in record.headers]
    shown["timestamp"] = record.timestamp_ms
    return json.dumps(shown, ensure_ascii=False).encode() + b"\n"


def exact(field: str) -> str:
    """The field that has the bytes of another one as they are."""
    return f"{field}_base64"


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")


def _is_exact(content: bytes | None) -> bool:
    try:
        return content is None or content.decode() is not None
    except UnicodeDecodeError:
        return False


def _encoded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def content_in(entry: Mapping[str, Any], field: str) -> bytes | None:
    """The key or the value of an entry: text as it is, null as nothing, anything else as JSON.

    Raises:
        ValueError: what it is in base64 is none, or not what the text beside it shows.
    """
    if exact(field) not in entry:
        return as_bytes(entry.get(field))
    content = _decoded(entry[exact(field)], exact(field))
    if field in entry and entry[field] != _text(content):
        raise ValueError(f"{field} and {exact(field)} are not the same: remove the one that is wrong")
    return content


def headers_in(entry: Mapping[str, Any], kind: Callable[[Any], str]) -> Headers:
    """The headers of an entry; `kind` words what is none.

    Raises:
        ValueError: there are none like that.
    """
    given = _pairs(entry.get("headers"), "headers", kind)
    if exact("headers") not in entry:
        return tuple((name, as_bytes(value)) for name, value in given)
    pairs = _pairs(entry[exact("headers")], exact("headers"), kind)
    found = tuple((name, _decoded(value, exact("headers"))) for name, value in pairs)
    if "headers" in entry and given != [(name, _text(content)) for name, content in found]:
        raise ValueError(f"headers and {exact('headers')} are not the same: remove the one that is wrong")
    return found


def as_bytes(value: Any) -> bytes | None:  # noqa: ANN401 any JSON
    """Text as it is, null as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value.encode()
    return None if value is None else as_json(value)


def as_json(value: Any) -> bytes:  # noqa: ANN401 any JSON, numbers also as `Raw`
    """A value as JSON without spaces, with numbers as they were written."""
    return msgspec.json.encode(value)


def _decoded(value: Any, field: str) -> bytes | None:  # noqa: ANN401 any JSON
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ValueError(f"{field} has what is not base64") from error


def _pairs(given: Any, field: str, kind: Callable[[Any], str]) -> list[tuple[str, Any]]:  # noqa: ANN401 any JSON
    if not given:
        return []
    if isinstance(given, dict):
        return list(given.items())
    if isinstance(given, list) and all(
        isinstance(one, list) and len(one) == _PAIR and isinstance(one[0], str) for one in given
    ):
        return [(name, value) for name, value in given]
    raise ValueError(f"{field} are an object, or a list of pairs, not {kind(given)}")
