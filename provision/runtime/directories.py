"""A user's directory as storage: `DIR/<node>/data`, with a marker that names its environment."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from provision.cluster.model import RenderedFile, Role, is_node_name
from provision.common.own_directories import give, make_own, remove_tree, require_no_trap, require_own
from provision.common.whole_files import is_draft, read_whole, write_whole
from provision.errors import ProvisionError, Refused
from provision.plan.stored import (
    CHUNK,
    LOGS,
    META_FILE,
    ZOOKEEPER_LOG,
    StoredData,
    clusters_noted,
    is_used,
    meta_in,
    shows_use,
)
from provision.spec.names import is_environment_name

MARKER = ".provision"
_DELETED = f"{MARKER}-deleted"
"""How the name of a node's directory ends from the moment on at which it is deleted: it is there as a whole, or not."""
_LARGEST = 64 * 1024
_ELSEWHERE = "name another directory"


def create(storage: Path, node: str, environment: str, owner: tuple[int, int] | None = None) -> Path:
    """Create the node's directory if it is missing, for nobody else to read; returns the one for data.

    Args:
        storage: the user's directory.
        node: the node's name.
        environment: its environment's.
        owner: uid and gid of the data directory, None for the caller's.

    Raises:
        Refused: the node's directory has files that are not of this environment, or it is not the caller's alone.
        ProvisionError: it cannot be made.
    """
    directory, data = storage / node, storage / node / "data"
    try:
        require_usable(storage, node, environment)
        delete(storage, node, environment, data=False)
        make_own(directory, below=storage)
        try:
            write_whole(directory / MARKER, environment)  # before the data: an interrupted creation can be recognised
        except OSError:
            with suppress(OSError):  # it is not empty: it was there before
                directory.rmdir()  # without its marker, nobody would ever do that
            raise
        with suppress(FileExistsError):
            data.mkdir()
        give(data, owner)
    except OSError as error:
        raise ProvisionError(f"cannot prepare {directory}", why=error.strerror or str(error)) from error
    return data


def in_the_way(require: Callable[[], None]) -> tuple[str, str] | None:
    """What a check of a node's directory says of it, and what to do; None if it says nothing."""
    try:
        require()
    except Refused as refused:
        return (f"{refused.what}: {refused.why}" if refused.why else refused.what), refused.hint
    except OSError as error:
        return f"{error.filename} cannot be used: {error.strerror or error}", _ELSEWHERE
    return None


def require_usable(storage: Path, node: str, environment: str) -> None:
    """Check that a node's directory can be made, or is empty or of that environment; nothing is changed.

    Raises:
        Refused: it has files of somebody else's; it, or a part of it, is a link or no directory; it, or what is on the
            way to it, is not the caller's alone.
        OSError: it cannot be looked at, or not be made.
    """
    require_no_trap(storage)
    directory = storage / node
    if not os.path.lexists(directory):
        above = next(level for level in directory.parents if level.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(above))
        return
    require_own(directory)
    if not _is_of(directory, environment) and any(map(_is_foreign, directory.iterdir())):
        raise Refused(f"{directory} has files that are not of this environment", hint=_ELSEWHERE)
    with suppress(FileNotFoundError):  # what is in it may belong to the node's own account
        data = data_of(storage, node)
        if not stat.S_ISDIR(data.lstat().st_mode):
            how = "a link" if data.is_symlink() else "not a directory"
            raise Refused(f"{data} is {how}", hint=f"remove it, or {_ELSEWHERE}")
    with suppress(FileNotFoundError):
        require_own(_config_of(storage, node))


def require_no_links(storage: Path, node: str) -> None:
    """Check before a node starts that its directories have not been replaced by links; they may be missing.

    Raises:
        Refused: one is a link.
    """
    for level in (storage / node, storage / node / "data"):
        with suppress(PermissionError):  # what this user cannot look into, nobody else has changed
            if level.is_symlink():
                raise Refused(f"{level} is a link", hint="remove the link, or use another directory")


def _is_foreign(entry: Path) -> bool:
    """Whether it is neither a draft of a marker nor an empty one, left by a command that was killed or had no space."""
    if entry.name == MARKER:
        return not entry.is_file() or entry.stat().st_size > 0
    return not (entry.name.startswith(MARKER) and is_draft(entry.name))


def has_data(storage: Path, environment: str) -> bool:
    """Whether a node of that environment has data there."""
    return any(_nodes(storage, environment))


def nodes_with_data(storage: Path, environment: str) -> frozenset[str]:
    """The nodes of that environment whose data directory is not empty."""
    return frozenset(node.name for node in _nodes(storage, environment) if has_files(node / "data"))


def _nodes(storage: Path, environment: str) -> Iterator[Path]:
    """The directories of that environment's nodes.

    Raises:
        ProvisionError: the user's directory cannot be read.
    """
    try:
        entries = sorted(storage.iterdir()) if storage.is_dir() else []
    except OSError as error:
        raise ProvisionError(f"cannot read {storage}", why=error.strerror or str(error)) from error
    yield from (entry for entry in entries if is_node_name(entry.name) and _is_of(entry, environment))


