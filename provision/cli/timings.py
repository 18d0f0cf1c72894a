"""Where the time of `up` goes, from its events: by stage, level and node, with what was waited for."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct, to_builtins

from provision.cli.layout import columns_of, table_lines
from provision.events import (
    ActionDone,
    ActionSkipped,
    Event,
    LevelReached,
    Listener,
    NodeReady,
    NodeWaiting,
    StageDone,
)

_TOPIC, _START = "topic ", "start"
# Of the resources that are made: what stands before the name, in the place of the verb `create`.
_MADE = ("network", "storage", "software")
_HEADERS = ("PHASE", "WHAT", "BEGAN", "SECONDS", "WAITED FOR")


class Span(Struct, frozen=True):
    """A stretch of time: what was done, or waited for, from `began_s` on, which counts from the program's start."""

    phase: str
    what: str
    began_s: float
    seconds: float
    waited_for: str = ""


class Timings:
    """A listener that measures the time between events.

    Args:
        began_at_s: the Unix time at which the program started.
    """

    def __init__(self, began_at_s: float) -> None:
        self._began_at_s = began_at_s
        self._spans: list[Span] = []
        self._stage_at_s = self._level_at_s = began_at_s
        self._started_at_s: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take in an event, from any thread."""
        with self._lock:
            match event:
                case StageDone(stage, what):
                    self._add(stage, what, self._stage_at_s, event.at_s)
                    self._stage_at_s = self._level_at_s = event.at_s
                case ActionDone(resource, verb, seconds) | ActionSkipped(resource, verb, seconds):
                    self._add(*_phase(verb, resource), event.at_s - seconds, event.at_s)
                    if verb == _START:
                        self._started_at_s[resource] = event.at_s
                case NodeWaiting(node, detail):
                    self._reasons[node] = detail
                case NodeReady(node):
                    began = self._started_at_s.get(node, self._level_at_s)
                    self._add("ready", node, began, event.at_s, self._reasons.get(node, ""))
                case LevelReached(level):
                    reasons = "; ".join(f"{node}: {reason}" for node, reason in sorted(self._reasons.items()))
                    self._add("level", level, self._level_at_s, event.at_s, reasons)
                    self._level_at_s = event.at_s
                    self._reasons.clear()
                case _:
                    pass

    def _add(self, phase: str, what: str, began_at_s: float, ended_at_s: float, waited_for: str = "") -> None:
        began_s, seconds = began_at_s - self._began_at_s, max(ended_at_s - began_at_s, 0.0)
        self._spans.append(Span(phase, what, round(began_s, 3), round(seconds, 3), waited_for))

    @property
    def spans(self) -> Sequence[Span]:
        """Everything so far, in the order in which it began."""
        with self._lock:
            return sorted(self._spans, key=lambda span: span.began_s)

    def as_dicts(self) -> list[Mapping[str, object]]:
        """As `up -o json` shows them."""
        return [to_builtins(span) for span in self.spans]

    def beside(self, listener: Listener) -> Listener:
        """A listener that measures, and passes each event on."""

        def both(event: Event) -> None:
            self(event)
            listener(event)

        return both

    def rows(self) -> Iterator[tuple[str, ...]]:
        """As a table shows them."""
        for span in self.spans:
            yield (span.phase, span.what, f"{span.began_s:.2f}", f"{span.seconds:.2f}", span.waited_for)


def _phase(verb: str, resource: str) -> tuple[str, str]:
    """The phase of an action, and what it was done to."""
    if resource.startswith(_TOPIC) or resource.endswith(" topics"):
        return "topics", f"{verb} {resource}"
    kind, _, name = resource.partition(" ")
    if kind in _MADE and name:
        return (kind if verb == "create" else verb), name
    return verb, resource


@contextmanager
def timed(*, wanted: bool) -> Iterator[Timings | None]:
    """Timings since the program's start, shown on standard error at the end, however that comes; None unless wanted."""
    if not wanted:
        yield None
        return
    import psutil

    timings = Timings(psutil.Process().create_time())
    timings(StageDone("program"))
    try:
        yield timings
    finally:
        header, lines = table_lines(_HEADERS, [list(row) for row in timings.rows()], columns_of(sys.stderr))
        for line in (*header, *lines):
            sys.stderr.write(f"{line}\n")
