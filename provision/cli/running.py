"""`provision run`: a cluster for as long as a command runs."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from provision.cli.environment import select, select_described
from provision.cli.groups import ENVIRONMENT, WrongLine
from provision.cli.options import (
    At,
    Env,
    Frozen,
    Junit,
    LockTimeout,
    Owner,
    Set,
    TakeOver,
    Timeout,
    User,
    Yes,
    lock_seconds,
    seconds,
)
from provision.cli.output import print_error, say
from provision.cli.progress import progress
from provision.cli.streams import Purpose, write_as
from provision.common.counts import counted
from provision.common.interrupts import shielded
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import Busy, ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.pipeline import UpOptions
    from provision.plan.observed import ObservedEnvironment
    from provision.resources.rounds import Agree

_PAUSE_S = 0.5


class _CommandAfterDashes(TyperCommand):
    """Takes `[OPTIONS] [ENV] -- COMMAND...`: whatever follows the first `--` is the command's alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 click's own or typer's copy
        """Parse what is before the dashes, and take what is behind them as it is."""
        place = args.index("--") if "--" in args else len(args)
        rest: list[str] = super().parse_args(ctx, args[:place])
        if not ctx.resilient_parsing:  # as for completion, which knows only half of the line
            if words := ctx.params["command"]:
                given = " ".join(words)
                what = (
                    f"only ENV stands before --, not {given!r} too"
                    if place < len(args)
                    else "missing -- before COMMAND"
                )
                raise WrongLine(what, hint="provision run ENV -- COMMAND...")
            ctx.params["command"] = args[place + 1 :]
        return rest


def run(
    env: Env = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="What is to be run, with its own arguments.")
    ] = None,
    overrides: Set = None,
    user: User = "",
    listener: At = "",
    timeout: Timeout = "120s",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the environment running after the command.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help="If the start or the command fails, first write what `logs --bundle` writes.",
        ),
    ] = None,
    frozen: Frozen = False,
    take_over: TakeOver = False,
    owner_job: Owner = "",
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    junit: Junit = None,
) -> None:
    """Run a command with a cluster that is there only for it.

    Brings the environment up, runs the command with its addresses in environment variables, removes the environment,
    and exits with the command's exit code. An environment that was running already is left running. With --user or
    --listener, the variables also tell how to get in.
    """
    from provision.cli.bundling import start_bundled, write_bundle
    from provision.cli.child import run_child
    from provision.cli.junit import reported
    from provision.pipeline import UpOptions

    write_as(Purpose.STREAM)  # standard output is the command's
    with progress(only_when_acting=True) as tell, reported(junit, env) as report:
        words = _runnable(command or [])
        wait_s, timeout_s = lock_seconds(lock_timeout), seconds("--timeout", timeout)
        environment = report.about(
            select(env, overrides, tell, take_over=take_over, user=user, listener=listener, by_file=True)
        )
        if environment.file is None and (overrides or environment.runtime.observe(environment.name).is_absent):
            select_described(env, overrides, tell)  # raises, and tells which files there are
        environment.lock_timeout_s = wait_s

        def agree(shown: Any) -> None:  # noqa: ANN401 a Plan, which is not loaded yet
            from provision.cli.plans import require_consent

            with tell.paused():
                require_consent(shown, yes=yes)

        with start_bundled(environment, bundle) as keep_bundle:
            options = UpOptions(
                timeout_s=timeout_s,
                frozen=frozen,
                owner=owner_job,
                owner_pid=None if keep else os.getpid(),
                before_undoing=keep_bundle,
            )
            ending = _brought_up(environment, options, agree, Patience(wait_s))
    code = 0
    try:
        variables = _variables(environment)
        say(f"{environment.name} is ready; running {words[0]}")
        code = run_child(words, variables)
        if code and bundle:
            write_bundle(environment, bundle, "the command")
    finally:
        code = _ended(environment, _kept if keep else ending, code)
    raise typer.Exit(code)


def _runnable(command: Sequence[str]) -> Sequence[str]:
    """The command, if there is one: that is found out before anything is started for it."""
    if not command:
        raise UsageError("missing -- COMMAND", hint="for example provision run ci -- make test")
    if shutil.which(command[0]) is None:
        raise UsageError(f"there is no command {command[0]!r}", why="it is no program on PATH, and no executable file")
    return command


