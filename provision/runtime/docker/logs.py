"""The log of a node that is a container: the engine keeps the lines of all its runs in one."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import docker
from docker.errors import APIError, NotFound

from provision.common.patience import Patience
from provision.common.texts import ANOTHER_BEGINS
from provision.runtime.base import COMES_BACK_S
from provision.runtime.docker import ending
from provision.runtime.docker.client import lines_in
from provision.runtime.docker.health import time_s

_MARGIN_S = 0.02  # the engine notes that a container runs a moment after its first process has begun
_PAUSE_S = 0.2


def log_of(api: docker.APIClient, container: str, tail: int | None, *, follow: bool) -> Iterator[str]:
    """Its lines; between those of the run before and of this one it is said that another JVM begins.

    So a JVM that dies before it writes anything has no lines, and not those of the one before.
    """
    began_s = time_s(api.inspect_container(container)["State"].get("StartedAt", ""))
    before: list[str] = []
    if began_s is not None:
        began_s -= _MARGIN_S
        before = _before(api, container, began_s, tail)
    yield from before
    yield from _lines(api, container, tail, follow=follow, since=began_s)


def followed(
    api: docker.APIClient,
    container: str | None,
    tail: int | None,
    find: Callable[[], str | None],
    is_changing: Callable[[], bool],
) -> Iterator[str]:
    """The lines of a node as they come, until it has ended and no other run takes the place of the last one soon.

    Args:
        api: the engine.
        container: the node's; None if there is none just now.
        tail: how many of the lines that are there; None for all.
        find: looks for the node's container.
        is_changing: whether a command is changing the environment, which may be replacing or restarting the node.
    """
    run = _run_of(api, container) if container else None
    if container:
        yield from _as_long_as_it_is_there(api, container, log_of(api, container, tail, follow=True))
    while run := _next_run(api, run, find, is_changing):
        its, began_s = run
        yield from _as_long_as_it_is_there(api, its, _lines(api, its, None, follow=True, since=began_s - _MARGIN_S))


def _as_long_as_it_is_there(api: docker.APIClient, container: str, lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except APIError:
        if not ending.is_going(api, container):
            raise


def _run_of(api: docker.APIClient, container: str) -> tuple[str, float] | None:
    """The last run of a container: its id, and when it began; None if it has not been started yet, or is gone."""
    try:
        began_s = time_s(api.inspect_container(container)["State"].get("StartedAt", ""))
    except NotFound:
        return None
    return None if began_s is None else (container, began_s)


def _next_run(
    api: docker.APIClient,
    last: tuple[str, float] | None,
    find: Callable[[], str | None],
    is_changing: Callable[[], bool],
) -> tuple[str, float] | None:
    """The run after the last one; None if it does not begin soon."""
    patience = Patience(COMES_BACK_S)
    while True:
        changing = is_changing()  # before the look: what it has started by its end is seen
        container = find()
        run = _run_of(api, container) if container else None
        if run and run != last:
            return run
        if not (changing and patience.pause(_PAUSE_S)):
            return None


def _before(api: docker.APIClient, container: str, began_s: float, tail: int | None) -> list[str]:
    """The lines of earlier runs, with what ends them, as far as there is room for them beside those of this one."""
    room = None if tail is None else tail - sum(1 for _ in _lines(api, container, tail, since=began_s)) - 1
    if room is not None and room <= 0:
        return []
    # Of the last lines, the engine leaves out what is too new: so there have to be as many as all together.
    found = list(_lines(api, container, tail, until=began_s))
    kept = found if room is None else found[len(found) - min(room, len(found)) :]
    begins = f"[{datetime.fromtimestamp(began_s, UTC):%Y-%m-%d %H:%M:%S},000] INFO {ANOTHER_BEGINS}"
    return [*kept, begins] if kept else []


def _lines(
    api: docker.APIClient,
    container: str,
    tail: int | None,
    *,
    follow: bool = False,
    since: float | None = None,
    until: float | None = None,
) -> Iterator[str]:
    count: Any = "all" if tail is None else tail
    return lines_in(api.logs(container, stream=True, follow=follow, tail=count, since=since, until=until))
