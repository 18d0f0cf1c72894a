"""Many nodes in few words: `broker-1 … 3, 5`."""

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.*\b(?:zookeeper|controller|broker)-)([1-9][0-9]*)")


def listed(names: Iterable[str]) -> str:
    """Names one after the other, each once; nodes that differ only in their number together, as ranges of numbers."""
    numbers: dict[str, set[int]] = {}
    for name in names:
        stem, number = split(name)
        numbers.setdefault(stem, set()).update(number)
    return ", ".join(stem + _ranges(sorted(known)) if known else stem for stem, known in numbers.items())


def split(name: str) -> tuple[str, tuple[int, ...]]:
    """What the names of nodes of a role have in common, and the node's number; any other name has none."""
    match = _NUMBERED.fullmatch(name)
    return (match[1], (int(match[2]),)) if match else (name, ())


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} … {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)  # noqa: PLR2004 two are as short
