"""The volumes of an engine in memory, behind the same calls as those of the Docker SDK."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from docker.errors import NotFound


class FakeVolumes:
    """Volumes and the engine's clock (Unix time), which a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0
        self.there: dict[str, dict[str, Any]] = {}
        self._one_at_a_time = threading.Lock()

    def _time(self) -> str:
        return datetime.fromtimestamp(self.now_s, UTC).isoformat().replace("+00:00", "Z")

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As the engine: the one that is there, if there is one."""
        with self._one_at_a_time:
            made = {"Name": name, "Labels": dict(labels) if labels else None, "CreatedAt": self._time()}
            return dict(self.there.setdefault(name, made))

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """What `volumes` lists."""
        with self._one_at_a_time:
            if name not in self.there:
                raise NotFound(f"get {name}: no such volume")
            return dict(self.there[name])

    def remove_volume(self, name: str) -> None:
        """Forget it."""
        with self._one_at_a_time:
            if self.there.pop(name, None) is None:
                raise NotFound(f"get {name}: no such volume")

    def volumes(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Those with all of the labels."""
        wanted = [label.partition("=") for label in (filters or {}).get("label", ())]
        with self._one_at_a_time:
            found = [
                dict(volume)
                for volume in self.there.values()
                if all(
                    key in (volume["Labels"] or {}) and (not equals or volume["Labels"][key] == text)
                    for key, equals, text in wanted
                )
            ]
        return {"Volumes": found or None}

    def info(self) -> dict[str, Any]:
        """The clock."""
        return {"SystemTime": self._time()}
