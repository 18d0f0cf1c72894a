"""What a runtime can tell about the health of nodes and of the place where they run, beyond their states.

Whatever is not known, or has no limit, is None.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field


class Space(Struct, frozen=True):
    """A file system: `place` is a directory in it, as users know it."""

    place: str
    size_bytes: int
    free_bytes: int
    writable: bool = True


class Usage(Struct, frozen=True):
    """How much of something is used, and the limit."""

    used: int | None = None
    limit: int | None = None

    def is_above(self, share: float) -> bool:
        """Whether that share of the limit is used."""
        return self.used is not None and self.limit is not None and self.used >= share * self.limit


class Vitals(Struct, frozen=True):
    """What a node uses, and how its last run ended.

    `stopped` is whether a signal (SIGSTOP) has stopped its process, though its runtime may call it running. `started_s`
    and `ended_s` are Unix times. `error` is the runtime's own reason for a node that could not be started. `spaces` are
    the file systems that it writes to.
    """

    stopped: bool = False
    memory: Usage = Usage()
    open_files: Usage = Usage()
    threads: Usage = Usage()
    spaces: tuple[Space, ...] = ()
    started_s: float | None = None
    ended_s: float | None = None
    error: str = ""


class Surroundings(Struct, frozen=True):
    """What is around an environment's nodes.

    `strangers` are containers of other environments in its network, as `orders-broker-1 (environment orders)`.
    `software` has the processor architecture of each image that its nodes run, by name: None if it is missing.
    `published` are the host ports of other containers, each with the container's name. `configured` is where each
    node's configuration files are, as users find them. `damaged` are the runtime's own notes that cannot be read, by
    their places, each with the reason.
    """

    strangers: tuple[str, ...] = ()
    software: Mapping[str, str | None] = field(default_factory=dict)
    published: Mapping[int, str] = field(default_factory=dict)
    configured: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)


class Machine(Struct, frozen=True):
    """Where nodes run: this machine, or that of an engine.

    `name` is what is asked, `version` its version, `architecture` that of its processors as images have it (`amd64`).
    `clock_ahead_s` is how far its clock is ahead of this process's. `started_s` is when the engine was last started
    (Unix time). `is_here` is whether it is the machine of this process.
    """

    name: str
    version: str = ""
    architecture: str = ""
    processors: int | None = None
    memory_bytes: int | None = None
    clock_ahead_s: float | None = None
    started_s: float | None = None
    spaces: tuple[Space, ...] = ()
    is_here: bool = True


class Asker(StrEnum):
    """From where an address is asked: this machine, the environment's network, or another network."""

    HOST = "this machine"
    NETWORK = "its network"
    ELSEWHERE = "another network"


class Probe(Struct, frozen=True):
    """What is sent to an address, `host:port`; whoever serves it answers with at least one byte."""

    address: str
    request: bytes


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture_of(name: str) -> str:
    """A processor architecture by the name that images have for it: `amd64` for `x86_64`."""
    return _ARCHITECTURES.get(name.lower(), name.lower())


Reached = Mapping[str, str]
"""By address: why it does not answer; empty if it does."""
