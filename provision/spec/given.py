"""Values that a program gives instead of a file: those that no file could hold are refused before they are used."""

import copy
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from provision.common.texts import is_text
from provision.spec.shown import may_be_secret
from provision.spec.yaml_text import MAX_DEPTH, Path

MAX_DIGITS = 100
"""The digits of the largest whole number, as in a file: Python refuses to write a few thousand."""


def unfit(value: object, path: Path = ()) -> tuple[Path, str] | None:
    """The place of a value that cannot be used, and why; None if there is none. Other objects are not looked into."""
    match value:
        case _ if len(path) > MAX_DEPTH:
            return path[:1], f"values are nested more than {MAX_DEPTH} deep; does a value contain itself?"
        case str() if not is_text(value):
            what = "this" if may_be_secret(path) else repr(value)
            return path, f"{what} is not text: it has half a character"
        case int() if abs(value) >= 10**MAX_DIGITS:
            return path, f"a whole number has at most {MAX_DIGITS} digits"
        case dict():
            for key, below in value.items():
                found = unfit(key, path) or unfit(below, (*path, key if isinstance(key, int) else str(key)))
                if found:
                    return found
        case list() | tuple():
            return next((found for i, below in enumerate(value) if (found := unfit(below, (*path, i)))), None)
    return None


def copied(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 whatever a program gives
    """A copy in the kinds that a file has: tuples are lists, and the paths of `pathlib` are text.

    What no file can have is as it is, or a copy of that, so that `unfit` and the schema tell.
    """
    match value:
        case _ if depth > MAX_DEPTH:
            return value
        case Mapping():
            return {key: copied(below, depth + 1) for key, below in value.items()}
        case list() | tuple():
            return [copied(below, depth + 1) for below in value]
        case PurePath():
            return str(value)
    return copy.deepcopy(value)
