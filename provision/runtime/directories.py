"""A user's directory as storage: `DIR/<node>/data`, with a marker that names its environment."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provision.cluster.identity import is_cluster_id
from provision.cluster.model import is_node_name
from provision.cluster.properties import read
from provision.common.whole_files import is_draft, read_whole, write_whole
from provision.errors import ProvisionError, Refused

MARKER = ".provision"
_LARGEST = 64 * 1024


def create(storage: Path, node: str, environment: str, owner: tuple[int, int] | None = None) -> Path:
    """Create the node's directory if it is missing; returns the one for data.

    Args:
        storage: the user's directory.
        node: the node's name.
        environment: its environment's.
        owner: uid and gid of the data directory, None for the caller's.

    Raises:
        Refused: the node's directory has files that are not of this environment.
        ProvisionError: it cannot be made.
    """
    directory = storage / node
    try:
        if directory.is_dir() and not _is_of(directory, environment) and any(map(_is_foreign, directory.iterdir())):
            raise Refused(f"{directory} has files that are not of this environment", hint="name another directory")
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / MARKER, environment)  # before the data: an interrupted creation can still be recognised
        data = directory / "data"
        data.mkdir(exist_ok=True)
        if owner:
            shutil.chown(data, *owner)
    except OSError as error:
        raise ProvisionError(f"cannot prepare {directory}", why=error.strerror or str(error)) from error
    return data


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


def cluster_id_in(storage: Path, environment: str) -> str:
    """The id with which that environment's storages there were formatted; empty if none was."""
    return next(filter(None, (cluster_id_of(node / "data") for node in _nodes(storage, environment))), "")


def cluster_id_of(data: Path) -> str:
    """The cluster's id in a node's data directory; empty if it is not formatted or `meta.properties` is damaged."""
    with suppress(OSError, UnicodeDecodeError):
        formatted = read(read_whole(data / "meta.properties", _LARGEST).decode()) or {}
        if is_cluster_id(formatted.get("cluster.id", "")):
            return formatted["cluster.id"]
    return ""


def delete(storage: Path, node: str, environment: str) -> None:
    """Delete the node's directory if it belongs to that environment, and the user's if nothing else is in it.

    Raises:
        ProvisionError: it cannot be deleted.
    """
    directory = storage / node
    if not _is_of(directory, environment):
        return
    try:
        if (directory / "data").is_dir():
            shutil.rmtree(directory / "data")
        shutil.rmtree(directory)  # the marker with it, last
    except OSError as error:
        raise ProvisionError(f"cannot delete {directory}", why=error.strerror or str(error)) from error
    with suppress(OSError):  # something else is in it, or another node's removal was the last
        storage.rmdir()


def _is_of(directory: Path, environment: str) -> bool:
    try:
        return read_whole(directory / MARKER, _LARGEST).strip() == environment.encode()
    except OSError:  # not even readable: not ours
        return False
