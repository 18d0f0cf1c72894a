"""What differs between two states of a node's files, in words: `num.io.threads 8 → 16`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from provision.cluster.model import RenderedFile
from provision.cluster.properties import parse

Value = str | tuple[str, ...]


def differences(before: Iterable[RenderedFile], after: Iterable[RenderedFile]) -> tuple[str, ...]:
    """Each changed setting of a node, in the order of its files."""
    old = {file.name: file.content for file in before}
    new = {file.name: file.content for file in after}
    return tuple(
        text
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
        for text in _changes(name, old.get(name, ""), new.get(name, ""))
    )


def _changes(name: str, old: str, new: str) -> Iterator[str]:
    """The changed keys of one file, or only its name when its text changed and no key did (a comment)."""
    old_values, new_values = _values(name, old), _values(name, new)
    changed = False
    for key in sorted(old_values.keys() | new_values.keys()):
        before, after = old_values.get(key), new_values.get(key)
        if before != after:
            changed = True
            yield f"{key} {_shown(before, after)} → {_shown(after, before)}"
    if not changed:
        yield f"{name} changed"


def _shown(value: Value | None, other: Value | None) -> str:
    """A value beside the `other` one; of two lists only what the other has not."""
    if value is None:
        return "unset"
    if isinstance(value, str):
        return value
    own = [item for item in value if not isinstance(other, tuple) or item not in other]
    return " ".join(own or value)


def _values(name: str, content: str) -> Mapping[str, Value]:
    if not content:
        return {}
    try:
        if PurePosixPath(name).suffix == ".json":
            return _flat(json.loads(content))
        return parse(content) if PurePosixPath(name).suffix == ".properties" else {}
    except ValueError:  # written by another version of the program, or by hand: the file's name must do
        return {}


def _flat(launch: object) -> dict[str, Value]:
    """The launch file as texts and lists of texts."""
    if not isinstance(launch, dict):
        return {}
    return {
        key: tuple(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in launch.items()
        if value is not None
    }
