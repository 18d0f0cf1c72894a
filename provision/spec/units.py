"""Durations and sizes as people write them: `2h`, `90s`, `256m`, `1g`."""

import re

_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_BYTES = {"k": 1024, "m": 1024**2, "g": 1024**3}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)")


def parse_duration_s(text: str) -> float:
    """Seconds of a duration with a unit, `500ms`, `90s`, `15m`, `2h` or `7d`.

    Raises:
        ValueError: no number, no unit, another unit, or nothing at all (`0s`).
    """
    return _quantity(text, _DURATION_S, "a duration like 90s, 15m or 2h")


def parse_size_bytes(text: str) -> int:
    """Bytes of a size with a unit, as the JVM and Docker write them: `512k`, `256m` or `1g` (powers of 1024).

    Raises:
        ValueError: no whole number (the JVM takes no other), no unit, another unit, or nothing at all (`0m`).
    """
    if "." in text:
        raise ValueError(f"{text!r} is not a whole number of k, m or g, which is all the JVM takes: 512m, not 0.5g")
    return int(_quantity(text, _SIZE_BYTES, "a size like 256m or 1g"))


def _quantity(text: str, units: dict[str, float] | dict[str, int], form: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if not match or match[2] not in units:
        raise ValueError(f"{text!r} is not {form}")
    value = float(match[1]) * units[match[2]]
    if value <= 0:
        raise ValueError(f"{text!r} is nothing at all; it must be more than zero")
    if value >= 2**53:
        raise ValueError(f"{text!r} is too large")
    return value
