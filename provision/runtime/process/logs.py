"""The log of a node that is a process."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from provision.common.offloading import pause
from provision.common.patience import Patience
from provision.common.texts import ANOTHER_BEGINS
from provision.runtime.base import COMES_BACK_S
from provision.runtime.process import processes

CONSOLE = "console.log"
_OLDER = f"{CONSOLE}.1"
_FOLLOW_PAUSE_S = 0.2
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def lines(directory: Path, tail: int | None) -> Iterator[str]:
    """The log with the last rotated file, then the JVM's own output, if any; that of the run before comes first."""
    log, name = directory / "log", directory.name
    files = [log / _OLDER, log / f"{name}.log.1", log / f"{name}.log", log / CONSOLE]
    found = [line for file in files if _is_log(file) for line in _text(file).splitlines()]
    yield from found if tail is None else found[len(found) - min(tail, len(found)) :]


def _is_log(file: Path) -> bool:
    """Whether it is a file in the node's own directory: what a link leads to is none of its log."""
    return file.is_file() and not (file.is_symlink() or file.parent.is_symlink())


def _text(file: Path) -> str:
    with _opened(file) as stream:
        return stream.read().decode(errors="replace")


def _opened(file: Path) -> BinaryIO:
    return open(file, "rb", opener=lambda path, flags: os.open(path, flags | _NO_LINK))


def fresh_console(directory: Path) -> Path:
    """The file for the output of the next JVM: what the one before has written must not pass for its."""
    _say_that_another_begins(directory / "log" / f"{directory.name}.log")
    console = directory / "log" / CONSOLE
    if console.is_symlink():
        console.unlink()
    if console.exists() and console.stat().st_size:
        console.replace(console.with_name(_OLDER))
    return console


def _say_that_another_begins(log: Path) -> None:
    """In the log of the JVM before: one that dies early writes nothing there, and that one's lines are none of its."""
    if _is_log(log):
        with open(log, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags | _NO_LINK)) as stream:
            stream.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S},000] INFO {ANOTHER_BEGINS}\n")  # noqa: DTZ005 as Kafka


def follow(directory: Path, is_changing: Callable[[], bool]) -> Iterator[str]:
    """New lines until the process has ended and no other takes its place soon; a rotated file is reopened.

    Args:
        directory: the node's.
        is_changing: whether a command is changing the environment, which may be replacing or restarting the node.
    """
    log = directory / "log" / f"{directory.name}.log"
    inode, position, rest, patience = 0, 0, b"", Patience(COMES_BACK_S)
    if stream := _there(log):
        with stream:
            inode, position = os.fstat(stream.fileno()).st_ino, stream.seek(0, os.SEEK_END)
    while True:
        changing = is_changing()  # before the look: what it has started by its end is seen
        alive = processes.find(directory) is not None
        if stream := _there(log):
            with stream:
                found = os.fstat(stream.fileno())
                if found.st_ino != inode or found.st_size < position:
                    inode, position, rest = found.st_ino, 0, b""
                stream.seek(position)
                chunk = stream.read()
                position = stream.tell()
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if alive:
            patience = Patience(COMES_BACK_S)
        elif not changing or patience.is_over:
            return
        pause(_FOLLOW_PAUSE_S)


def _there(log: Path) -> BinaryIO | None:
    """The log, if there is one just now."""
    try:
        return _opened(log) if _is_log(log) else None
    except FileNotFoundError:
        return None
