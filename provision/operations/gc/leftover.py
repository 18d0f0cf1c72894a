"""The types of what is left over."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from provision.common.clocks import now_s
from provision.common.own_directories import is_own
from provision.errors import ProvisionError, Refused
from provision.events import Listener, Notice, silent
from provision.home.holders import Holder
from provision.home.locks import HomeLock
from provision.plan.observed import ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime

Removal = Callable[[Listener], bool]
"""Removes something, and returns whether it was still left over then."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that nobody needs any more: what `kind` of thing, called what, and why it counts as left over.

    `since_s` is the Unix time from which on it has been, or at which it was made; None if that is not known.
    """

    kind: str
    name: str
    why: str
    remove: Removal = field(compare=False, repr=False)
    since_s: float | None = field(default=None, compare=False)
    environment: str = ""
    """The environment that goes with it, if it is one; its size is then that of its data."""


Storages = tuple[str, str, float | None, frozenset[str]]
"""Those of an environment: the runtime's kind, its name, when it was made, and the names of the nodes."""


class Found(Struct, frozen=True):
    """An environment, and where it is."""

    runtime: Runtime
    observed: ObservedEnvironment

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.observed.name


@dataclass(frozen=True)  # without slots, for what is read once
class Situation:
    """What is looked at, once for all kinds.

    `jobs_ended` are the owners that have ended, as far as they were told. `with_data` are storages of environments
    without nodes in which there are data, as an earlier look has found: looking into one may take a container.
    """

    runtimes: Runtimes
    jobs_ended: frozenset[str] = frozenset()
    now_s: float = field(default_factory=now_s)
    tell: Listener = silent
    with_data: set[Storages] = field(default_factory=set)

    @cached_property
    def answering(self) -> tuple[Runtime, ...]:
        """The runtimes that can be asked."""
        return tuple(dict.fromkeys(self.runtimes.answering(self.tell).values()))

    @cached_property
    def environments(self) -> tuple[Found, ...]:
        """Every environment that has left a trace."""
        found = []
        for runtime in self.answering:
            for name in runtime.environments():
                try:
                    found.append(Found(runtime, runtime.observe(name)))
                except ProvisionError as error:  # the others are looked at all the same
                    self.tell(Notice(f"{name} cannot be looked at: {error}"))
        return tuple(found)

    @cached_property
    def noted(self) -> tuple[Found, ...]:
        """Environments of which only what they knew of themselves is left."""
        there = {(runtime, name) for runtime in self.answering for name in runtime.environments()}
        return tuple(
            Found(runtime, ObservedEnvironment(name, runtime.kind, about=about))
            for runtime in self.answering
            for name, about in runtime.abouts().items()
            if (runtime, name) not in there
        )

    @cached_property
    def locks(self) -> tuple[tuple[Path, Holder | None], ...]:
        """The files of locks in the home, each with who holds it, or held it last, if it tells."""
        home = self.runtimes.home.directory
        return tuple((file, HomeLock(home, file.name).holder()) for file in entries_of(home / "locks", home))

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The sizes of the environments' data in bytes, by runtime and name (`docker orders`), where they are known."""
        return {f"{r.kind} {name}": size for r in self.answering for name, size in r.sizes().items()}


def entries_of(directory: Path, below: Path) -> list[Path]:
    """What is in a directory of ours, sorted; nothing if there is none, or it is somebody else's."""
    try:
        return sorted(directory.iterdir()) if is_own(directory, below=below) else []
    except (OSError, Refused):
        return []


class Kind(Struct, frozen=True):
    """A kind of leftover: what finds it, and for how long it is left alone, because it may just be in the making."""

    name: str
    find: Callable[[Situation], Iterator[Leftover]]
    grace_s: float = 0.0
