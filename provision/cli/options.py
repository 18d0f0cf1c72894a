"""Arguments and options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from provision.catalogue.versions import KafkaVersion, unsupported, version_or_newest
from provision.cli.completion import environments, nodes
from provision.cli.output import Format, say
from provision.errors import UsageError
from provision.kafka.levels import Level
from provision.spec.units import parse_duration_s

User = Annotated[
    str, typer.Option("--user", "-u", help="Connect as this user of the file, with this user's permissions.")
]
At = Annotated[
    str, typer.Option("--listener", metavar="NAME", help="Get in over this listener of the file, if it has several.")
]
Env = Annotated[
    str | None,
    typer.Argument(
        metavar="ENV",
        help="An environment file, or the name of one in environments/, else of a running environment. "
        "Left out: $PROVISION_ENV, else the only file in environments/.",
        show_default=False,
        autocompletion=environments,
    ),
]
Envs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ENV",
        help="Environment files or names. Left out: as for `up`.",
        show_default=False,
        autocompletion=environments,
    ),
]
Nodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="NODE", help="Nodes, for example broker-1. Left out: all nodes.", autocompletion=nodes),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file, e.g. brokers.nodes=3. Repeatable."),
]
Frozen = Annotated[
    bool, typer.Option("--frozen", help="Run exactly the software recorded by `provision lock`, or nothing.")
]
GiveUp = Annotated[
    list[str] | None,
    typer.Option(
        "--give-up",
        metavar="ENGINE",
        help="An engine of a swarm that is gone for good: its nodes begin anew. Repeatable.",
    ),
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Use the environment even if it was made from another file.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="The output format.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait, e.g. 90s or 5m.")]


LockTimeout = Annotated[
    str | None,
    typer.Option(
        "--lock-timeout",
        metavar="DURATION",
        help="How long to wait for another command that is changing the environment. Default: not at all.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to restarts and deletions without asking.")]
Owner = Annotated[
    str,
    typer.Option(
        "--owner-job",
        metavar="ID",
        help="The CI job it is for; `gc --job-ended ID` removes it. Default: $PROVISION_OWNER.",
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write the readiness of each node and topic as JUnit XML."),
]
Until = Annotated[
    str,
    typer.Option(
        "--until",
        metavar="LEVEL",
        help="The readiness level to wait for: process, quorum, brokers, topics or roundtrip.",
    ),
]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A Kafka version: 3.9.1, or 3.9 for its newest.")]


def kafka_version(text: str) -> KafkaVersion:
    """The value of a version argument; a release line is its newest version, which is said.

    Raises:
        UsageError: it is not a version, or not a supported one.
    """
    try:
        version = version_or_newest(text)
    except ValueError as error:
        raise UsageError(str(error), hint="write it like 3.9.1, or 3.9 for the newest 3.9") from error
    if impossible := unsupported(version):
        what, hint = impossible
        raise UsageError(what, hint=hint)
    if str(version) != text:
        say(f"Kafka {text} is taken as {version}, the newest that is known")
    return version


def seconds(option: str, duration: str) -> float:
    """The value of a duration option.

    Raises:
        UsageError: it is not a duration.
    """
    try:
        return parse_duration_s(duration)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def lock_seconds(duration: str | None) -> float:
    """The value of `--lock-timeout`; 0 without it.

    Raises:
        UsageError: it is not a duration.
    """
    return 0.0 if duration is None else seconds("--lock-timeout", duration)


def level(name: str) -> Level:
    """The value of a level option.

    Raises:
        UsageError: there is no such level.
    """
    levels = {str(known): known for known in Level if known is not Level.NONE}
    if name not in levels:
        raise UsageError(f"{name!r} is not a readiness level", hint=f"one of {', '.join(levels)}")
    return levels[name]
