"""The log of a node that is a container: the engine keeps the lines of all its runs in one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import docker

from provision.common.texts import ANOTHER_BEGINS
from provision.runtime.docker.client import lines_in
from provision.runtime.docker.health import time_s

_MARGIN_S = 0.02  # the engine notes that a container runs a moment after its first process has begun


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
