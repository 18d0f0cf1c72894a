"""The directories of environments that run as processes: each is this user's alone before anything uses it.

That concerns the home, which others may be able to write to, and shared memory, where everybody can.
"""

import os
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import Struct

from provision.cluster.model import StorageKind, is_node_name
from provision.common.own_directories import is_own, make_own, remove_tree, reopen, require_own
from provision.common.whole_files import is_draft
from provision.errors import Refused
from provision.home.place import Home
from provision.runtime import directories
from provision.runtime.process import processes
from provision.runtime.process.layout import environment_directory, memory_directory, memory_place, memory_root
from provision.runtime.process.notes import ABOUT_FILE, ENVIRONMENT_FILE
from provision.spec.names import is_environment_name


class Places(Struct, frozen=True):
    """The directories of one home.

    All methods raise `Refused` for a directory in the home that is a link, another user's, or writable for others. What
    another user has put where data in memory would be is nobody's to remove, and counts as nothing until it is needed.
    """

    home: Home

    def environments(self) -> tuple[str, ...]:
        """The names of all environments that have a directory, data in memory, or a running node."""
        reopen(self.home.directory)
        there = is_own(self.home.environments, below=self.home.directory)
        places = [self.home.environments] if there else []
        if _is_ours(memory_root(self.home), memory_place(self.home)):
            places.append(memory_root(self.home))
        ours = (entry for place in places for entry in _entries(place) if _is_ours(entry, place))
        names = {entry.name for entry in ours if not _has_only_about(entry)}
        names |= {key.partition("/")[0] for key in processes.marked(self.home.environments)}
        return tuple(sorted(filter(is_environment_name, names)))

    def environment(self, name: str) -> Path:
        """The environment's directory, which need not exist."""
        reopen(self.home.directory)
        directory = environment_directory(self.home, name)
        is_own(directory, below=self.home.directory)
        return directory

    def with_about(self) -> tuple[str, ...]:
        """The names of the environments that know something of themselves, sorted."""
        if not is_own(self.home.environments, below=self.home.directory):
            return ()
        ours = (entry for entry in _entries(self.home.environments) if _is_ours(entry, self.home.environments))
        names = (entry.name for entry in ours if os.path.lexists(entry / ABOUT_FILE))
        return tuple(sorted(filter(is_environment_name, names)))

    def orphans(self) -> frozenset[tuple[Path, str]]:
        """Environments, by home and name, whose directories were deleted under all nodes of theirs that run.

        Those of another home are among them only if that is gone as a whole.
        """
        deleted: dict[Path, bool] = {}
        for node, process in processes.all_marked():
            if node.parent.parent.name == "environments":
                deleted[node.parent] = deleted.get(node.parent, True) and processes.is_orphan(process, node)
        return frozenset(
            (place.parents[1], place.name)
            for place, is_deleted in deleted.items()
            if is_deleted and (place.parents[1] == self.home.directory or not os.path.lexists(place.parents[1]))
        )

    def sizes(self) -> dict[str, int]:
        """The bytes of the files that each environment has in the home and in memory, as far as they can be read."""
        return {name: sum(map(_size, self.roots(name))) for name in self.environments()}

    def roots(self, name: str) -> tuple[Path, ...]:
        """The existing directories in which the environment's nodes have theirs: in the home, and in memory."""
        directory, memory = self.environment(name), memory_directory(self.home, name)
        there = [directory] if directory.is_dir() else []
        if memory != directory and _is_ours(memory, memory_place(self.home)):
            there.append(memory)
        return tuple(there)

    def storages(self, name: str) -> frozenset[str]:
        """The nodes that have a directory or data in memory."""
        entries = (entry for root in self.roots(name) for entry in _entries(root) if is_node_name(entry.name))
        found = [entry for entry in entries if entry.is_dir() or entry.is_symlink()]
        for entry in found:
            reopen(entry)
        return frozenset(entry.name for entry in found)

    def in_the_way(self, name: str) -> dict[str, tuple[str, str]]:
        """What stands in the place of nodes' directories, by node ("" for the environment's own), and what to do."""
        above = (self.home.environments, environment_directory(self.home, name))
        entries = (entry for root in self.roots(name) for entry in _entries(root) if is_node_name(entry.name))
        file = next(filter(_is_file, above), None)
        places = {"": file} if file else {entry.name: entry for entry in entries}
        found = {node: directories.in_the_way(partial(require_own, place)) for node, place in places.items()}
        return {node: told for node, told in found.items() if told}

    def memory(self, name: str) -> Path:
        """The environment's data in memory, which need not exist."""
        return memory_directory(self.home, name)

    def data(self, name: str, node: str, storage: str) -> Path:
        """The data directory of a node, which need not exist; `storage` is what the environment's note says."""
        if Path(storage).is_absolute():
            return directories.data_of(Path(storage), node)
        there = [root for root in self.roots(name) if directories.data_of(root, node).is_dir()]
        return directories.data_of(there[-1] if there else self.environment(name), node)

    def make(self, name: str, *parts: str) -> Path:
        """Create a directory of the environment."""
        return make_own(environment_directory(self.home, name).joinpath(*parts), below=self.home.directory)

    def make_data(self, name: str, node: str, storage: str) -> None:
        """Create the directory of a node's data; `storage` is a kind, or the user's directory."""
        match storage:
            case StorageKind.VOLUME:
                self.make(name, node, "data")
            case StorageKind.MEMORY:
                make_own(memory_directory(self.home, name) / node / "data", below=memory_place(self.home))
            case _:
                directories.create(Path(storage), node, name)

    def remove(self, name: str, node: str) -> None:
        """Remove a node's directories, the one that identifies it last, and what is empty then."""
        roots = self.roots(name)
        for root in reversed(roots):
            remove_tree(root / node)
        self.tidy(name)

    def has_rest(self, name: str) -> bool:
        """Whether a directory of the environment's is there with something else than what it knows of itself."""
        return not all(map(_has_only_about, self.roots(name)))

    def remove_rest(self, name: str) -> tuple[Path, ...]:
        """Once there are no nodes, remove notes, files and links that are left in the environment's directories.

        Returns:
            Directories that are nobody's to remove, because they are not provision's.
        """
        if not self.storages(name):
            for entry in (entry for root in self.roots(name) for entry in _entries(root)):
                if entry.name == ENVIRONMENT_FILE or entry.is_symlink() or not entry.is_dir():
                    remove_tree(entry)
        self.tidy(name)
        return () if self.storages(name) else tuple(entry for root in self.roots(name) for entry in _entries(root))

    def tidy(self, name: str) -> None:
        """Remove the environment's directories that are empty."""
        for root in reversed(self.roots(name)):
            remove_empty(root)
        if _is_ours(memory_root(self.home), memory_place(self.home)):
            remove_empty(memory_root(self.home))
        remove_empty(self.home.environments)


def _is_file(place: Path) -> bool:
    try:
        return stat.S_ISREG(place.lstat().st_mode)
    except OSError:
        return False


def remove_empty(place: Path) -> None:
    """Remove a directory unless something is in it, or it is gone, or not ours."""
    with suppress(OSError):
        place.rmdir()


def _entries(place: Path) -> tuple[Path, ...]:
    with suppress(FileNotFoundError):  # another command has just removed it
        return tuple(place.iterdir())
    return ()


def _has_only_about(directory: Path) -> bool:
    """Whether what the environment knows of itself is all that is there."""
    entries = _entries(directory)
    names = [entry.name for entry in entries]
    own = all(name == ABOUT_FILE or is_draft(name) for name in names)
    return ABOUT_FILE in names and own and not any(entry.is_dir() for entry in entries)


def _size(directory: Path) -> int:
    sizes = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                sizes += Path(place, name).lstat().st_size
    return sizes


def _is_ours(directory: Path, below: Path) -> bool:
    with suppress(Refused):
        return is_own(directory, below)
    return False
