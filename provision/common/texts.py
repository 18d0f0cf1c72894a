"""Texts as Python has them."""

import unicodedata

ANOTHER_BEGINS = "Another JVM begins (provision)"
"""What a node's log has between the lines of two of its JVMs, if the first of them could write any."""


def is_text(text: str) -> bool:
    """Whether it consists of whole characters: Python reads bytes that are no UTF-8 as halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def has_controls(text: str) -> bool:
    """Whether it has a line break or another control character; others that no terminal shows are none."""
    return any(unicodedata.category(character) == "Cc" for character in text)


LONGEST_SHOWN = 64
"""So many characters of a name are repeated in an error: who reads it knows the rest."""


def shown_name(name: str) -> str:
    """A name in quotes, of a very long one its beginning."""
    return repr(name) if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]!r}…"


def too_long(name: str, most: int) -> str:
    """That a name has more characters than it may have; empty if it has not."""
    return f"has {len(name):,} characters; at most {most}" if len(name) > most else ""
