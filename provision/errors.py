"""The error family: everything the program raises on purpose.

    ProvisionError           1    something failed
    ├── UsageError          64    the command line is wrong
    ├── InvalidEnvironment  65    the environment file is wrong: every problem, each with its position
    ├── Unavailable         69    something external is missing: no engine, no image, no Java
    ├── Refused              4    it would lose data or availability, or touch what provision did not create
    ├── KafkaRefused         1    Kafka rejected a request: no permission, a policy, an invalid value
    ├── PartlyApplied        3    some actions failed, the others were done
    ├── PortTaken            1    a port of this machine is used by something else
    ├── StorageLost          1    what a node keeps is gone from under it
    ├── NodeGone             1    a node is not there any more: another command is just changing the environment
    ├── NodeFailed           1    a node exited: what its log says, and the reason if it is known
    ├── Busy                75    another command is changing the environment, or has taken it over: names that one
    ├── NotReady           124    not ready in time: names what is missing
    └── Interrupted        130    the user stopped it

An error has three parts: what happened (`what`), the cause (`why`), and what to do about it (`hint`). Its text is the
first; the others are its notes, so that a traceback, and a report of pytest, show all three. Only `cli` prints
errors and turns them into exit codes. Exceptions of libraries are translated once, in the adapter that catches them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class ProvisionError(Exception):
    """Base of all errors that the program raises on purpose.

    Args:
        what: one sentence, without a full stop, that names what failed.
        why: the cause, as far as known; may have several lines.
        hint: what the user can do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self._notes: list[str] = []

    def add(self, *reasons: str) -> None:
        """Append reasons to the cause, one per line; empty ones are dropped."""
        self.why = "\n".join(filter(None, (self.why, *reasons)))

    def add_note(self, note: str, /) -> None:
        """Add a note, which comes after the cause and the hint."""
        self._notes.append(note)

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # a list made from what may still change
        """What Python, pytest and others show below `what`: the cause, the hint, and notes that were added."""
        hint = f"hint: {self.hint}" if self.hint else ""
        return [*filter(None, (self.why, hint)), *self._notes]


class UsageError(ProvisionError):
    """The request names something that does not exist, or combines what excludes each other."""

    exit_code = 64


class Unavailable(ProvisionError):
    """Something external is missing: an engine, an image, a permission."""

    exit_code = 69


class Refused(ProvisionError):
    """The request would lose data or availability, or touch something that provision did not create."""

    exit_code = 4


class KafkaRefused(ProvisionError):
    """Kafka rejected a request; `why` is Kafka's own reason."""


class PartlyApplied(ProvisionError):
    """Some actions failed while others were done; `why` names each failure."""

    exit_code = 3


class PortTaken(ProvisionError):
    """A port of this machine that a node needs is used by something else."""

    def __init__(self, what: str, *, port: int, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.port = port


class StorageLost(ProvisionError):
    """Somebody has removed what a node keeps, and not the node; `why` is what the system says of it."""


class NodeGone(ProvisionError):
    """An environment has no such node, usually because another command has just removed or replaced it."""

    def __init__(self, environment: str, node: str) -> None:
        super().__init__(
            f"{environment} has no node {node}",
            hint=f"`provision status {environment}` lists them; if another command is changing it, try again",
        )
        self.node = node


class NodeFailed(ProvisionError):
    """A node exited during a wait for it, or was gone.

    `port_taken` is whether one of its ports was used by something else, `stopped` whether it was asked to stop.
    """

    port_taken = False
    stopped = False

    def __init__(self, what: str, *, node: str, why: str = "", hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, hint=hint)
        self.node = node
        self.log = tuple(log)


class Busy(ProvisionError):
    """Another command is changing the environment, or has taken it over from this one; `what` names it.

    `command` is its verb, empty if that is not known.
    """

    exit_code = 75
    command = ""


class NotReady(ProvisionError):
    """The requested readiness level was not reached in time; `missing` is what each node lacks, as far as it is known.

    `log` has the lines of the first one's log that tell most.
    """

    exit_code = 124

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        hint: str = "",
        log: Sequence[str] = (),
        missing: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, why=why, hint=hint)
        self.log = tuple(log)
        self.missing = dict(missing or {})


class Interrupted(ProvisionError):
    """The user stopped the command; `why` says what was left or removed."""

    exit_code = 130


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with an environment file.

    `file`, `line` and `column` (from 1; 0 without a position, as for `--set`) locate it, `path` names the key
    (`brokers.nodes`), `message` says what is wrong and why, `hint` what to do. A `warning` does not make it invalid.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        if self.warning:
            place += ": warning"
        subject = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {subject}{self.message}{hint}"


class InvalidEnvironment(ProvisionError):
    """The environment file, or its lock (`subject`), is invalid; `problems` lists everything that is wrong with it."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem], subject: str = "the environment file") -> None:
        self.problems = tuple(sorted(problems))
        self.subject = subject
        count = len(self.problems)
        super().__init__(
            f"{subject} is not valid: {count} problem{'s' if count != 1 else ''}",
            why="\n".join(map(str, self.problems)),
        )
