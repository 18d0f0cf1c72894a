"""What the doctor finds, and what mends it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from msgspec import Struct

from provision.events import Listener
from provision.home.place import Home
from provision.runtime.base import Runtime


class Severity(StrEnum):
    """How bad it is: an `error` keeps something from working, a `warning` will or may do so."""

    ERROR = "error"
    WARNING = "warning"


class Hands(Struct, frozen=True):
    """What a repair may use."""

    runtime: Runtime
    name: str
    home: Home
    tell: Listener


@dataclass(frozen=True, slots=True)
class Repair:
    """A safe repair: it loses no data, and takes nothing down that works.

    `verb` and `subject` say what it does, as in `start broker-1`; repairs that say the same are done once.
    With `in_kafka`, it acts on what only the brokers know, which anybody may have changed meanwhile.
    """

    verb: str
    subject: str
    act: Callable[[Hands], None] = field(compare=False)
    in_kafka: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"


class Finding(Struct, frozen=True):
    """Something that is wrong.

    Args:
        id: the name of this failure, which never changes: lowercase words with hyphens.
        title: what is wrong, in one sentence without a full stop.
        evidence: the lines that show it: of a log, a state, an answer.
        cause: why it is so, as far as known.
        file: the place that causes it, `FILE:LINE`, in the environment file or in a node's own; empty if none does.
        fix: the command or the change that mends it.
        node: the node that it is about, if it is about one; what several checks find of one node is told once.
        repairs: what `--fix` does about it; nothing if that would not be safe, or cannot be done by a program.
    """

    id: str
    title: str
    evidence: tuple[str, ...] = ()
    cause: str = ""
    file: str = ""
    fix: str = ""
    severity: Severity = Severity.ERROR
    repairs: tuple[Repair, ...] = ()
    node: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding as `doctor -o json` shows it."""
        return {
            "id": self.id,
            "title": self.title,
            "severity": str(self.severity),
            "node": self.node or None,
            "evidence": list(self.evidence),
            "cause": self.cause or None,
            "file": self.file or None,
            "fix": self.fix or None,
            "repairs": list(map(str, self.repairs)),
        }


def starting(*nodes: str) -> tuple[Repair, ...]:
    """The repairs that start nodes, or let those go on that are paused or were stopped by a signal."""
    return tuple(Repair("start", node, partial(_start, node)) for node in nodes)


def _start(node: str, hands: Hands) -> None:
    hands.runtime.start_node(hands.name, node)


def joining(node: str) -> tuple[Repair, ...]:
    """The repair that connects a running node to its network, at its own address."""
    return (Repair("join", node, lambda hands: hands.runtime.join_network(hands.name, node)),)
