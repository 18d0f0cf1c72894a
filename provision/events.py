"""What the program tells while it works: one stream for the terminal, for plain lines and for whatever comes later.

The stages call a `Listener` with these values and never print. The terminal's live display, the plain lines of a CI log
and the recorded list of a test are three listeners of the same events.
"""

from collections.abc import Callable
from dataclasses import dataclass

from provision.errors import Problem


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user that is neither progress nor an error."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """The environment file has something that works and may be regretted."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """An action of the plan began, `resource` being for example `broker-1`."""

    resource: str
    verb: str


@dataclass(frozen=True, slots=True)
class ActionDone:
    """An action of the plan ended well, after `seconds`."""

    resource: str
    verb: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Fetching:
    """Software is on its way: `done` of `total` of `what`, in bytes or in `unit`; `total` is 0 while unknown."""

    what: str
    done: int
    total: int
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Progress:
    """Many equal things are being done: `done` of `total` `what`, as `partitions moved`; `detail` says more."""

    what: str
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NodeWaiting:
    """A node is not ready yet; `detail` says for what it is waited."""

    node: str
    detail: str


@dataclass(frozen=True, slots=True)
class NodeReady:
    """A node answers."""

    node: str
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class LevelReached:
    """The whole environment holds a readiness level, `seconds` after the command began."""

    level: str
    seconds: float


Event = Notice | Warned | ActionStarted | ActionDone | Fetching | Progress | NodeWaiting | NodeReady | LevelReached
Listener = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The listener that drops everything."""
