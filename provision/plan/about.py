"""What an environment knows of itself, kept with it: where it comes from, whose it is, and how long it is wanted."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field

from provision.common.notes import DamagedNote, Note, Seconds, parse_note
from provision.common.printable import printable
from provision.common.process_identity import ProcessIdentity, host_name

Shown = Annotated[str, AfterValidator(printable)]
"""What is only shown: anybody can write a label."""
_CHANGES = 10


class Change(Note):
    """A command that has changed an environment: its `run` tells it from others, `began_s` is Unix time.

    Of one that was killed, neither `seconds` nor `exit_code` is known.
    """

    run: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    command: Shown
    user: Shown
    process: ProcessIdentity
    began_s: Seconds
    seconds: Seconds | None = None
    outcome: Shown
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None


class About(Note):
    """What an environment knows of itself.

    `file` is the absolute path of the file it was made from, on `host`; empty if a program gave the values. `home` is
    the home directory it belongs to, `user` who made it. `owner` is the person or CI job it was made for, if one was
    named, and `owner_process` the process with whose end it is to go. `created_s` is Unix time, `ttl_s` how long it is
    wanted after that. `removing` is whether its data are being deleted: if that is cut off, what is left of
    them is no whole cluster any more; `removing_directory` is whether those in a user's directory are among
    them. `security` is the profile of its listeners; empty for none. `secrets` is the identity of the secrets that
    are its own, or were; no secret itself.
    `changes` are the last ones, from whichever home.
    """

    file: str = ""
    host: str = ""
    home: str = ""
    user: Shown = ""
    owner: Shown = ""
    owner_process: ProcessIdentity | None = None
    security: Shown = ""
    secrets: Shown = ""
    created_s: Seconds
    ttl_s: Seconds | None = None
    removing: bool = False
    removing_directory: bool = False
    changes: tuple[Change, ...] = ()

    @classmethod
    def parse(cls, content: str | bytes) -> Self | None:
        """What is written somewhere; None if it is damaged."""
        try:
            return parse_note(content.encode() if isinstance(content, str) else content, cls)
        except DamagedNote:
            return None

    def with_change(self, change: Change) -> Self:
        """The same after one more change; the oldest ones are forgotten, and none is noted twice."""
        if any(known.run == change.run for known in self.changes):
            return self
        return self.model_copy(update={"changes": (*self.changes, change)[-_CHANGES:]})

    @property
    def written(self) -> str:
        """As it is kept."""
        return self.model_dump_json(exclude_defaults=True)

    @property
    def expires_s(self) -> float | None:
        """The Unix time from which on it is no longer wanted; None if it has no limit."""
        return None if self.ttl_s is None else self.created_s + self.ttl_s

    @property
    def origin(self) -> str:
        """What it was made from, for messages."""
        if not self.file:
            return "values that a program gave, without a file"
        return printable(self.file if self.host == host_name() else f"{self.file} on {self.host}")
