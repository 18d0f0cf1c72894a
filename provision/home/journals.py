"""The journal of an environment: who changed what, when, and how it ended, one JSON object a line.

A line is written when something begins and when it ends, so that a command that is killed leaves what it had begun. The
journal outlives the environment. It says verbs and names of resources, never values.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field

from provision.common.notes import DamagedNote, Note, Seconds, parse_note
from provision.common.own_directories import is_own, make_own
from provision.common.printable import printable
from provision.common.values import replace
from provision.common.whole_files import read_whole, write_whole
from provision.errors import ProvisionError
from provision.events import ActionDone, ActionFailed, ActionSkipped, ActionStarted, Event
from provision.home.holders import Holder, Word
from provision.home.usable import made
from provision.plan.about import About

_MODE = 0o600
LARGEST_BYTES = 256 * 1024
"""From this size on, the oldest runs are dropped when another one begins."""
_KEPT_BYTES = LARGEST_BYTES // 2
_ACTIONS = 1000  # of one run; what follows is not noted
_LONGEST = 500
_BEGUN = b'"what": "begun"'

DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"
RUNNING, KILLED, UNFINISHED = "running", "killed", "unfinished"
Text = Annotated[str, Field(max_length=_LONGEST + 1)]


class _Line(Note):
    """A line: `what` says which of the other keys it has."""

    run: Annotated[str, Field(max_length=32)]
    at: Seconds
    what: Literal["begun", "action begun", "action ended", "ended"]
    holder: Holder | None = None
    resource: Text = ""
    verb: Word = ""
    seconds: Seconds | None = None
    error: Text = ""
    outcome: Word = ""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    rolled_back: bool = False


class Act(Struct, frozen=True):
    """An action of a run; `seconds` is None if it has not ended, `error` empty if it did not fail."""

    resource: str
    verb: str
    began_s: float
    seconds: float | None = None
    error: str = ""


class Run(Struct, frozen=True):
    """A command that changed an environment, or tried to; `seconds` and `exit_code` are None if it has not ended.

    `rolled_back` is whether it has removed what it had made. The actions of one that is not `is_of_this_home` are not
    known: it was made from another one, which the environment itself has noted.
    """

    holder: Holder
    actions: tuple[Act, ...] = ()
    seconds: float | None = None
    outcome: str = ""
    exit_code: int | None = None
    error: str = ""
    rolled_back: bool = False
    is_of_this_home: bool = True

    @property
    def id(self) -> str:
        """What tells it from other runs."""
        return self.holder.token

    @property
    def state(self) -> str:
        """How it ended: `done`, `failed`, `interrupted` or `killed`; or `running`.

        `unfinished` is one of another machine that has not ended as far as can be told from here.
        """
        if self.outcome:
            return self.outcome
        over = self.holder.process.is_over
        return UNFINISHED if over is None else KILLED if over else RUNNING

    def as_dict(self, *, actions: bool = False) -> dict[str, Any]:
        """The run as `history -o json` shows it."""
        shown: dict[str, Any] = {
            "run": self.id,
            "command": self.holder.command,
            "user": self.holder.user,
            "host": self.holder.process.host,
            "pid": self.holder.process.pid,
            "began_s": self.holder.since,
            "seconds": self.seconds,
            "outcome": self.state,
            "exit_code": self.exit_code,
            "error": self.error,
            "rolled_back": self.rolled_back,
            "action_count": len(self.actions) if self.is_of_this_home else None,
        }
        if actions:
            shown["actions"] = [
                {
                    "resource": action.resource,
                    "verb": action.verb,
                    "began_s": action.began_s,
                    "seconds": action.seconds,
                    "error": action.error,
                }
                for action in self.actions
            ]
        return shown


@dataclass(slots=True)
class Journal:
    """The journal of one environment in a home. Only the command that holds the environment's lock writes."""

    home: Path
    environment: str
    _acts: int = field(default=0, init=False)

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.home / "journals" / f"{self.environment}.jsonl"

    # -- write --------------------------------------------------------------------------------------------------------

    def begin(self, holder: Holder) -> None:
        """Note that a command begins to change something.

        Raises:
            OSError: it cannot be written.
        """
        made(self.home)
        make_own(self.file.parent, below=self.home)
        self._make_room()
        self._acts = 0
        self._write(holder.token, holder.since, "begun", {"holder": holder.model_dump()})

    def tell(self, run: str, event: Event) -> None:
        """Note an action that begins or ends, if the event is about one.

        Raises:
            OSError: it cannot be written.
        """
        match event:
            case ActionStarted(resource, verb):
                self._acts += 1
                said: dict[str, Any] = {}
            case ActionDone(resource, verb, seconds) | ActionSkipped(resource, verb, seconds):
                said = {"seconds": round(seconds, 3)}
            case ActionFailed(resource, verb, seconds, error):
                said = {"seconds": round(seconds, 3), "error": _short(error)}
            case _:
                return
        if self._acts <= _ACTIONS:
            what = "action begun" if isinstance(event, ActionStarted) else "action ended"
            self._write(run, event.at_s, what, {"resource": resource[:_LONGEST], "verb": verb, **said})

    def end(self, run: str, at_s: float, seconds: float, error: BaseException | None, *, rolled_back: bool) -> None:
        """Note that a command has ended.

        Raises:
            OSError: it cannot be written.
        """
        outcome, code = outcome_of(error)
        said: dict[str, Any] = {"seconds": round(seconds, 3), "outcome": outcome, "exit_code": code}
        if error is not None:
            said |= {"error": _short(error), "rolled_back": rolled_back}
        self._write(run, at_s, "ended", said)

    def _write(self, run: str, at_s: float, what: str, said: Mapping[str, Any]) -> None:
        line = json.dumps({"run": run, "at": round(at_s, 3), "what": what, **said}, ensure_ascii=False)
        # A pipe that stands there takes nothing, and nobody waits until it does.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        opened = os.open(self.file, flags, _MODE)
        try:
            os.write(opened, f"{line}\n".encode(errors="replace"))
        finally:
            os.close(opened)

    def _make_room(self) -> None:
        """Drop the oldest runs if it is large, and what a killed command has cut off."""
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        if len(content) <= LARGEST_BYTES and len(whole) == len(content):
            return
        kept = whole[-_KEPT_BYTES:] if len(content) > LARGEST_BYTES else whole
        lines = kept.splitlines(keepends=True)
        if len(kept) < len(whole):  # from the beginning of a run on
            first = next((at for at, line in enumerate(lines) if at and _BEGUN in line), len(lines))
            lines = lines[first:]
        write_whole(self.file, b"".join(lines), _MODE)

    # -- read ---------------------------------------------------------------------------------------------------------

    def runs(self) -> tuple[Run, ...]:
        """All runs that it has, the oldest first; what cannot be read is left out."""
        return tuple(_runs(_lines(self._content())))

    @property
    def ended_well(self) -> bool:
        """Whether there is no run, or the last one has ended as it should; found out without reading all."""
        *_, last = self._content().splitlines() or [b""]
        return not last or (b'"what": "ended"' in last and f'"outcome": "{DONE}"'.encode() in last)

    def last(self) -> Run | None:
        """The last run; None if there is none."""
        content = self._content()
        return next(_runs(_lines(content[content.rfind(b"\n", 0, max(content.rfind(_BEGUN), 0)) + 1 :])), None)

    def _content(self) -> bytes:
        if not is_own(self.file.parent, below=self.home):
            return b""
        with suppress(OSError):
            return read_whole(self.file)
        return b""


