"""The home: state that must outlive a command and belongs to no runtime, and a cache."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from provision.common.own_directories import require_no_trap
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
    def of(cls, place: "Home | Path | str | None") -> "Home":
        """A home as it is, in a directory, or, with None, the user's own."""
        if isinstance(place, Home):
            return place
        return cls.of_user() if place is None else cls.at(Path(place))

    @classmethod
    def of_user(cls) -> "Home":
        """`PROVISION_HOME`, else the platform's directory for a user's state."""
        home = os.environ.get("PROVISION_HOME")
        return cls.at(Path(home) if home else platformdirs.user_state_path("provision", appauthor=False))

    @classmethod
    def at(cls, directory: Path, cache: Path | None = None) -> "Home":
        """A home in that directory; without a `cache`, with `PROVISION_CACHE`, else the platform's directory.

        Raises:
            Refused: the directory, or something on the way to it, is another user's, put where everybody can write.
        """
        require_no_trap(directory)
        named = os.environ.get("PROVISION_CACHE")
        kept = cache or (Path(named) if named else platformdirs.user_cache_path("provision", appauthor=False))
        # Processes are found by this path, so it must be resolved.
        return cls(Path(os.path.realpath(directory)), kept.absolute())

    @property
    def ports(self) -> PortLeases:
        """The leases of `port: auto`."""
        return PortLeases(self.directory)

    def throttle(self, environment: str) -> ThrottleNote:
        """The note of settings to restore after a throttled reassignment in an environment."""
        return ThrottleNote(self.directory / "throttles" / environment)

    @property
    def environments(self) -> Path:
        """The environments that run as processes, each in a directory of its name."""
        return self.directory / "environments"

    def jars(self, version: object) -> Path:
        """The jars of a Kafka version."""
        return self.cache / "kafka" / str(version)
