"""Commands of an environment's life: up, down, stop, start, restart."""

import time
from pathlib import Path
from typing import Annotated

import typer

from provision.cli.environment import located, select, without_locks
from provision.cli.options import Env, Envs, Frozen, Output, RequiredEnv, Set, Timeout, Until, level, seconds
from provision.cli.output import Format, counted, print_table, print_value, say
from provision.cli.progress import progress
from provision.errors import UsageError

Nodes = Annotated[list[str] | None, typer.Argument(metavar="NODE", help="For example broker-1; all if left out.")]


def up(
    env: Env = None,
    overrides: Set = None,
    timeout: Timeout = "120s",
    until: Until = "topics",
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep what a failing first `up` made, to look at it.")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Do just what `plan --out FILE` showed, or nothing; never asks."),
    ] = None,
    frozen: Frozen = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to restarts and deletions without asking.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Create the environment, or make it what the file says, and wait until it is ready.

    What restarts a running node, or deletes something, is asked for first.
    """
    from provision.cli.look import node_rows
    from provision.cli.plans import require_consent
    from provision.operations import status_dict
    from provision.pipeline import Wishes
    from provision.pipeline import up as bring_up
    from provision.plan.actions import Plan
    from provision.plan.saved import SavedPlan

    source = select(env, tuple(overrides or ())).source
    saved = SavedPlan.read(plan) if plan else None
    wishes = Wishes(timeout_s=seconds(timeout), until=level(until), retain=retain, saved=saved, frozen=frozen)
    with progress(only_when_acting=True) as tell:

        def agree(shown: Plan) -> None:
            if saved:
                saved.require_known(shown)
                return
            if shown.changes:
                say(f"{shown.environment}: {counted('action', len(shown.actions))} (`provision plan` shows them)")
            with tell.paused():
                require_consent(shown, yes=yes)

        result = bring_up(source, wishes, tell=tell, agree=agree)
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
    everything: Annotated[bool, typer.Option("--all", help="Every environment of this user and this engine.")] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Leave the volumes, for a later `up`.")] = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete data in a `storage` directory too.")
    ] = False,
) -> None:
    """Remove all that `up` made. Where there is nothing, there is nothing to do."""
    from provision.operations import down as take_down
    from provision.runtime import answering_runtimes

    if everything and envs:
        raise UsageError("--all goes without names")
    if keep_data and delete_data:
        raise UsageError("--keep-data and --delete-data contradict each other")
    if everything:
        found = [(runtime, name) for runtime in answering_runtimes() for name in runtime.environments()]
    else:
        found = [located(env) for env in without_locks(envs)] if envs else [located(None)]
    for runtime, name in found:
        began = time.monotonic()
        with progress() as tell:
            removed = take_down(runtime, name, keep_data=keep_data, delete_data=delete_data, tell=tell)
        taken_s = time.monotonic() - began
        say(f"{name} is removed ({taken_s:.1f} s)" if removed else f"{name}: there is nothing to remove")


def stop(env: RequiredEnv, nodes: Nodes = None) -> None:
    """Stop nodes cleanly; their data stay."""
    from provision.operations import stop as stop_nodes

    runtime, name = located(env)
    with progress() as tell:
        stopped = stop_nodes(runtime, name, nodes or (), tell)
    say(
        f"{name}: {counted('node', stopped)} stopped; `provision start {name}` goes on"
        if stopped
        else f"{name}: none was running"
    )


def start(env: RequiredEnv, nodes: Nodes = None, timeout: Timeout = "120s") -> None:
    """Start stopped nodes, with their data, and wait until all topics are in sync."""
    from provision.operations import start as start_nodes

    timeout_s = seconds(timeout)
    runtime, name = located(env)
    with progress() as tell:
        assessment = start_nodes(runtime, name, nodes or (), timeout_s, tell)
    say(f"{name} is ready ({assessment.level})")


def restart(
    env: RequiredEnv,
    nodes: Nodes = None,
    timeout: Timeout = "120s",
    rolling: Annotated[
        bool, typer.Option("--rolling", help="One at a time, each only while the cluster can do without it.")
    ] = False,
) -> None:
    """Stop and start nodes: all of them at once, or one at a time (--rolling)."""
    if rolling:
        from provision.operations import restart_rolling

        timeout_s = seconds(timeout)
        runtime, name = located(env)
        with progress() as tell:
            restarted = restart_rolling(runtime, name, nodes or (), timeout_s, tell)
        say(f"{name}: {counted('node', len(restarted))} restarted, one at a time; every replica is in sync")
        return
    stop(env, nodes)
    start(env, nodes, timeout)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, stop, start, restart):
        app.command()(command)
