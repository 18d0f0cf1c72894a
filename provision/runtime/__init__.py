"""Where nodes run: the interface in `base`, its adapters, and their registry."""

import importlib
import threading
from collections.abc import Callable, Collection
from typing import cast

from msgspec import Struct

from provision.cluster.layout import Layout
from provision.errors import ProvisionError, Refused, Unavailable, UsageError
from provision.events import Listener, Notice, silent
from provision.home.place import Home, Place
from provision.home.secrets import Where
from provision.runtime.base import Runtime
from provision.spec.model import EnvironmentSpec
from provision.spec.swarm import SWARM


class Kind(Struct, frozen=True):
    """A registry entry: how to create the adapter, and its layout, which needs no connection."""

    adapter: str
    layout: str


KINDS = {
    "docker": Kind("provision.runtime.docker:connected", "provision.runtime.docker:make_layout"),
    "process": Kind("provision.runtime.process:connected", "provision.runtime.process:make_layout"),
    SWARM: Kind("provision.runtime.swarm:connected", "provision.runtime.swarm:make_layout"),
}
IN_ENGINES = ("docker", SWARM)
"""The kinds whose environments are in an engine, which may not answer."""
_WHERE = {"docker": "in Docker", "process": "as plain processes", SWARM: "on a swarm"}