def _variables(environment: "Environment") -> dict[str, str]:
    """The variables of the command: this program's, and where the cluster is, or how to get in if that is asked for."""
    if not (environment.user or environment.listener):
        return {**os.environ, **environment.addresses().variables}
    from provision.operations.clients import CLIENT_VARIABLES

    # What is there for another cluster is no way into this one.
    others = {name: value for name, value in os.environ.items() if name not in CLIENT_VARIABLES}
    return {**others, **environment.client_variables()}


# -- before and after -------------------------------------------------------------------------------------------------

Ending = Callable[["Environment"], str]
"""Puts the environment back into the state in which it was; returns what is to be said of it."""


def _brought_up(environment: "Environment", options: "UpOptions", agree: "Agree", patience: Patience) -> Ending:
    """Bring it up; returns what is to become of it after the command.

    Raises:
        Busy: it goes with another process, which may end at any moment.
    """
    if environment.file is None or environment.external_servers:
        _variables(environment)  # it is there, and lets the command in
        return _left if environment.external_servers else _started(environment, options.timeout_s)
    environment.source.require_valid(environment.on_event)
    if environment.user or environment.listener:
        environment.require_way_in()
    while True:
        with environment.changing("up"):  # nobody comes between the look and the change
            before = environment.runtime.observe(environment.name)
            other = _other_owner(before)
            if other is None:
                ending = _ending_after(before)
                if ending is not _removed:  # what was there before is not to go with this command
                    options = replace(options, owner_pid=None)
                environment.up(options, agree=agree)
                return ending
        if not patience.pause(_PAUSE_S):
            raise Busy(
                f"{environment.name} goes with {other}",
                why="it is removed when that process ends, which may be in the middle of the command",
                hint="--lock-timeout waits for its end; --set name=OTHER makes an environment of its own",
            )


def _started(environment: "Environment", timeout_s: float) -> Ending:
    """Start the nodes that do not run, of an environment without a file; returns what is to become of it."""
    resting = [node.name for node in environment.observe().nodes if not node.is_alive]
    if not resting:
        return _left
    environment.start(resting, timeout_s=timeout_s)
    return partial(_stopped, nodes=resting)


def _other_owner(before: "ObservedEnvironment") -> object:
    """The process with whose end the environment goes, unless this command runs within it; None if there is none."""
    import psutil

    process = before.about.owner_process if before.about else None
    if process is None or process.is_over is not False:
        return None
    ours = [os.getpid(), *(parent.pid for parent in psutil.Process().parents())]
    return None if process.pid in ours else process


def _ending_after(before: "ObservedEnvironment") -> Ending:
    if any(node.is_alive for node in before.nodes):
        return _left
    if before.nodes:
        return _stopped
    return _kept_data if before.kept else _removed


def _ended(environment: "Environment", ending: Ending, code: int) -> int:
    """End the environment's use; returns the command's exit code, or, if that is 0, the one of what failed here."""
    from provision.environment.entered import REMOVE_S

    environment.lock_timeout_s = max(environment.lock_timeout_s, REMOVE_S)
    try:
        with shielded(lambda: say("still removing, please wait; again ends it at once")), progress() as tell:
            environment.on_event = tell
            said = ending(environment)
    except ProvisionError as error:
        print_error(error)
        return code or error.exit_code
    say(said)
    return code


def _is_gone(environment: "Environment") -> bool:
    return environment.runtime.observe(environment.name).is_absent


def _left(environment: "Environment") -> str:
    if not environment.external_servers and _is_gone(environment):
        return f"{environment.name} was running already; the command has removed it"
    return f"{environment.name} was running already, and is left running"


def _kept(environment: "Environment") -> str:
    if environment.external_servers:
        return _left(environment)
    name = environment.name
    if _is_gone(environment):
        return f"{name} is not kept; the command has removed it"
    return f"{name} is kept; `provision down {name}` removes it"


def _stopped(environment: "Environment", nodes: Sequence[str] = ()) -> str:
    stopped = environment.stop(nodes)
    return f"{environment.name}: {counted('node', stopped)} stopped again, as before"


def _kept_data(environment: "Environment") -> str:
    environment.down(keep_data=True)
    return f"{environment.name} is removed; its data are kept, as before"


def _removed(environment: "Environment") -> str:
    began = time.monotonic()
    environment.down()
    return f"{environment.name} is removed ({time.monotonic() - began:.1f} s)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=_CommandAfterDashes, rich_help_panel=ENVIRONMENT)(run)
