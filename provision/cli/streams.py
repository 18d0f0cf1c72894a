"""The three standard streams in whatever state a shell hands them over: closed, full, not UTF-8, or left by the reader.

What cannot be written to standard output never stops the work. It is dropped, and its `Purpose` decides what follows. A
reader who leaves (`| head`) has seen enough, and what is written to a closed stream was not wanted: neither is a
failure. Standard error only tells of the work: what it cannot take is dropped without a word.
"""

import codecs
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from provision.common.interrupts import interrupt_main
from provision.errors import Interrupted

_READABLE = "provision.readable"
_INSTEAD = {"→": "->", "↻": "o", "▸": ">", "↓": "v", "✗": "x", "✓": "v", "…": "...", "×": "x", "’": "'", "–": "-"}


class Purpose(Enum):
    """What standard output is for, in one run of the program."""

    VALUES = "a command exists to show them: if they are lost, it has failed"
    REPORT = "it tells of work that is done: if it is lost, there is a notice, and the exit code is the work's"
    STREAM = "it goes on and on: it ends when nobody can read it any more, and has failed unless the reader left"


class OutputLost(Exception):
    """A `Purpose.STREAM` cannot be written any more."""


class _Outlet(io.FileIO):
    """A file descriptor that takes everything. What it cannot write is dropped; `lost` is the reason."""

    lost: OSError | None = None
    purpose = Purpose.VALUES

    def write(self, data: Any, /) -> int:  # noqa: ANN401 any buffer
        while self.lost is None:
            try:
                written: int | None = super().write(data)
            except OSError as error:
                self.lost = error
            else:
                if written is not None:
                    return written
                self._wait()
        if self.purpose is Purpose.STREAM:
            raise OutputLost
        return memoryview(data).nbytes

    def _wait(self) -> None:
        """Until the reader of a pipe in non-blocking mode has taken something."""
        select.select([], [self], [])


def open_all() -> None:
    """Make all three usable. Called before anything else opens files, which would get a closed stream's number."""
    codecs.register_error(_READABLE, _readable)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is a TextIOWrapper
    sys.stdout, sys.stderr = _writer(1, sys.stdout), _writer(2, sys.stderr)


def _writer(descriptor: int, before: Any) -> io.TextIOWrapper:  # noqa: ANN401 None if it was closed
    outlet = _Outlet(descriptor, "wb", closefd=False)
    encoding = "utf-8" if before is None else before.encoding
    by_line = descriptor != 1 or outlet.isatty()
    return io.TextIOWrapper(io.BufferedWriter(outlet), encoding, _READABLE, line_buffering=by_line)


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what the encoding of a stream does not have, by something that looks alike if there is any."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = error.object[error.start]
    return _INSTEAD.get(first) or first.encode("ascii", "backslashreplace").decode(), error.start + 1


def is_encodable(text: str) -> bool:
    """Whether standard output can show the text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write_as(purpose: Purpose) -> None:
    """Say what standard output is for in this run; it is for `Purpose.VALUES` unless somebody says otherwise."""
    if outlet := _outlet():
        outlet.purpose = purpose


@contextmanager
def leaving_with_reader() -> Iterator[None]:
    """End the block when the reader of standard output has left, also while there is nothing to write.

    What waits for the next record or line would learn of it only with that line, which may never come.

    Raises:
        OutputLost: the reader has left.
    """
    outlet = _outlet()
    if outlet is None or not _is_pipe(outlet.fileno()) or not hasattr(select, "poll"):  # Windows has none
        yield
        return
    departure = select.poll()
    departure.register(outlet, 0)  # an error and a hang-up are told in any case
    block_runs = left = False

    def watch() -> None:
        nonlocal left
        departure.poll()
        left = True
        interrupt_main(lambda: block_runs)

    try:
        block_runs = True
        threading.Thread(target=watch, name="reader", daemon=True).start()
        try:
            yield
        finally:
            block_runs = False
    except (KeyboardInterrupt, Interrupted):
        if not left:
            raise
        outlet.lost = BrokenPipeError()
        raise OutputLost from None


def _is_pipe(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def lost() -> tuple[Purpose, OSError] | None:
    """What was lost on standard output, and why; None if nothing was, or the reader left."""
    outlet = _outlet()
    if outlet is None:
        return None
    with_reason = outlet.purpose
    outlet.purpose = Purpose.REPORT  # the last flush raises nothing
    sys.stdout.flush()
    return None if outlet.lost is None or isinstance(outlet.lost, BrokenPipeError) else (with_reason, outlet.lost)


def _outlet() -> _Outlet | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Outlet) else None
