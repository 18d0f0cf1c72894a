"""Create and remove a node's volume, also while a container of provision's own has it mounted."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound

from provision.cluster.model import Cluster, Node
from provision.common.notes import DamagedNote, parse_note
from provision.common.patience import Patience
from provision.common.process_identity import ProcessIdentity
from provision.errors import PartlyApplied, Refused
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending, found
from provision.runtime.docker.client import still_used

_PATIENCE_S = 60.0
"""For a command that formats the storage; that takes no longer."""
_UNSEEN_S = 1.0
"""For a container that is just going, of which the engine does not tell any more."""
_POLL_S = 0.1
_AT_ONCE = 8
_CREATIONS = 5


def create(api: Any, cluster: Cluster, node: Node) -> None:  # noqa: ANN401 the SDK's client has no types
    """Create it, unless it is there; a stray in its place is removed first.

    An engine creates a volume that is missing together with a container that has it mounted. So if somebody removes the
    node's just before something reads it, a stray takes its place. That is removed with what reads it, and has to be no
    node's.

    Raises:
        Refused: a volume of that name was made for something else.
        PartlyApplied: a stray is used by others.
    """
    volume = spec.name_of(cluster.name, node.name)
    for _ in range(_CREATIONS):
        # If a volume of that name exists, the engine returns it, whoever created it.
        there = api.create_volume(volume, labels=spec.node_labels(cluster, node))
        if found.is_storage(there, cluster.name, node.name):
            return
        if not found.is_stray(there, cluster.name):
            raise Refused(f"the volume {volume} is not of this environment", hint="remove or rename it")
        remove(api, cluster.name, node.name)
    raise Refused(f"the volume {volume} is taken by what reads it, again and again", hint="try it again")


def remove(
    api: Any,  # noqa: ANN401 as above
    name: str,
    node: str,
    first: Callable[[Mapping[str, Any]], None] | None = None,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Remove it, if there is one of this environment.

    `first` is called with it once nobody uses it any more, before it goes, and again if that is cut off: it removes
    what nobody would find without the volume.

    Containers that only read it, of whichever command, are removed, and so are those of commands that have ended.
    Others of provision's own, which write to it, are waited for.

    Raises:
        PartlyApplied: others use it, or such a command does not end.
    """
    volume, patience, unseen = spec.name_of(name, node), Patience(patience_s), Patience(_UNSEEN_S)
    while error := _refusal(api, name, volume, first):
        users = _users_of(api, name, volume, error)
        if users:
            unseen = Patience(_UNSEEN_S)
        elif error.status_code != HTTPStatus.CONFLICT or unseen.is_over:
            raise error
        at_work = _made_way(api, users)
        # At once where only readers were in the way, before others begin.
        if patience.pause(_POLL_S if at_work or not users else 0):
            continue
        if not at_work:
            raise error
        raise PartlyApplied(
            f"the volume {volume} is left",
            why=f"another command still uses it: {', '.join(at_work)}",
            hint=f"`provision down {name}` again once that has ended",
        ) from error


def _refusal(api: Any, name: str, volume: str, first: Callable[[Mapping[str, Any]], None] | None) -> APIError | None:  # noqa: ANN401 as above
    """Why the engine does not remove it; None once it is not there, or is none of this environment."""
    try:
        details: Mapping[str, Any] = api.inspect_volume(volume)
        if found.belongs(details, name):
            if first and not api.containers(all=True, filters={"volume": volume}):
                first(details)
            api.remove_volume(volume)
    except NotFound:
        return None
    except APIError as error:
        return error
    return None


def _users_of(api: Any, name: str, volume: str, error: APIError) -> list[Mapping[str, Any]]:  # noqa: ANN401 as above
    """The containers of provision's own that use the volume; `error` is what the engine said of its removal.

    Raises:
        PartlyApplied: containers of others use it.
    """
    users = [user for user in api.containers(all=True, filters={"volume": volume}) if user["Names"]]
    if others := [found.names_of(user)[0] for user in users if not _is_tool_of(user, name)]:
        raise still_used(f"the volume {volume}", others, name, "docker rm -f") from error
    return users


def _made_way(api: Any, users: Sequence[Mapping[str, Any]]) -> list[str]:  # noqa: ANN401 as above
    """Remove those that only read, or are left over, all at once; returns the commands that are at work."""
    going, at_work = [], []
    for user in users:
        process = _process_of(user)
        if spec.READER in user["Labels"] or (process and process.is_over):
            going.append(user["Id"])
        else:
            at_work.append(str(process or found.names_of(user)[0]))
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        list(pool.map(lambda user: ending.remove(api, user, "what was reading a storage"), going))
    return at_work


def _is_tool_of(container: Mapping[str, Any], name: str) -> bool:
    return found.belongs(container, name) and container["Labels"].get(spec.ROLE) == spec.TOOL_ROLE


def _process_of(container: Mapping[str, Any]) -> ProcessIdentity | None:
    with suppress(DamagedNote):
        return parse_note(container["Labels"].get(spec.PROCESS, "").encode(), ProcessIdentity)
    return None
