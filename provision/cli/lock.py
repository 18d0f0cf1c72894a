"""The command lock."""

from typing import Annotated

import typer

from provision.cli.environment import select
from provision.cli.options import Env, Output, Set
from provision.cli.output import Format, counted, print_table, print_value, say
from provision.cli.progress import progress


def lock(
    env: Env = None,
    overrides: Set = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 4 when the lock is not as things are.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Record which images and jars the environment runs, for `up --frozen` to run just these."""
    from provision import lock as locking
    from provision.cluster.lock_file import as_dict

    source = select(env, tuple(overrides or ())).source
    with progress() as tell:
        locked = (locking.check if check else locking.lock)(source, tell)
    if output is not Format.TABLE:
        print_value({"file": str(locked.file), "changed": locked.changed, **as_dict(locked.lock)}, output)
        return
    images, jars = locked.lock.images, counted("jar", len(locked.lock.jars))
    rows = [*images.items(), *([(f"kafka {locked.lock.version}", jars)] if locked.lock.jars else [])]
    print_table(("SOFTWARE", "CONTENT"), rows)
    say(f"wrote {locked.file}" if locked.changed else f"{locked.file}: unchanged")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lock)
