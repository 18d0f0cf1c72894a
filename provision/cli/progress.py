"""Events as the user sees them: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from provision.cli.layout import columns_of, wrapped
from provision.cli.output import is_terminal, say
from provision.cluster.model import Role
from provision.errors import Interrupted, ProvisionError
from provision.events import (
    ActionDone,
    ActionFailed,
    ActionSkipped,
    ActionStarted,
    ActionStep,
    Event,
    Fetching,
    LevelReached,
    NodeReady,
    NodeWaiting,
    Notice,
    Progress,
    Warned,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_LINE_EVERY_S = 10.0
_PAST = {
    "create": "created",
    "fill": "filled",
    "format": "formatted",
    "start": "started",
    "join": "connected",
    "stop": "stopped",
    "kill": "killed",
    "remove": "removed",
    "fetch": "fetched",
    "configure": "configured",
    "restart": "restarted",
    "recreate": "replaced",
    "move": "moved",
    "grow": "has its new partitions",
    "reassign": "has its new replicas",
    "restore": "restored",
    "delete": "deleted",
    "elect": "elected",
    "build": "built",
    "load": "loaded",
    "train": "trained",
}
_GOING = {
    "create": "creating",
    "fill": "filling",
    "format": "formatting",
    "start": "starting",
    "join": "connecting",
    "stop": "stopping",
    "kill": "killing",
    "remove": "removing",
    "fetch": "fetching",
    "configure": "configuring",
    "restart": "restarting",
    "recreate": "replacing",
    "move": "moving",
    "grow": "adding partitions",
    "reassign": "moving replicas",
    "restore": "restoring",
    "delete": "deleting",
    "elect": "electing",
    "build": "building",
    "load": "loading",
    "train": "training",
}
_MIB = 1024 * 1024
_UNKNOWN_COLUMNS, _BAR = 80, 40


class Display(Protocol):
    """A listener that can pause while the user is asked something."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def paused(self) -> AbstractContextManager[None]:
        """Stop redrawing inside the block."""


@contextmanager
def progress(*, only_when_acting: bool = False, clock: Callable[[], float] = time.monotonic) -> Iterator[Display]:
    """A listener for the duration of a command; `only_when_acting` hides readiness until something is done."""
    if is_terminal(sys.stderr):
        with _Live().shown() as display:
            yield display
    else:
        yield _Plain(acting=not only_when_acting, clock=clock)


class _Plain:
    """One line for each completed action: for logs, which cannot redraw."""

    def __init__(self, *, acting: bool, clock: Callable[[], float]) -> None:
        self._told: dict[str, float] = {}
        self._acting, self._clock = acting, clock

    def __call__(self, event: Event) -> None:
        match event:
            case Notice(text) | Warned(text):
                say(str(text))
            case ActionDone(resource, verb, seconds):
                self._acting = True
                say(f"{resource} {_PAST.get(verb, verb)} ({seconds:.1f} s)")
            case ActionStep(resource, _, step):
                say(f"{resource}: {step}")
            case ActionFailed():
                say(_failure(event))
            case ActionSkipped(resource, _, _, reason):
                say(f"{resource}: {reason}")
            case NodeReady(node, endpoint) if self._acting:
                say(f"{node} is ready" + (f" at {endpoint}" if endpoint else ""))
            case LevelReached(level, seconds) if self._acting:
                say(f"{level} after {seconds:.1f} s")
            case Fetching() if self._is_due(event.what):
                say(f"fetching {event.what}: {_amount(event)}")
            case Progress(what, done, total, detail) if self._is_due(what):
                say(f"{_of(done, total)} {what}{_after(detail)}")
            case _:
                pass

    def _is_due(self, what: str) -> bool:
        """Whether to report it now: when it begins, and from time to time."""
        now = self._clock()
        due = now - self._told.get(what, -_LINE_EVERY_S) >= _LINE_EVERY_S
        if due:
            self._told[what] = now
        return due

    def paused(self) -> AbstractContextManager[None]:
        """Nothing to pause: plain lines do not redraw."""
        return nullcontext()


