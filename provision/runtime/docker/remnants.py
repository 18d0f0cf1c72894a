"""What killed commands leave in an engine beside environments, and the sizes of what is there."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from docker import APIClient

from provision.common.clocks import now_s
from provision.common.notes import DamagedNote, parse_note
from provision.common.process_identity import ProcessIdentity
from provision.runtime.base import TOOL_CONTAINER, Remnant
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending, locks, notes, stored
from provision.runtime.docker.client import translated

_UNTOLD_S = 3600.0
"""For how long a stopped container of which nobody knows the command is left alone."""


def found(api: APIClient) -> tuple[Remnant, ...]:
    """Containers of tools and readers whose commands have ended, and locks that nobody gives up."""
    return (*_containers(api), *_locks(api))


def _containers(api: APIClient) -> Iterator[Remnant]:
    with translated("listing tools"):
        listed = api.containers(all=True, filters={"label": f"{spec.ROLE}={spec.TOOL_ROLE}"})
    for container in listed:
        why = _why_left(container)
        if why and container["Names"]:
            name = container["Names"][0].removeprefix("/")
            remove = partial(_remove, api, container["Id"], container["Labels"].get(spec.ENVIRONMENT, ""))
            yield Remnant(TOOL_CONTAINER, name, why, remove, float(container.get("Created") or 0) or None)


def _why_left(container: Mapping[str, Any]) -> str:
    process = None
    with suppress(DamagedNote):
        process = parse_note((container["Labels"] or {}).get(spec.PROCESS, "").encode(), ProcessIdentity)
    over = process.is_over if process else None
    if over is not None:
        return f"its command, {process}, has ended" if over else ""
    stopped = container["State"] not in ("running", "paused", "restarting")
    is_old = now_s() - float(container.get("Created") or 0) > _UNTOLD_S
    return "it is stopped, and nobody knows its command" if stopped and is_old else ""


def _remove(api: APIClient, container: str, environment: str) -> bool:
    ending.remove(api, container, "a tool")
    if environment:
        with translated("removing what was created for it"):
            stored.remove_strays(api, environment)
    return True


def _locks(api: APIClient) -> Iterator[Remnant]:
    for note in locks.abandoned(api):
        why = "the command that held it has ended"
        remove = None if note.kind == locks.LOCK else partial(locks.remove_rest, api, note)
        yield Remnant("engine lock", note.environment, why, remove, note.made_s or None)


def sizes(api: APIClient) -> dict[str, int]:
    """The bytes of the volumes of each environment, by its name."""
    added: dict[str, int] = {}
    with translated("asking for the sizes of volumes"):
        volumes = api.df().get("Volumes") or ()
    for volume in volumes:
        name = (volume.get("Labels") or {}).get(spec.ENVIRONMENT)
        size = (volume.get("UsageData") or {}).get("Size", -1)
        if name and size >= 0 and not notes.is_note(volume):
            added[name] = added.get(name, 0) + size
    return added
