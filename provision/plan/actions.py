"""What must change: an ordered graph of actions, each with its cause."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provision.cluster.model import Node, Topic


class Verb(StrEnum):
    """What is done to a resource."""

    FETCH = "fetch"
    CREATE = "create"
    START = "start"
    REFUSE = "refuse"


class Kind(StrEnum):
    """What an action is about."""

    SOFTWARE = "software"
    NETWORK = "network"
    STORAGE = "storage"
    NODE = "node"
    TOPIC = "topic"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class PlacedTopic:
    """A topic with its replicas: `assignment[partition]` is the broker ids, the preferred leader first."""

    topic: Topic
    assignment: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Action:
    """One change, and why.

    `cause` is what differs between the file and what is there; `detail` says more for people. `after` holds the keys of
    actions that must have ended before. `subject` is what the adapter needs to do it.
    """

    verb: Verb
    kind: Kind
    name: str
    cause: str
    detail: str = ""
    after: tuple[str, ...] = ()
    subject: Node | PlacedTopic | None = None

    @property
    def key(self) -> str:
        """Unique within a plan."""
        return f"{self.verb} {self.resource}"

    @property
    def resource(self) -> str:
        """`broker-1` for a node, `topic orders` and the like for all else."""
        return self.name if self.kind in (Kind.NODE, Kind.FOREIGN) else f"{self.kind} {self.name}"

    def __str__(self) -> str:
        detail = f", {self.detail}" if self.detail else ""
        return f"{self.resource} {self.verb} ({self.cause}{detail})"


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

    def of_kinds(self, kinds: Iterable[Kind]) -> tuple[Action, ...]:
        """The actions of some kinds, in order."""
        wanted = frozenset(kinds)
        return tuple(action for action in self.actions if action.kind in wanted)

    def as_dict(self) -> dict[str, Any]:
        """The plan as `plan -o json` shows it."""
        return {
            "changes": self.changes,
            "actions": [
                {"resource": action.resource, "verb": action.verb, "cause": action.cause, "detail": action.detail}
                for action in self.actions
            ],
        }
