"""Where nodes run: the port in `base`, its adapters, and the registry of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from provision.cluster.layout import Layout
from provision.errors import Refused, Unavailable, UsageError
from provision.events import Listener, Notice, silent
from provision.runtime.base import Runtime
from provision.spec.model import EnvironmentSpec


@dataclass(frozen=True, slots=True)
class _Kind:
    """One line of the registry: the adapter, and the layout, which is known without it."""

    adapter: str
    layout: str


_KINDS = {
    "docker": _Kind("provision.runtime.docker:DockerRuntime", "provision.cluster.layout:container_layout"),
    "process": _Kind("provision.runtime.process:ProcessRuntime", "provision.runtime.process.layout:local_layout"),
}


def layout_for(kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:
    """Where a runtime of that kind puts the things of an environment, without asking it."""
    make = cast(Callable[[EnvironmentSpec, str], Layout], _load(_KINDS[kind].layout))
    return make(spec, base_directory)


def runtime_of_kind(kind: str) -> Runtime:
    """The adapter of that kind, connected. Adapters are imported here, when one is used: their SDKs are slow to load.

    Raises:
        UsageError: there is no such kind.
        Unavailable: the place it stands for does not answer.
    """
    if kind not in _KINDS:
        raise UsageError(f"there is no runtime {kind!r}", hint=f"known: {', '.join(_KINDS)}")
    return cast(Callable[[], Runtime], _load(_KINDS[kind].adapter))()


def choose_runtime(asked: str, name: str, tell: Listener = silent) -> Runtime:
    """The runtime for an environment.

    `auto` stays with the runtime that has the environment already; else it takes Docker when an engine answers, else
    plain processes, and tells which and why.

    Raises:
        Refused: Docker is asked for, and the environment runs as processes.
        Unavailable: the one that is asked for does not answer.
    """
    if asked == "docker" and not runtime_of_kind("process").observe(name).is_nothing:
        raise Refused(
            f"{name} runs as plain processes", hint=f"`provision down {name}` first, or leave `runtime: auto`"
        )
    if asked != "auto":
        return runtime_of_kind(asked)
    return _docker_or_processes(name, lambda no: tell(Notice(f"{name} runs as plain processes: {no.what} ({no.why})")))


def runtime_holding(name: str, tell: Listener = silent) -> Runtime:
    """The runtime that has an environment of that name, or would have it; tells when one could not be asked."""
    return _docker_or_processes(name, lambda no: tell(Notice(f"{no.what}: looking at plain processes only")))


def _docker_or_processes(name: str, on_no_engine: Callable[[Unavailable], None]) -> Runtime:
    processes = runtime_of_kind("process")
    if not processes.observe(name).is_nothing:
        return processes
    try:
        return runtime_of_kind("docker")
    except Unavailable as reason:
        on_no_engine(reason)
        return processes


def answering_runtimes() -> tuple[Runtime, ...]:
    """Every runtime that answers now."""
    runtimes = []
    for kind in _KINDS:
        try:
            runtimes.append(runtime_of_kind(kind))
        except Unavailable:
            continue
    return tuple(runtimes)


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
