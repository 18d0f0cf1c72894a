"""The error family: everything the program raises on purpose.

    ProvisionError           1    something failed
    ├── UsageError          64    the command line is wrong
    ├── InvalidEnvironment  65    the environment file is wrong: every problem, each with its position
    ├── Unavailable         69    an outside need is missing: no engine, no image, no Java
    ├── Refused              4    it would lose data or availability, or touch what is not ours
    ├── KafkaRefused         1    Kafka answered, and does not do it: no permission, a policy, an invalid value
    ├── PartlyApplied        3    some actions failed, the others were done
    ├── NodeFailed           1    a node exited: its last log lines, and the reason in words where it is known
    ├── NotReady           124    not ready in time: what is missing
    └── Interrupted        130    the user stopped it

An error says three things: what happened (`what`), because of what (`why`), and what to do (`hint`). Only `cli` prints
them and turns them into exit codes. Foreign exceptions are translated once, in the adapter that meets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ProvisionError(Exception):
    """Base of the family.

    Args:
        what: one sentence, without a full stop, that names what failed.
        why: the cause, as far as it is known; may have several lines.
        hint: what the user can do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def add(self, *reasons: str) -> None:
        """Tell more of the cause, each reason on a line of its own; empty ones are none."""
        self.why = "\n".join(filter(None, (self.why, *reasons)))


class UsageError(ProvisionError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 64


class Unavailable(ProvisionError):
    """Something outside the program is missing: an engine, an image, a permission."""

    exit_code = 69


class Refused(ProvisionError):
    """Doing it would lose data or availability, or touch something that is not ours."""

    exit_code = 4


class KafkaRefused(ProvisionError):
    """Kafka answered a request and does not do it; `why` is its own reason."""


class PartlyApplied(ProvisionError):
    """Some actions failed while others were done; `why` names each failure."""

    exit_code = 3


class NodeFailed(ProvisionError):
    """A node exited while it was waited for."""

    def __init__(self, what: str, *, node: str, why: str = "", hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, hint=hint)
        self.node = node
        self.log = tuple(log)


class NotReady(ProvisionError):
    """The asked readiness level was not reached in time."""

    exit_code = 124

    def __init__(self, what: str, *, why: str = "", hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, hint=hint)
        self.log = tuple(log)


class Interrupted(ProvisionError):
    """The user stopped the command; `why` says what was left or removed."""

    exit_code = 130


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in an environment file.

    `file`, `line` and `column` (both from 1; 0 when there is no place, as for `--set`) say where, `path` names the key
    (`brokers.nodes`), `message` says what is wrong and why, `hint` what to do. A `warning` stops nothing.
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
    """The environment file, or its lock (`subject`), cannot be used; `problems` holds all that is wrong with it."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem], subject: str = "the environment file") -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            f"{subject} is not valid: {count} problem{'s' if count != 1 else ''}",
            why="\n".join(map(str, self.problems)),
        )
