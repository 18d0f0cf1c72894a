"""The engines of a swarm, as its managers know them. Pure: makes no calls."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

READY, ACTIVE = "ready", "active"
RACK_LABEL, ADDRESS_LABEL = "provision.rack", "provision.address"
"""The labels of an engine by which users tell its rack, and the host at which clients reach it."""
_STATES = {"unknown": "does not answer", "down": "is down", "disconnected": "is disconnected"}
_UNSET = ("", "0.0.0.0", "127.0.0.1")  # noqa: S104 what a leader may call itself


class Engine(Struct, frozen=True):
    """An engine of the swarm.

    `address` is that at which the swarm's others know it. `state` is `ready` while it answers them, else `down` or
    `unknown`; `availability` is `active`, `pause` (gets no new nodes) or `drain` (gets rid of all of them).
    """

    id: str
    name: str
    address: str
    state: str = READY
    availability: str = ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether nodes can be started on it."""
        return self.state == READY and self.availability == ACTIVE

    @property
    def trouble(self) -> str:
        """What keeps nodes from running on it; empty if nothing does."""
        if self.state != READY:
            return f"engine {self.name} {_STATES.get(self.state, f'is {self.state}')}"
        if self.availability != ACTIVE:
            how = {"pause": "paused", "drain": "drained"}.get(self.availability, self.availability)
            return f"engine {self.name} is {how}"
        return ""

    @property
    def rack(self) -> str:
        """Its rack by its label; empty without one."""
        return self.labels.get(RACK_LABEL, "")

    def host(self, addresses: Mapping[str, str]) -> str:
        """Where clients reach it: as the file says, else as its label says, else at the address the swarm knows."""
        return addresses.get(self.name) or self.labels.get(ADDRESS_LABEL) or self.address


def engines_in(listed: Iterable[Mapping[str, Any]]) -> tuple[Engine, ...]:
    """The engines in a manager's list, by name."""
    return tuple(sorted(map(_engine, listed), key=lambda engine: (engine.name, engine.id)))


def _engine(told: Mapping[str, Any]) -> Engine:
    described, spec, status = told.get("Description") or {}, told.get("Spec") or {}, told.get("Status") or {}
    address = str(status.get("Addr") or "")
    if address in _UNSET:  # a manager has another one, with a port
        address = str((told.get("ManagerStatus") or {}).get("Addr") or address).rpartition(":")[0] or address
    return Engine(
        id=str(told["ID"]),
        name=str(described.get("Hostname") or told["ID"]),
        address=address.strip("[]"),
        state=str(status.get("State") or "unknown"),
        availability=str(spec.get("Availability") or ACTIVE),
        labels=spec.get("Labels") or {},
    )
