"""What the program tells while it works: one stream for the terminal, for plain lines and for whatever comes later.

The stages call a `Listener` with these values and never print. The terminal's live display, the plain lines of a CI log
and the recorded list of a test are three listeners of the same events.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from provision.errors import Problem, ProvisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: `at_s` is when (Unix time), `environment` where; it is empty where none is concerned."""

    environment: str = ""
    at_s: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A sentence for the user that is neither progress nor an error."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """The environment file has something that works and may be regretted."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """What is going to be done: the plan, in the shape that `provision plan -o json` shows."""

    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionStarted(Event):
    """An action began: `verb` is done to `resource`, for example `start` to `broker-1`."""

    resource: str
    verb: str


@dataclass(frozen=True, slots=True)
class ActionStep(Event):
    """An action that takes several steps begins one: `broker-1` is restarted, and `step` is `stopping`."""

    resource: str
    verb: str
    step: str


@dataclass(frozen=True, slots=True)
class ActionDone(Event):
    """An action ended well, after `seconds`."""

    resource: str
    verb: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ActionFailed(Event):
    """An action ended with an error, after `seconds`."""

    resource: str
    verb: str
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class Fetching(Event):
    """Software is on its way: `done` of `total` of `what`, in bytes or in `unit`; `total` is 0 while unknown."""

    what: str
    done: int
    total: int
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Many equal things are being done: `done` of `total` `what`, as in `partitions moved`; `detail` says more."""

    what: str
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NodeWaiting(Event):
    """A node is not ready yet; `detail` says what is missing."""

    node: str
    detail: str


@dataclass(frozen=True, slots=True)
class NodeReady(Event):
    """A node answers."""

    node: str
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class LevelReached(Event):
    """The whole environment holds a readiness level, `seconds` after the command began."""

    level: str
    seconds: float


Listener = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The listener that drops everything."""


def of_environment(name: str, tell: Listener) -> Listener:
    """A listener that names the environment on each event and passes it on."""
    return lambda event: tell(event if event.environment else replace(event, environment=name))


@contextmanager
def action(tell: Listener, verb: str, *resources: str) -> Iterator["Ending"]:
    """Tell that something is done to resources, and how it ended for each.

    An exception is the failure of all that have none of their own in what the block gets.

    Args:
        tell: gets `ActionStarted` at the beginning, `ActionDone` or `ActionFailed` at the end, for each resource.
        verb: what is done.
        resources: what it is done to, for example `broker-1`.
    """
    began = time.monotonic()
    for resource in resources:
        tell(ActionStarted(resource, verb))
    ending = Ending()
    error: BaseException | None = None
    try:
        yield ending
    except BaseException as raised:
        error = raised
        raise
    finally:
        seconds = time.monotonic() - began
        failed: dict[str, BaseException] = {**(dict.fromkeys(resources, error) if error else {}), **ending.failed}
        for resource, reason in failed.items():
            tell(ActionFailed(resource, verb, seconds, reason))
        for resource in resources if ending.done is None else ending.done:
            if resource not in failed:
                tell(ActionDone(resource, verb, seconds))


@dataclass(slots=True)
class Ending:
    """How an action ended: the resources that `failed`, and those that are `done`; None for all others."""

    failed: dict[str, ProvisionError] = field(default_factory=dict)
    done: Sequence[str] | None = None
