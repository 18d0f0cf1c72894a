"""`provision history`: who changed an environment, when, and how it ended."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import select
from provision.cli.groups import LOOK
from provision.cli.options import Env, Output
from provision.cli.output import Format, print_table, print_value, say
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.home.journals import Run

_HEADERS = ("RUN", "WHEN", "COMMAND", "WHO", "ACTIONS", "TOOK", "OUTCOME")


def history(
    env: Env = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Show only the last N runs.")] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Show the actions of this run, by the beginning of its id."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show who changed an environment, and how it ended.

    The history is kept in the home, and stays after `down`. The last changes from other homes are told by the
    environment, as long as it is there.
    """
    if count is not None and run is not None:
        raise UsageError("--count goes without --run, which shows one")
    environment = select(env)
    runs = environment.history()
    if run is not None:
        _show_one(environment.name, _chosen(environment.name, runs, run), output)
        return
    shown = runs if count is None else runs[-count:]
    if output is not Format.TABLE:
        print_value([one.as_dict() for one in shown], output)
    elif shown:
        print_table(_HEADERS, map(_row, shown))
    else:
        say(f"{environment.name}: no change is known")


def _chosen(name: str, runs: "tuple[Run, ...]", wanted: str) -> "Run":
    found = [one for one in runs if one.id.startswith(wanted)]
    if len(found) != 1:
        what = f"{name} has {'several runs that begin with' if found else 'no run'} {wanted}"
        raise UsageError(what, hint=f"`provision history {name}` lists them")
    return found[0]


def _show_one(name: str, run: "Run", output: Format) -> None:
    if output is not Format.TABLE:
        print_value(run.as_dict(actions=True), output)
        return
    say(f"{name}: {run.holder}: {_outcome(run)}")
    if run.error:
        say(f"  {run.error}")
    if not run.is_of_this_home:
        say(f"  its actions are in the history of its own home, on {run.holder.process.host}")
        return
    print_table(("ACTION", "RESOURCE", "BEGAN", "TOOK", "OUTCOME"), _action_rows(run))


def _action_rows(run: "Run") -> Iterator[tuple[object, ...]]:
    for action in run.actions:
        outcome = action.error or ("not ended" if action.seconds is None else "done")
        yield action.verb, action.resource, _time(action.began_s), _took(action.seconds), outcome


def _row(run: "Run") -> tuple[object, ...]:
    process = run.holder.process
    who = f"{run.holder.user}@{process.host}"
    return (
        run.id[:6],
        _time(run.holder.since),
        run.holder.command,
        who,
        len(run.actions) if run.is_of_this_home else None,
        _took(run.seconds),
        _outcome(run),
    )


def _outcome(run: "Run") -> str:
    code = f" ({run.exit_code})" if run.exit_code else ""
    return f"{run.state}{code}{', rolled back' if run.rolled_back else ''}"


def _took(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


def _time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def tell_if_killed(name: str, runs: "tuple[Run, ...]") -> None:
    """Say if the last change was killed, and which command goes on."""
    from provision.home.journals import KILLED, RUNNING
    from provision.operations.changes import told_as_killed, way_on

    for last in runs[-1:]:
        if last.state == KILLED:
            say(f"{name}: {told_as_killed(last)}; {way_on(last.holder, name)}")
        elif last.state == RUNNING:
            say(f"{name} is being changed by {last.holder}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=LOOK)(history)
