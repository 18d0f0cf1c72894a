"""A plan: an ordered graph of actions, each with its cause."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import takewhile
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from provision.cluster.model import Node, RenderedFile
from provision.plan.differences import Difference


class Verb(StrEnum):
    """What is done to a resource."""

    FETCH = "fetch"
    CREATE = "create"
    FILL = "fill"
    FORMAT = "format"
    START = "start"
    JOIN = "join"
    CONFIGURE = "configure"
    RESTART = "restart"
    RECREATE = "recreate"
    MOVE = "move"
    GROW = "grow"
    REASSIGN = "reassign"
    RESTORE = "restore"
    DELETE = "delete"
    REMOVE = "remove"
    REFUSE = "refuse"


class Impact(StrEnum):
    """The class of a change: what it means for what is running."""

    NONE = "none"
    DYNAMIC = "dynamic"
    ROLLING = "rolling"
    RECREATE = "recreate"
    DELETE = "delete"
    REFUSED = "refused"


_IMPACTS = {
    Verb.FETCH: Impact.NONE,
    Verb.CREATE: Impact.NONE,
    Verb.FILL: Impact.NONE,
    Verb.FORMAT: Impact.NONE,
    Verb.START: Impact.NONE,
    Verb.JOIN: Impact.DYNAMIC,
    Verb.CONFIGURE: Impact.DYNAMIC,
    Verb.RESTART: Impact.ROLLING,
    Verb.RECREATE: Impact.RECREATE,
    Verb.MOVE: Impact.RECREATE,
    Verb.GROW: Impact.DYNAMIC,
    Verb.REASSIGN: Impact.DYNAMIC,
    Verb.RESTORE: Impact.DYNAMIC,
    Verb.DELETE: Impact.DELETE,
    Verb.REMOVE: Impact.DELETE,
    Verb.REFUSE: Impact.REFUSED,
}
_NEED_CONSENT = frozenset({Impact.ROLLING, Impact.RECREATE, Impact.DELETE})


class Kind(StrEnum):
    """The subject of an action outside Kafka; resources inside Kafka have kinds of their own."""

    SOFTWARE = "software"
    NETWORK = "network"
    STORAGE = "storage"
    NODE = "node"
    ENGINE = "engine"
    FOREIGN = "foreign"


class NodeTarget(Struct, frozen=True):
    """A node with its new files. A running one is replaced only while its cluster can do without it."""

    node: Node
    files: tuple[RenderedFile, ...]
    runs: bool = False


class Rejoining(Struct, frozen=True):
    """A running node to connect to its network; one that is `cut_off` serves nobody, so nothing is waited for."""

    cut_off: bool


class Removal(Struct, frozen=True):
    """A broker to remove once it is empty; `registered` if the cluster would otherwise keep its registration."""

    broker: int
    registered: bool


class Leftover(Struct, frozen=True):
    """What an interrupted `up` left of a node that was never used: to remove with its storage, before all else."""


class Lost(Struct, frozen=True):
    """A storage that its engine takes along, with those of `going`; `given_up` if the engine is gone for good."""

    going: tuple[str, ...]
    given_up: bool


class Moving(Struct, frozen=True):
    """A running node that gets an empty storage on another engine, with its files there."""

    node: Node
    files: tuple[RenderedFile, ...]


class BrokerSettings(Struct, frozen=True):
    """Settings of a running broker: those to set, those to remove, and the matching files for its next start."""

    broker: int
    values: Mapping[str, str]
    reset: tuple[str, ...] = ()
    files: tuple[RenderedFile, ...] = ()


@runtime_checkable
class Shown(Protocol):
    """A subject that adds details to its action in `plan -o json`."""

    def shown(self) -> dict[str, Any]:
        """The details by key."""


class Action(Struct, frozen=True):
    """One change, and why.

    `kind` determines who performs it: one of `Kind`, or a kind of resource. `cause` is the difference between the file
    and what exists; `detail` adds to it for readers. `after` has the keys of actions that must have ended before.
    `subject` is what its performer needs. `changes` are the settings with their old and new values, `estimate_s` is its
    estimated duration in seconds. `phase` names its phase, if the plan has several.
    """

    verb: Verb
    kind: str
    name: str
    cause: str
    detail: str = ""
    after: tuple[str, ...] = ()
    subject: object = None
    changes: tuple[Difference, ...] = ()
    estimate_s: float | None = None
    phase: str = ""

    @property
    def key(self) -> str:
        """A key, unique within a plan; the same can be done once in each phase."""
        return f"{self.verb} {self.resource}" + (f" ({self.phase})" if self.phase else "")

    @property
    def resource(self) -> str:
        """`broker-1` for a node; the kind and name for others, such as `topic orders`."""
        return self.name if self.kind in (Kind.NODE, Kind.FOREIGN) else f"{self.kind} {self.name}"

    @property
    def impact(self) -> Impact:
        """The class of the change."""
        return _IMPACTS[self.verb]

    @property
    def needs_consent(self) -> bool:
        """Whether it restarts something that is running, or deletes something."""
        at_rest = isinstance(self.subject, Leftover) or (isinstance(self.subject, NodeTarget) and not self.subject.runs)
        return self.impact in _NEED_CONSENT and not at_rest

    def __str__(self) -> str:
        detail = f", {self.detail}" if self.detail else ""
        return f"{self.resource} {self.verb} ({self.cause}{detail})"

    def as_dict(self) -> dict[str, Any]:
        """The action as `plan -o json` shows it."""
        shown: dict[str, Any] = {
            "resource": self.resource,
            "verb": self.verb,
            "class": self.impact,
            "cause": self.cause,
            "detail": self.detail,
        }
        if self.changes:
            shown["changes"] = [{"key": c.key or c.file, "old": c.old, "new": c.new} for c in self.changes]
        if self.phase:
            shown["phase"] = self.phase
        if isinstance(self.subject, Shown):
            shown |= self.subject.shown()
        if self.estimate_s is not None:
            shown["estimate_s"] = self.estimate_s
        return shown


class Plan(Struct, frozen=True):
    """The actions in an executable order; those that do not depend on each other may run concurrently."""

    environment: str
    actions: tuple[Action, ...]

    @property
    def changes(self) -> bool:
        """Whether there are any actions, including refused ones."""
        return bool(self.actions)

    @property
    def refusals(self) -> tuple[Action, ...]:
        """The changes in the file that provision does not make to an existing environment."""
        return tuple(action for action in self.actions if action.verb is Verb.REFUSE)

    @property
    def needs_consent(self) -> tuple[Action, ...]:
        """The actions that restart something that is running, or delete something, which the user must confirm."""
        return tuple(action for action in self.actions if action.needs_consent)

    @property
    def first_wave(self) -> tuple[Action, ...]:
        """The actions that need no answer of the brokers: all on nodes, but the removal of those that must be empty."""
        waits = Verb.REMOVE
        first = (Leftover, Lost)
        return tuple(one for one in self.of_kinds(Kind) if one.verb is not waits or isinstance(one.subject, first))

    @property
    def ahead(self) -> tuple[Action, ...]:
        """The resources that come before the first node; none if no node changes."""
        nodes = frozenset(Kind)
        return tuple(takewhile(lambda one: one.kind not in nodes, self.actions)) if self.first_wave else ()

    def of_kinds(self, kinds: Iterable[str]) -> tuple[Action, ...]:
        """The actions of these kinds, in order."""
        wanted = frozenset(kinds)
        return tuple(action for action in self.actions if action.kind in wanted)

    def as_dict(self) -> dict[str, Any]:
        """The plan as `plan -o json` shows it."""
        return {"changes": self.changes, "actions": [action.as_dict() for action in self.actions]}
