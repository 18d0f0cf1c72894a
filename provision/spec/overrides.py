"""`--set path.to.key=value`: overrides of single keys, applied to the data before it is validated."""

import re
from collections.abc import Iterator
from typing import Any

from provision.common.texts import is_text
from provision.errors import UsageError
from provision.spec.given import MAX_DIGITS
from provision.spec.yaml_text import MAX_DEPTH, Path, Positions, parse_scalar

# Below these the rest of the path is a single key, because Kafka's keys have dots: brokers.properties.num.io.threads
_OPEN_MAPPINGS = ("properties", "config")
_NUMBERED = ("overrides",)
_SHOWN = 200
_MAY_BE_SECRET = re.compile(r"passw|-----BEGIN|\bauthority\b", re.IGNORECASE)


def apply_overrides(data: dict[Any, Any], source: Positions, overrides: tuple[str, ...]) -> None:
    """Change `data` in place, in the order given, and note in `source` where the values came from.

    A topic is addressed by its name or its index: `topics.sample.partitions=6`, `topics.0.partitions=6`. The value is
    YAML: `3`, `true`, `[a, b]`, or any text.

    Raises:
        UsageError: an override without `=`, one that is not UTF-8, a path too deep, or one through a single value.
    """
    for text in overrides:
        if not is_text(text):
            raise UsageError(f"--set {_short(text)!r} is not UTF-8 text")
        name, equals, value_text = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"--set {_short(text)} is not of the form path.to.key=value", hint="for example --set brokers.nodes=3"
            )
        try:
            value = parse_scalar(value_text)
        except ValueError as error:
            raise UsageError(f"--set {_short(text)}: the value is not YAML", why=str(error), hint="quote it") from error
        for path in _descend(data, name.strip(), value, text):
            source.override(path, f"--set {_short(text)}")


def _descend(data: dict[Any, Any], name: str, value: object, text: str) -> Iterator[Path]:
    """Set `value` at the dotted `name` below `data`, creating mappings on the way; yields the created paths."""
    target: Any = data
    rest = name
    path: Path = ()
    while True:
        part, dot, remaining = rest.partition(".")
        if path and path[-1] in _OPEN_MAPPINGS:
            part, dot = rest, ""
        if len(path) >= MAX_DEPTH:
            raise UsageError(f"--set {_short(text)}: values are nested more than {MAX_DEPTH} deep")
        key = _key_in(target, part, path, text)
        path = (*path, key)
        if not dot:
            target[key] = value
            yield path
            return
        if isinstance(target, dict) and target.get(key) is None:
            target[key] = {}
            yield path
        target, rest = target[key], remaining


def _key_in(target: object, part: str, path: Path, text: str) -> str | int:
    if isinstance(target, list):
        by_name = [i for i, item in enumerate(target) if isinstance(item, dict) and item.get("name") == part]
        if by_name:
            return by_name[0]
        if _is_number(part) and int(part) < len(target):
            return int(part)
        raise UsageError(f"--set {_short(text)}: {'.'.join(map(str, path))} has no entry {_short(part)!r}")
    if isinstance(target, dict):
        return int(part) if path and path[-1] in _NUMBERED and _is_number(part) else part
    raise UsageError(f"--set {_short(text)}: {'.'.join(map(str, path))} is a single value and has no keys below it")


def _is_number(part: str) -> bool:
    return part.isdecimal() and len(part) <= MAX_DIGITS


def _short(text: str) -> str:
    """An override in a message, without its value where a secret may stand by mistake."""
    if _MAY_BE_SECRET.search(text):
        key = re.sub(r"(password\.)(?!(?:env|file)$).*", r"\1(hidden)", text.partition("=")[0])
        text = f"{key}=(hidden)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
