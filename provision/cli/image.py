"""`provision image …`: images of Kafka where no registry has them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from provision.cli.groups import Commands
from provision.cli.options import Output, Version, kafka_version
from provision.cli.output import Format, age, print_table, print_value, say
from provision.cli.progress import progress
from provision.cli.streams import Purpose, write_as
from provision.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.software.images import Loaded

app = typer.Typer(
    cls=Commands,
    help="Build, list and load Kafka images without a registry.\n\n"
    "On a machine with a network, for example:\n\n"
    "  provision image build 3.9.1 --base eclipse-temurin:17-jre\n\n"
    "  docker save -o kafka.tar provision/kafka:3.9.1\n\n"
    "On the one without, with `image: provision/kafka:3.9.1` below `kafka:` in the environment file:\n\n"
    "  provision image load kafka.tar\n\n"
    "  provision up",
    no_args_is_help=True,
)

_MB = 1000 * 1000
_STDIN = Path("-")


@app.command()
def build(
    version: Version,
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="IMAGE",
            help="An image that contains Java, e.g. eclipse-temurin:17-jre; pulled if missing.",
        ),
    ],
    tag: Annotated[
        str | None,
        typer.Option("--tag", "-t", metavar="NAME", help="The name of the image. Default: provision/kafka:VERSION."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Build an image from a base with Java and Kafka's jars."""
    from provision.software.images import build as build_image

    wanted = kafka_version(version)
    from provision.home.place import Home

    with progress() as tell:
        built = build_image(wanted, base, tag, Home.of_user(), tell)
    write_as(Purpose.REPORT)
    if output is not Format.TABLE:
        print_value(built.as_dict(), output)
    say(
        f"{built.name} is there; `kafka: {{version: {built.version}, image: {built.name}}}` uses it"
        if built.changed
        else f"{built.name} is there already, of the same base and jars: nothing to build"
    )


@app.command("list")
def list_images(output: Output = Format.TABLE) -> None:
    """List the Kafka images of this engine, and what uses them."""
    from provision.software.images import as_dict, usable_images

    found = [as_dict(image) for image in usable_images()]
    if output is not Format.TABLE:
        print_value(found, output)
    elif found:
        rows = (
            (
                image["name"],
                image["version"],
                image["size_bytes"] // _MB,
                age(image["age_s"]),
                image["base"],
                ", ".join(image["environments"]) or None,
            )
            for image in found
        )
        print_table(("IMAGE", "KAFKA", "MB", "AGE", "BUILT FROM", "USED BY"), rows)
    else:
        say("there is no image of Kafka; `provision up` pulls one, `provision image build` makes one")


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An archive written by `docker save`, compressed or not; - for standard input.",
        ),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Load images from an archive, and show which of them can be used."""
    from provision.software.images import load as load_images

    called = "standard input" if file == _STDIN else str(file)
    with _opened(file) as archive, progress() as tell:
        loaded = load_images(archive, called, tell)
    write_as(Purpose.REPORT)
    if output is Format.TABLE:
        print_table(("IMAGE", "KAFKA", "CAN BE USED"), (_row(image) for image in loaded))
    else:
        print_value([image.as_dict() for image in loaded], output)
    if all(image.lacks for image in loaded):
        raise ProvisionError(
            f"{called} brought no image of Kafka",
            why="what it brought stays on the engine: `docker rmi` removes it",
            hint="`provision image build VERSION --base IMAGE` makes one, `docker save` writes it",
        )


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file != _STDIN:
        if not file.is_file():
            what = f"{file} is a directory" if file.is_dir() else f"there is no file {file}"
            raise UsageError(what, hint="`docker save -o FILE IMAGE` writes an archive")
        with file.open("rb") as archive:
            yield archive
    elif sys.stdin.isatty():
        raise UsageError("standard input is a terminal", hint="`docker save IMAGE | provision image load -`")
    else:
        yield sys.stdin.buffer


def _row(image: "Loaded") -> tuple[object, ...]:
    return (image.name, image.version or None, f"no: {image.lacks}" if image.lacks else "yes")
