"""What killed commands leave in a swarm beside environments: jobs, and locks."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from docker.errors import NotFound

from provision.common.notes import DamagedNote, parse_note
from provision.common.process_identity import ProcessIdentity
from provision.runtime.base import TOOL_CONTAINER, Remnant
from provision.runtime.docker import containers as spec
from provision.runtime.docker import locks
from provision.runtime.docker.client import translated
from provision.runtime.swarm.calls import labelled
from provision.runtime.swarm.notes import ConfigVolumes


def found(api: Any) -> tuple[Remnant, ...]:  # noqa: ANN401 the SDK's client has no types
    """Jobs whose commands have ended, and locks that nobody gives up."""
    return (*_jobs(api), *_locks(ConfigVolumes(api)))


def _jobs(api: Any) -> Iterator[Remnant]:  # noqa: ANN401 as above
    with translated("listing jobs"):
        listed = api.services(filters=labelled(f"{spec.ROLE}={spec.TOOL_ROLE}"))
    for service in listed:
        process = None
        with suppress(DamagedNote):
            process = parse_note(service["Spec"]["Labels"].get(spec.PROCESS, "").encode(), ProcessIdentity)
        if process and process.is_over:
            why = f"its command, {process}, has ended"
            yield Remnant(TOOL_CONTAINER, service["Spec"]["Name"], why, partial(_remove, api, service["ID"]))


def _remove(api: Any, service: str) -> bool:  # noqa: ANN401 as above
    with translated("removing a job"), suppress(NotFound):
        api.remove_service(service)
        return True
    return False


def _locks(notes: Any) -> Iterator[Remnant]:  # noqa: ANN401 as above
    for note in locks.abandoned(notes):
        why = "the command that held it has ended"
        remove = None if note.kind == locks.LOCK else partial(locks.remove_rest, notes, note)
        yield Remnant("swarm lock", note.environment, why, remove, note.made_s or None)