_INTERRUPTED = 130


def outcome_of(error: BaseException | None) -> tuple[str, int]:
    """How a command has ended, and with which exit code, by what it has raised."""
    if error is None:
        return DONE, 0
    code = error.exit_code if isinstance(error, ProvisionError) else 1
    if isinstance(error, KeyboardInterrupt) or code == _INTERRUPTED:
        return INTERRUPTED, _INTERRUPTED
    return FAILED, code


def with_others(runs: Iterable[Run], about: About | None, killed: Holder | None) -> tuple[Run, ...]:
    """The runs of a home, and those that the environment itself knows of others, by their beginning.

    Args:
        runs: those of the home.
        about: what the environment knows of itself.
        killed: the command that has left its claim on the environment behind.
    """
    found = {run.id: run for run in runs}
    for change in about.changes if about else ():
        holder = Holder(
            token=change.run,
            command=change.command,
            user=change.user,
            process=change.process,
            since=change.began_s,
        )
        other = Run(holder, (), change.seconds, change.outcome, change.exit_code, is_of_this_home=False)
        found.setdefault(change.run, other)
    if killed:
        found.setdefault(killed.token, Run(killed, is_of_this_home=False))
    return tuple(sorted(found.values(), key=lambda run: run.holder.since))


def _short(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = printable(str(error) or type(error).__name__)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lines(content: bytes) -> Iterator[_Line]:
    """The lines that are whole: the last one may be cut, after a kill or on a full disk."""
    for line in content.splitlines():
        with suppress(DamagedNote):
            yield parse_note(line, _Line)


def _runs(lines: Iterable[_Line]) -> Iterator[Run]:
    runs: dict[str, Run] = {}
    for line in lines:
        if line.what == "begun" and line.holder:
            runs[line.run] = Run(line.holder)
        elif line.run in runs:
            runs[line.run] = _with(runs[line.run], line)
    yield from runs.values()


def _with(run: Run, line: _Line) -> Run:
    match line.what:
        case "action begun":
            return replace(run, actions=(*run.actions, Act(line.resource, line.verb, line.at)))
        case "action ended":
            return replace(run, actions=_ended(run.actions, line))
        case "ended":
            return replace(
                run,
                seconds=line.seconds,
                outcome=line.outcome,
                exit_code=line.exit_code,
                error=line.error,
                rolled_back=line.rolled_back,
            )
    return run


def _ended(actions: tuple[Act, ...], line: _Line) -> tuple[Act, ...]:
    """The actions, of which the last one that the line is about has ended."""
    for at in reversed(range(len(actions))):
        act = actions[at]
        if (act.resource, act.verb, act.seconds) == (line.resource, line.verb, None):
            ended = replace(act, seconds=line.seconds or 0.0, error=line.error)
            return (*actions[:at], ended, *actions[at + 1 :])
    return actions
