"""The home: state that must outlive a command and belongs to no runtime, and a cache."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs
from msgspec import Struct

from provision.common.arguments import path
from provision.common.own_directories import is_own, require_no_trap
from provision.errors import Unavailable
from provision.home.cluster_notes import ClusterNotes
from provision.home.ports import PortLeases
from provision.home.seeds import SeedNotes
from provision.home.throttles import ThrottleNote
from provision.home.trainers import Trainers
from provision.home.usable import require_path
from provision.security.store import SecretStore


class Home(Struct, frozen=True):
    """Two directories of this machine, which need not exist yet.

    `directory` keeps leases, notes, and the environments that run as processes; `cache` keeps Kafka's jars.
    """

    directory: Path
    cache: Path

    @classmethod
    def of(cls, place: "Place") -> "Home":
        """A home as it is, in a directory, or, with None, the user's own.

        Raises:
            UsageError: it is something else.
        """
        if isinstance(place, Home):
            return place
        return cls.of_user() if place is None else cls.at(path(place, "a home").absolute())

    @classmethod
    def of_user(cls) -> "Home":
        """`PROVISION_HOME`, else the platform's directory for a user's state."""
        home = os.environ.get("PROVISION_HOME")
        return cls.at(Path(home).absolute() if home else _of_platform(platformdirs.user_state_path))

    @classmethod
    def at(cls, directory: Path, cache: Path | None = None) -> "Home":
        """A home in that directory; without a `cache`, with `PROVISION_CACHE`, else the platform's directory.

        Raises:
            Refused: the directory, or something on the way to it, is another user's, put where everybody can write.
        """
        require_no_trap(directory)
        named = os.environ.get("PROVISION_CACHE")
        kept = cache or (Path(named) if named else None)
        return cls(_resolved(directory), kept.absolute() if kept else _of_platform(platformdirs.user_cache_path))

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that make it the user's for another process."""
        return {"PROVISION_HOME": str(self.directory), "PROVISION_CACHE": str(self.cache)}

    def require_path(self) -> None:
        """Check that nodes can be told where it is.

        Raises:
            Unavailable: its path is not valid UTF-8, or the user's home directory is not known.
        """
        require_path(self.directory)
        require_path(self.cache)

    @property
    def ports(self) -> PortLeases:
        """The leases of `port: auto`."""
        return PortLeases(self.directory)

    def throttle(self, environment: str) -> ThrottleNote:
        """The note of settings to restore after a throttled reassignment in an environment."""
        return ThrottleNote(self.directory / "throttles" / environment)

    def external_throttle(self, name: str) -> ThrottleNote:
        """The same for an external cluster of that name, which no `down` of an environment removes."""
        return ThrottleNote(self.directory / "external-throttles" / name)

    def seeds(self, environment: str) -> SeedNotes:
        """The note of topics of an environment that are being filled."""
        return SeedNotes(self.directory / "seeds" / environment)

    def external_seeds(self, name: str) -> SeedNotes:
        """The same for an external cluster of that name."""
        return SeedNotes(self.directory / "external-seeds" / name)

    def secrets(self, environment: str) -> SecretStore:
        """The keys and certificates of an environment."""
        return SecretStore(self.directory / "secrets" / environment)

    def all_secrets(self, environment: str) -> tuple[SecretStore, ...]:
        """The same, and those of environments of that name on other engines, which have directories of their own."""
        first = self.secrets(environment)
        there = is_own(first.directory.parent, below=self.directory)
        beside = sorted(first.directory.parent.glob(f"{environment}.*")) if there else []
        return (first, *map(SecretStore, beside))

    @property
    def passwords(self) -> frozenset[str]:
        """The passwords of all environments, as far as they can be read: who needs one that cannot says so."""
        place = self.directory / "secrets"
        names = [entry.name for entry in place.iterdir()] if is_own(place, below=self.directory) else []
        found: set[str] = set()
        for name in names:
            with suppress(Unavailable):
                found.update(self.secrets(name).passwords)
        return frozenset(found)

    def notes(self, environment: str) -> tuple[ClusterNotes, ...]:
        """All notes of what was begun inside an environment's clusters."""
        return self.throttle(environment), self.seeds(environment)

    @property
    def trainers(self) -> Trainers:
        """What trains archives in the background."""
        return Trainers(self.directory)

    @property
    def environments(self) -> Path:
        """The environments that run as processes, each in a directory of its name."""
        return self.directory / "environments"

    def jars(self, version: object) -> Path:
        """The jars of a Kafka version."""
        return self.cache / "kafka" / str(version)


Place = Home | str | Path | None
"""A home, its directory, or None for the user's own."""


def _of_platform(place: Callable[..., Path]) -> Path:
    """The platform's directory for this program; a relative path, which no one may use, if it depends on no known home.

    A relative `HOME` or XDG variable would lead somewhere else from every directory.
    """
    directory = place("provision", appauthor=False)
    return Path("~", *directory.parts[1:]) if os.environ.get("HOME") == "" else directory


def _resolved(directory: Path) -> Path:
    """The path by which processes are found: with no links in it."""
    try:
        return directory.resolve() if directory.is_absolute() else directory
    except (OSError, RuntimeError):  # links that lead to each other, or a path that is too long
        return directory
