"""The settings that a reassignment's throttle replaced, noted until they are restored: a command can die in between.

home/throttles/NAME/ID.json             for an environment's cluster with that id, each setting as it was before
home/external-throttles/NAME/ID.json    for a cluster at a file's `bootstrap_servers`
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from provision.common.notes import Note
from provision.home.cluster_notes import ClusterNotes
from provision.plan.throttle import RATES, THROTTLED_REPLICAS

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


class ThrottleNote(ClusterNotes, frozen=True):
    """The replaced settings of one environment's clusters, or of those of one external cluster's file."""

    form: ClassVar[type[Note]] = _Noted
    damage_hint: ClassVar[str] = "delete it, and remove the throttle with `provision tool … kafka-configs`"

    def read(self, cluster_id: str) -> Settings:
        """The settings to restore in that cluster.

        Raises:
            ProvisionError: the note is damaged.
        """
        noted = self._noted(cluster_id, _Noted)
        return {(one.kind, one.name): dict(one.settings) for one in noted.before} if noted else {}

    def topics(self, cluster_id: str) -> frozenset[str] | None:
        """The topics whose throttle must be removed in that cluster; None if there is no note."""
        noted = self.read(cluster_id)
        return frozenset(name for kind, name in noted if kind == "topic") if noted else None

    def write(self, cluster_id: str, before: Mapping[tuple[str, str], Mapping[str, str | None]]) -> None:
        """Note the present settings, before the throttle is set."""
        described = [{"kind": kind, "name": name, "settings": dict(old)} for (kind, name), old in before.items()]
        self._write(cluster_id, {"before": described})
