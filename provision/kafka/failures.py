"""Explain why a node exited, by known patterns in its log.

The last lines of a log are seldom the reason: a broker that fails logs it once and then, line by line, its shutdown. So
a log is read as records of the node's last run. Errors come before warnings, later ones before earlier ones, and causes
before the consequences by which they are usually followed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cache

from msgspec import Struct

from provision.common.secret_texts import without_secrets
from provision.common.texts import ANOTHER_BEGINS
from provision.common.values import replace
from provision.kafka.causes import CAUSES, CONSEQUENCES, OUT_OF_MEMORY, Failure

LOG_LINES = 3000
"""How many of its last lines `explain` needs: the reason can be far above the end."""
_SHOWN_LINES = 12


Patterns = Sequence[tuple[re.Pattern[str], Failure]]


@cache  # nearly no command needs them
def _patterns() -> Sequence[Patterns]:
    return [
        [(re.compile(pattern, re.MULTILINE), failure) for pattern, failure in known] for known in (CAUSES, CONSEQUENCES)
    ]


class _Level(IntEnum):
    """How much a record says about a failure, the most first."""

    ERROR = 0
    WARNING = 1
    OTHER = 2


_LEVELS = {"FATAL": _Level.ERROR, "ERROR": _Level.ERROR, "WARN": _Level.WARNING}
_LEVEL = re.compile(r"^(?!FATAL ERROR).{0,60}?\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b(?!:)")
_FRAME = ("\tat ", "\t... ")
# A record's further lines: values that it lists, or a stack trace, which one that is no problem does not have.
_CONTINUED = re.compile(r"\s|Caused by: |Suppressed: ")
_EXCEPTION = re.compile(r"[\w.$]+(?:Exception|Error|Fault)\b(?::|$)")
# The first line of a run of Kafka, and of ZooKeeper, or what comes before a JVM that may not get so far.
_BEGINS = re.compile(rf"Log4jController\W+MBean|Reading configuration from: |{re.escape(ANOTHER_BEGINS)}")
_JVM_WARNS = re.compile(r"^.{0,60}\bwarning\b|^SLF4J", re.IGNORECASE)


class _Record(Struct, frozen=True):
    """A log record: its lines without the frames of stack traces, and whether a logger wrote it or the JVM.

    `thrown_at` are the first frames, which tell exceptions apart that have no message.
    """

    lines: tuple[str, ...]
    level: _Level
    logged: bool
    thrown_at: tuple[str, ...] = ()

    @property
    def telling(self) -> tuple[str, ...]:
        """All of it that can be the mark of a reason."""
        return (*self.lines, *self.thrown_at)


def explain(log: Sequence[str], *, out_of_memory: bool = False) -> Failure | None:
    """The reason why a node exited, from its log lines; None if they match nothing known.

    Args:
        log: its last lines, oldest first, at best `LOG_LINES`.
        out_of_memory: whether the runtime reports that it was killed for using too much memory.
    """
    if out_of_memory:
        return OUT_OF_MEMORY
    records = [record for record in reversed(_records(log)) if record.level is not _Level.OTHER]
    texts = ["\n".join(record.telling) for record in sorted(records, key=lambda record: record.level)]
    found = (known for patterns in _patterns() for text in texts for known in _known(text, patterns))
    return next(found, None)


def _known(text: str, patterns: Patterns) -> Iterator[Failure]:
    for pattern, failure in patterns:
        if match := pattern.search(text):
            what = (match.groupdict().get("what") or "").strip()
            yield replace(failure, reason=failure.reason.format(what=what))


def lines_of(log: Sequence[str], failure: Failure) -> list[str]:
    """The lines of the last run that show a reason which `explain` has given."""
    patterns = [pattern for known in _patterns() for pattern, one in known if one.id == failure.id]
    lines = [line for record in _records(log) for line in record.telling]
    return [without_secrets(line) for line in lines if any(pattern.search(line) for pattern in patterns)]


def telling(log: Sequence[str]) -> list[str]:
    """The few lines that tell most about a failure: errors, then warnings, then the last others; no stack frames."""
    chosen: list[str] = []
    records = _records(log)
    for level in _Level:
        lines = [line for record in records if record.level is level for line in record.lines]
        chosen += lines[max(len(lines) - (_SHOWN_LINES - len(chosen)), 0) :]
    return [*map(without_secrets, chosen)]


def last_run(log: Iterable[str]) -> list[str]:
    """The lines of a log since the node has last begun to run."""
    found: list[str] = []
    for line in log:
        if _BEGINS.search(line):
            found = []
        found.append(line)
    return found


def _records(log: Iterable[str]) -> list[_Record]:
    """The records of the last run, oldest first."""
    found: list[_Record] = []
    before = ""
    for line in log:
        if _BEGINS.search(line):
            found = []
        if line.startswith(_FRAME):
            if found and not before.startswith(_FRAME):
                found[-1] = replace(found[-1], thrown_at=(*found[-1].thrown_at, line.strip()))
            before = line
            continue
        before = line
        if not line.strip() or line.endswith(ANOTHER_BEGINS):
            continue
        level, logged = _level_of(line)
        last = found[-1] if found else None
        if last and not logged and _continues(line, level, last):
            found[-1] = replace(last, lines=(*last.lines, line))
        else:
            found.append(_Record((line,), level, logged))
    return found


def _continues(line: str, level: _Level, last: _Record) -> bool:
    if _CONTINUED.match(line):
        return True
    if not last.logged:
        return last.level is level
    return last.level is not _Level.OTHER and bool(_EXCEPTION.match(line))


def _level_of(line: str) -> tuple[_Level, bool]:
    """The level of a record by its first line, and whether a logger wrote it: the JVM's last words have no level."""
    if not line[0].isspace() and (match := _LEVEL.match(line)):
        return _LEVELS.get(match[1], _Level.OTHER), True
    return (_Level.WARNING if _JVM_WARNS.match(line) else _Level.ERROR), False
