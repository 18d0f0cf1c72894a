"""Text in the columns of a terminal: lines end between words, and tables that are too wide become lists."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"[^ ,]*(?:,+|(?= |$))[ ]?|[ ]")
_INDENT, _DEEPER = 4, 6


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
        indent: the columns before each further line, or fewer where its first word needs them; by default two more
            than before the first line.
    """
    if columns is None or shown_width(text) <= columns:
        return [text]
    if indent is None:
        indent = len(text) - len(text.lstrip(" ")) + 2
    lines, line = [], ""
    for word in filter(None, _WORD.findall(text)):
        width = shown_width(word.rstrip(" "))
        if word != " " and shown_width(line) + width > columns:
            before = len(line)
            if line.strip():
                lines.append(line.rstrip(" "))
                before = indent
            line = " " * max(min(before, columns - width), 0)
        line += word
    return [*lines, line.rstrip(" ")]


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None
) -> tuple[list[str], list[str]]:
    """The lines of the header, and those of the rows, in columns, numbers to the right.

    If the rows do not fit, the first cell of each has a line of its own, and the last one goes on below itself. If it
    has words that do not fit there, it has lines of its own too.
    """
    widths = [max(len(header), *(len(row[i]) for row in rows), 0) for i, header in enumerate(headers)]
    right = [_is_numeric([row[i] for row in rows if row[i] != "-"]) for i in range(len(headers))]

    def aligned(cells: Sequence[str], first: int = 0) -> str:
        several = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(cells, widths[first:], right[first:], strict=False)
        )
        return "  ".join(several).rstrip()

    if columns is None or sum(widths) + 2 * (len(widths) - 1) <= columns or len(headers) == 1:
        return [aligned(headers)], [aligned(cells) for cells in rows]
    last = _INDENT + sum(widths[1:-1]) + 2 * (len(widths) - 2)
    longest = max(shown_width(word.rstrip(" ")) for cells in (headers, *rows) for word in _WORD.findall(cells[-1]))
    below = last + longest > columns and len(headers) > 2  # noqa: PLR2004 two columns have two lines anyway

    def listed(cells: Sequence[str]) -> Iterator[str]:
        yield cells[0]
        if below:
            yield from wrapped(" " * _INDENT + aligned(cells[1:-1], 1), columns)
            yield from wrapped(" " * _DEEPER + cells[-1], columns, _DEEPER) if cells[-1] else ()
        else:
            yield from wrapped(" " * _INDENT + aligned(cells[1:], 1), columns, last)

    return list(listed(headers)), [line for cells in rows for line in listed(cells)]


def _is_numeric(texts: Sequence[str]) -> bool:
    return bool(texts) and all(text.replace(".", "", 1).isdigit() for text in texts)
