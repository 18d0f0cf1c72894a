"""Events that report progress: one stream for a terminal, for plain log lines and for any other listener.

The stages pass these values to a `Listener` and never print. The terminal's live display, the plain lines of a CI log
and the list that a test records are listeners of the same events.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from provision.errors import Problem, ProvisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: `at_s` is the Unix time, `environment` a name, empty if it concerns none."""

    environment: str = ""
    at_s: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A sentence for the user that is neither progress nor an error."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """The environment file has something that works but is risky."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The plan about to be carried out, in the form that `provision plan -o json` shows."""

    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageDone(Event):
    """A stage before the first change ended, such as `load`, or `observe` of `what`; the next one begins with it."""

    stage: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class ActionStarted(Event):
    """An action began, for example the verb `start` on the resource `broker-1`."""

    resource: str
    verb: str


@dataclass(frozen=True, slots=True)
class ActionStep(Event):
    """A step of an action began, for example `stopping` while `broker-1` is restarted."""

    resource: str
    verb: str
    step: str


@dataclass(frozen=True, slots=True)
class ActionDone(Event):
    """An action succeeded after `seconds`."""

    resource: str
    verb: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ActionFailed(Event):
    """An action failed after `seconds`."""

    resource: str
    verb: str
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class ActionSkipped(Event):
    """An action ended after `seconds` without a change, for `reason`: what it should create existed already."""

    resource: str
    verb: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Fetching(Event):
    """Progress of a download: `done` of `total` of `what`, in bytes or in `unit`; `total` is 0 while unknown."""

    what: str
    done: int
    total: int
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Progress of a long action: `done` of `total` `what`, for example `partitions moved`; `detail` adds to it.

    `total` is 0 while it is not known.
    """

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
class StillWaiting(Event):
    """A wait for a readiness level begins, or looks again; it comes often."""

    level: str


@dataclass(frozen=True, slots=True)
class NodeReady(Event):
    """A node is ready."""

    node: str
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class LevelReached(Event):
    """The whole environment reached a readiness level, `seconds` after the command began."""

    level: str
    seconds: float


Listener = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Ignore every event."""


def until_it_fails(tell: Listener) -> Listener:
    """A listener that passes events on until the other one fails, which does not stop what must be finished."""
    failed = False

    def guarded(event: Event) -> None:
        nonlocal failed
        if not failed:
            try:
                tell(event)
            except Exception:  # noqa: BLE001 a broken listener has mostly raised it before, where it was not guarded
                failed = True

    return guarded


def of_environment(name: str, tell: Listener) -> Listener:
    """A listener that adds the environment's name to each event and passes it on."""
    return lambda event: tell(event if event.environment else replace(event, environment=name))


@contextmanager
def action(tell: Listener, verb: str, *resources: str) -> Iterator["Ending"]:
    """Report an action on resources, and its outcome for each.

    An exception from the block counts as the failure of every resource without an outcome of its own in the yielded
    `Ending`.

    Args:
        tell: receives `ActionStarted` at the beginning, and `ActionDone`, `ActionFailed` or `ActionSkipped` at the end,
            per resource.
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
        for resource in resources:
            if reason := ending.failed.get(resource):
                tell(ActionFailed(resource, verb, seconds, reason))
            elif resource in ending.skipped:
                tell(ActionSkipped(resource, verb, seconds, ending.skipped[resource]))
            elif error:
                tell(ActionFailed(resource, verb, seconds, error))
            else:
                tell(ActionDone(resource, verb, seconds))


@dataclass(slots=True)
class Ending:
    """The outcome of an action: the resources that `failed`, and those `skipped`, with the reason; others are done."""

    failed: Mapping[str, ProvisionError] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
