"""Texts as Python has them."""


def is_text(text: str) -> bool:
    """Whether it consists of whole characters: Python reads bytes that are no UTF-8 as halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
