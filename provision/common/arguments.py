"""What programs give as arguments: texts, whole numbers and paths; anything else is an error of ours."""

import os
from collections.abc import Iterable
from pathlib import Path

from provision.errors import UsageError

Texts = str | Iterable[str]


def several(given: Texts, what: str) -> tuple[str, ...]:
    """The texts that are given; one text is one of them, and not its letters.

    Args:
        given: one, or several.
        what: what they are, for the error: `names of nodes`.

    Raises:
        UsageError: it is neither a text nor several.
    """
    texts = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else None
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{what} are a text, or a list of texts, not {given!r}")
    return texts


def one_text(given: object, what: str) -> str:
    """The text that is given.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(given, str):
        raise UsageError(f"{what} is a text, not {given!r}")
    return given


def whole(given: object, what: str) -> int:
    """The whole number from 0 that is given.

    Raises:
        UsageError: it is none.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise UsageError(f"{what} is a whole number from 0, not {given!r}")
    return given


def path(given: object, what: str) -> Path:
    """The path that is given.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(given, str | os.PathLike) or not isinstance(found := os.fspath(given), str) or not found:
        raise UsageError(f"{what} is a path, not {given!r}")
    return Path(found)
