"""Directories of this user alone, in places where other users may write too: /tmp, /dev/shm, a shared directory.

There somebody else can be first, and create a directory or a link of the name that we are going to use. So each level
below such a place must be a real directory, owned by this user, with permissions 0700, before anything in it is read,
written, run or removed. Once a level has passed, nobody else can put anything into it.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from provision.errors import ProvisionError, Refused

_PRIVATE = 0o700
_WRITABLE_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_TRIES = 5
_LINKS = 40  # as many as the kernel follows


def make_own(directory: Path, below: Path) -> Path:
    """Create a directory, each level of it below the place `below` for this user alone; returns it.

    Existing levels lose the permissions that others have to read. The place is created if it is missing; an existing
    one may be anybody's, such as the system's, unless it could be a trap.

    Raises:
        Refused: a level is a link, another user's, or writable for others; or the place is a trap.
        OSError: it cannot be created.
    """
    require_no_trap(below)
    for left in reversed(range(_TRIES)):
        try:
            make_private(below)
            for level in _levels(directory, below):
                with suppress(FileExistsError):
                    level.mkdir(mode=_PRIVATE)
                require_own(level)
                reopen(level)
                _close(level)
            break
        except FileNotFoundError:  # another command has just removed a level that was empty
            if not left:
                raise
    return directory


def make_private(place: Path) -> None:
    """Create a directory and what is missing above it, new ones for this user alone; existing ones stay as they are.

    Raises:
        OSError: it cannot be created.
    """
    if not place.is_dir():
        make_private(place.parent)
        with suppress(FileExistsError):
            place.mkdir(mode=_PRIVATE)


def require_no_trap(place: Path) -> None:
    """Check that nothing on the way to a place is another user's, put where everybody can write.

    Raises:
        Refused: something is.
    """
    if not hasattr(os, "geteuid"):
        return
    trusted = _trusted()
    for parent, level in _way_to(place.absolute()):
        if parent.stat().st_mode & stat.S_IWOTH and level.lstat().st_uid not in trusted:
            why = f"everybody can write to {parent}, and what is there could lead elsewhere"
            raise Refused(f"{level} belongs to another user", why=why, hint="use another directory")


def require_trusted(directory: Path, below: Path) -> None:
    """Check that what is in a directory can only be this user's or the system's, from the place `below` on.

    Levels may be links, and readable for others; what is not there yet is nobody's.

    Raises:
        Refused: somebody else owns a level, or may write to it.
        OSError: it cannot be looked at.
    """
    require_no_trap(directory)
    if not hasattr(os, "geteuid"):
        return
    for level in (below, *_levels(directory, below)):
        try:
            found = level.stat()
        except FileNotFoundError:
            return
        hint = "have it removed if nobody needs it, or name another directory with PROVISION_CACHE"
        if found.st_uid not in _trusted():
            why = f"its owner, {_owner(level, found.st_uid)}, could decide what is run from there"
            raise Refused(f"{level} belongs to another user", why=why, hint=hint)
        by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())
        if (found.st_mode & stat.S_IWOTH or by_group) and _keeps_permissions(level.resolve()):
            why = f"its mode is {found.st_mode & 0o7777:o}, so that they could decide what is run from there"
            raise Refused(f"other users can write to {level}", why=why, hint=f"{hint}; `chmod go-w` closes it")


def _trusted() -> set[int]:
    """The users who may decide what this one runs: root, this user, and the one who uses `sudo`."""
    return {0, os.geteuid(), int(user) if (user := os.environ.get("SUDO_UID", "")).isdecimal() else 0}


def _way_to(place: Path) -> Iterator[tuple[Path, Path]]:
    """Each existing step of a path, as a directory and what is in it, also those that links on the way take."""
    for _ in range(_LINKS):
        for parent, level in pairwise(reversed((place, *place.parents))):
            if not os.path.lexists(level):
                return
            yield parent, level
            if level.is_symlink():
                place = parent / level.readlink() / place.relative_to(level)
                break
        else:
            return


def is_own(directory: Path, below: Path) -> bool:
    """Whether a directory is there, and each level of it below the place `below` is this user's alone.

    A level to which this user has no access is opened again: it is theirs.

    Raises:
        Refused: a level is a link, another user's, or writable for others.
        ProvisionError: it cannot be looked at.
    """
    try:
        for level in _levels(directory, below):
            if stat.S_ISREG(level.lstat().st_mode):  # nothing can be in it
                return False
            require_own(level)
            reopen(level)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # nothing of a user is where they may not look
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:  # links that lead to each other lead nowhere
            return False
        raise ProvisionError(f"cannot use {directory}", why=error.strerror or str(error)) from error
    return True


def require_own(level: Path) -> None:
    """Check one level, without looking at those above.

    Raises:
        Refused: it is a link, no directory, another user's, or writable for others.
        OSError: it is not there, or cannot be looked at.
    """
    found = level.lstat()
    hint = "have it removed if nobody needs it, or use another directory: PROVISION_HOME, or `storage`"
    if _is_link(found):
        raise Refused(f"{level} is a link", why="a directory of provision's may not lead elsewhere", hint=hint)
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"{level} is not a directory", hint=hint)
    if not hasattr(os, "geteuid"):  # Windows has other means, and no place that is like /tmp
        return
    if found.st_uid != os.geteuid():
        raise Refused(f"{level} belongs to another user", why=f"its owner is {_owner(level, found.st_uid)}", hint=hint)
    if found.st_mode & _WRITABLE_FOR_OTHERS and _keeps_permissions(level):
        hint = f"remove it, or, if nobody else has put anything there, `chmod 700 {level}`"
        raise Refused(f"other users can write to {level}", why=f"its mode is {found.st_mode & 0o7777:o}", hint=hint)


def reopen(directory: Path) -> None:
    """Give this user back the access to a directory of theirs, if somebody has taken it away (`chmod 000`)."""
    try:
        found = directory.lstat()
    except OSError:  # it is not there, or out of reach
        return
    if not hasattr(os, "geteuid") or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    if found.st_mode & _PRIVATE != _PRIVATE:
        with suppress(OSError):  # whoever needs it will tell
            directory.chmod(stat.S_IMODE(found.st_mode) | _PRIVATE)


def give(directory: Path, owner: tuple[int, int] | None = None) -> None:
    """Reserve an existing directory for one account: uid and gid, None for its present owner. No link is followed.

    Raises:
        Refused: it is a link, or no directory.
        OSError: it cannot be changed.
    """
    if _is_link(directory.lstat()):
        raise Refused(f"{directory} is a link", hint="remove the link, or use another directory")
    if not hasattr(os, "fchown"):
        return
    with _opened(directory) as descriptor:
        with suppress(PermissionError):  # some file systems have no permissions, as those of Windows and of cards
            os.fchmod(descriptor, _PRIVATE)
        if owner:
            os.fchown(descriptor, *owner)


def remove_tree(path: Path) -> None:
    """Remove what is there, if anything: a directory with all that is in it, a file, or a link but not its target.

    Directories of this user's that nobody may enter or change are removed too.

    Raises:
        OSError: something cannot be removed.
    """
    if not path.is_dir() or _is_link(path.lstat()):
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        reopen(path)
        for level, names, _ in os.walk(path):  # it enters each of them afterwards
            for name in names:
                reopen(Path(level, name))
        shutil.rmtree(path)


def _keeps_permissions(level: Path) -> bool:
    """Whether its file system has permissions that can be changed; without them all directories look alike."""
    with _opened(level) as descriptor, suppress(PermissionError):
        before = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, before & ~_WRITABLE_FOR_OTHERS)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != before:
            os.fchmod(descriptor, before)
            return True
    return False


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _levels(directory: Path, below: Path) -> Iterator[Path]:
    level = below
    for part in directory.relative_to(below).parts:
        level /= part
        yield level


def _close(level: Path) -> None:
    if stat.S_IMODE(level.lstat().st_mode) & 0o077:
        give(level)


def _is_link(found: os.stat_result) -> bool:
    reparse: int = getattr(found, "st_reparse_tag", 0)  # a junction on Windows
    return stat.S_ISLNK(found.st_mode) or reparse == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)


def _owner(level: Path, uid: int) -> str:
    try:
        return level.owner()
    except KeyError:
        return f"user {uid}"
