"""The home: what must outlive a command and belongs to no runtime, and what can be fetched again."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from provision.home.ports import PortLeases
from provision.home.throttles import ThrottleNote


@dataclass(frozen=True, slots=True)
class Home:
    """Two directories of this machine, which need not exist yet.

    `directory` keeps leases, notes, and the environments that run as processes; `cache` keeps Kafka's jars.
    """

    directory: Path
    cache: Path

    @classmethod
    def of_user(cls) -> "Home":
        """`PROVISION_HOME` and `PROVISION_CACHE`, else the platform's directories for a user's state and cache."""
        home, cache = os.environ.get("PROVISION_HOME"), os.environ.get("PROVISION_CACHE")
        return cls.at(
            Path(home) if home else platformdirs.user_state_path("provision", appauthor=False),
            Path(cache) if cache else None,
        )

    @classmethod
    def at(cls, directory: Path, cache: Path | None = None) -> "Home":
        """A home in that directory; without a `cache` with the user's own."""
        # Processes are found by this path: it must be the same, however it is named.
        kept = cache or platformdirs.user_cache_path("provision", appauthor=False)
        return cls(directory.resolve(), kept.absolute())

    @property
    def ports(self) -> PortLeases:
        """The leases of `port: auto`."""
        return PortLeases(self.directory)

    def throttle(self, environment: str) -> ThrottleNote:
        """The note of what an environment's reassignment has to restore."""
        return ThrottleNote(self.directory / "throttles" / environment)

    @property
    def environments(self) -> Path:
        """The environments that run as processes, each in a directory of its name."""
        return self.directory / "environments"

    def jars(self, version: object) -> Path:
        """The jars of a Kafka version."""
        return self.cache / "kafka" / str(version)
