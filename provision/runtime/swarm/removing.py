"""Remove what a swarm has of an environment: volumes on their engines, then its network, and what is left besides."""

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound

from provision.common.patience import Patience
from provision.errors import PartlyApplied
from provision.runtime.docker import abouts, ending, locks
from provision.runtime.docker import containers as spec
from provision.runtime.swarm import services
from provision.runtime.swarm.calls import labelled
from provision.runtime.swarm.notes import ConfigVolumes
from provision.runtime.swarm.records import Record, Records

_PATIENCE_S = 30.0
_POLL_S = 0.1


def volume(api: Any, records: Records, environment: str, record: Record, engine: Any) -> None:  # noqa: ANN401 the SDK's client has no types
    """Remove a node's volume, and then what the swarm keeps of it.

    Jobs that use it, of whichever command, are removed first: whoever removes has claimed the environment.

    Args:
        api: a manager.
        records: those of the swarm.
        environment: whose it is.
        record: the node's.
        engine: the API of its engine, None if that is not reached.

    Raises:
        PartlyApplied: the volume is left on an engine that is not reached: names both.
    """
    _remove_jobs(api, environment, f"{services.JOB_OF}={record.node}")
    if engine is not None:
        _waiting(lambda: _remove_own(engine, record.volume, environment))
    records.sweep(environment, record.node)
    records.remove(record)
    if engine is None and record.begun:
        raise _is_left(record)


def _is_left(*records: Record) -> PartlyApplied:
    volumes = " and ".join(f"the volume {one.volume} is left on engine {one.engine_name}" for one in records)
    commands = "; ".join(f"on {one.engine_name}: `docker volume rm {one.volume}`" for one in records)
    return PartlyApplied(
        volumes,
        why="a swarm does not remove volumes, and this engine's own API is not reached",
        hint=f"{commands}; with its address in swarm.engines, provision does so itself",
    )


def abandoned(api: Any, records: Records, environment: str, record: Record, engine: Any) -> None:  # noqa: ANN401 as above
    """Remove a node's volume, or note that it is left, and then its record; arguments as of `volume`."""
    _remove_jobs(api, environment, f"{services.JOB_OF}={record.node}")
    if engine is not None:
        _waiting(lambda: _remove_own(engine, record.volume, environment))
    elif record.begun:
        records.leave(environment, record)
    records.sweep(environment, record.node)
    records.remove(record)


def left(
    records: Records,
    environment: str,
    engines: Collection[str],
    reach: Callable[[Record], Any],
) -> None:
    """Remove what nodes have left behind on engines; what one that has left the swarm has is nobody's any more.

    Args:
        records: those of the swarm.
        environment: whose it is.
        engines: the ids of the swarm's engines.
        reach: the API of a record's engine, None if that is not reached.

    Raises:
        PartlyApplied: volumes are left on engines that are not reached: names them.
    """
    found: list[Record] = []
    for one in records.left_of(environment):
        engine = reach(one) if one.engine in engines else None
        if engine is not None:
            _waiting(partial(_remove_own, engine, one.volume, environment))
        elif one.engine in engines:
            found.append(one)
        records.remove(one)
    if found:
        raise _is_left(*found)


def _remove_own(engine: Any, name: str, environment: str) -> None:  # noqa: ANN401 as above
    with suppress(NotFound):
        if (engine.inspect_volume(name).get("Labels") or {}).get(services.OWNER) == environment:
            engine.remove_volume(name)


def rest(api: Any, records: Records, environment: str) -> None:  # noqa: ANN401 as above
    """Remove jobs, tools and locks that killed commands have left, the network, and files of no node.

    What the environment knows of itself stays as long as one of its volumes is there.
    """
    notes: Any = ConfigVolumes(api)
    locks.sweep(notes, environment)
    _remove_jobs(api, environment, f"{spec.ROLE}={spec.TOOL_ROLE}")
    for tool in api.containers(
        all=True, filters=labelled(f"{services.OWNER}={environment}", f"{spec.ROLE}={spec.TOOL_ROLE}")
    ):
        ending.remove(api, tool["Id"], "a tool")
    for network in api.networks(filters=labelled(f"{services.OWNER}={environment}")):
        _waiting(partial(_remove_network, api, network["Id"]))
    if not records.all_of(environment):
        records.sweep(environment, "")
        abouts.remove_without_storages(notes, environment)


def _remove_jobs(api: Any, environment: str, label: str) -> None:  # noqa: ANN401 as above
    for job in api.services(filters=labelled(f"{spec.ENVIRONMENT}={environment}", label)):
        with suppress(NotFound):
            api.remove_service(job["ID"])


def _remove_network(api: Any, identity: str) -> None:  # noqa: ANN401 as above
    with suppress(NotFound):
        api.remove_network(identity)


def _waiting(remove: Callable[[], None]) -> None:
    """Remove something that what has just ended may still use for a moment.

    Raises:
        APIError: it is still used.
    """
    patience = Patience(_PATIENCE_S)
    while True:
        try:
            remove()
        except APIError as error:
            is_used = error.status_code in (HTTPStatus.CONFLICT, HTTPStatus.BAD_REQUEST) or "use" in str(error)
            if not is_used or not patience.pause(_POLL_S):
                raise
        else:
            return
