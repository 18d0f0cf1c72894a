"""Durations and sizes: as users write them (`2h`, `90s`, `256m`, `1g`), and as they are displayed."""

import re

_DURATION_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_BYTES = {"k": 1024, "m": 1024**2, "g": 1024**3}
_STEP = 1024
_SHOWN_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
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


def size_text(size_bytes: int) -> str:
    """A size as it is shown: `512 B`, `54.9 MiB`, `1.2 TiB`."""
    if size_bytes < _STEP:
        return f"{size_bytes} B"
    size, units = size_bytes / _STEP, ["TiB", "GiB", "MiB", "KiB"]
    while size >= _STEP and len(units) > 1:
        size /= _STEP
        units.pop()
    return f"{size:.1f} {units[-1]}"


def duration_text(seconds: float) -> str:
    """A duration as it is shown, in its two largest units: `8 s`, `3 min 20 s`, `2 h`; at least one second."""
    left = max(round(seconds), 1)
    parts: list[str] = []
    for unit, length in _SHOWN_UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:  # `2 h`, and not `2 h 7 s`
            break
    return " ".join(parts[:2])
