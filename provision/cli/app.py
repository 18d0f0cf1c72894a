"""The commands, in groups. Each imports what it needs when it runs, so that `--help` is fast."""

import copy
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command_name
from typer.models import CommandInfo

from provision import __version__
from provision.cli import (
    certificates,
    doctor,
    files,
    garbage,
    history,
    image,
    life,
    look,
    records,
    reference,
    running,
    software,
    topics,
)
from provision.cli.groups import LOOK, SOFTWARE, TOPICS, GroupedCommands

app = typer.Typer(
    name="provision",
    cls=GroupedCommands,
    help="Turns one environment file into a running Kafka cluster, and removes it without a trace.\n\n"
    "Start with `provision init`, then `provision up`, and `provision down` when you are done.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"provision {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


files.register(app)
reference.register(app)
life.register(app)
running.register(app)
garbage.register(app)
look.register(app)
history.register(app)
doctor.register(app)
app.add_typer(certificates.app, name="certs", rich_help_panel=LOOK)
app.add_typer(topics.app, name="topics", rich_help_panel=TOPICS)
records.register(app)
software.register(app)
app.add_typer(image.app, name="image", rich_help_panel=SOFTWARE)


def called(arguments: Sequence[str]) -> typer.Typer:
    """The program with no other command than the first argument names, or with all if it names none.

    Typer makes a parser for each command, which takes longer than the rest of `--help`.
    """
    name, one = next(iter(arguments), ""), copy.copy(app)
    one.registered_commands = [command for command in app.registered_commands if _name_of(command) == name]
    one.registered_groups = [group for group in app.registered_groups if group.name == name]
    return one if one.registered_commands or one.registered_groups else app


def path_of(arguments: Sequence[str]) -> str:
    """The command that a command line names, as it is typed, with the groups that it is in."""
    words, level = ["provision"], app
    for word in arguments:
        group = next((group for group in level.registered_groups if group.name == word), None)
        if group is None or group.typer_instance is None:
            return " ".join([*words, *(word for one in level.registered_commands if _name_of(one) == word)])
        words, level = [*words, word], group.typer_instance
    return " ".join(words)


def _name_of(command: CommandInfo) -> str:
    return command.name or (get_command_name(command.callback.__name__) if command.callback else "")
