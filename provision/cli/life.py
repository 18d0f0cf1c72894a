"""Commands of an environment's life: up, down, stop, start, restart."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import select, select_described
from provision.cli.groups import ENVIRONMENT
from provision.cli.options import Env, Envs, Frozen, Nodes, Output, Set, Timeout, Until, level, seconds
from provision.cli.output import Format, counted, print_error, print_table, print_value, say, tell_notices
from provision.cli.progress import progress
from provision.cli.streams import Purpose, write_as
from provision.cli.words import env_and_nodes
from provision.errors import Interrupted, ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.pipeline import UpResult


def up(
    env: Env = None,
    overrides: Set = None,
    timeout: Timeout = "120s",
    until: Until = "topics",
    retain: Annotated[
        bool, typer.Option("--retain", help="If a first `up` fails, keep what it created for inspection.")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Carry out a plan saved by `plan --out FILE`: exactly that, or nothing."
        ),
    ] = None,
    frozen: Frozen = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to restarts and deletions without asking.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Create the environment, or change it to what the file says.

    Waits until it is ready. Asks before it restarts a running node or deletes something.
    """
    from provision.cli.plans import require_consent
    from provision.pipeline import UpOptions
    from provision.plan.actions import Plan
    from provision.plan.saved import SavedPlan

    with progress(only_when_acting=True) as tell:
        environment = select_described(env, overrides, tell)
        saved = SavedPlan.read(plan) if plan else None
        options = UpOptions(timeout_s=seconds(timeout), until=level(until), retain=retain, saved=saved, frozen=frozen)

        def agree(shown: Plan) -> None:
            if saved:
                saved.require_known(shown)
                return
            if shown.changes:
                say(f"{shown.environment}: {counted('action', len(shown.actions))} (`provision plan` shows them)")
            with tell.paused():
                require_consent(shown, yes=yes)

        result = environment.up(options, agree=agree)
    _show(result, output)


def _show(result: "UpResult", output: Format) -> None:
    from provision.cli.look import node_rows
    from provision.operations.status import status_dict

    write_as(Purpose.REPORT)
    observed = result.assessment.observed
    if output is not Format.TABLE:
        print_value(status_dict(result.assessment) | {"timings": dict(result.timings)}, output)
        return
    if not result.changed:
        say(f"{observed.name}: nothing to change")
    print_table(("NODE", "STATE", "ENDPOINT"), node_rows(result.assessment))
    for name, taken_s in list(result.timings.items())[-1:] if result.changed else ():
        say(f"{observed.name} is ready ({name}) after {taken_s:.1f} s; bootstrap servers {observed.bootstrap_servers}")


def down(
    envs: Envs = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove every environment of this user and this engine.")
    ] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the data for a later `up`.")] = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also delete the data in a `storage` directory.")
    ] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="With --all: also remove Kafka's jars and the archives of `warm`.")
    ] = False,
) -> None:
    """Remove all that `up` created.

    It is not an error if there is nothing to remove.
    """
    if keep_data and delete_data:
        raise UsageError("--keep-data and --delete-data contradict each other")
    if caches and not everything:
        raise UsageError("--caches goes with --all", why="all environments share the caches")
    found = _to_remove(envs, everything=everything)
    failed: list[ProvisionError] = []
    for environment in found:
        try:
            _remove(environment, keep_data=keep_data, delete_data=delete_data)
        except Interrupted:
            raise
        except ProvisionError as error:  # the others are removed too
            failed.append(error)
    for earlier in failed[:-1]:
        print_error(earlier)
    if failed:
        raise failed[-1]
    if caches:
        _remove_caches()


def _to_remove(envs: list[str] | None, *, everything: bool) -> "list[Environment]":
    if everything and envs:
        raise UsageError("--all goes without names")
    from provision.cli.finding import without_locks
    from provision.environment import Environment

    if everything:
        return list(Environment.all())
    return [select(env) for env in (without_locks(envs) if envs else [None])]


def _remove_caches() -> None:
    from provision.home.place import Home
    from provision.operations.caches import remove_caches
    from provision.runtime import Runtimes

    runtimes = Runtimes(Home.of_user())
    try:
        removed = remove_caches(runtimes)
    finally:
        runtimes.close()
    jars = f"Kafka's jars ({', '.join(removed.versions)})" if removed.versions else ""
    archives = counted("archive", removed.archives) if removed.archives else ""
    what = " and ".join(filter(None, (jars, archives)))
    say(f"removed from the caches: {what}" if what else "the caches are empty")


def _remove(environment: "Environment", *, keep_data: bool, delete_data: bool) -> None:
    environment.on_event = tell_notices
    _ = environment.runtime  # the notice of an unreachable engine comes before the work
    began = time.monotonic()
    with progress() as tell:
        environment.on_event = tell
        removed = environment.down(keep_data=keep_data, delete_data=delete_data)
    taken_s, name = time.monotonic() - began, environment.name
    say(f"{name} is removed ({taken_s:.1f} s)" if removed else f"{name}: there is nothing to remove")


def stop(env: Env = None, nodes: Nodes = None) -> None:
    """Stop nodes cleanly, and keep their data."""
    env, names = env_and_nodes(env, nodes)
    with progress() as tell:
        environment = select(env, tell=tell)
        stopped = environment.stop(names)
    name = environment.name
    say(
        f"{name}: {counted('node', stopped)} stopped; `provision start {name}` starts them again"
        if stopped
        else f"{name}: none was running"
    )


def start(env: Env = None, nodes: Nodes = None, timeout: Timeout = "120s") -> None:
    """Start stopped nodes and wait until they are ready."""
    env, names = env_and_nodes(env, nodes)
    timeout_s = seconds(timeout)
    with progress() as tell:
        environment = select(env, tell=tell)
        assessment = environment.start(names, timeout_s=timeout_s)
    say(f"{environment.name} is ready ({assessment.level})")


def restart(
    env: Env = None,
    nodes: Nodes = None,
    timeout: Timeout = "120s",
    rolling: Annotated[
        bool,
        typer.Option("--rolling", help="Restart one node at a time, each only when the cluster can do without it."),
    ] = False,
) -> None:
    """Restart nodes: all at once, or one at a time (--rolling)."""
    env, names = env_and_nodes(env, nodes)
    timeout_s = seconds(timeout)  # before anything is stopped
    if rolling:
        with progress() as tell:
            environment = select(env, tell=tell)
            restarted = environment.restart(names, timeout_s=timeout_s)
        what = f"{counted('node', len(restarted))} restarted, one at a time"
        say(f"{environment.name}: {what}; every replica is in sync")
        return
    stop(env, names)
    start(env, names, timeout)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, stop, start, restart):
        app.command(rich_help_panel=ENVIRONMENT)(command)
