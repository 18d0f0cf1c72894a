"""Commands that talk to the running Kafka: produce, consume, tool."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli import completion
from provision.cli.environment import select
from provision.cli.groups import TOPICS
from provision.cli.options import Env, seconds
from provision.cli.output import say
from provision.cli.streams import Purpose, write_as
from provision.cli.words import env_and_one, env_and_tool
from provision.common.counts import counted
from provision.errors import ProvisionError, UsageError

Topic = Annotated[
    str | None, typer.Argument(metavar="TOPIC", help="An existing topic.", autocompletion=completion.topics)
]


if TYPE_CHECKING:
    from provision.kafka.records import Record


class Shape(StrEnum):
    """The output formats of `consume`."""

    LINE = "line"
    JSON = "json"


def produce(
    env: Env = None,
    topic: Topic = None,
    key_separator: Annotated[
        str | None,
        typer.Option("--key-separator", metavar="TEXT", help="The text between the key and the value in each line."),
    ] = None,
    max_record_size: Annotated[
        str, typer.Option("--max-record-size", metavar="SIZE", help="The largest record to send, for example 4m.")
    ] = "1m",
) -> None:
    """Write each line of standard input to a topic as a record."""
    if key_separator == "":
        raise UsageError("--key-separator cannot be empty")
    env, name = env_and_one(env, topic, "TOPIC")
    largest_bytes = _bytes(max_record_size)
    count = select(env).produce(name, _records(key_separator), max_bytes=largest_bytes)
    say(f"{counted('record', count)} written to {name}")


def _bytes(size: str) -> int:
    from provision.spec.units import parse_size_bytes

    try:
        return parse_size_bytes(size)
    except ValueError as error:
        raise UsageError(f"--max-record-size: {error}") from error


def _records(key_separator: str | None) -> Iterator[tuple[bytes | None, bytes]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        content = line.removesuffix(b"\n").removesuffix(b"\r")
        if key_separator is None:
            yield None, content
            continue
        key, separator, value = content.partition(key_separator.encode())
        if not separator:
            raise ProvisionError(f"line {number} has no {key_separator!r}", hint="every line needs a key")
        yield key, value


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
    key_separator: Annotated[
        str | None,
        typer.Option(
            "--key-separator", metavar="TEXT", help="Also print the key of each record, followed by this text."
        ),
    ] = None,
    output: Annotated[
        Shape, typer.Option("--output", "-o", help="Print only the value, or the whole record as JSON.")
    ] = Shape.LINE,
) -> None:
    """Write a topic's records to standard output, one a line."""
    idle_s = seconds(idle) if idle else None
    env, name = env_and_one(env, topic, "TOPIC")
    write_as(Purpose.STREAM)
    out = sys.stdout.buffer
    for record in select(env).consume(name, from_beginning=from_beginning, limit=count, idle_s=idle_s):
        if output is Shape.JSON:
            out.write(_json_line(record))
        else:
            key = b"" if key_separator is None else (record.key or b"") + key_separator.encode()
            out.write(key + (record.value or b"") + b"\n")
        out.flush()


def _json_line(record: "Record") -> bytes:
    import json

    shown = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "value": None if record.value is None else record.value.decode(errors="replace"),
    }
    return json.dumps(shown, ensure_ascii=False).encode() + b"\n"


def tool(
    env: Env = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="For example kafka-topics.", autocompletion=completion.tools)
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS...", help="The tool's own arguments.")
    ] = None,
) -> None:
    """Run a Kafka tool: provision tool kafka-topics -- --list."""
    from provision.catalogue.versions import RELEASES
    from provision.runtime.base import Streams

    known = frozenset(tool for release in RELEASES for tool in release.tools)
    env, (tool_name, *rest) = env_and_tool(env, name, arguments, known)
    write_as(Purpose.STREAM)
    streams = Streams(sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
    raise typer.Exit(select(env).tool(tool_name, rest, streams))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (produce, consume, tool):
        app.command(rich_help_panel=TOPICS)(command)
