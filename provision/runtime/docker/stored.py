"""What a node's volume contains, read through its container, or through a temporary one that is never started."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound
from docker.utils import version_gte

from provision.cluster.layout import NODE_HOME
from provision.cluster.model import Cluster, Node, RenderedFile, Role
from provision.errors import StorageLost, Unavailable
from provision.plan.stored import (
    CHUNK,
    FIRST_METADATA,
    META_FILE,
    ZOOKEEPER_LOG,
    StoredData,
    clusters_noted,
    is_used,
    meta_in,
    shows_use,
)
from provision.runtime import directories
from provision.runtime.docker import abouts, ending, found, locks, notes
from provision.runtime.docker import containers as spec
from provision.runtime.docker.labels import checked
from provision.runtime.docker.layouts import size_of

DATA = f"{NODE_HOME}/data"
_LARGEST = 64 * 1024
_COPIES_APART = "1.43"
"""The API of Docker 24, the first that mounts a container's volumes in a place of their own to copy from them."""


def read(api: Any, container: str, name: str, node: str) -> StoredData | None:  # noqa: ANN401 the SDK's client has no types
    """What a node's storage contains; None if that cannot be read.

    Args:
        api: the engine.
        container: the node's; empty if there is none.
        name: the environment.
        node: the node.

    Raises:
        StorageLost: somebody has removed the volume's directory.
    """
    try:
        if in_directory := _directory_of(api, name, node):
            data, files = directories.data_of(in_directory, node), directories.kept_files(in_directory, node)
            if found_there := directories.stored_in(data, node, files):
                return found_there
        with safe(api, container, name, node) as read_from:
            return stored_in(api, read_from, name, node)
    except (NotFound, tarfile.TarError):  # it is gone, or just being written to
        return None
    except APIError as error:
        require_directory(error, name, node)
        raise


def require_directory(error: APIError, name: str, node: str) -> None:
    """Tell an error of the engine from that of a volume whose directory is gone.

    Raises:
        StorageLost: it is.
    """
    if "mount source" in str(error.explanation):
        volume = spec.name_of(name, node)
        raise StorageLost(
            f"the volume {volume} has lost its directory on the engine's machine, and its data with it",
            why=str(error.explanation),
            hint=f"`docker rm {volume}` and `docker volume rm {volume}`; then `provision up` creates both anew",
        ) from error


def _directory_of(api: Any, name: str, node: str) -> Path | None:  # noqa: ANN401 as above
    """The user's directory with the node's data, according to its volume; None if they are in the volume itself.

    Raises:
        NotFound: there is no volume; or another command is removing those of the environment, which a reader would
            only hinder.
    """
    listed = api.volumes(filters={"label": [f"{spec.ENVIRONMENT}={name}"]})["Volumes"] or ()
    volume = next((one for one in listed if one["Name"] == spec.name_of(name, node)), None)
    if volume is None or not found.is_storage(volume, name, node):
        raise NotFound(f"there is no storage of {node}")
    about = abouts.among(listed, name)
    if about and about.removing and locks.is_held_elsewhere(notes.among(listed)):
        raise NotFound(f"another command is removing the storages of {name}")
    storage = checked(volume)["Labels"].get(spec.STORAGE, "")
    return Path(storage) if Path(storage).is_absolute() else None


def create_directory(api: Any, cluster: Cluster, node: Node) -> None:  # noqa: ANN401 as above
    """Create the user's directory for a node's data, for the node's account.

    Raises:
        Unavailable: the engine is on another machine.
    """
    if not str(api.base_url).startswith(("http+docker", "npipe")):
        what = "a storage directory needs an engine on this machine; this one is reached by network"
        raise Unavailable(what, hint="use `storage: volume`")
    user, _, group = spec.user_of(cluster, node).partition(":")
    directories.create(Path(cluster.storage.directory), node.name, cluster.name, (int(user), int(group)))


@contextmanager
def safe(api: Any, container: str, name: str, node: str) -> Iterator[str]:  # noqa: ANN401 as above
    """The container to read a node's volume through: the node's, if there is one from which that is safe.

    To copy from a container, an engine before Docker 24 mounts its volumes below the very directory that it deletes if
    somebody removes the container meanwhile, and then deletes what is in them. So there, a reader is asked.

    Raises:
        NotFound: as `reader`; or the node's own container is gone at the end.
    """
    if container and version_gte(api.api_version, _COPIES_APART):
        with _told_if_gone(api, container):
            yield container
        if ending.is_going(api, container):
            raise NotFound("another command has removed what was read")
    else:
        with reader(api, name, node) as temporary:
            yield temporary


@contextmanager
def _told_if_gone(api: Any, container: str) -> Iterator[None]:  # noqa: ANN401 as above
    """Whatever an engine says while somebody removes the container from which is read: it cannot be read.

    Raises:
        NotFound: that is why there was an error.
    """
    try:
        yield
    except APIError as error:
        if ending.is_going(api, container):
            raise NotFound("another command is removing what reads the storage") from error
        raise


@contextmanager
def reader(api: Any, name: str, node: str) -> Iterator[str]:  # noqa: ANN401 as above
    """A container that is not started, with what the node has stored; any image will do, for nothing of it runs.

    What it reads is mounted read-only, so that nothing of it can be deleted with the container (see `safe`).
    A command that removes the volume removes the container too: what was read may be incomplete then.

    Raises:
        NotFound: the volume is gone, or the engine has no image; or the container or the volume is gone at the end.
    """
    identity = _created(api, name, node)
    try:
        with _told_if_gone(api, identity):
            yield identity
    except BaseException:
        with suppress(APIError):
            _end(api, identity, name, node)
        raise
    _end(api, identity, name, node)


