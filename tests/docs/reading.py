"""Documents as tests read them: their code, headings, sections and tables."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,4}) (.+)$", re.MULTILINE)


def without_code(text: str) -> str:
    """A document without its blocks of code."""
    return _FENCE.sub("", text)


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code that are said to be in a language; none is the empty one."""
    return [content for kind, content in _FENCE.findall(text) if kind == language]


@cache
def section(document: Path, heading: str) -> str:
    """The text below a heading such as `## Commands`, up to the next one of its rank or above."""
    mark = heading.split(" ", maxsplit=1)[0]
    text = without_code(document.read_text(encoding="utf-8"))
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{document.name} has no {heading!r}"
    return re.split(rf"^#{{1,{len(mark)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def headings(document: Path) -> list[str]:
    """The headings of a document with their marks, in order."""
    return [f"{mark} {name}" for mark, name in _HEADING.findall(without_code(document.read_text(encoding="utf-8")))]


def codes(text: str) -> list[str]:
    """What stands between backquotes, in order."""
    return re.findall(r"`([^`]+)`", text)


def rows(text: str) -> dict[str, str]:
    """The lines of tables by the code in their first cell; a cell may name several."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return {name: line for line in lines for name in codes(line.split(" | ")[0])}
