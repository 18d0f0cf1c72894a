"""What the system knows about this machine and the processes of nodes."""

import os
import platform
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from provision.runtime.health import Machine, Space, Usage, Vitals, architecture_of

_UNLIMITED = 2**60
"""What is above it is no limit: systems write infinity in several ways."""


def this_machine(directories: Iterable[Path]) -> Machine:
    """The machine of this process, with the file systems of these directories."""
    spaces = filter(None, map(space_of, directories))
    return Machine(
        name="this machine",
        version=f"{platform.system()} {platform.release()}",
        architecture=architecture_of(platform.machine()),
        processors=os.cpu_count(),
        memory_bytes=psutil.virtual_memory().total,
        clock_ahead_s=0.0,
        spaces=tuple(spaces),
    )


def space_of(directory: Path) -> Space | None:
    """The file system of a directory, or of the nearest one above it that exists; None if it cannot be asked."""
    there = next((place for place in (directory, *directory.parents) if place.is_dir()), None)
    if there is None:
        return None
    try:
        found = shutil.disk_usage(there)
    except OSError:
        return None
    return Space(str(directory), found.total, found.free, writable=os.access(there, os.W_OK))


def holder_of(port: int) -> str:
    """The process that listens on a port of this machine, as `java (process 4711)`, as far as this user may know."""
    for connection in _asked(lambda: psutil.net_connections("tcp")) or ():
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            name = _asked(partial(_name_of, connection.pid))
            return f"{name or 'a program'} (process {connection.pid})"
    return "another program"


def _name_of(pid: int) -> str:
    return str(psutil.Process(pid).name())


def of_node(process: psutil.Process | None, data: Path) -> Vitals:
    """What a node's process uses; only the file system of its data if it does not run."""
    space = space_of(data)
    spaces = (space,) if space else ()
    if process is None:
        return Vitals(spaces=spaces)
    return Vitals(
        stopped=_asked(process.status) == psutil.STATUS_STOPPED,
        memory=Usage(getattr(_asked(process.memory_info), "rss", None), psutil.virtual_memory().total),
        open_files=Usage(_asked(getattr(process, "num_fds", None)), _limit(process, "RLIMIT_NOFILE")),
        threads=Usage(_asked(process.num_threads), _limit(process, "RLIMIT_NPROC")),
        spaces=spaces,
        started_s=_asked(process.create_time),
    )


def _limit(process: psutil.Process, name: str) -> int | None:
    """The soft limit of that name, where the system has limits per process."""
    number = getattr(psutil, name, None)
    found = _asked(lambda: process.rlimit(number)[0]) if number is not None else None
    return found if isinstance(found, int) and 0 <= found < _UNLIMITED else None


def _asked(ask: Callable[[], Any] | None) -> Any:  # noqa: ANN401 whatever psutil tells
    """The answer; None if the process has ended, is somebody else's, or the system does not tell."""
    try:
        return ask() if ask else None
    except (psutil.Error, OSError, AttributeError, ValueError):
        return None
