"""The topics that are being filled with the records of a file, noted from before they are created until they are full.

home/seeds/NAME/ID.json             for an environment's cluster with that id
home/external-seeds/NAME/ID.json    for a cluster at a file's `bootstrap_servers`

How far it came is not noted: the end offsets of the topic say it.
"""

from collections.abc import Mapping
from typing import ClassVar

from provision.common.notes import Note
from provision.home.cluster_notes import ClusterNotes


class Seeding(Note):
    """A topic that is not full yet: its partitions, and a hash of what is written to it."""

    partitions: int
    digest: str


class _Noted(Note):
    topics: dict[str, Seeding]


class SeedNotes(ClusterNotes, frozen=True):
    """The topics of one environment's clusters, or of those of one external cluster's file."""

    form: ClassVar[type[Note]] = _Noted
    damage_hint: ClassVar[str] = "delete it; a topic that was being filled keeps the records that it has"

    def read(self, cluster_id: str) -> dict[str, Seeding]:
        """The topics of that cluster that are not full.

        Raises:
            ProvisionError: the note is damaged.
        """
        noted = self._noted(cluster_id, _Noted)
        return dict(noted.topics) if noted else {}

    def begin(self, cluster_id: str, topics: Mapping[str, Seeding]) -> None:
        """Note topics before they are created."""
        self._replace(cluster_id, {**self.read(cluster_id), **topics})

    def end(self, cluster_id: str, *names: str) -> None:
        """Topics are full, or are not to be filled any more."""
        before = self.read(cluster_id)
        if before.keys() & set(names):
            self._replace(cluster_id, {name: one for name, one in before.items() if name not in names})

    def _replace(self, cluster_id: str, topics: Mapping[str, Seeding]) -> None:
        if topics:
            self._write(cluster_id, {"topics": {name: one.model_dump() for name, one in topics.items()}})
        else:
            self.forget(cluster_id)
