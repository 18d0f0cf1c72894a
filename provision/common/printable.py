"""Text that others have written, in a form that can be shown."""

_LONGEST = 4000


def printable(text: str) -> str:
    r"""The text in one line, with escapes (`\x1b`) for what a terminal would act on or cannot show; cut if long."""
    shown = text if text.isprintable() else "".join(map(_shown, text[: _LONGEST + 1]))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
