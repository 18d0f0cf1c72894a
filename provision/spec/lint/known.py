"""The configuration keys of each release line: data that `scripts/known_keys` extracted from the jars.

A key is recorded for spans of lines; within a span its type, bounds and default are the same.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from provision.catalogue.versions import KafkaVersion

BROKER, TOPIC = "broker", "topic"

_BITS = {"short": 16, "int": 32, "long": 64}
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")  # Python refuses to read thousands of digits
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?")
_Data = Mapping[str, Any]


class Facts(Struct, frozen=True):
    """The definition of a key's values.

    `type` is one of Kafka's own (`int`, `long`, `list`, …). `low` and `high` are inclusive bounds; `also` is a value
    allowed in addition. `one_of` are the allowed values, `any_case` is whether case is ignored.
    `broker_key` is, for a topic's key, the broker's key that is its default.
    """

    type: str
    low: float | None = None
    high: float | None = None
    also: int | None = None
    one_of: tuple[str, ...] = ()
    any_case: bool = False
    default: str | None = None
    broker_key: str | None = None

    def demand(self, text: str) -> str:
        """The requirement that a value does not meet, for example `a whole number from 1 to 9, or -1`; else empty."""
        value = text.strip()
        match self.type:
            case "boolean":
                return "" if value.lower() in ("true", "false") else "true or false"
            case "short" | "int" | "long":
                number = whole_number(value)
                return "" if number is not None and self._admits(number) else f"a whole number{self._bounds(number)}"
            case "double":
                size = float(value.rstrip("fFdD")) if _DECIMAL.fullmatch(value) else None
                return "" if size is not None and self._admits(size) else f"a number{self._bounds(size)}"
            case "string" | "list" if self.one_of and not self._all_known(value):
                *others, last = self.one_of
                if self.type == "list":
                    return f"a list of {' and '.join([', '.join(others), last] if others else [last])}"
                return f"{', '.join(others)} or {last}" if others else last
        return ""

    def _admits(self, number: float) -> bool:
        low, high = self._limits()
        return number == self.also or low <= number <= high

    def _limits(self) -> tuple[float, float]:
        limit = 2 ** (_BITS[self.type] - 1) if self.type in _BITS else float("inf")
        low = -limit if self.low is None else self.low
        high = (limit - 1 if self.type in _BITS else limit) if self.high is None else self.high
        return low, high

    def _bounds(self, number: float | None) -> str:
        """The bounds as the end of a phrase; those of the type itself only if they are exceeded."""
        low, high = self._limits()
        lower = "" if self.low is None and (number is None or number >= low) else f" from {low}"
        upper = "" if self.high is None and (number is None or number <= high) else f" to {high}"
        bounds = f"{lower} on" if lower and not upper else f"{lower}{upper}"
        return bounds + ("" if self.also is None else f", or {self.also}")

    def _all_known(self, value: str) -> bool:
        given = [part.strip() for part in value.split(",")] if self.type == "list" and value else [value]
        known = {choice.lower() for choice in self.one_of} if self.any_case else set(self.one_of)
        return all((one.lower() if self.any_case else one) in known for one in given if one or self.type == "string")


def whole_number(text: str | None) -> int | None:
    """The number in a text as Java reads it; None if it is not one."""
    return int(text) if text is not None and _WHOLE.fullmatch(text.strip()) else None


@cache
def _data() -> _Data:
    data: _Data = json.loads(Path(__file__).with_name("known_keys.json").read_text(encoding="utf-8"))
    return data


@cache
def lines() -> tuple[KafkaVersion, ...]:
    """The version of each release line that the data come from, oldest first."""
    return tuple(map(KafkaVersion.parse, _data()["versions"]))


def line_name(number: int) -> str:
    """`3.9`, the name of a line by its number."""
    return f"{lines()[number].major}.{lines()[number].minor}"


def line_of(version: KafkaVersion) -> int:
    """The number of the line that applies to `version`: the newest one that is not newer than it."""
    wanted = (version.major, version.minor)
    return max(number for number, line in enumerate(lines()) if number == 0 or (line.major, line.minor) <= wanted)


def is_beyond(version: KafkaVersion) -> bool:
    """Whether the version is newer than every known line."""
    newest = lines()[-1]
    return (version.major, version.minor) > (newest.major, newest.minor)


def facts(section: str, key: str, line: int) -> Facts | None:
    """A line's definition of a key; None if it has no such key."""
    for first, last, said in _data()[section].get(key, ()):
        if first <= line <= last:
            return _facts(said)
    return None


def span(section: str, key: str) -> tuple[int, int] | None:
    """The first and the last line with the key; None if there is none."""
    spans = _data()[section].get(key)
    return (spans[0][0], spans[-1][1]) if spans else None


def keys(section: str) -> tuple[str, ...]:
    """Every key of any line."""
    return tuple(_data()[section])


@cache
def names(section: str, line: int) -> tuple[str, ...]:
    """The keys of a line that are intended for users."""
    return tuple(
        key
        for key, spans in _data()[section].items()
        if any(first <= line <= last and not said.get("internal") for first, last, said in spans)
    )


def _facts(said: Mapping[str, Any]) -> Facts:
    return Facts(
        type=said["type"],
        low=said.get("min"),
        high=said.get("max"),
        also=said.get("or"),
        one_of=tuple(said.get("one_of", ())),
        any_case=said.get("any_case", False),
        default=said.get("default"),
        broker_key=said.get("broker"),
    )