class Runtimes:
    """The runtimes of one home. Each is connected on first use, until `close`.

    Args:
        home: a home, its directory, or None for the user's own.

    Raises:
        UsageError: `home` is something else.
    """

    def __init__(self, home: Place = None) -> None:
        self.home = Home.of(home)
        self._connected: dict[str, Runtime] = {}
        self._connecting = threading.Lock()
        self._told_of_engine = ""

    def layout(self, kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:
        """The layout of an environment on a runtime of that kind; needs no connection."""
        make = cast(Callable[[EnvironmentSpec, str, Home], Layout], _load(KINDS[kind].layout))
        return make(spec, base_directory, self.home)

    def of_kind(self, kind: str) -> Runtime:
        """The connected adapter of that kind, imported on first use, because its SDK is slow to load.

        Raises:
            UsageError: there is no such kind.
            Unavailable: the runtime does not answer.
        """
        if kind not in KINDS:
            raise UsageError(f"there is no runtime {kind!r}", hint=f"known: {', '.join(KINDS)}")
        with self._connecting:
            if kind not in self._connected:
                make = cast(Callable[[Home], Runtime], _load(KINDS[kind].adapter))
                self._connected[kind] = make(self.home)
            return self._connected[kind]

    def choose(self, asked: str, name: str, tell: Listener = silent) -> Runtime:
        """The runtime for an environment.

        `auto` keeps the runtime that already hosts the environment; else it chooses Docker if an engine answers, else
        plain processes, with a notice that gives the reason. It never chooses a swarm for a new one.

        Raises:
            Refused: one is requested, but only another one has the environment, running or with kept data.
            Unavailable: the requested one does not answer; with `auto`, no engine does, and the home knows that the
                environment is in one.
        """
        if asked != "auto":
            chosen = self.of_kind(asked)
            # An environment that is there already needs no look at the other runtimes, which costs a connection.
            if (asked == "docker" or chosen.observe(name).is_absent) and self.elsewhere(name, chosen):
                others = ((kind, one) for kind, one in self.answering().items() if one is not chosen)
                there = next(kind for kind, one in others if not one.observe(name).is_absent)
                hint = f"`provision down {name}` first, or leave `runtime: {there}`"
                raise Refused(f"{name} runs {_WHERE[there]}, or has data there", hint=hint)
            return chosen
        return self._where_it_is(name, lambda no: tell(Notice(f"{name} runs as plain processes: {no.what} ({no.why})")))

    def holding(self, name: str, tell: Listener = silent) -> Runtime:
        """The runtime that hosts an environment of that name, or would; it is told, once, if Docker could not be asked.

        Raises:
            Unavailable: no engine answers, and the home knows that the environment is in one.
        """
        return self._where_it_is(name, lambda no: self._tell_of_engine(no, tell))

    def _tell_of_engine(self, no: Unavailable, tell: Listener) -> None:
        """Tell, once, that no engine answers."""
        if no.what != self._told_of_engine:
            self._told_of_engine = no.what
            tell(Notice(f"{no.what}: looking at plain processes only"))

    def _where_it_is(self, name: str, on_no_engine: Callable[[Unavailable], None]) -> Runtime:
        """The runtime that has an environment; if none has it, Docker, or plain processes if no engine answers."""
        processes = self.of_kind("process")
        if not processes.observe(name).is_absent:
            return processes
        try:
            docker = self.of_kind("docker")
            # A worker, or an engine that has left its swarm, does not tell what the swarm has.
            if docker.manages_swarm or self.noted_place(name, SWARM):
                swarm = self.of_kind(SWARM)
                return docker if swarm.observe(name).is_absent else swarm
        except Unavailable as reason:
            if place := self.noted_place(name, *IN_ENGINES):
                raise _out_of_reach(name, place, self.home, reason) from reason
            on_no_engine(reason)
            return processes
        return docker

    def noted_place(self, name: str, *kinds: str) -> str:
        """The place of a runtime of these kinds where the home says an environment is; empty if it says none."""
        of_secrets = (place for store in self.home.all_secrets(name) for place in Where.of(store).places)
        noted = self.home.ports.place_of(name), *of_secrets
        return next((place for place in noted if place.partition(" ")[0] in kinds), "")

    @property
    def has_swarm(self) -> bool:
        """Whether the engine that answers manages a swarm; False if none answers."""
        try:
            return self.of_kind("docker").manages_swarm
        except Unavailable:
            return False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of runtimes that there may be: without Docker, it is certain that not everything is known."""
        return tuple(kind for kind in KINDS if kind != SWARM or self.has_swarm)

    def elsewhere(self, name: str, runtime: Runtime) -> bool | None:
        """Whether another runtime has an environment of that name; None if one that may have it does not answer."""
        found: bool | None = False
        for kind in self.kinds:
            try:
                other = self.of_kind(kind)
                if other is not runtime and not other.observe(name).is_absent:
                    return True
            except Unavailable:
                found = None
        return found

    def environments_at(self, place: str) -> Collection[str] | None:
        """The names of all environments at a place (`Runtime.place`), with an empty one those of every runtime.

        None if that is not certain: a runtime does not answer, or it is not the one that was there.
        """
        names = set[str]()
        for kind in [place.partition(" ")[0]] if place else self.kinds:
            try:
                runtime = self.of_kind(kind)
                if place and runtime.place != place:
                    return None
                names.update(runtime.environments())
            except ProvisionError:
                return None
        return names

    def answering(self, tell: Listener = silent) -> dict[str, Runtime]:
        """Every runtime that answers now, by its kind; it is told, once, if Docker could not be asked."""
        runtimes = {}
        for kind in self.kinds:
            try:
                runtimes[kind] = self.of_kind(kind)
            except Unavailable as reason:
                if kind == "docker":
                    self._tell_of_engine(reason, tell)
        return runtimes

    def connected(self) -> tuple[Runtime, ...]:
        """The runtimes that have been used, which may be asked for more at no great cost."""
        with self._connecting:
            return tuple(self._connected.values())

    def close(self) -> None:
        """Close the connections; a runtime that is used again is connected again."""
        with self._connecting:
            while self._connected:
                _, runtime = self._connected.popitem()
                runtime.close()


def _out_of_reach(name: str, place: str, home: Home, reason: Unavailable) -> Unavailable:
    away = f"{name} is at {place}, according to {home.directory}"
    start = reason.hint or "start the engine"
    hint = f"{start}; if it is gone for good, `provision up --set runtime=process` makes a new {name}"
    where = "in a swarm" if place.partition(" ")[0] == SWARM else "in Docker"
    error = Unavailable(f"{name} is {where}, which does not answer", why=reason.what, hint=hint)
    error.add(reason.why, away)
    return error


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