class _Live:
    """A table that is redrawn: one line per resource in progress or waited for."""

    def __init__(self) -> None:
        self._lock, self._showing = threading.Lock(), threading.Lock()
        self._lines: dict[str, tuple[str, str]] = {}
        self._fetch: Fetching | None = None
        self._began = time.monotonic()

        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator["_Live"]:
        try:
            yield self
        finally:
            self._hide()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)
        live = self._show()
        match event:
            case Notice(text) | Warned(text):
                live.console.print(_fitting(str(text)), highlight=False, markup=False, soft_wrap=True)
            case ActionFailed():  # the table disappears when the command ends, but this must stay
                live.console.print(
                    _fitting(_failure(event)), style="red", highlight=False, markup=False, soft_wrap=True
                )

    def _show(self) -> "Live":
        """Show the table from the first event on."""
        from rich.console import Console
        from rich.live import Live

        with self._showing:  # events come from several threads
            if self._live is None:
                console = Console(stderr=True)
                self._live = Live(console=console, get_renderable=self._render, refresh_per_second=10, transient=True)
                self._live.start()
            return self._live

    def _hide(self) -> None:
        with self._showing:
            if self._live:
                self._live.stop()
            self._live = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Clear the table while the user is asked; the next event shows it again."""
        self._hide()
        yield

    def _take(self, event: Event) -> None:
        match event:
            case ActionStarted(resource, verb):
                self._lines[resource] = ("busy", _GOING.get(verb, verb))
            case ActionDone(resource, verb) | ActionSkipped(resource, verb):
                node = _is_node(resource)
                state = "busy" if node and verb in ("create", "start") else "done"
                self._lines[resource] = (state, _PAST.get(verb, verb))
                self._fetch = None if verb == "fetch" else self._fetch
                if not node:
                    del self._lines[resource]
            case ActionStep(resource, _, step):
                self._lines[resource] = ("busy", step)
            case ActionFailed(resource, verb, _, _):
                self._lines[resource] = ("failed", f"{_GOING.get(verb, verb)} failed")
                self._fetch = None if verb == "fetch" else self._fetch
            case NodeWaiting(node, detail):
                self._lines[node] = ("busy", detail)
            case NodeReady(node, endpoint):
                self._lines[node] = ("done", f"ready{f' at {endpoint}' if endpoint else ''}")
            case Fetching():
                self._fetch = event
            case Progress(what, done, total, detail):
                self._lines[what] = ("done" if done == total else "busy", f"{_of(done, total)}{_after(detail)}")
            case _:
                pass

    def _render(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        def one_line(text: str, style: str = "", longest: int | None = None) -> Text:
            line = Text(text, style=style, overflow="ellipsis", no_wrap=True)
            if longest is not None:
                line.truncate(longest, overflow="ellipsis")
            return line

        marks = {"done": Text("✓", style="green"), "failed": Text("✗", style="red")}
        columns = columns_of(sys.stderr) or _UNKNOWN_COLUMNS
        with self._lock:
            lines, fetch = dict(self._lines), self._fetch
        table = Table.grid(padding=(0, 1))
        for resource, (state, text) in sorted(lines.items(), key=_order):
            mark = Spinner("dots", style="cyan") if state == "busy" else marks[state]
            table.add_row(mark, one_line(resource, "bold", columns // 2), one_line(text))
        parts: list[RenderableType] = [table]
        if fetch:
            amount = one_line(f"  {_amount(fetch)} of {fetch.what}", longest=columns - _BAR)
            parts += [ProgressBar(total=fetch.total or None, completed=fetch.done, width=_BAR), amount]
        parts.append(Text(f"{time.monotonic() - self._began:5.1f} s", style="dim"))
        return Group(*parts)


def _fitting(text: str) -> str:
    columns = columns_of(sys.stderr)
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, columns))


def _failure(event: ActionFailed) -> str:
    """A line with the failed action, its duration, and the reason."""
    what = f"{event.resource}: {_GOING.get(event.verb, event.verb)}"
    if isinstance(event.error, Interrupted | KeyboardInterrupt):
        return f"{what} was interrupted ({event.seconds:.1f} s)"
    reason = event.error.what if isinstance(event.error, ProvisionError) else str(event.error)
    return f"{what} failed ({event.seconds:.1f} s): {reason}"


def _amount(fetch: Fetching) -> str:
    divisor, unit = (_MIB, "MiB") if fetch.unit == "bytes" else (1, fetch.unit)
    done, total = fetch.done // divisor, fetch.total // divisor
    return f"{done} of {total} {unit}" if total else f"{done} {unit} so far"


def _of(done: int, total: int) -> str:
    return f"{done} of {total}" if total else str(done)


def _after(detail: str) -> str:
    return f", {detail}" if detail else ""


def _is_node(resource: str) -> bool:
    try:
        Role.parse(resource)
    except ValueError:
        return False
    return True


def _order(line: tuple[str, tuple[str, str]]) -> tuple[bool, int, int, str]:
    """ZooKeeper first, then controllers, then brokers, each by number; then the rest by name."""
    if not _is_node(line[0]):
        return True, 0, 0, line[0]
    role, number = Role.parse(line[0])
    return False, list(Role).index(role), number, ""
