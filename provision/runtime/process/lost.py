"""What an environment's nodes tell of it when its own note, `environment.json`, is missing or damaged."""

from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from provision.catalogue.versions import KRAFT, ZOOKEEPER, KafkaVersion
from provision.cluster.model import LAUNCH_FILE, Role
from provision.common.clocks import now_s
from provision.common.notes import Note
from provision.runtime.directories import cluster_id_of, has_files
from provision.runtime.process.notes import NODE_FILE, EnvironmentNote, NodeNote, Storage, known


class _Launch(Note):
    storage: Storage


class Description(Struct, frozen=True):
    """What is known of an environment; empty where it is not. `unidentified` is why data have no `cluster_id`."""

    software: str = ""
    libs: str = ""
    version: str = ""
    mode: str = ""
    storage: str = ""
    cluster_id: str = ""
    unidentified: str = ""

    def as_note(self) -> EnvironmentNote | None:
        """The environment's note as it may have been; None if the nodes do not tell enough."""
        if not (self.mode and self.version and self.storage) or self.unidentified:
            return None
        return EnvironmentNote(
            software=self.software,
            libs=self.libs,
            version=self.version,
            mode=self.mode,
            storage=self.storage,
            created_s=now_s(),
            cluster_id=self.cluster_id,
        )


def described(nodes: list[Path], memory: Path) -> Description:
    """What an environment's nodes tell of it, for one whose `environment.json` is missing or damaged.

    Args:
        nodes: the nodes' directories.
        memory: where their data are with `storage: memory`.
    """
    notes = [note for node in nodes if (note := known(node / NODE_FILE, NodeNote))]
    newest = max(notes, key=lambda note: KafkaVersion.parse(note.version), default=None)
    launches = (known(node / "config" / LAUNCH_FILE, _Launch) for node in nodes)
    storage = next((launch.storage for launch in launches if launch), "")
    of_zookeeper = any(Role.parse(node.name)[0] is Role.ZOOKEEPER for node in nodes)
    cluster_id, unidentified = ("", "") if of_zookeeper else _identified(nodes, memory, storage)
    return Description(
        software=newest.software if newest else "",
        libs=next((after for word, after in pairwise(newest.arguments) if word == "-cp"), "") if newest else "",
        version=newest.version if newest else "",
        mode=(ZOOKEEPER if of_zookeeper else KRAFT) if nodes else "",
        storage=storage,
        cluster_id=cluster_id,
        unidentified=unidentified,
    )


def _identified(nodes: list[Path], memory: Path, storage: str) -> tuple[str, str]:
    """The id of the cluster in the nodes' data, and why there is none although there are data."""
    roots = [memory, *([Path(storage)] if Path(storage).is_absolute() else [])]
    places = [place for node in nodes for place in (node / "data", *(root / node.name / "data" for root in roots))]
    formatted = {place: cluster_id_of(place) for place in dict.fromkeys(places) if has_files(place)}
    ids = sorted(set(filter(None, formatted.values())))
    if len(ids) == 1:
        return ids[0], ""
    return "", "\n".join(
        f"{place} is of the cluster {found}" if found else f"{place}/meta.properties tells no cluster.id"
        for place, found in formatted.items()
    )
