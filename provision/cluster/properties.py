r"""Java's properties format: escaping for writing, and reading back.

Source: `java.util.Properties.load(InputStream)`, which is how Kafka and ZooKeeper read their files: ISO 8859-1, with
`\uXXXX` for all else.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BLANKS = " \t\f"  # Java's white space here; str.isspace accepts more
_SEPARATOR = re.compile(rf"(?<!\\)(?:\\\\)*[=:{_BLANKS}]")
_LINE_END = re.compile(r"\r\n|\n|\r")
_LAST_LINE_END = re.compile(r"(?:\r\n|\n|\r)\Z")
_PRINTABLE_ASCII = range(0x20, 0x7F)
_NOT_ASCII = re.compile(r"\\([^\x00-\x7f])|([^\x00-\x7f])|\\[\x00-\x7f]")


def escape_value(text: str) -> str:
    """Escape a text for the place after `=`, so that Java reads the same text.

    Raises:
        ValueError: the text has a line break, which could inject another key.
    """
    if "\n" in text or "\r" in text:
        raise ValueError("a value cannot contain a line break")
    escaped = "".join(map(_escape_character, text))
    return "\\" + escaped if escaped.startswith(" ") else escaped


def encode(text: str) -> bytes:
    r"""A whole file as bytes from which Java reads the same: `\uXXXX` for what is not ASCII."""

    def replace(match: re.Match[str]) -> str:
        other = match[1] or match[2]  # a backslash before it means nothing, and would be one before `\u`
        return _escape_character(other) if other else match[0]

    return _NOT_ASCII.sub(replace, text).encode("ascii")


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if ord(character) in _PRINTABLE_ASCII:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def parse(text: str) -> dict[str, str]:
    r"""The keys and values of a properties file.

    Raises:
        ValueError: a key is there twice (Java would silently take the last), or a `\u` escape is broken.
    """
    found: dict[str, tuple[int, str]] = {}
    for line_number, line in _logical_lines(text):
        match = _SEPARATOR.search(line)
        end = match.end() - 1 if match else len(line)
        key = _unescape(line[:end])
        rest = line[end:].lstrip(_BLANKS)
        value = _unescape(rest[1:].lstrip(_BLANKS) if rest[:1] in ("=", ":") else rest)
        if key in found:
            raise ValueError(f"{key} is set twice, in line {found[key][0]} and in line {line_number}")
        found[key] = (line_number, value)
    return {key: value for key, (_, value) in found.items()}


def line_of(text: str, key: str) -> int:
    """The number of the line that sets a key, from 1; 0 if none does. Of several, Java takes the last."""
    found = 0
    for number, line in _logical_lines(text):
        match = _SEPARATOR.search(line)
        with suppress(ValueError):  # a broken escape in another key
            found = number if _unescape(line[: match.end() - 1] if match else line) == key else found
    return found


def read(text: str) -> dict[str, str] | None:
    """The keys and values of a file that may have been edited; None if it is damaged."""
    try:
        return None if "\0" in text else parse(text)
    except ValueError:
        return None


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Lines with their numbers: comments and blank lines left out, continued lines (`\` at the end) joined."""
    pending: str | None = None
    start = 0
    for number, raw in enumerate(_LINE_END.split(_LAST_LINE_END.sub("", text)), start=1):
        line = raw.lstrip(_BLANKS)
        if not pending:
            if not line or line[0] in "#!":
                pending = None
                continue
            start = number
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending = (pending or "") + line[:-1]
            continue
        yield start, (pending or "") + line
        pending = None
    if pending is not None:
        yield start, pending


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "u":
            if len(code) != 5:  # noqa: PLR2004 u and four digits
                raise ValueError(f"\\{code} is not an escape of four hexadecimal digits")
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    unescaped = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", replace, text, flags=re.DOTALL)
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
