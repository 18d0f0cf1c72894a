"""What this machine has to spare for work that can wait, and how such work stands back behind everything else.

What counts is what this process may use: its processors, and the limits of its control groups, as a container has them.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_LOWEST = 19  # of `nice`
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


class Spare(Struct, frozen=True):
    """How many processors this process may use, in parts of one too, and how many bytes of memory are free for it."""

    processors: float
    memory_bytes: int


def spare(groups: Path = _CONTROL_GROUPS, own: Path = _OWN_GROUP) -> Spare:
    """What there is now.

    Args:
        groups: where the system shows its control groups.
        own: the file that names those of this process.
    """
    import psutil

    memory = psutil.virtual_memory().available
    limits = tuple(_limits(groups, own))
    return Spare(
        processors=min([_processors(), *(limit.processors for limit in limits)]),
        memory_bytes=min([memory, *(limit.memory_bytes for limit in limits)]),
    )


def busy_share(seconds: float) -> float:
    """The share of all processors that was busy during the next seconds, from 0 to 1."""
    import psutil

    return float(psutil.cpu_percent(interval=seconds)) / 100


def stand_back(processors: int) -> None:
    """Let this process, and all that it starts, have only what others leave, on no more than so many processors.

    What a system does not offer is left out.
    """
    import psutil

    process = psutil.Process()
    with suppress(OSError, psutil.Error):
        process.nice(_LOWEST)
    if hasattr(os, "sched_setscheduler") and hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-processors:])
    if hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        with suppress(OSError, psutil.Error):
            process.ionice(psutil.IOPRIO_CLASS_IDLE)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limits(groups: Path, own: Path) -> Iterator[Spare]:
    """The limits of the control groups of this process, and of those around them; what has no limit is left out."""
    quota, period, limit, usage = (_number(groups / file) for file in _V1)
    yield _limit(quota, period, limit, _used(usage, groups / "memory/memory.stat", "total_inactive_file"))
    path = ""
    with suppress(OSError):
        path = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "")
    group = groups / path.strip("/")
    for place in (group, *group.parents):
        if not place.is_relative_to(groups):
            return
        words = _words(place / "cpu.max")
        quota, period = map(_parsed, words) if len(words) == 2 else (None, None)  # noqa: PLR2004 quota and period
        used = _used(_number(place / "memory.current"), place / "memory.stat", "inactive_file")
        yield _limit(quota, period, _number(place / "memory.max"), used)


def _limit(quota: float | None, period: float | None, limit: float | None, used: float) -> Spare:
    processors = quota / period if quota and period and quota > 0 else float("inf")
    memory = max(limit - used, 0) if limit is not None else float("inf")
    return Spare(processors, int(min(memory, 2**62)))


def _used(usage: float | None, statistics: Path, cache: str) -> float:
    """What a group uses, without the part of its page cache that the system takes back before it refuses memory."""
    words = _words(statistics)
    cached = dict(zip(words[::2], words[1::2], strict=False)).get(cache, "")
    return max((usage or 0) - (_parsed(cached) or 0), 0)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


def _number(file: Path) -> float | None:
    return _parsed(next(iter(_words(file)), ""))


def _parsed(word: str) -> float | None:
    """A number; None for `max`, and for what is no number."""
    try:
        return float(word)
    except ValueError:
        return None
