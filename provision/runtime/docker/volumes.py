"""Remove a node's volume, also while a container of provision's own has it mounted."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound

from provision.common.notes import DamagedNote, parse_note
from provision.common.patience import Patience
from provision.common.process_identity import ProcessIdentity
from provision.errors import PartlyApplied
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending, found
from provision.runtime.docker.client import still_used

_PATIENCE_S = 60.0
"""For a command that formats the storage; that takes no longer."""
_UNSEEN_S = 1.0
"""For a container that is just going, of which the engine does not tell any more."""
_POLL_S = 0.1


def remove(
    api: Any,  # noqa: ANN401 the SDK's client has no types
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
    while True:
        try:
            details: Mapping[str, Any] = api.inspect_volume(volume)
            if not found.belongs(details, name):
                return
            if first and not api.containers(all=True, filters={"volume": volume}):
                first(details)
            api.remove_volume(volume)
        except NotFound:
            return
        except APIError as error:
            at_work = _made_way(api, name, volume, error, unseen)
            if patience.pause(_POLL_S):
                continue
            if not at_work:
                raise
            raise PartlyApplied(
                f"the volume {volume} is left",
                why=f"another command still uses it: {', '.join(at_work)}",
                hint=f"`provision down {name}` again once that has ended",
            ) from error
        else:
            return


def _made_way(api: Any, name: str, volume: str, error: APIError, unseen: Patience) -> list[str]:  # noqa: ANN401 as above
    """Remove what only reads the volume, or is left over; returns the commands that are at work with it.

    Raises:
        PartlyApplied: containers of others use it.
        APIError: the error, if it has another reason.
    """
    users = [user for user in api.containers(all=True, filters={"volume": volume}) if user["Names"]]
    ours = [user for user in users if _is_tool_of(user, name)]
    if others := [found.names_of(user)[0] for user in users if user not in ours]:
        raise still_used(f"the volume {volume}", others, name, "docker rm -f") from error
    if not ours and (error.status_code != HTTPStatus.CONFLICT or unseen.is_over):
        raise error
    at_work = []
    for user in ours:
        process = _process_of(user)
        if spec.READER in user["Labels"] or (process and process.is_over):
            ending.remove(api, user["Id"], "what was reading a storage")
        else:
            at_work.append(str(process or found.names_of(user)[0]))
    return at_work


def _is_tool_of(container: Mapping[str, Any], name: str) -> bool:
    return found.belongs(container, name) and container["Labels"].get(spec.ROLE) == spec.TOOL_ROLE


def _process_of(container: Mapping[str, Any]) -> ProcessIdentity | None:
    with suppress(DamagedNote):
        return parse_note(container["Labels"].get(spec.PROCESS, "").encode(), ProcessIdentity)
    return None