def _created(api: Any, name: str, node: str) -> str:  # noqa: ANN401 as above
    """The container that reads.

    Raises:
        NotFound: there is nothing to read, or no image; or what was to be read has gone before it was mounted.
    """
    directory = _directory_of(api, name, node)  # that fails without a volume, which the engine would create
    images = api.images(quiet=True)
    if not images:
        raise NotFound("the engine has no image")
    labels = {spec.ENVIRONMENT: name, spec.ROLE: spec.TOOL_ROLE}
    described = labels | {spec.READER: "true"} | spec.process_label()
    container = {"image": images[0], "entrypoint": ["true"], "command": [], "labels": described}
    mounts = spec.mounts_to_read(name, node, labels, directory)
    host = {"mounts": mounts, "network_mode": "none", "read_only": True}
    try:
        return str(api.create_container(**container, host_config=api.create_host_config(**host))["Id"])
    except APIError as error:
        if spec.mounts_to_read(name, node, labels, _directory_of(api, name, node)) != mounts:
            raise NotFound("the storage has just been removed") from error
        raise


def _end(api: Any, reader: str, name: str, node: str) -> None:  # noqa: ANN401 as above
    """Remove what reads, and what the engine may have created for it.

    Raises:
        NotFound: somebody has removed it, or the volume before it was mounted: what was read is not the node's.
    """
    try:
        api.remove_container(reader, force=True, v=True)
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        raise NotFound("another command is removing what reads the storage") from error
    finally:
        strays = remove_strays(api, name)
    if spec.name_of(name, node) in strays:
        raise NotFound("the storage was removed before it could be read")


def remove_strays(api: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401 as above
    """Remove the volumes that the engine created for a reader, because somebody removed the node's at that moment.

    They were never a node's: see `volumes.create`. Returns their names, also of those that are still used.
    """
    label = [f"{spec.ENVIRONMENT}={name}", f"{spec.ROLE}={spec.TOOL_ROLE}"]
    strays = tuple(volume["Name"] for volume in api.volumes(filters={"label": label})["Volumes"] or ())
    for stray in strays:
        with suppress(APIError):  # another reader uses it, and removes it in its turn
            api.remove_volume(stray)
    return strays


def files_of(api: Any, container: str, node: str) -> tuple[RenderedFile, ...]:  # noqa: ANN401 as above
    """The node's configuration files; empty if there are none."""
    try:
        stream, _ = api.get_archive(container, f"{NODE_HOME}/config")
    except NotFound:
        return ()
    return spec.files_in_archive(node, stream)


def stored_in(api: Any, container: str, name: str, node: str) -> StoredData:  # noqa: ANN401 as above
    """What the node's data directory contains."""
    meta = _meta(api, container)
    place = f"volume {spec.name_of(name, node)}, {DATA}{f'/{META_FILE}' if meta else ''}"
    used = is_used(meta) or _is_used(api, container)
    noted = _ensemble_of(api, container) if node.startswith(Role.ZOOKEEPER) else frozenset()
    return StoredData(node, place, meta, used, files_of(api, container, node), noted)


def _ensemble_of(api: Any, container: str) -> frozenset[str]:  # noqa: ANN401 as above
    """What a ZooKeeper node has noted."""
    try:
        stream, _ = api.get_archive(container, f"{DATA}/{ZOOKEEPER_LOG}", chunk_size=CHUNK)
    except NotFound:
        return frozenset()
    return frozenset(clusters_noted(stream))


def _meta(api: Any, container: str) -> dict[str, str]:  # noqa: ANN401 as above
    try:
        stream, _ = api.get_archive(container, f"{DATA}/{META_FILE}")
    except NotFound:
        return {}
    content = first_file(stream, _LARGEST)
    return meta_in(content) if content else {}


def first_file(stream: Iterator[bytes], limit: int) -> bytes:
    """The content of the first entry of a tar file; empty if that is no file, or is larger than `limit` bytes."""
    try:
        with tarfile.open(fileobj=_Chunks(stream), mode="r|") as tar:
            first = tar.next()
            content = tar.extractfile(first) if first and first.isreg() and first.size <= limit else None
            return content.read() if content else b""
    except tarfile.TarError:
        return b""


def _is_used(api: Any, container: str) -> bool:  # noqa: ANN401 as above
    """Read only as much as is needed: the engine sends the content of all files along with their names."""
    if size_of(api, container, f"{DATA}/{FIRST_METADATA}"):  # it comes after an index of 10 MB
        return True
    try:
        stream, _ = api.get_archive(container, DATA)
    except NotFound:
        return False
    with tarfile.open(fileobj=_Chunks(stream), mode="r|") as tar:
        for member in tar:
            path = member.name.partition("/")[2]  # the first part is the directory itself
            if shows_use(path, member.size, is_directory=member.isdir()):
                return True
    return False


def names_in(api: Any, container: str, directory: str) -> Iterator[str]:  # noqa: ANN401 as above
    """What a directory of a container contains, as paths below it.

    Raises:
        NotFound: there is no such directory.
        TarError: it is just being written to.
    """
    stream, _ = api.get_archive(container, directory)
    with tarfile.open(fileobj=_Chunks(stream), mode="r|") as tar:
        for member in tar:
            if name := member.name.partition("/")[2]:
                yield name


class _Chunks(io.RawIOBase):
    """A stream of chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._rest += chunk
        taken, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return taken
