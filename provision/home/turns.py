"""Work that only one process does at a time, in a home or with a cache."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.home.usable import made


@contextmanager
def alone(file: Path, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether no other process has this lock, as long as the block runs; another one is waited for so long.

    Raises:
        Unavailable: the lock's directory cannot be used.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(made(file.parent) / file.name, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # the directory may be gone, and the lock with it
            lock.release()
