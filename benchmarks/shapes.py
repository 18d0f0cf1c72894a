"""The clusters that are measured, as environment files."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from provision.common.values import replace

NO_ARCHIVE = "-Xshare:auto"
"""The JVM's own default. A node whose options say something about archives gets none of ours."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A cluster and its topics."""

    brokers: int = 3
    topics: int = 10
    partitions: int = 6
    replication_factor: int = 3
    kraft: bool = False
    archives: bool = True
    profile: str = ""
    runtime: str = "process"
    image: str = ""

    def text(self, *, more_topics: int = 0, ports: tuple[int, int] | None = None, prefix: str = "more") -> str:
        """The environment file; `ports` are those of ZooKeeper and of the first broker, else free ones are leased."""
        settings: dict[str, Any] = {"profile": self.profile} if self.profile else {}
        settings |= {} if self.archives else {"options": [NO_ARCHIVE]}
        java = {"java": settings} if settings else {}
        ensemble, broker = ports or ("auto", "auto")
        names = [*(f"t{number}" for number in range(self.topics)), *(f"{prefix}{n}" for n in range(more_topics))]
        values: dict[str, Any] = {
            "runtime": self.runtime,
            "kafka": {"mode": "kraft" if self.kraft else "zookeeper"} | ({"image": self.image} if self.image else {}),
            "brokers": {"nodes": self.brokers, "port": broker, **java},
            "topic_defaults": {"partitions": self.partitions, "replication_factor": self.replication_factor},
            "topics": [{"name": name} for name in names],
        }
        if not self.kraft:
            values["zookeeper"] = {"port": ensemble, **java}
        return yaml.safe_dump(values)

    def of(self, **changed: object) -> "Shape":
        """The same with something changed."""
        return replace(self, **changed)  # type: ignore[arg-type]

    @property
    def names(self) -> list[str]:
        """Its topics."""
        return [f"t{number}" for number in range(self.topics)]


THREE = Shape()
THREE_KRAFT = Shape(kraft=True)
ONE = Shape(brokers=1, topics=1, partitions=3, replication_factor=1)
ONE_KRAFT = ONE.of(kraft=True)


def free_ports(count: int) -> list[int]:
    """Consecutive ports that are free now."""
    for first in range(21000, 29000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    taken = stack.enter_context(socket.socket())
                    taken.bind(("127.0.0.1", port))
            except OSError:
                continue
        return list(range(first, first + count))
    raise RuntimeError("no free ports")


def written(directory: Path, name: str, text: str) -> str:
    """Write an environment file; returns its path."""
    file = directory / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)