def has_files(directory: Path) -> bool:
    """Whether a directory has anything in it, as far as this user may see."""
    try:
        return any(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # not readable by this user, so it may have files
        return True


def data_of(storage: Path, node: str) -> Path:
    """The data directory of a node."""
    return storage / node / "data"


def _config_of(storage: Path, node: str) -> Path:
    """Where the configuration that the data were last used with is kept."""
    return storage / node / "config"


def keep_files(storage: Path, node: str, files: Sequence[RenderedFile]) -> None:
    """Store a node's configuration with its data, which may outlive everything else; secrets are left out.

    Raises:
        ProvisionError: it cannot be written.
    """
    config = _config_of(storage, node)
    try:
        make_own(config, below=storage)
        for file in files:
            if not file.secret:
                write_whole(config / file.name, file.content)
    except OSError as error:
        raise ProvisionError(f"cannot write to {config}", why=error.strerror or str(error)) from error


def kept_files(storage: Path, node: str) -> tuple[RenderedFile, ...]:
    """The configuration that is stored with a node's data; empty if there is none."""
    config = _config_of(storage, node)
    try:
        files = sorted(file for file in config.iterdir() if not is_draft(file.name))
        return tuple(RenderedFile(node, file.name, read_whole(file)) for file in files)
    except OSError:
        return ()


def stored_in(data: Path, node: str, files: Sequence[RenderedFile] = ()) -> StoredData | None:
    """What a node's data directory contains; None if it cannot be read.

    Args:
        data: the directory; if there is none, nothing is stored.
        node: the node's name.
        files: the configuration that it was last used with.
    """
    try:
        entries = dict(_entries(data)) if data.exists() else {}
        meta = meta_in(read_whole(data / META_FILE, _LARGEST)) if META_FILE in entries else {}
    except OSError:
        return None
    used = is_used(meta) or any(
        shows_use(path, found.st_size, is_directory=stat.S_ISDIR(found.st_mode)) for path, found in entries.items()
    )
    place = str(data / META_FILE if META_FILE in entries else data)
    return StoredData(node, place, meta, used, tuple(files), _ensemble_of(data, node))


def _ensemble_of(data: Path, node: str) -> frozenset[str]:
    """What a ZooKeeper node has noted; nothing where a file cannot be read, or has just gone."""
    found: set[str] = set()
    if node.startswith(Role.ZOOKEEPER):
        for file in (data / ZOOKEEPER_LOG).glob("*"):
            with suppress(OSError), file.open("rb") as opened:
                found.update(clusters_noted(iter(partial(opened.read, CHUNK), b"")))
    return frozenset(found)


def _entries(data: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files and directories in it by path; the content only of those that show whether it was used."""
    for entry in data.iterdir():
        yield entry.name, entry.stat()
        if entry.name in LOGS and entry.is_dir():
            yield from ((f"{entry.name}/{below.name}", below.stat()) for below in entry.iterdir())


def environments_in(storage: Path) -> frozenset[str]:
    """The environments whose nodes have directories there, as far as this user can see."""
    with suppress(OSError):
        return frozenset(filter(None, map(_marked_for, storage.iterdir())))
    return frozenset()


def environment_around(storage: Path) -> str:
    """The environment in whose node's directory that directory is, or would be; empty if it is in none."""
    return next(filter(None, map(_marked_for, (storage, *storage.parents))), "")


def cluster_id_in(storage: Path, environment: str) -> str:
    """The id with which that environment's storages there were formatted; empty if none was."""
    return next(filter(None, (cluster_id_of(node / "data") for node in _nodes(storage, environment))), "")


def cluster_id_of(data: Path) -> str:
    """The cluster's id in a node's data directory; empty if it is not formatted or `meta.properties` is damaged."""
    with suppress(OSError):
        return StoredData("", "", meta_in(read_whole(data / META_FILE, _LARGEST))).cluster_id
    return ""


def delete(storage: Path, node: str, environment: str, *, data: bool = True) -> None:
    """Delete the node's directory if it belongs to that environment, and the user's if nothing else is in it.

    Without `data`, only what is left of one whose deletion was cut off.

    Raises:
        ProvisionError: it cannot be deleted.
    """
    directory, deleted = storage / node, _deleted(storage, node)
    with _deleting(directory):
        if os.path.lexists(deleted):
            remove_tree(deleted)
        if data and _is_of(directory, environment):
            directory.rename(deleted)
            remove_tree(deleted)
    with suppress(OSError):  # something else is in it, or another node's removal was the last
        storage.rmdir()


def _deleted(storage: Path, node: str) -> Path:
    return storage / f"{node}{_DELETED}"


@contextmanager
def _deleting(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProvisionError(f"cannot delete {directory}", why=error.strerror or str(error)) from error


def _is_of(directory: Path, environment: str) -> bool:
    return _marked_for(directory) == environment


def _marked_for(directory: Path) -> str:
    """The environment in the marker of a node's directory; empty without one, or if it is another user's."""
    try:
        require_own(directory)
        name = read_whole(directory / MARKER, _LARGEST).decode().strip()
        return name if is_environment_name(name) else ""
    except (OSError, UnicodeDecodeError, Refused):
        return ""
