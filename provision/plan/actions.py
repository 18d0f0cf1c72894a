"""What must change: an ordered graph of actions, each with its cause."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from provision.cluster.model import Node, RenderedFile
from provision.plan.differences import Difference


class Verb(StrEnum):
    """What is done to a resource."""

    FETCH = "fetch"
    CREATE = "create"
    FORMAT = "format"
    START = "start"
    CONFIGURE = "configure"
    RESTART = "restart"
    RECREATE = "recreate"
    GROW = "grow"
    REASSIGN = "reassign"
    RESTORE = "restore"
    DELETE = "delete"
    REMOVE = "remove"
    REFUSE = "refuse"


class Impact(StrEnum):
    """What an action means for what runs: the class of the change."""

    NONE = "none"
    DYNAMIC = "dynamic"
    ROLLING = "rolling"
    RECREATE = "recreate"
    DELETE = "delete"
    REFUSED = "refused"


_IMPACTS = {
    Verb.FETCH: Impact.NONE,
    Verb.CREATE: Impact.NONE,
    Verb.FORMAT: Impact.NONE,
    Verb.START: Impact.NONE,
    Verb.CONFIGURE: Impact.DYNAMIC,
    Verb.RESTART: Impact.ROLLING,
    Verb.RECREATE: Impact.RECREATE,
    Verb.GROW: Impact.DYNAMIC,
    Verb.REASSIGN: Impact.DYNAMIC,
    Verb.RESTORE: Impact.DYNAMIC,
    Verb.DELETE: Impact.DELETE,
    Verb.REMOVE: Impact.DELETE,
    Verb.REFUSE: Impact.REFUSED,
}
_NEED_CONSENT = frozenset({Impact.ROLLING, Impact.RECREATE, Impact.DELETE})


class Kind(StrEnum):
    """What an action on the machines is about; resources inside Kafka have kinds of their own."""

    SOFTWARE = "software"
    NETWORK = "network"
    STORAGE = "storage"
    NODE = "node"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A node as it is to be: with these files. A running one is replaced only while its cluster can do without it."""

    node: Node
    files: tuple[RenderedFile, ...]
    runs: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """A broker that goes when nothing is left on it; `registered` where the cluster would know it for good."""

    broker: int
    registered: bool


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Settings of a running broker: those to set, those to take back, and the files that say so for its next start."""

    broker: int
    values: Mapping[str, str]
    reset: tuple[str, ...] = ()
    files: tuple[RenderedFile, ...] = ()


@runtime_checkable
class Shown(Protocol):
    """A subject that has more to tell in `plan -o json` than its action."""

    def shown(self) -> dict[str, Any]:
        """By key."""


@dataclass(frozen=True, slots=True)
class Action:
    """One change, and why.

    `kind` says who performs it: one of `Kind`, or a kind of resource. `cause` is what differs between the file and what
    is there; `detail` says more for people. `after` holds the keys of actions that must have ended before. `subject` is
    what its performer needs. `changes` are the settings with their old and new values, `estimate_s` the seconds it may
    take. `phase` names the phase it belongs to, where the plan has several.
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
        """Unique within a plan; the same thing can be done once in each phase."""
        return f"{self.verb} {self.resource}" + (f" ({self.phase})" if self.phase else "")

    @property
    def resource(self) -> str:
        """`broker-1` for a node, `topic orders` and the like for all else."""
        return self.name if self.kind in (Kind.NODE, Kind.FOREIGN) else f"{self.kind} {self.name}"

    @property
    def impact(self) -> Impact:
        """The class of the change."""
        return _IMPACTS[self.verb]

    @property
    def needs_consent(self) -> bool:
        """Whether it restarts something that runs, or deletes something."""
        at_rest = isinstance(self.subject, NodeTarget) and not self.subject.runs
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


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in an order in which they can be done; those that do not depend on each other may run together."""

    environment: str
    actions: tuple[Action, ...]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done or was refused."""
        return bool(self.actions)

    @property
    def refusals(self) -> tuple[Action, ...]:
        """What the file asks for and this program does not do to a living environment."""
        return tuple(action for action in self.actions if action.verb is Verb.REFUSE)

    @property
    def needs_consent(self) -> tuple[Action, ...]:
        """What restarts something that runs, or deletes something: nobody is to be surprised by it."""
        return tuple(action for action in self.actions if action.needs_consent)

    def of_kinds(self, kinds: Iterable[str], *, but: Verb | None = None) -> tuple[Action, ...]:
        """The actions of some kinds, in order, without those of one verb."""
        wanted = frozenset(kinds)
        return tuple(action for action in self.actions if action.kind in wanted and action.verb is not but)

    def as_dict(self) -> dict[str, Any]:
        """The plan as `plan -o json` shows it."""
        return {"changes": self.changes, "actions": [action.as_dict() for action in self.actions]}
