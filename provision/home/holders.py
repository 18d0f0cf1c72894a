"""Who changes an environment: the command that holds its lock."""

import getpass
import os
import time
import uuid
from typing import Annotated, Self

from pydantic import Field

from provision.common.clocks import now_s
from provision.common.notes import Note, Seconds
from provision.common.printable import printable
from provision.common.process_identity import ProcessIdentity
from provision.errors import Busy

_LONGEST_NAME = 200
Word = Annotated[str, Field(max_length=_LONGEST_NAME)]


class Holder(Note):
    """A running command: `token` is its own, `command` the verb, as in `provision up`, `since` a Unix time."""

    token: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    command: Word
    user: Word
    process: ProcessIdentity
    since: Seconds
    options: Word = ""
    """What has to be said again to go on with it; nothing of it is a secret."""

    @classmethod
    def of(cls, command: str, options: str = "") -> Self:
        """The running process, with a token that no other has."""
        return cls(
            token=uuid.uuid4().hex[:12],
            command=command,
            user=_user(),
            process=ProcessIdentity.of(),
            since=now_s(),
            options=options if len(options) <= _LONGEST_NAME else "…",
        )

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return printable(
            f"`provision {self.command}` ({self.user}, pid {self.process.pid} on {self.process.host}, since {since})"
        )


def busy(environment: str, holder: Holder | None) -> Busy:
    """The error for an environment that another command is changing."""
    error = Busy(
        f"{environment} is being changed by {holder or 'another command'}",
        hint=f"wait for it (`--lock-timeout 5m`), or end it and remove all: `provision down {environment} --force`",
    )
    error.command = holder.command if holder else ""
    return error


def taken_over(environment: str, holder: Holder | None) -> Busy:
    """The error for a command that has lost its lock to another one, which now decides what becomes of everything."""
    by = f" by {holder}" if holder else ""
    return Busy(
        f"{environment} was taken over{by}",
        why="this command has stopped, and has removed nothing",
        hint=f"`provision status {environment}` shows what is there now",
    )


def _user() -> str:
    """The user's name; their number where they have none, as in a container that runs as any user."""
    try:
        return getpass.getuser()[:_LONGEST_NAME]
    except (KeyError, OSError):
        return f"user {os.geteuid()}"
