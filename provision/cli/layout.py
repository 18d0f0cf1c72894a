"""Text in the columns of a terminal: lines end between words, and tables that are too wide become lists."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"[^ ,]*(?:,+|(?= |$))[ ]?|[ ]")
_NARROWEST = 20
_INDENT = 4


def columns_of(stream: Any) -> int | None:  # noqa: ANN401 any text stream
    """The columns of the terminal that a stream goes to; None if it goes elsewhere, where nothing may be wrapped."""
    if not stream.isatty():
        return None
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def shown_width(text: str) -> int:
    """The columns that a text takes, without its styles."""
    return len(_STYLE.sub("", text))


def wrapped(text: str, columns: int | None, indent: int | None = None) -> list[str]:
    """A line as several that fit, broken at spaces and after commas, never inside a word.

    Args:
        text: one line, which may have styles.
        columns: how many there are; None if it may be as long as it is.
        indent: the columns before each further line; by default two more than before the first.
    """
    if columns is None or shown_width(text) <= columns:
        return [text]
    if indent is None:
        indent = len(text) - len(text.lstrip(" ")) + 2
    indent = indent if columns - indent >= _NARROWEST else 0
    lines, line = [], ""
    for word in filter(None, _WORD.findall(text)):
        if line.strip() and shown_width(line) + shown_width(word.rstrip(" ")) > columns:
            lines.append(line.rstrip(" "))
            line = " " * indent
            word = word.lstrip(" ")  # noqa: PLW2901 the break stands for it
        line += word
    return [*lines, line.rstrip(" ")]


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None) -> Iterator[str]:
    """A header and rows in columns, numbers to the right; the first line is the header.

    If the rows do not fit, the first cell of each has a line of its own, and the last one goes on below itself.
    """
    widths = [max(len(header), *(len(row[i]) for row in rows), 0) for i, header in enumerate(headers)]
    right = [_is_numeric([row[i] for row in rows if row[i] != "-"]) for i in range(len(headers))]

    def aligned(cells: Sequence[str], first: int) -> str:
        several = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(cells[first:], widths[first:], right[first:], strict=True)
        )
        return "  ".join(several).rstrip()

    if columns is None or sum(widths) + 2 * (len(widths) - 1) <= columns or len(headers) == 1:
        yield from (aligned(cells, 0) for cells in (headers, *rows))
        return
    last = _INDENT + sum(widths[1:-1]) + 2 * (len(widths) - 2)
    for cells in (headers, *rows):
        yield cells[0]
        yield from wrapped(" " * _INDENT + aligned(cells, 1), columns, last)


def _is_numeric(texts: Sequence[str]) -> bool:
    return bool(texts) and all(text.replace(".", "", 1).isdigit() for text in texts)
