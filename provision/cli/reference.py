"""Commands for who writes environment files: docs, schema."""

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from provision.cli.groups import FILES
from provision.cli.layout import columns_of, wrapped
from provision.cli.output import print_table, say, write_line
from provision.errors import UsageError

_INDEX = "README"


def docs(
    page: Annotated[str | None, typer.Argument(metavar="PAGE", help="All pages are listed if left out.")] = None,
) -> None:
    """Show a page of the reference: keys, commands, exit codes."""
    pages = {file.stem: file for file in sorted(_directory().glob("*.md"))}
    if page is None:
        titles = [(name, _title(file)) for name, file in pages.items() if name != _INDEX]
        print_table(("PAGE", "ABOUT"), titles)
        say("`provision docs PAGE` shows one")
        return
    name = page.removesuffix(".md")
    if name not in pages:
        near = difflib.get_close_matches(name, pages, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(set(pages) - {_INDEX}))}"
        raise UsageError(f"there is no page {page!r}", hint=hint)
    columns = columns_of(sys.stdout)
    for line in pages[name].read_text(encoding="utf-8").splitlines():
        for part in wrapped(line, columns):
            write_line(part)


def _title(file: Path) -> str:
    """The first line of a page, without its mark."""
    return file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _directory() -> Path:
    """The pages that come with the program: in the package if installed, in its documents in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "reference"
    return installed if installed.is_dir() else package.parent / "docs" / "reference"


def schema() -> None:
    """Print the JSON Schema of environment files, for editors."""
    from provision.spec.schema import schema_text

    sys.stdout.write(schema_text())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (docs, schema):
        app.command(rich_help_panel=FILES)(command)
