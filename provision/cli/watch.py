"""`status --watch`: an environment as it changes, as a live table on a terminal and as lines of changes elsewhere."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from provision.cli.layout import columns_of, table_lines
from provision.cli.output import Format, as_yaml, is_terminal, write_line
from provision.cli.streams import Purpose, leaving_with_reader, write_as
from provision.common.patience import Patience
from provision.errors import Interrupted, NodeGone, ProvisionError

if TYPE_CHECKING:
    from provision.observe.readiness import Assessment

Look = Callable[[], "Assessment"]
Rows = list[tuple[str, str, str, str]]
_HEADERS = ("NODE", "STATE", "ENDPOINT", "LACKS")


def watch(look: Look, every_s: float, output: Format) -> None:
    """Look again and again until Ctrl-C.

    Args:
        look: assesses the environment; what it raises the first time ends it, unless the environment is just changing.
        every_s: seconds between two looks.
        output: JSON has a line for each change, YAML a document.

    Raises:
        Interrupted: always, without a text: that is how it ends.
    """
    write_as(Purpose.STREAM)
    looks = _looks(look, every_s)
    try:
        with leaving_with_reader():
            if output is not Format.TABLE:
                _print_values(looks, output)
            elif is_terminal(sys.stdout):
                _redraw(looks)
            else:
                _print_changes(looks)
    except KeyboardInterrupt:
        raise Interrupted("") from None


def _looks(look: Look, every_s: float) -> Iterator["Assessment | ProvisionError"]:
    """What there is, for ever: an engine that stops answering, or an environment that goes, may come back."""
    found: Assessment | ProvisionError
    try:
        found = look()
    except NodeGone as error:  # others mean that there is nothing to watch
        found = error
    while True:
        yield found
        Patience(every_s).pause(every_s)
        try:
            found = look()
        except ProvisionError as error:
            found = error


def _print_values(looks: Iterator["Assessment | ProvisionError"], output: Format) -> None:
    from provision.operations.status import status_dict

    before: object = None
    for found in looks:
        shown = {"error": found.what} if isinstance(found, ProvisionError) else status_dict(found)
        if (compared := _without_times(shown)) == before:
            continue
        before = compared
        write_line(json.dumps(shown) if output is Format.JSON else f"---\n{as_yaml(shown)}")
        sys.stdout.flush()


def _without_times(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is another number each time."""
    nodes = [{key: value for key, value in node.items() if key != "answer_ms"} for node in shown.get("nodes", ())]
    return {**shown, "nodes": nodes}


def _print_changes(looks: Iterator["Assessment | ProvisionError"]) -> None:
    before: dict[str, str] = {}
    for found in looks:
        now = _summary(found)
        for name, text in now.items():
            if before.get(name) != text:
                was = f" (was {_state(before[name])})" if name in before else ""
                write_line(f"{time.strftime('%H:%M:%S')} {name}: {text}{was}")
        for name in before.keys() - now.keys():
            if not isinstance(found, ProvisionError):
                write_line(f"{time.strftime('%H:%M:%S')} {name}: gone (was {_state(before[name])})")
        before = {**before, **now} if isinstance(found, ProvisionError) else now
        sys.stdout.flush()


def _summary(found: "Assessment | ProvisionError") -> dict[str, str]:
    """A line for the environment and one for each node, without numbers that change each time."""
    if isinstance(found, ProvisionError):
        return {"environment": found.what}
    texts = {"environment": _headline(found)}
    for name, state, _, lacks in _rows(found):
        # The seconds after which a slow node answers are not worth a line each.
        texts[name] = f"{state}: {lacks}" if lacks and state != "slow" else state
    return texts


def _state(text: str) -> str:
    return text.partition(":")[0]


def _headline(found: "Assessment") -> str:
    from provision.kafka.levels import Level
    from provision.operations.status import nothing_left

    headline = f"{'ready' if found.level >= Level.TOPICS else 'not ready'} (level {found.level})"
    return ": ".join(filter(None, (headline, nothing_left(found.observed))))


def _rows(found: "Assessment") -> Rows:
    from provision.cli.look import node_rows

    return [
        (str(name), str(state), str(endpoint or "-"), _remark(found, str(name)))
        for name, state, endpoint in node_rows(found)
    ]


def _remark(found: "Assessment", node: str) -> str:
    remarks = (found.missing.get(node, ""), "its files were edited" if found.edited.get(node) else "")
    return "; ".join(filter(None, remarks))


def _redraw(looks: Iterator["Assessment | ProvisionError"]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=sys.stdout)
    rows: Rows = []
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for found in looks:
            if isinstance(found, ProvisionError):
                headline = found.what
            else:
                headline, rows = f"{found.observed.name}: {_headline(found)}", _rows(found)
            head, body = table_lines(_HEADERS, rows, columns_of(sys.stdout))
            lines = [f"{time.strftime('%H:%M:%S')} {headline}", *(head if rows else ()), *body]
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
