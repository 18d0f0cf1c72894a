"""End containers: stop, kill and remove them, also while they change by themselves."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from provision.common.patience import Patience
from provision.errors import ProvisionError
from provision.runtime.docker import execution
from provision.runtime.docker.client import translated

_BEING_REMOVED = "removing"
_GOING = (_BEING_REMOVED, "dead")
_STILL_MOUNTED = "failed to remove root filesystem"
_MOMENT_S = 2.0
"""For a container from which somebody is just copying; before Docker 24, that hinders the removal."""
_POLL_S = 0.1
_LOOKERS = 16
_SIGNAL_AGAIN_S = 3.0
_KILL_PATIENCE_S = 30.0
_ANSWER_S = 5.0


def stop(api: APIClient, container: str, node: str, patience_s: float) -> None:
    """Stop a container; the engine unpauses a paused one by itself, and no longer restarts a restarting one.

    SIGTERM is repeated until it works: the kernel drops it while a container's first process has no handler yet, as in
    the first moments of a JVM, and a JVM that is shutting down ignores another one. After `patience_s`, it is killed.

    Raises:
        ProvisionError: it does not end.
    """
    with translated(f"stopping {node}"):
        for signal, limit_s in (("SIGTERM", patience_s), ("SIGKILL", _KILL_PATIENCE_S)):
            patience = Patience(limit_s)
            while _runs(api, container) and not patience.is_over:
                _signal(api, container, signal)
                with suppress(APIError):  # one that was stopped by a signal notices the other only then
                    api.kill(container, "SIGCONT")
                _wait_for_exit(api, container, min(patience.left_s, _SIGNAL_AGAIN_S))
        if _runs(api, container):
            raise ProvisionError(f"{node} does not end, not even by SIGKILL")


def is_halted(api: APIClient, container: str) -> bool:
    """Whether a running container's first process was stopped by a signal, and goes on only after SIGCONT."""
    try:
        told: Mapping[str, Any] = execution.within(_ANSWER_S, lambda: _processes_of(api, container), {})
        first = dict(zip(told["Titles"], told["Processes"][0], strict=False))
    except (APIError, LookupError, TypeError):  # it has just ended, or the engine tells it in another way
        return False
    return str(first.get("STAT", "")).startswith("T")


def _processes_of(api: APIClient, container: str) -> Mapping[str, Any]:
    return dict(api.top(container, ps_args="-o pid,stat"))


def halted(api: APIClient, containers: Mapping[str, str]) -> frozenset[str]:
    """Those of the containers, by name and id, whose first process was stopped by a signal."""
    with ThreadPoolExecutor(max_workers=_LOOKERS) as pool:
        found = pool.map(lambda container: is_halted(api, container), containers.values())
        return frozenset(name for name, is_one in zip(containers, found, strict=True) if is_one)


def let_go_on(api: APIClient, container: str) -> None:
    """Let a container go on whose process was stopped by a signal; others do not notice."""
    if is_halted(api, container):
        _signal(api, container, "SIGCONT")


def kill(api: APIClient, container: str, node: str) -> None:
    """Kill a container, unless it has exited."""
    with translated(f"killing {node}"):
        _signal(api, container, "SIGKILL")


def remove(api: APIClient, container: str, what: str) -> None:
    """Remove a container by force, with its anonymous volumes; what hinders the engine for a while is waited for."""
    patience, moment = Patience(_KILL_PATIENCE_S), Patience(_MOMENT_S)
    with translated(f"removing {what}"), suppress(NotFound):
        while True:
            try:
                api.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT and _STILL_MOUNTED not in str(error.explanation):
                    raise
                being_removed = _status(api, container) == _BEING_REMOVED
                if not (patience if being_removed else moment).pause(_POLL_S):
                    raise
            else:
                return


def is_going(api: APIClient, container: str) -> bool:
    """Whether somebody has removed a container, or is just removing it."""
    try:
        return _status(api, container) in _GOING
    except NotFound:
        return True


def _status(api: APIClient, container: str) -> str:
    return str(api.inspect_container(container)["State"]["Status"])


def _runs(api: APIClient, container: str) -> bool:
    try:
        return bool(api.inspect_container(container)["State"]["Running"])
    except NotFound:
        return False


def _wait_for_exit(api: APIClient, container: str, timeout_s: float) -> None:
    patience = Patience(timeout_s)
    while _runs(api, container) and patience.pause(_POLL_S):
        pass


def _signal(api: APIClient, container: str, signal: str) -> None:
    try:
        api.kill(container, signal)
    except APIError:
        if _runs(api, container):  # else it has just exited by itself
            raise
