"""Where nodes run: the port in `base`, its adapters, and the registry of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from provision.cluster.layout import Layout
from provision.errors import Refused, Unavailable, UsageError
from provision.events import Listener, Notice, silent
from provision.home.place import Home
from provision.runtime.base import Runtime
from provision.spec.model import EnvironmentSpec


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the registry: how the adapter is made, and the layout, which is known without it."""

    adapter: str
    layout: str


KINDS = {
    "docker": Kind("provision.runtime.docker:connected", "provision.runtime.docker:make_layout"),
    "process": Kind("provision.runtime.process:connected", "provision.runtime.process:make_layout"),
}


class Runtimes:
    """The runtimes of one home. Each is connected when it is first used, and stays so until `close`."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._connected: dict[str, Runtime] = {}

    def layout(self, kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:
        """Where a runtime of that kind puts the things of an environment, without asking it."""
        make = cast(Callable[[EnvironmentSpec, str, Home], Layout], _load(KINDS[kind].layout))
        return make(spec, base_directory, self.home)

    def of_kind(self, kind: str) -> Runtime:
        """The adapter of that kind, connected. It is imported here, when it is used: its SDK is slow to load.

        Raises:
            UsageError: there is no such kind.
            Unavailable: the place it stands for does not answer.
        """
        if kind not in KINDS:
            raise UsageError(f"there is no runtime {kind!r}", hint=f"known: {', '.join(KINDS)}")
        if kind not in self._connected:
            make = cast(Callable[[Home], Runtime], _load(KINDS[kind].adapter))
            self._connected[kind] = make(self.home)
        return self._connected[kind]

    def choose(self, asked: str, name: str, tell: Listener = silent) -> Runtime:
        """The runtime for an environment.

        `auto` stays with the runtime that has the environment already; else it takes Docker when an engine answers,
        else plain processes, and tells which and why.

        Raises:
            Refused: Docker is asked for, and the environment runs as processes.
            Unavailable: the one that is asked for does not answer.
        """
        if asked == "docker" and not self.of_kind("process").observe(name).is_nothing:
            raise Refused(
                f"{name} runs as plain processes", hint=f"`provision down {name}` first, or leave `runtime: auto`"
            )
        if asked != "auto":
            return self.of_kind(asked)
        return self._docker_or_processes(
            name, lambda no: tell(Notice(f"{name} runs as plain processes: {no.what} ({no.why})"))
        )

    def holding(self, name: str, tell: Listener = silent) -> Runtime:
        """The runtime that has an environment of that name, or would have it; tells when one could not be asked."""
        return self._docker_or_processes(name, lambda no: tell(Notice(f"{no.what}: looking at plain processes only")))

    def _docker_or_processes(self, name: str, on_no_engine: Callable[[Unavailable], None]) -> Runtime:
        processes = self.of_kind("process")
        if not processes.observe(name).is_nothing:
            return processes
        try:
            return self.of_kind("docker")
        except Unavailable as reason:
            on_no_engine(reason)
            return processes

    def answering(self) -> dict[str, Runtime]:
        """Every runtime that answers now, by its kind."""
        runtimes = {}
        for kind in KINDS:
            try:
                runtimes[kind] = self.of_kind(kind)
            except Unavailable:
                continue
        return runtimes

    def close(self) -> None:
        """Give back the connections; a runtime that is used again is connected again."""
        while self._connected:
            _, runtime = self._connected.popitem()
            runtime.close()


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
