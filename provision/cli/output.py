"""What the user reads: values on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from provision.cli.layout import columns_of, table_lines, wrapped
from provision.cli.streams import is_encodable
from provision.errors import Interrupted, NodeFailed, NotReady, ProvisionError
from provision.events import Event, Notice, Warned


class Format(StrEnum):
    """The output formats of reading commands."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def print_value(value: Mapping[str, Any] | Sequence[Any], form: Format) -> None:
    """The value as JSON or YAML on standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if form is Format.YAML:
        # From the JSON, so that both show the same: YAML alone knows no subclasses of text, such as enumerations.
        write_line(as_yaml(json.loads(text)))
    else:
        write_line(text if is_encodable(text) else json.dumps(value, indent=2))


def as_yaml(value: Any, *, compact: bool = False) -> str:  # noqa: ANN401 whatever YAML has
    """The value as YAML, without the last line end; with escapes for what standard output cannot show."""
    from provision.spec.yaml_output import dump

    text = dump(value, compact=compact)
    shown = text if is_encodable(text) else dump(value, compact=compact, ascii_only=True)
    return shown.removesuffix("\n")


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns on standard output, numbers to the right; on a terminal as wide as that is."""
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    first, *others = table_lines(headers, texts, columns_of(sys.stdout))
    write_line(styled(first, bold=True, stream=sys.stdout))
    for line in others:
        write_line(line)


def write_line(text: str) -> None:
    """A line of output on standard output."""
    print(text)


def counted(what: str, count: int) -> str:
    """`1 broker`, `3 brokers`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def age(seconds: object) -> str | None:
    """`3d`, `5h`, `12m` or `40s`; None if it is not known."""
    if not isinstance(seconds, int):
        return None
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def say(text: str) -> None:
    """A sentence for the user, on standard error."""
    columns = columns_of(sys.stderr)
    lines = [part for line in text.split("\n") for part in wrapped(line, columns)]
    sys.stderr.write("\n".join((*lines, "")))  # in one call, because events come from several threads
    sys.stderr.flush()


def tell_warnings(event: Event) -> None:
    """The listener of commands that work on a file and show no progress: warnings and notices, on standard error."""
    if isinstance(event, Warned):
        say(str(event.problem))
    tell_notices(event)


def tell_notices(event: Event) -> None:
    """The listener of commands that look at running environments: notices, on standard error."""
    if isinstance(event, Notice):
        say(event.text)


def print_error(error: ProvisionError) -> None:
    """Print what happened, the cause, and what to do; also a node's last log lines if the error has them."""
    interrupted = isinstance(error, Interrupted)  # what the user wanted is no error
    if interrupted and not error.what:
        return
    say(error.what if interrupted else f"{styled('error:', bold=True, color='red')} {error.what}")
    for line in error.why.splitlines():
        say(f"  {line}")
    log = error.log if isinstance(error, NodeFailed | NotReady) else ()
    if log:
        say(styled("  from its log:", bold=True))
        for line in log:
            say(f"  | {line}")
    if error.hint:
        say(f"{styled('hint:', bold=True)} {error.hint}")


def styled(text: str, *, bold: bool = False, color: str | None = None, stream: Any = None) -> str:  # noqa: ANN401
    """The text with terminal styles, or plain if the stream (default: standard error) is not a terminal."""
    if not is_terminal(stream or sys.stderr):
        return text
    import typer

    return typer.style(text, bold=bold, fg=color)


def painted(text: str, color: str) -> str:
    """The text in a color, if standard output is a terminal."""
    return styled(text, color=color, stream=sys.stdout)


def is_terminal(stream: Any) -> bool:  # noqa: ANN401 any text stream
    """Whether colors and redrawing may be used there (https://no-color.org is respected)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
