"""Texts, such as names, as programs give them: one, or several."""

from collections.abc import Iterable

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
