"""Commands for software: fetch, lock, warm."""

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins

from provision.cli.environment import select_described
from provision.cli.groups import SOFTWARE
from provision.cli.options import Env, Output, Set, Timeout, Version, kafka_version, seconds
from provision.cli.output import Format, print_table, print_value, say
from provision.cli.progress import progress
from provision.cli.streams import Purpose, write_as
from provision.common.counts import counted

if TYPE_CHECKING:
    from provision.warming import Warmed

_MIB = 1024**2


def fetch(version: Version) -> None:
    """Fetch Kafka's jars in advance, for use without a network."""
    from provision.home.place import Home
    from provision.runtime import jars

    wanted = kafka_version(version)
    with progress() as tell:
        directory = jars.fetch(wanted, Home.of_user().jars(wanted), tell)
    say(f"Kafka {wanted} is in {directory}")


def lock(
    env: Env = None,
    overrides: Set = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit with 4 if the lock does not match the current software."),
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Record which images and jars are used, for `up --frozen`."""
    from provision.software.pins_file import as_dict

    with progress() as tell:
        pinned = select_described(env, overrides, tell).lock(check=check)
    write_as(Purpose.REPORT)
    if output is not Format.TABLE:
        print_value({"file": str(pinned.file), "changed": pinned.changed, **as_dict(pinned.pins)}, output)
        return
    images, jars = pinned.pins.images, counted("jar", len(pinned.pins.jars))
    rows = [*images.items(), *([(f"kafka {pinned.pins.version}", jars)] if pinned.pins.jars else [])]
    print_table(("SOFTWARE", "CONTENT"), rows)
    say(f"wrote {pinned.file}" if pinned.changed else f"{pinned.file}: unchanged")


def warm(
    env: Env = None,
    overrides: Set = None,
    timeout: Timeout = "120s",
    when_idle: Annotated[
        bool,
        typer.Option(
            "--when-idle", help="Only with what others leave, once the machine has little to do; else give up."
        ),
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Train archives that let nodes start faster.

    Starts a small throwaway Kafka. The archives (AppCDS) are kept in the cache, or in Docker in volumes.
    """
    with progress() as tell:
        warmed = select_described(env, overrides, tell).warm(
            timeout_s=seconds("--timeout", timeout), when_idle=when_idle
        )
    write_as(Purpose.REPORT)
    if output is not Format.TABLE:
        print_value([{**to_builtins(one.archive), "made": one.made} for one in warmed], output)
        return
    rows = [
        (
            one.archive.kind,
            one.archive.software,
            str(one.archive.java),
            f"{one.archive.size / _MIB:.0f} MiB",
            _made(one),
        )
        for one in warmed
    ]
    print_table(("ARCHIVE", "SOFTWARE", "JAVA", "SIZE", "STATE"), rows)
    if not any(one.made for one in warmed):
        say("nothing to train")


def _made(one: "Warmed") -> str:
    return "new" if one.made else "fits"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (fetch, lock, warm):
        app.command(rich_help_panel=SOFTWARE)(command)
