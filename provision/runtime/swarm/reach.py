"""The engines of a swarm whose own API this machine reaches: that of the manager, and those that the file names.

A manager starts and stops what runs on other engines, and reads its output. It does not kill, pause or look into
containers there, and it does not remove volumes; only the engine itself does.
"""

import threading
from collections.abc import Mapping
from typing import Any

from docker import APIClient

from provision.errors import Unavailable
from provision.runtime.docker.client import connect_to, swarm_of, translated
from provision.runtime.docker.engine import engine_at

_TIMEOUT_S = 20
"""For the answers of another engine, which may have gone."""


class Reach:
    """Connections to engines, each made when it is first needed."""

    def __init__(self, api: APIClient, own: str) -> None:
        self._own = own
        self._connected: dict[str, APIClient | None] = {own: api}
        self._connecting = threading.Lock()

    def api_of(self, engine: str, address: str) -> APIClient | None:
        """The API of an engine, by id; None if it has no address, does not answer there, or is another one."""
        with self._connecting:
            if engine not in self._connected and address:
                self._connected[engine] = _connected(engine, address)
            return self._connected.get(engine)

    def close(self) -> None:
        """Close those that were made here."""
        with self._connecting:
            for engine, api in self._connected.items():
                if api is not None and engine != self._own:
                    api.close()
            self._connected = {self._own: self._connected[self._own]}


def _connected(engine: str, address: str) -> APIClient | None:
    try:
        api: APIClient = connect_to(engine_at(address, "swarm.engines")).api
        api.timeout = _TIMEOUT_S
        with translated("asking an engine who it is"):
            is_it = swarm_of(api).get("NodeID") == engine
    except Unavailable:
        return None
    if not is_it:
        api.close()
        return None
    return api


def container_of(task: Mapping[str, Any] | None) -> str:
    """The id of the container in which a task runs or has run; empty without one."""
    return str(((task or {}).get("Status") or {}).get("ContainerStatus", {}).get("ContainerID", ""))
