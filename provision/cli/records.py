"""Commands that talk to the running Kafka: produce, consume, tool."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from provision.cli import completion
from provision.cli.environment import select
from provision.cli.groups import TOPICS
from provision.cli.options import At, Env, TakeOver, User, seconds
from provision.cli.output import is_terminal, say, tell_notices
from provision.cli.progress import progress
from provision.cli.streams import Purpose, leaving_with_reader, write_as
from provision.cli.words import env_and_one, env_and_tool
from provision.common.counts import counted
from provision.common.records import Codec, Headers, Isolation, NewRecord
from provision.common.values import replace
from provision.errors import ProvisionError, UsageError
from provision.spec.record_files import BadRecord, Format, format_of, read_records
from provision.spec.record_json import json_line

Topic = Annotated[
    str | None, typer.Argument(metavar="TOPIC", help="An existing topic.", autocompletion=completion.topics)
]


if TYPE_CHECKING:
    from provision.events import Listener


class Shape(StrEnum):
    """The output formats of `consume`."""

    LINE = "line"
    JSON = "json"


def produce(
    env: Env = None,
    topic: Topic = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Read the records from a file, not from standard input."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="The format of the records. Default: by the file's ending; text for standard input."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            "--key-separator",
            metavar="TEXT",
            help="Text: what is between the key and the value. JSON lines: the field with the key. CSV: the column.",
        ),
    ] = None,
    headers: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="A header for every record. Repeatable."),
    ] = None,
    compression: Annotated[Codec, typer.Option("--compression", help="Compress what is sent.")] = "none",
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", min=0.001, help="Write at most so many records a second.")
    ] = None,
    max_record_size: Annotated[
        str, typer.Option("--max-record-size", metavar="SIZE", help="The largest record to send, for example 4m.")
    ] = "1m",
    take_over: TakeOver = False,
    user: User = "",
    listener: At = "",
) -> None:
    """Write lines, or the records of a file, to a topic."""
    file = None if source is None or str(source) == "-" else str(source)
    env, name = env_and_one(env, topic, "TOPIC")
    largest_bytes, added = _bytes(max_record_size), _headers(headers or [])
    with _input(file) as stream, _told(live=file is not None) as tell:
        count = select(env, tell=tell, take_over=take_over, user=user, listener=listener).produce(
            name,
            _records(stream, file, _format_of(file, form), key, added, largest_bytes),
            max_bytes=largest_bytes,
            compression=compression,
            rate=rate,
        )
    say(f"{counted('record', count)} written to {name}")


def _bytes(size: str) -> int:
    from provision.spec.units import parse_size_bytes

    try:
        return parse_size_bytes(size)
    except ValueError as error:
        raise UsageError(f"--max-record-size: {error}") from error


def _headers(texts: list[str]) -> Headers:
    pairs = [text.partition("=") for text in texts]
    if wrong := ["".join(parts) for parts in pairs if not parts[0] or not parts[1]]:
        raise UsageError(f"--header {wrong[0]}: write it like NAME=VALUE")
    return tuple((name, value.encode(errors="surrogateescape")) for name, _, value in pairs)


def _format_of(source: str | None, said: Format | None) -> Format:
    found = said or (format_of(source) if source else "text")
    if found is None:
        raise UsageError(f"the name of {source} does not say what format it has", hint="say it with --format")
    return found


@contextmanager
def _input(source: str | None) -> Iterator[BinaryIO]:
    if source is None:
        yield sys.stdin.buffer
        return
    try:
        stream = open(source, "rb")  # noqa: PTH123, SIM115 what is read from it may fail in other ways
    except OSError as error:
        raise UsageError(f"{source} cannot be read", why=(error.strerror or str(error)).lower()) from error
    with stream:
        yield stream


@contextmanager
def _told(*, live: bool) -> Iterator["Listener"]:
    """A line of progress on a terminal, unless the terminal is what the records are typed into."""
    if live and is_terminal(sys.stderr):
        with progress() as tell:
            yield tell
    else:
        yield tell_notices


def _records(
    stream: BinaryIO, source: str | None, form: Format, key: str | None, added: Headers, largest_bytes: int
) -> Iterator[NewRecord]:
    try:
        for record in read_records(stream, form, key, largest_bytes=largest_bytes):
            yield replace(record, headers=(*record.headers, *added)) if added else record
    except BadRecord as error:
        place = f"{source}, line {error.line}" if source else f"line {error.line}"
        raise ProvisionError(f"{place}: {error}", hint=error.hint) from error
    except OSError as error:
        raise ProvisionError(f"{source or 'standard input'} cannot be read", why=str(error)) from error


def consume(
    env: Env = None,
    topic: Topic = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    count: Annotated[
        int | None, typer.Option("--max-messages", "-n", min=1, help="Stop after this many records.")
    ] = None,
    idle: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Stop when no record has arrived for this long.")
    ] = None,
    to_end: Annotated[
        bool, typer.Option("--to-end", help="With --from-beginning: stop at the end, as it is when the command starts.")
    ] = False,
    isolation_level: Annotated[
        Isolation,
        typer.Option("--isolation-level", help="Whether to read what open and aborted transactions have written."),
    ] = "read_uncommitted",
    key_separator: Annotated[
        str | None,
        typer.Option(
            "--key-separator", metavar="TEXT", help="Also print the key of each record, followed by this text."
        ),
    ] = None,
    output: Annotated[
        Shape, typer.Option("--output", "-o", help="Print only the value, or the whole record as JSON.")
    ] = Shape.LINE,
    user: User = "",
    listener: At = "",
) -> None:
    """Write a topic's records to standard output, one a line."""
    if to_end and not from_beginning:
        raise UsageError("--to-end goes with --from-beginning", why="without it, reading starts at the end")
    if key_separator is not None and output is Shape.JSON:
        raise UsageError("--key-separator goes without --output json", why="a record as JSON has its key in a field")
    idle_s = seconds("--timeout", idle) if idle else None
    env, name = env_and_one(env, topic, "TOPIC")
    write_as(Purpose.STREAM)
    out = sys.stdout.buffer
    reader = select(env, user=user, listener=listener)
    records = reader.consume(
        name,
        from_beginning=from_beginning,
        limit=count,
        idle_s=idle_s,
        isolation_level=isolation_level,
        to_end=to_end,
    )
    with leaving_with_reader():
        for record in records:
            if output is Shape.JSON:
                out.write(json_line(record))
            else:
                key = b"" if key_separator is None else (record.key or b"") + key_separator.encode()
                out.write(key + (record.value or b"") + b"\n")
            out.flush()


def tool(
    env: Env = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="For example kafka-topics.", autocompletion=completion.tools)
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS...", help="The tool's own arguments.")
    ] = None,
    take_over: TakeOver = False,
    user: User = "",
    listener: At = "",
) -> None:
    """Run a Kafka tool: provision tool kafka-topics -- --list."""
    from provision.catalogue.versions import RELEASES
    from provision.runtime.base import Streams

    known = frozenset(tool for release in RELEASES for tool in release.tools)
    env, (tool_name, *rest) = env_and_tool(env, name, arguments, known)
    write_as(Purpose.STREAM)
    streams = Streams(sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
    raise typer.Exit(select(env, take_over=take_over, user=user, listener=listener).tool(tool_name, rest, streams))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (produce, consume, tool):
        app.command(rich_help_panel=TOPICS)(command)
