"""The differences between two states of a node's files, by key: `num.io.threads 8 → 16`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from msgspec import Struct

from provision.cluster.model import RenderedFile
from provision.cluster.properties import read
from provision.common.printable import printable
from provision.common.secret_texts import HIDDEN, is_secret_setting, without_secrets

Value = str | tuple[str, ...]


class Difference(Struct, frozen=True):
    """A changed setting; None is unset. Without a `key`, the file changed as a whole.

    The values of a `secret` one are never shown, nor what is secret by its name or by how it looks.
    """

    key: str
    before: Value | None
    after: Value | None
    file: str = ""
    secret: bool = False

    @property
    def old(self) -> str:
        """The old value as text; for a list only the removed items."""
        return self._text(self.before, self.after)

    @property
    def new(self) -> str:
        """The new value as text; for a list only the added items."""
        return self._text(self.after, self.before)

    def _text(self, value: Value | None, other: Value | None) -> str:
        if isinstance(value, str) and is_secret_setting(self.key, value):
            return HIDDEN
        return HIDDEN if self.secret and value is not None else _shown(value, other)

    def __str__(self) -> str:
        return f"{printable(self.key)} {self.old} → {self.new}" if self.key else f"{self.file} changed"


def differences(before: Iterable[RenderedFile], after: Iterable[RenderedFile]) -> tuple[Difference, ...]:
    """Each changed setting of a node, in the order of its files.

    Other comments, or another order of the same keys, are no difference, because the node would run the same. Nor is a
    file that is no longer rendered, because nothing reads it. For a secret file, and one of a Java agent, only
    the fact of the change is given.
    """
    old = {file.name: file for file in before}
    new = {file.name: file for file in after}
    return tuple(
        difference
        for name in sorted(new)
        if name not in old or not old[name].is_same(new[name])
        for difference in _changes(old.get(name), new[name])
    )


def same_setting(one: str | None, other: str | None) -> bool:
    """Whether two values are the same to Kafka, such as `true` and `True`, `a, b` and `a,b`, `0.5` and `.50`."""
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
    old_values, new_values = values_in(name, old.text if old else ""), values_in(name, new.text)
    if secret or new.is_of_agent or old_values is None or new_values is None:
        yield Difference("", None, None, name)
        return
    for key in sorted(old_values.keys() | new_values.keys()):
        before, after = old_values.get(key), new_values.get(key)
        if before != after:
            yield Difference(key, before, after, name)


def _shown(value: Value | None, other: Value | None) -> str:
    """A value for comparison with the `other` one; of two lists only the items that the other lacks."""
    if value is None:
        return "unset"
    if isinstance(value, str):
        return printable(without_secrets(value))
    own = [item for item in value if not isinstance(other, tuple) or item not in other]
    return printable(" ".join(map(without_secrets, own or value)))


def values_in(name: str, content: str) -> Mapping[str, Value] | None:
    """The settings of a file; None if its format is unknown or damaged."""
    if not content:
        return {}
    try:
        match PurePosixPath(name).suffix:
            case ".json":
                return _flat(json.loads(content))
            case ".properties":
                return read(content)
            case _:
                return None
    except (ValueError, RecursionError):
        return None


def _flat(launch: object) -> dict[str, Value] | None:
    """The launch file as a flat mapping of texts and lists of texts."""
    if not isinstance(launch, dict):
        return None
    return {
        printable(key): tuple(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in launch.items()
        if value is not None
    }
