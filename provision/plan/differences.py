"""What differs between two states of a node's files, key by key: `num.io.threads 8 → 16`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from provision.cluster.model import RenderedFile
from provision.cluster.properties import parse

Value = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that changes; None is unset. Without a `key` the file as a whole changes, in a format of its own."""

    key: str
    before: Value | None
    after: Value | None
    file: str = ""

    @property
    def old(self) -> str:
        """The value before, in words; of a list only what goes."""
        return _shown(self.before, self.after)

    @property
    def new(self) -> str:
        """The value afterwards, in words; of a list only what comes."""
        return _shown(self.after, self.before)

    def __str__(self) -> str:
        return f"{self.key} {self.old} → {self.new}" if self.key else f"{self.file} changed"


def differences(before: Iterable[RenderedFile], after: Iterable[RenderedFile]) -> tuple[Difference, ...]:
    """Each changed setting of a node, in the order of its files.

    Another comment, or another order of the same keys, is no difference: the node would run as it runs now. Nor is a
    file that is no longer made: nothing reads it. Of a secret file no content is told, only that it changed.
    """
    old = {file.name: file for file in before}
    new = {file.name: file for file in after}
    return tuple(
        difference
        for name in sorted(new)
        if name not in old or old[name].content != new[name].content
        for difference in _changes(old.get(name), new[name])
    )


def same_setting(one: str | None, other: str | None) -> bool:
    """Whether Kafka reads two values of a setting as the same: `true` and `True`, `a, b` and `a,b`, `0.5` and `.50`."""
    return one == other or (one is not None and other is not None and _canonical(one) == _canonical(other))


def _canonical(text: str) -> tuple[str | float, ...]:
    return tuple(_canonical_item(item.strip()) for item in text.split(","))


def _canonical_item(item: str) -> str | float:
    if item.lower() in ("true", "false"):
        return item.lower()
    try:
        return float(item) if set(item) & set(".eE") else int(item)
    except ValueError:
        return item


def _changes(old: RenderedFile | None, new: RenderedFile) -> Iterator[Difference]:
    name, secret = new.name, new.secret or (old is not None and old.secret)
    old_values, new_values = _values(name, old.text if old else ""), _values(name, new.text)
    if secret or old_values is None or new_values is None:
        yield Difference("", None, None, name)
        return
    for key in sorted(old_values.keys() | new_values.keys()):
        before, after = old_values.get(key), new_values.get(key)
        if before != after:
            yield Difference(key, before, after, name)


def _shown(value: Value | None, other: Value | None) -> str:
    """A value beside the `other` one; of two lists only what the other has not."""
    if value is None:
        return "unset"
    if isinstance(value, str):
        return value
    own = [item for item in value if not isinstance(other, tuple) or item not in other]
    return " ".join(own or value)


def _values(name: str, content: str) -> Mapping[str, Value] | None:
    """The settings of a file; None where its format is none of ours, or damaged by hand."""
    if not content:
        return {}
    try:
        match PurePosixPath(name).suffix:
            case ".json":
                return _flat(json.loads(content))
            case ".properties":
                return parse(content)
            case _:
                return None
    except ValueError:
        return None


def _flat(launch: object) -> dict[str, Value] | None:
    """The launch file as texts and lists of texts."""
    if not isinstance(launch, dict):
        return None
    return {
        key: tuple(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in launch.items()
        if value is not None
    }
