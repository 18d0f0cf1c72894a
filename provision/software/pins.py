"""The pins that `provision lock` records, and deviations from them. Pure.

Pins identify by content what may run: images by id and repository digest, jars by checksum. They do not record where
these come from, nor anything about the machine. Their file is called a lock, as in other tools.
"""

from pathlib import Path

from msgspec import Struct, field

from provision.cluster.identity import Identities, Identity
from provision.cluster.model import Cluster
from provision.common.printable import printable

_SUFFIXES = (".lock.yaml", ".lock.yml")


class Pins(Struct, frozen=True):
    """The software an environment may run; `images` or `jars` are empty if they were not recorded."""

    version: str
    mode: str
    images: Identities = field(default_factory=dict)
    jars: Identities = field(default_factory=dict)

    def of(self, cluster: Cluster) -> Identities:
        """The pins that apply to a cluster's software: its images, or its jars."""
        return self.images if images_of(cluster) else self.jars


class Deviation(Struct, frozen=True):
    """One deviation from the pins; None: not pinned, or not present."""

    what: str
    locked: object | None
    found: object | None

    def __str__(self) -> str:
        locked = f"locked {self.locked}" if self.locked else "not in the lock"
        found = f", found {self.found}" if self.found else ", not there" if self.locked else ""
        return printable(f"{self.what}: {locked}{found}")


def images_of(cluster: Cluster) -> tuple[str, ...]:
    """All images of a cluster's nodes; none if they are processes."""
    return () if cluster.runtime == "process" else cluster.all_software


def outdated(pins: Pins, cluster: Cluster) -> tuple[Deviation, ...]:
    """Deviations of the pins from the file: another version, mode or image, or only the other runtime."""
    deviations = list(head_deviations(pins, str(cluster.version), cluster.mode))
    wanted = images_of(cluster)
    if not wanted and not pins.jars:
        deviations.append(Deviation(f"the jars of Kafka {cluster.version}", None, None))
    deviations += [Deviation(f"image {name}", None, None) for name in wanted if name not in pins.images]
    if wanted:
        gone = [name for name in pins.images if name not in wanted]
        deviations += [Deviation(f"image {name}", pins.images[name], "no use of it in the file") for name in gone]
    return tuple(deviations)


def deviations(locked: Identities, found: Identities, kind: str) -> tuple[Deviation, ...]:
    """What differs from the lock, is missing, or was not locked; `kind` is `image` or `jar`."""
    pairs = ((name, locked.get(name), found.get(name)) for name in sorted({**locked, **found}))
    return tuple(
        Deviation(f"{kind} {name}", before, now)
        for name, before, now in pairs
        if before is None or now is None or not before.is_same(now)
    )


def head_deviations(pins: Pins, version: str, mode: str) -> tuple[Deviation, ...]:
    """Deviations of the pinned Kafka version and mode."""
    heads = (("kafka.version", pins.version, version), ("kafka.mode", pins.mode, mode))
    return tuple(Deviation(what, locked, found) for what, locked, found in heads if locked != found)


def settled(earlier: Identities, found: Identities) -> dict[str, Identity]:
    """What to record: an earlier record of the same bytes is kept, so that another machine does not change the file.

    It is replaced only by one that adds a digest.
    """
    return {
        name: kept if (kept := earlier.get(name)) and kept.is_same(now) and (kept.digest or not now.digest) else now
        for name, now in sorted(found.items())
    }


def lock_file_of(environment: Path) -> Path:
    """The path of an environment file's lock: `orders.lock.yaml` next to `orders.yaml`."""
    return environment.with_name(f"{environment.stem}.lock{environment.suffix or '.yaml'}")


def is_lock_file(file: Path) -> bool:
    """Whether it is a lock by its name, and so not an environment."""
    return file.name.endswith(_SUFFIXES)
