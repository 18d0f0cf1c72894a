"""Notes about one cluster of an environment, each kept until something is done: a command can die in between.

home/KIND/NAME/ID.json    for the cluster with that id of the environment NAME
"""

import hashlib
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from provision.common.notes import DamagedNote, Note, read_note
from provision.common.own_directories import is_own, make_own
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError, Refused
from provision.home.usable import made

_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
N = TypeVar("N", bound=Note)


class ClusterNotes(Struct, frozen=True):
    """The notes of one environment, or of one external cluster's file, in a directory."""

    directory: Path
    form: ClassVar[type[Note]]
    damage_hint: ClassVar[str]

    @property
    def _home(self) -> Path:
        return self.directory.parent.parent

    def _file(self, cluster_id: str) -> Path:
        # The id comes from an untrusted cluster: it becomes a file name only in Kafka's format.
        name = cluster_id if _CLUSTER_ID.fullmatch(cluster_id) else hashlib.sha256(cluster_id.encode()).hexdigest()
        return self.directory / f"{name}.json"

    def _noted(self, cluster_id: str, form: type[N]) -> N | None:
        file = self._file(cluster_id)
        is_own(self.directory, below=self._home)
        try:
            return read_note(file, form)
        except DamagedNote as error:
            raise ProvisionError(f"{file} is damaged", why=str(error), hint=self.damage_hint) from error

    def damaged(self) -> dict[str, str]:
        """The notes that cannot be read, by their paths, each with the reason."""
        found: dict[str, str] = {}
        for file in sorted(self.directory.glob("*.json")):
            try:
                read_note(file, self.form)
            except DamagedNote as error:
                found[str(file)] = str(error)
        return found

    def _write(self, cluster_id: str, content: Any) -> None:  # noqa: ANN401 any JSON
        file = self._file(cluster_id)
        try:
            made(self._home)
            make_own(self.directory, below=self._home)
            write_whole(file, json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise ProvisionError(f"cannot write {file}", why=error.strerror or str(error)) from error

    def forget(self, cluster_id: str) -> None:
        """Delete the note: what it was for is done."""
        if is_own(self.directory, below=self._home):
            self._file(cluster_id).unlink(missing_ok=True)
        with suppress(OSError):  # another cluster of that name may still have one
            self.directory.rmdir()

    def forget_all(self) -> None:
        """Delete all notes: the environment is removed."""
        with suppress(Refused):  # another user's notes are none
            if is_own(self.directory, below=self._home):
                shutil.rmtree(self.directory, ignore_errors=True)
