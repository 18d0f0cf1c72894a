"""What exists of an environment: its nodes' directories, and the processes that carry their mark.

The directories say what there is and what it is called. Notes and files in them only describe it, and may be damaged.
"""

import os
import stat
from pathlib import Path

from provision.cluster.model import UNREADABLE, RenderedFile, Role, is_node_name
from provision.common.whole_files import is_draft, read_whole
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import SECRET_MODE
from provision.runtime.process import logs, processes
from provision.runtime.process.lost import Description
from provision.runtime.process.lost import described as described_by
from provision.runtime.process.notes import NODE_FILE, NodeNote, known, read_environment


def environment(home: Path, memory: Path, kind: str) -> ObservedEnvironment:
    """An environment.

    Args:
        home: its directory.
        memory: where its data are with `storage: memory`.
        kind: the kind of the runtime.

    Raises:
        OSError: the directory cannot be read.
    """
    storages = _nodes_in(home)
    nodes = [_node(directory) for directory in storages if is_there(directory)]
    note = read_environment(home)
    lost = Description() if note else described(home, memory)
    described_as = note or lost
    return ObservedEnvironment(
        name=home.name,
        runtime=kind,
        software=described_as.software,
        version=described_as.version,
        mode=described_as.mode,
        storage=described_as.storage,
        cluster_id=described_as.cluster_id,
        unidentified=lost.unidentified,
        network=note is not None,
        storages=frozenset(directory.name for directory in storages),
        nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.number))),
        created_s=note.created_s if note else None,
        ttl_s=note.ttl_s if note else None,
    )


def described(home: Path, memory: Path) -> Description:
    """What the nodes tell of their environment; arguments as for `environment`."""
    return described_by(_nodes_in(home), memory)


def _nodes_in(home: Path) -> list[Path]:
    return sorted(entry for entry in home.iterdir() if is_node_name(entry.name) and entry.is_dir())


def is_there(directory: Path) -> bool:
    """Whether there is a node and not only its data, even if its note is damaged."""
    return os.path.lexists(directory / NODE_FILE)


def _node(directory: Path) -> ObservedNode:
    note = known(directory / NODE_FILE, NodeNote)  # damaged or not, it can be stopped and removed
    if processes.find(directory):
        state = NodeState.RUNNING
    else:
        # Its output was opened before it started; its process was noted after that, if there was space.
        has_run = processes.was_started(directory) or (directory / "log" / logs.CONSOLE).exists()
        state = NodeState.EXITED if has_run else NodeState.CREATED
    return ObservedNode(
        name=directory.name,
        role=Role.parse(directory.name)[0],
        state=state,
        config_hash=note.config_hash if note else "",
        endpoint=note.endpoint if note else None,
        exit_code=processes.exit_code(directory) if state is NodeState.EXITED else None,
        version=note.version if note else "",
        software=note.software if note else "",
    )


def files_of_node(directory: Path) -> tuple[RenderedFile, ...]:
    """A node's configuration; none if its note is damaged, so that it is created again."""
    if is_there(directory) and known(directory / NODE_FILE, NodeNote) is None:
        return ()
    try:
        found = sorted(file for file in (directory / "config").iterdir() if not is_draft(file.name))
    except OSError:
        return ()
    return tuple(_read(directory.name, file) for file in found)


def _read(node: str, file: Path) -> RenderedFile:
    try:
        secret = stat.S_IMODE(file.lstat().st_mode) == SECRET_MODE
        return RenderedFile(node, file.name, read_whole(file), secret=secret)
    except OSError:
        return RenderedFile(node, file.name, UNREADABLE)
