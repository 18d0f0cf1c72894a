"""Commands of an environment's life: up, down, stop, start, restart."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import select, select_described
from provision.cli.groups import ENVIRONMENT
from provision.cli.options import (
    Env,
    Envs,
    Frozen,
    GiveUp,
    Junit,
    LockTimeout,
    Nodes,
    Output,
    Owner,
    Set,
    TakeOver,
    Timeout,
    Until,
    Yes,
    level,
    lock_seconds,
    seconds,
)
from provision.cli.output import Format, print_error, print_table, print_value, say, tell_notices
from provision.cli.progress import progress
from provision.cli.streams import Purpose, write_as
from provision.cli.words import env_and_nodes
from provision.common.counts import counted
from provision.common.values import replace
from provision.errors import Interrupted, ProvisionError, UsageError
from provision.events import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.environment import Environment
    from provision.events import Event, Listener
    from provision.pipeline import UpResult
    from provision.plan.observed import ObservedEnvironment


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
            "--plan",
            metavar="FILE",
            help="Carry out a plan saved by `plan --out FILE`: exactly that, or nothing.",
        ),
    ] = None,
    frozen: Frozen = False,
    give_up: GiveUp = None,
    take_over: TakeOver = False,
    owner_pid: Annotated[
        int | None,
        typer.Option("--owner-pid", metavar="PID", min=1, help="Remove the environment once this process has ended."),
    ] = None,
    owner_job: Owner = "",
    no_warm: Annotated[
        bool, typer.Option("--no-warm", help="Do not train missing archives in the background afterwards.")
    ] = False,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    output: Output = Format.TABLE,
    timings: Annotated[
        bool, typer.Option("--timings", help="Show where the time went, by phase, level and node.")
    ] = False,
    junit: Junit = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help="If it fails, write what `logs --bundle` writes."),
    ] = None,
) -> None:
    """Create the environment, or change it to what the file says.

    Waits until it is ready. Asks before it restarts a running node or deletes something.
    """
    from provision.cli.bundling import start_bundled
    from provision.cli.junit import reported
    from provision.cli.plans import require_consent
    from provision.cli.timings import timed
    from provision.pipeline import UpOptions
    from provision.plan.actions import Plan
    from provision.plan.saved import SavedPlan

    with (
        timed(wanted=timings) as measured,
        progress(only_when_acting=True) as tell,
        reported(junit, env) as report,
    ):
        told = measured.beside(tell) if measured else tell
        environment = report.about(select_described(env, overrides, told, take_over=take_over))
        environment.lock_timeout_s = lock_seconds(lock_timeout)
        saved = SavedPlan.read(plan) if plan else None
        options = UpOptions(
            timeout_s=seconds("--timeout", timeout),
            until=level(until),
            retain=retain,
            saved=saved,
            frozen=frozen,
            give_up=tuple(give_up or ()),
            owner=owner_job,
            owner_pid=owner_pid,
            warm=not no_warm,
        )

        def agree(shown: Plan) -> None:
            if saved:
                saved.require_known(shown)
                return
            if shown.changes:
                say(f"{shown.environment}: {counted('action', len(shown.actions))} (`provision plan` shows them)")
            with tell.paused():
                require_consent(shown, yes=yes)

        with start_bundled(environment, bundle) as keep:
            result = environment.up(replace(options, before_undoing=keep), agree=agree)
    _show(result, output, {"phases": measured.as_dicts()} if measured else {})


def _show(result: "UpResult", output: Format, more: "Mapping[str, object]") -> None:
    from provision.cli.look import node_rows
    from provision.operations.status import status_dict

    write_as(Purpose.REPORT)
    observed = result.assessment.observed
    if output is not Format.TABLE:
        print_value(status_dict(result.assessment) | {"timings": dict(result.timings), **more}, output)
        return
    if not result.changed:
        say(f"{observed.name}: nothing to change")
    print_table(("NODE", "STATE", "ENDPOINT"), node_rows(result.assessment))
    listeners = status_dict(result.assessment)["listeners"]
    named = ", ".join(f"{one['name']} {one['bootstrap_servers']}" for one in listeners if len(listeners) > 1)
    servers = named or observed.bootstrap_servers
    for name, taken_s in list(result.timings.items())[-1:] if result.changed else ():
        say(f"{observed.name} is ready ({name}) after {taken_s:.1f} s; bootstrap servers {servers}")


def down(
    envs: Envs = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove every environment of this home and of $PROVISION_OWNER.")
    ] = False,
    engine: Annotated[
        bool, typer.Option("--engine", help="Remove every environment of the engine, whosesoever it is.")
    ] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the data for a later `up`.")] = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also delete the data in a `storage` directory.")
    ] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="With --all: also remove Kafka's jars and the archives of `warm`.")
    ] = False,
    take_over: TakeOver = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to --all or --engine without being asked.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also if another command is changing it, which is made to end.")
    ] = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Remove all that `up` created.

    It is not an error if there is nothing to remove.
    """
    if keep_data and delete_data:
        raise UsageError("--keep-data and --delete-data contradict each other")
    if force and lock_timeout:
        raise UsageError("--force waits for nobody, so that --lock-timeout says nothing")
    if caches and not everything:
        raise UsageError("--caches goes with --all", why="all environments share the caches")
    wait_s = lock_seconds(lock_timeout)
    found: Sequence[tuple[Environment, ObservedEnvironment | None]]
    if everything or engine:
        from provision.cli.several import agreed

        if envs:
            raise UsageError(f"{'--all' if everything else '--engine'} goes without names")
        if take_over:
            raise UsageError(f"--take-over goes with names: {'--all' if everything else '--engine'} asks of no file")
        found = agreed(everything=everything, engine=engine, yes=yes)
    else:
        from provision.operations.finding import without_locks

        found = [
            (select(env, take_over=take_over), None) for env in (dict.fromkeys(without_locks(envs)) if envs else [None])
        ]
    _remove_each(found, wait_s, keep_data=keep_data, delete_data=delete_data, force=force)
    if caches:
        _remove_caches()


