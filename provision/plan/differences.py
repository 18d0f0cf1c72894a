"""What differs between two states of a node's files, in words: `num.io.threads 8 → 16`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from provision.cluster.model import RenderedFile
from provision.cluster.properties import parse


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
        before, after = old_values.get(key, "unset"), new_values.get(key, "unset")
        if before != after:
            changed = True
            yield f"{key} {before} → {after}"
    if not changed:
        yield f"{name} changed"


def _values(name: str, content: str) -> Mapping[str, str]:
    if not content:
        return {}
    try:
        if PurePosixPath(name).suffix == ".json":
            return _flat(json.loads(content))
        return parse(content) if PurePosixPath(name).suffix == ".properties" else {}
    except ValueError:  # written by another version of the program, or by hand: the file's name must do
        return {}


def _flat(launch: Mapping[str, object]) -> dict[str, str]:
    """The launch file with its list of arguments as text, so that each change is one line."""
    return {
        key: " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in launch.items()
        if value is not None
    }
