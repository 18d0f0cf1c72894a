"""Files that are written completely or not at all, even if the command is killed or the disk is full; and read safely.

What stands in a file's place when it is read may be anything: a directory, a link, a device without an end.
"""

import errno
import os
import re
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from provision.errors import Refused, UsageError

MAX_BYTES = 32 * 1024**2
"""The largest file that is read: far more than any that is written."""
_BEGINNING_BYTES = 200
_STREAMS = re.compile(r"/dev/(std(in|out|err)|fd/)|/proc/")
_DRAFT = re.compile(r".+\.([1-9][0-9]{0,8})-[0-9]+\.new")
_ONLY_FILES: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def write_whole(file: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file (text as UTF-8) next to its destination, then move it there.

    Drafts of the same file that a killed command has left are removed.

    Args:
        file: the destination.
        content: the whole content.
        mode: its permissions; None for the system's default.

    Raises:
        OSError: it cannot be written; an existing file is unchanged.
    """
    with writing_whole(file, mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(file: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write to a draft in the block, which takes the file's place after it; arguments and errors as for `write_whole`.

    If the block raises, there is no draft left, and an existing file is unchanged.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.new")
    _remove_left_drafts(file)
    created = 0o666 if mode is None else 0o600  # nobody else can read it while it is written
    try:
        # "x" creates the file: a link that somebody has put there is never followed.
        with open(draft, "xb", opener=lambda path, flags: os.open(path, flags, created)) as stream:
            yield stream
        if mode is not None:
            draft.chmod(mode)
        draft.replace(file)
    except OSError as error:
        if error.filename != str(draft):
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error  # of drafts nobody knows anything
    finally:
        draft.unlink(missing_ok=True)


def write_output(file: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file that the user has named; arguments and errors as for `writing_output`."""
    with writing_output(file, mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_output(file: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write to a file that the user has named: whole or not at all, as `writing_whole` does.

    The target of a link is written, and the link stays. A device, a pipe and the process's own streams get the content
    as it comes: nothing takes their place.

    Raises:
        OSError: it cannot be written, or is a directory.
    """
    try:
        kind = file.stat().st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if stat.S_ISREG(kind) and not is_stream(file):
        with writing_whole(Path(os.path.realpath(file)), mode) as stream:
            yield stream
    else:
        with open(file, "wb") as stream:  # noqa: PTH123 like the one above
            yield stream


def require_writable(file: Path) -> None:
    """Check that a file that the user has named can be written, before there is something to write; nothing is made.

    Raises:
        OSError: it cannot, or is a directory.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if file.exists() and (is_stream(file) or not file.is_file()):  # a device or a pipe takes what comes
        return
    nearest = next(place for place in Path(os.path.realpath(file)).parents if place.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def require_no_other(file: Path, mark: bytes, otherwise: str) -> None:
    """Refuse to write a file anew that has a content in whose beginning `mark` is nowhere: that would be lost.

    Args:
        file: where something is to be written.
        mark: what all that may be overwritten has in its beginning.
        otherwise: what a file without it is, for the error: `not a report`.

    Raises:
        OSError: it cannot be read.
        Refused: it is something else.
    """
    if is_stream(file) or not file.is_file():
        return
    with file.open("rb") as stream:
        beginning = stream.read(_BEGINNING_BYTES)
    if beginning and mark not in beginning:
        raise Refused(f"{file} is {otherwise}, and is left as it is", hint="name another file, or remove it")


@contextmanager
def told_as_unwritable(place: Path) -> Iterator[None]:
    """Tell in one way, whatever is written, that a place which the user has named takes nothing.

    Raises:
        UsageError: the block has raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if isinstance(error, FileExistsError):  # `mkdir` says it of a file in the place of a directory
            why = os.strerror(errno.ENOTDIR)
        hint = "name another place, or see to its permissions and to the space there"
        raise UsageError(f"cannot write {place}", why=why, hint=hint) from error


def is_private(path: Path) -> bool:
    """Whether it is this user's, and nobody else can read or change it."""
    found = path.lstat()
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


def is_stream(file: Path) -> bool:
    """Whether a path stands for a stream of this process, whatever it leads to."""
    return _STREAMS.match(os.path.abspath(file)) is not None  # noqa: PTH100 not resolved


def is_draft(name: str) -> bool:
    """Whether a file of that name is not complete yet, or was left incomplete."""
    return _DRAFT.fullmatch(name) is not None


def left_drafts(directory: Path) -> Iterator[Path]:
    """The drafts below a directory whose writers no longer run; links are not followed, what cannot be read is left.

    Directories called `data` are left out: what is in them is not ours to judge.
    """
    for place, below, names in os.walk(directory):
        below[:] = [name for name in below if name != "data"]
        for name in names:
            match = _DRAFT.fullmatch(name)
            if match and not _is_running(int(match[1])):
                yield Path(place, name)


def _remove_left_drafts(file: Path) -> None:
    """Remove the file's drafts whose writers no longer run."""
    with suppress(OSError):  # the write that follows reports what is wrong with the directory
        for entry in file.parent.iterdir():
            match = _DRAFT.fullmatch(entry.name) if entry.name.startswith(f"{file.name}.") else None
            if match and not _is_running(int(match[1])):
                entry.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def read_whole(file: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, is a link or no regular file, or has more than `limit` bytes.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | _ONLY_FILES)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link", str(file)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(file))
        return _read(descriptor, file, limit)
    finally:
        os.close(descriptor)


def read_named(file: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file that the user has named, where a link is followed; errors as for `read_whole`.

    So are the files of secrets that Kubernetes mounts, and the system's own certificates.
    """
    return read_whole(Path(os.path.realpath(file)), limit)


def unreadable(file: Path) -> str:
    """Why a file that the user has named cannot be read, as the end of a sentence; empty if it can be.

    A device or a pipe is no file: it may have no end, or nobody who writes to it.
    """
    try:
        if not file.is_file():
            return "is not a file" if file.exists() else "is not there"
        with file.open("rb"):
            return ""
    except OSError as error:
        return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _read(descriptor: int, file: Path, limit: int) -> bytes:
    pieces, left = [], limit + 1
    while left > 0 and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", str(file))
    return b"".join(pieces)