def _remove_each(
    found: "Sequence[tuple[Environment, ObservedEnvironment | None]]",
    wait_s: float,
    *,
    keep_data: bool,
    delete_data: bool,
    force: bool,
) -> None:
    """Remove environments, as they were seen; if one cannot be removed, the others are, too."""
    failed: list[ProvisionError] = []
    tell = _Once()
    for environment, seen in found:
        environment.lock_timeout_s = wait_s
        try:
            _remove(environment, seen, tell, keep_data=keep_data, delete_data=delete_data, force=force)
        except Interrupted:
            raise
        except ProvisionError as error:
            failed.append(error)
    for earlier in failed[:-1]:
        print_error(earlier)
    if failed:
        raise failed[-1]


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


def _remove(
    environment: "Environment",
    seen: "ObservedEnvironment | None",
    told: "Listener",
    *,
    keep_data: bool,
    delete_data: bool,
    force: bool,
) -> None:
    environment.on_event = told
    _ = environment.runtime  # the notice of an unreachable engine comes before the work
    began = time.monotonic()
    with progress() as tell:
        environment.on_event = tell
        removed = environment.down(keep_data=keep_data, delete_data=delete_data, force=force, seen=seen)
    taken_s, name = time.monotonic() - began, environment.name
    if not removed:
        say(f"{name}: there is nothing to remove")
        for other in environment.others_of_file():
            say(f"{other}, made from {environment.file}, is there: `provision down {other}` removes it")
    elif keep_data and not environment.runtime.observe(name).is_absent:
        way_on = f"`provision up {name}` goes on with them, `provision down {name} --delete-data` removes them"
        say(f"the nodes of {name} are removed ({taken_s:.1f} s), its data are kept: {way_on}")
    else:
        say(f"{name} is removed ({taken_s:.1f} s)")


class _Once:
    """Tells each notice once, such as that of an engine that does not answer, whichever environment it comes from."""

    def __init__(self) -> None:
        self._told: set[Event] = set()

    def __call__(self, event: "Event") -> None:
        if event not in self._told:
            self._told.add(event)
            tell_notices(event)


def stop(env: Env = None, nodes: Nodes = None, take_over: TakeOver = False, lock_timeout: LockTimeout = None) -> None:
    """Stop nodes cleanly, and keep their data."""
    env, names = env_and_nodes(env, nodes)
    wait_s = lock_seconds(lock_timeout)
    with progress() as tell:
        environment = select(env, tell=tell, take_over=take_over)
        environment.lock_timeout_s = wait_s
        stopped = environment.stop(names)
    say(_stopped(environment.name, stopped))


def _stopped(name: str, count: int) -> str:
    if not count:
        return f"{name}: none was running"
    return f"{name}: {counted('node', count)} stopped; `provision start {name}` starts them again"


def start(
    env: Env = None,
    nodes: Nodes = None,
    timeout: Timeout = "120s",
    take_over: TakeOver = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Start stopped nodes and wait until they are ready."""
    env, names = env_and_nodes(env, nodes)
    timeout_s, wait_s = seconds("--timeout", timeout), lock_seconds(lock_timeout)
    with progress() as tell:
        environment = select(env, tell=tell, take_over=take_over)
        environment.lock_timeout_s = wait_s
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
    take_over: TakeOver = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Restart nodes: all at once, or one at a time (--rolling)."""
    env, names = env_and_nodes(env, nodes)
    timeout_s, wait_s = seconds("--timeout", timeout), lock_seconds(lock_timeout)  # before anything is stopped
    with progress() as tell:
        environment = select(env, tell=tell, take_over=take_over)
        environment.lock_timeout_s = wait_s
        if rolling:
            restarted = environment.restart(names, timeout_s=timeout_s)
            done = f": {counted('node', len(restarted))} restarted, one at a time; every replica is in sync"
        else:
            with environment.changing("restart", names):
                if stopped := environment.stop(names):
                    tell(Notice(_stopped(environment.name, stopped)))
                done = f" is ready ({environment.start(names, timeout_s=timeout_s).level})"
    say(f"{environment.name}{done}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, stop, start, restart):
        app.command(rich_help_panel=ENVIRONMENT)(command)
