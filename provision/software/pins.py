"""The pins that `provision lock` records, and where what is there differs from them. Pure.

Pins say by content what may run: images by id and repository digest, jars by checksum. They say nothing of where these
come from, nor of the machine. Their file is called a lock, as people know it from other tools.
"""

from dataclasses import dataclass, field
from pathlib import Path

from provision.cluster.identity import Identities, Identity
from provision.cluster.model import Cluster

_SUFFIXES = (".lock.yaml", ".lock.yml")


@dataclass(frozen=True, slots=True)
class Pins:
    """What an environment may run; `images` or `jars` are empty where they were not recorded."""

    version: str
    mode: str
    images: Identities = field(default_factory=dict)
    jars: Identities = field(default_factory=dict)

    def of(self, cluster: Cluster) -> Identities:
        """What is pinned of the software of a cluster: its images, or its jars."""
        return self.images if images_of(cluster) else self.jars


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as pinned; None: it is not pinned, or it is not there."""

    what: str
    locked: object | None
    found: object | None

    def __str__(self) -> str:
        locked = f"locked {self.locked}" if self.locked else "not in the lock"
        found = f", found {self.found}" if self.found else ", not there" if self.locked else ""
        return f"{self.what}: {locked}{found}"


def images_of(cluster: Cluster) -> tuple[str, ...]:
    """All images that a cluster's nodes run from; none where they are processes."""
    return () if cluster.runtime == "process" else cluster.all_software


def outdated(pins: Pins, cluster: Cluster) -> tuple[Deviation, ...]:
    """Where the pins were made for another file: another version, mode or image, or the other runtime alone."""
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
    """What is found in another form than locked, is missing, or was not locked; `kind` is `image` or `jar`."""
    pairs = ((name, locked.get(name), found.get(name)) for name in sorted({**locked, **found}))
    return tuple(
        Deviation(f"{kind} {name}", before, now)
        for name, before, now in pairs
        if before is None or now is None or not before.is_same(now)
    )


def head_deviations(pins: Pins, version: str, mode: str) -> tuple[Deviation, ...]:
    """Where the pins are of another Kafka."""
    heads = (("kafka.version", pins.version, version), ("kafka.mode", pins.mode, mode))
    return tuple(Deviation(what, locked, found) for what, locked, found in heads if locked != found)


def settled(earlier: Identities, found: Identities) -> dict[str, Identity]:
    """What to record: an earlier record of the same bytes stays, so that another machine does not change the file.

    It gives way only to one that knows a digest where it knows none.
    """
    return {
        name: kept if (kept := earlier.get(name)) and kept.is_same(now) and (kept.digest or not now.digest) else now
        for name, now in sorted(found.items())
    }


def lock_file_of(environment: Path) -> Path:
    """Where the lock of an environment file is: `orders.lock.yaml` beside `orders.yaml`."""
    return environment.with_name(f"{environment.stem}.lock{environment.suffix or '.yaml'}")


def is_lock_file(file: Path) -> bool:
    """Whether it is a lock by its name, and so no environment."""
    return file.name.endswith(_SUFFIXES)
