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
