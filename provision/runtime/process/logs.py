"""The log of a node that is a process."""

import threading
from collections.abc import Iterator
from pathlib import Path

from provision.runtime.process import processes

CONSOLE = "console.log"
_OLDER = f"{CONSOLE}.1"
_FOLLOW_PAUSE_S = 0.2


def lines(directory: Path, tail: int | None) -> Iterator[str]:
    """The log with the last rotated file, then the JVM's own output, if any; that of the run before comes first."""
    log, name = directory / "log", directory.name
    files = [log / _OLDER, log / f"{name}.log.1", log / f"{name}.log", log / CONSOLE]
    found = [line for file in files if file.is_file() for line in file.read_text(errors="replace").splitlines()]
    yield from found if tail is None else found[len(found) - min(tail, len(found)) :]


def fresh_console(directory: Path) -> Path:
    """The file for the output of the next JVM: what the one before has written must not pass for its."""
    console = directory / "log" / CONSOLE
    if console.exists() and console.stat().st_size:
        console.replace(console.with_name(_OLDER))
    return console


def follow(directory: Path) -> Iterator[str]:
    """New lines until the process ends; a rotated file is reopened."""
    log = directory / "log" / f"{directory.name}.log"
    position = log.stat().st_size if log.is_file() else 0
    rest, never = b"", threading.Event()
    while True:
        alive = processes.find(directory) is not None
        if log.is_file():
            size = log.stat().st_size
            with log.open("rb") as stream:
                stream.seek(position if size >= position else 0)
                chunk = stream.read()
                position = stream.tell()
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if not alive:
            return
        never.wait(_FOLLOW_PAUSE_S)
