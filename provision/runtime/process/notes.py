"""The process runtime's notes of an environment and its nodes, next to their files.

They may be damaged, or written by another version. What a note says is checked, but what exists, and under which name,
is taken from the directories alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from provision.catalogue.versions import KRAFT, ZOOKEEPER, version_of
from provision.cluster.identity import is_cluster_id
from provision.cluster.model import StorageKind
from provision.common.notes import DamagedNote, Endpoint, Note, Port, Seconds, read_note
from provision.common.own_directories import make_private
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError
from provision.home.usable import HINT

ENVIRONMENT_FILE, NODE_FILE, ABOUT_FILE = "environment.json", "node.json", "about.json"


def _version(text: str) -> str:
    if version_of(text) is None:
        raise ValueError("it is no version of Kafka")
    return text


def _mode(text: str) -> str:
    if text not in (ZOOKEEPER, KRAFT):
        raise ValueError("it is no mode of Kafka")
    return text


def _storage(text: str) -> str:
    if text not in (StorageKind.VOLUME, StorageKind.MEMORY) and not Path(text).is_absolute():
        raise ValueError("it is neither a kind of storage nor an absolute path")
    return text


def _cluster_id(text: str) -> str:
    if text and not is_cluster_id(text):
        raise ValueError("it is no id of a cluster")
    return text


Version = Annotated[str, AfterValidator(_version)]
Storage = Annotated[str, AfterValidator(_storage)]


class EnvironmentNote(Note):
    """`environment.json`: what must be known about an environment without its file."""

    software: str
    libs: str
    version: Version
    mode: Annotated[str, AfterValidator(_mode)]
    storage: Storage
    created_s: Seconds
    ttl_s: Seconds | None = None
    cluster_id: Annotated[str, AfterValidator(_cluster_id)] = ""

    def write(self, home: Path) -> None:
        """Write it into the environment's directory."""
        with files_of(home):
            make_private(home)
            write_whole(home / ENVIRONMENT_FILE, self.model_dump_json(indent=2))


class NodeNote(Note):
    """`node.json`: how a node is reached and started. Its `config_hash` is empty until its files are complete."""

    config_hash: str
    endpoint: Endpoint | None
    version: Version
    software: str = ""
    ports: tuple[Port, ...]
    arguments: tuple[str, ...]
    inside: Endpoint | None = None
    """Where other nodes find it, if that is another place."""
    listeners: str = ""
    """Its listeners for clients on this machine, if it has others than HOST, or is secured."""
    archive: str = ""
    """The kind of the archive that it may start with."""

    def write(self, directory: Path) -> None:
        """Write it into the node's directory."""
        write_whole(directory / NODE_FILE, self.model_dump_json(indent=2))


N = TypeVar("N")


def read_environment(home: Path) -> EnvironmentNote | None:
    """`environment.json`; None if it is missing or damaged, so that the environment can still be removed."""
    return known(home / ENVIRONMENT_FILE, EnvironmentNote)


def required_environment(home: Path) -> EnvironmentNote:
    """`environment.json`.

    Raises:
        ProvisionError: it is missing or damaged.
    """
    file = home / ENVIRONMENT_FILE
    try:
        note = read_note(file, EnvironmentNote)
    except DamagedNote as error:
        raise ProvisionError(f"{file} is damaged", why=str(error), hint=f"`provision up {home.name}`") from error
    if note is None:
        raise ProvisionError(f"there is no {file}", hint=f"`provision up {home.name}`")
    return note


def read_node(directory: Path) -> NodeNote:
    """`node.json`.

    Raises:
        ProvisionError: it is missing, or not what was written.
    """
    file = directory / NODE_FILE
    hint = f"`provision up {directory.parent.name}` writes it again"
    try:
        note = read_note(file, NodeNote)
    except DamagedNote as error:
        raise ProvisionError(f"{file} is damaged", why=str(error), hint=hint) from error
    if note is None:
        raise ProvisionError(f"there is no {file}", hint=hint)
    return note


def known(file: Path, kind: type[N]) -> N | None:
    """What a note says; None if it is missing or damaged."""
    with suppress(DamagedNote):
        return read_note(file, kind)
    return None


def damaged(home: Path, nodes: Sequence[Path]) -> dict[str, str]:
    """The notes of an environment and its nodes that cannot be read, by their paths, each with the reason.

    Args:
        home: the environment's directory.
        nodes: the directories of its nodes.
    """
    found: dict[str, str] = {}
    kinds: dict[Path, type[Note]] = {home / ENVIRONMENT_FILE: EnvironmentNote}
    kinds |= {node / NODE_FILE: NodeNote for node in nodes}
    for file, kind in kinds.items():
        try:
            if read_note(file, kind) is None and nodes and kind is EnvironmentNote:
                found[str(file)] = "it is not there"
        except DamagedNote as error:
            found[str(file)] = str(error)
    return found


@contextmanager
def files_of(directory: Path) -> Iterator[None]:
    """Translate the system's file errors into ours.

    Raises:
        ProvisionError: something there cannot be read, written or removed.
    """
    try:
        yield
    except OSError as error:
        hints = {IsADirectoryError: "move it away", PermissionError: HINT}
        hint = next((hints[kind] for kind in hints if isinstance(error, kind)), "")
        place = error.filename2 or error.filename or directory
        raise ProvisionError(f"cannot use {place}", why=error.strerror or str(error), hint=hint) from error
