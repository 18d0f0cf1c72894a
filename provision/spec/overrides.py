"""`--set path.to.key=value`: overrides of single keys, applied to the data before it is validated."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from provision.common.texts import is_text
from provision.errors import UsageError
from provision.spec.given import MAX_DIGITS
from provision.spec.shown import HIDDEN, may_be_secret, public_names, shown_parts
from provision.spec.yaml_text import MAX_DEPTH, Path, Positions, parse_scalar

# Below these the rest of the path is a single key, because Kafka's keys have dots: brokers.properties.num.io.threads
_OPEN_MAPPINGS = ("properties", "config")
_NUMBERED = ("overrides",)
_SHOWN = 200
_DIGITS_OF_ENTRY = 3
_MAY_BE_SECRET = re.compile(r"passw|-----BEGIN", re.IGNORECASE)


def apply_overrides(data: dict[Any, Any], source: Positions, overrides: tuple[str, ...]) -> None:
    """Change `data` in place, in the order given, and note in `source` where the values came from.

    A topic is addressed by its name or its index: `topics.sample.partitions=6`, `topics.0.partitions=6`. The value is
    YAML: `3`, `true`, `[a, b]`, or any text.

    Raises:
        UsageError: an override without `=`, one that is not UTF-8, a path too deep, or one through a single value.
    """
    for text in overrides:
        said = _short(text, public_names(data))
        if not is_text(text):
            raise UsageError(f"--set {said!r} is not UTF-8 text")
        name, equals, value_text = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"--set {said} is not of the form path.to.key=value", hint="for example --set brokers.nodes=3"
            )
        try:
            value = parse_scalar(value_text, _parts(name))
        except ValueError as error:
            raise UsageError(f"--set {said}: the value is not YAML", why=str(error), hint="quote it") from error
        for path in _descend(data, name.strip(), value, said):
            source.override(path, f"--set {said}")


def _descend(data: dict[Any, Any], name: str, value: object, said: str) -> Iterator[Path]:
    """Set `value` at the dotted `name` below `data`, creating mappings on the way; yields the created paths.

    Messages have the override as it is `said`.
    """
    target: Any = data
    rest = name
    path: Path = ()
    while True:
        part, dot, remaining = rest.partition(".")
        if path and path[-1] in _OPEN_MAPPINGS:
            part, dot = rest, ""
        if len(path) >= MAX_DEPTH:
            raise UsageError(f"--set {said}: values are nested more than {MAX_DEPTH} deep")
        key = _key_in(target, part, path, said)
        path = (*path, key)
        if not dot:
            target[key] = value
            yield path
            return
        if isinstance(target, dict) and target.get(key) is None:
            target[key] = {}
            yield path
        target, rest = target[key], remaining


def _key_in(target: object, part: str, path: Path, said: str) -> str | int:
    if isinstance(target, list):
        by_name = [i for i, item in enumerate(target) if isinstance(item, dict) and item.get("name") == part]
        if by_name:
            return by_name[0]
        if _is_number(part) and int(part) < len(target):
            return int(part)
        missing = "no such entry" if may_be_secret(path) else f"no entry {_cut(part)!r}"
        raise UsageError(f"--set {said}: {_dotted(path)} has {missing}")
    if isinstance(target, dict):
        return int(part) if path and path[-1] in _NUMBERED and _is_number(part) else part
    raise UsageError(f"--set {said}: {_dotted(path)} is a single value and has no keys below it")


def _is_number(part: str) -> bool:
    return part.isdecimal() and len(part) <= MAX_DIGITS


def without_value(text: str) -> str:
    """An override as an option, without its value."""
    name = text.partition("=")[0]
    return _short(text) if may_be_secret(_parts(name)) else f"{name}={HIDDEN}"


def _parts(name: str) -> tuple[str, ...]:
    return tuple(name.strip().split("."))


def _dotted(path: Path, names: Collection[str] = ()) -> str:
    return ".".join(map(str, shown_parts(path, names=names)))


def _short(text: str, names: Collection[str] = ()) -> str:
    """An override in a message, without what may be a secret in the wrong place."""
    name, equals, _ = text.partition("=")
    parts, value = _parts(name), f"={HIDDEN}" if equals else ""
    if may_be_secret(parts):
        at = tuple(int(part) if _is_number(part) and len(part) <= _DIGITS_OF_ENTRY else part for part in parts)
        text = f"{_dotted(at, names)}{value}"
    elif _MAY_BE_SECRET.search(text):
        text = f"{name}{value}"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
