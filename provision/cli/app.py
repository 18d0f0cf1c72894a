"""The commands, in groups. Each imports what it needs when it runs, so that `--help` is fast."""

from typing import Annotated

import typer

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
