"""Format a node's storage without a JVM, where it is known what the release's own tool would write."""

from pathlib import Path

from provision.catalogue.versions import KafkaVersion, core_jar
from provision.cluster.formatted import BOOTSTRAP, formatted
from provision.cluster.model import MAIN_FILES, Role
from provision.common.whole_files import is_draft, write_whole
from provision.runtime.process import observing
from provision.runtime.process.notes import files_of, read_node


def write_formatted(directory: Path, data: Path, cluster_id: str) -> bool:
    """Format a node's empty data directory; False, and nothing is written, if that is left to the tool.

    Args:
        directory: the node's, with its note and its configuration.
        data: its data directory.
        cluster_id: the id of the cluster.
    """
    note, (role, number) = read_node(directory), Role.parse(directory.name)
    version = KafkaVersion.parse(note.version)
    own = Path(note.software, "libs", core_jar(version))  # of a named distribution
    if note.software != f"kafka {version}" and not own.is_file():
        return False
    files = observing.files_of_node(directory)
    (text,) = [file.text for file in files if file.name == MAIN_FILES[role]] or [""]
    with files_of(data):
        if not data.is_dir() or not all(_is_ours(entry.name) for entry in data.iterdir()):
            return False
        contents = formatted(version, role.id_of(number), cluster_id, text, data.as_posix())
        for file, content in (contents or {}).items():
            write_whole(data / file, content)
    return contents is not None


def _is_ours(name: str) -> bool:
    """Whether a command that was killed here may have left it; without `meta.properties` nothing is formatted."""
    return name == BOOTSTRAP or is_draft(name)
