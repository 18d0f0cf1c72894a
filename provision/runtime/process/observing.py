"""What exists of an environment: its nodes' directories, and the processes that carry their mark.

The directories say what there is and what it is called. Notes and files in them only describe it, and may be damaged.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from psutil import Process

from provision.cluster.model import UNREADABLE, RenderedFile, Role, is_node_name
from provision.common.whole_files import is_draft, read_whole
from provision.plan.about import About
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.base import SECRET_MODE
from provision.runtime.process import logs, processes
from provision.runtime.process.lost import Description
from provision.runtime.process.lost import described as described_by
from provision.runtime.process.notes import ABOUT_FILE, NODE_FILE, NodeNote, known, read_environment
from provision.runtime.process.places import Places


def environment(places: Places, name: str, kind: str) -> ObservedEnvironment:
    """An environment, identified by its directories and by the marks of its processes.

    Args:
        places: the directories of the home.
        name: the environment's name.
        kind: the kind of the runtime.

    Raises:
        OSError: a directory cannot be read.
    """
    home = places.environment(name)
    storages, running = places.storages(name), processes.marked(home)
    known_nodes = {node for node in storages if is_there(home / node)}
    lost = {node for node in running if is_node_name(node)} - known_nodes
    nodes = [*(_node(home / node, running) for node in known_nodes), *map(_lost, lost)]
    note = read_environment(home)
    found = Description() if note else described(places, name)
    described_as, about = note or found, known(home / ABOUT_FILE, About)
    return ObservedEnvironment(
        name=name,
        runtime=kind,
        software=described_as.software,
        version=described_as.version,
        mode=described_as.mode,
        storage=described_as.storage,
        cluster_id=described_as.cluster_id,
        unidentified=found.unidentified,
        network=note is not None,
        incomplete=not (note or storages) and places.has_rest(name),
        storages=storages,
        nodes=tuple(sorted(nodes, key=lambda node: (node.role, node.number))),
        in_the_way=places.in_the_way(name),
        created_s=note.created_s if note else None,
        ttl_s=about.ttl_s if about else note.ttl_s if note else None,
        about=about,
    )


def described(places: Places, name: str) -> Description:
    """What the nodes tell of their environment, without its note."""
    home = places.environment(name)
    return described_by([home / node for node in sorted(places.storages(name))], places.memory(name))


def is_there(directory: Path) -> bool:
    """Whether there is a node and not only its data, even if its note is damaged."""
    return os.path.lexists(directory / NODE_FILE)


def _lost(node: str) -> ObservedNode:
    return ObservedNode(node, Role.parse(node)[0], NodeState.LOST, config_hash="")


def _node(directory: Path, running: Mapping[str, Process]) -> ObservedNode:
    note = known(directory / NODE_FILE, NodeNote)  # damaged or not, it can be stopped and removed
    if process := processes.find(directory, running):
        state = NodeState.PAUSED if processes.is_paused(process) else NodeState.RUNNING
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
        up_s=processes.up_s(process) if process else None,
        ways_in=note.ways_in if note else {},
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
