"""The settings that a reassignment's throttle replaced, noted until they are restored: a command can die in between.

home/throttles/NAME/ID.json             for an environment's cluster with that id, each setting as it was before
home/external-throttles/NAME/ID.json    for a cluster at a file's `bootstrap_servers`
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from provision.common.notes import DamagedNote, Note, read_note
from provision.common.own_directories import is_own, make_own
from provision.common.whole_files import write_whole
from provision.errors import ProvisionError, Refused
from provision.home.usable import made
from provision.plan.throttle import RATES, THROTTLED_REPLICAS

_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
Settings = dict[tuple[str, str], dict[str, str | None]]
"""By kind and name (`("topic", "orders")`): each setting with its value, None where it is not set."""


_KNOWN = {
    "broker": (re.compile(r"[0-9]{1,9}"), frozenset(RATES)),
    "topic": (re.compile(r"[A-Za-z0-9._-]{1,249}"), THROTTLED_REPLICAS),
}
"""By kind: the names and the settings that a note may have. Restoring sets what is noted, so it is nothing else."""


class _Replaced(Note):
    kind: Literal["broker", "topic"]
    name: str
    settings: dict[str, str | None]

    @model_validator(mode="after")
    def _is_of_a_throttle(self) -> Self:
        names, settings = _KNOWN[self.kind]
        if not names.fullmatch(self.name) or not self.settings.keys() <= settings:
            raise ValueError(f"this is no throttle of a {self.kind}")
        return self


class _Noted(Note):
    before: list[_Replaced]


@dataclass(frozen=True, slots=True)
class ThrottleNote:
    """The notes of one environment, or of one external cluster's file, in a directory."""

    directory: Path

    @property
    def _home(self) -> Path:
        return self.directory.parent.parent

    def _file(self, cluster_id: str) -> Path:
        # The id comes from an untrusted cluster: it becomes a file name only in Kafka's format.
        name = cluster_id if _CLUSTER_ID.fullmatch(cluster_id) else hashlib.sha256(cluster_id.encode()).hexdigest()
        return self.directory / f"{name}.json"

    def read(self, cluster_id: str) -> Settings:
        """The settings to restore in that cluster.

        Raises:
            ProvisionError: the note is damaged.
        """
        file = self._file(cluster_id)
        is_own(self.directory, below=self._home)
        try:
            noted = read_note(file, _Noted)
        except DamagedNote as error:
            hint = "delete it, and remove the throttle with `provision tool … kafka-configs`"
            raise ProvisionError(f"{file} is damaged", why=str(error), hint=hint) from error
        return {(one.kind, one.name): dict(one.settings) for one in noted.before} if noted else {}

    def damaged(self) -> dict[str, str]:
        """The notes that cannot be read, by their paths, each with the reason."""
        found: dict[str, str] = {}
        for file in sorted(self.directory.glob("*.json")):
            try:
                read_note(file, _Noted)
            except DamagedNote as error:
                found[str(file)] = str(error)
        return found

    def topics(self, cluster_id: str) -> frozenset[str] | None:
        """The topics whose throttle must be removed in that cluster; None if there is no note."""
        noted = self.read(cluster_id)
        return frozenset(name for kind, name in noted if kind == "topic") if noted else None

    def write(self, cluster_id: str, before: Mapping[tuple[str, str], Mapping[str, str | None]]) -> None:
        """Note the present settings, before the throttle is set."""
        described = [{"kind": kind, "name": name, "settings": dict(old)} for (kind, name), old in before.items()]
        file = self._file(cluster_id)
        try:
            made(self._home)
            make_own(self.directory, below=self._home)
            write_whole(file, json.dumps({"before": described}, indent=2) + "\n")
        except OSError as error:
            raise ProvisionError(f"cannot write {file}", why=error.strerror or str(error)) from error

    def forget(self, cluster_id: str) -> None:
        """Delete the note: the settings are restored."""
        if is_own(self.directory, below=self._home):
            self._file(cluster_id).unlink(missing_ok=True)
        with suppress(OSError):  # another cluster of that name may still have one
            self.directory.rmdir()

    def forget_all(self) -> None:
        """Delete all notes: the environment is removed."""
        with suppress(Refused):  # another user's notes are none
            if is_own(self.directory, below=self._home):
                shutil.rmtree(self.directory, ignore_errors=True)
