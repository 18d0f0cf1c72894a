"""Commands that work on environment files: init, validate, render, plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import DIRECTORY, select_described, without_locks
from provision.cli.groups import FILES
from provision.cli.options import Env, Envs, Frozen, Output, Set
from provision.cli.output import Format, counted, print_value, say, tell_warnings, write_line
from provision.common.whole_files import write_whole
from provision.errors import InvalidEnvironment, Problem, Refused, Unavailable, UsageError

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.plan.actions import Plan
    from provision.plan.saved import SavedPlan


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The environment's name; the file's too.")] = "dev",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented environment file to start from."""
    from provision.cli.starter import starter
    from provision.spec.names import NAME_IN_WORDS, is_environment_name

    if not is_environment_name(name):
        raise UsageError(f"{name!r} cannot be an environment's name", hint=NAME_IN_WORDS)
    file = DIRECTORY / f"{name}.yaml"
    if file.exists() and not force:
        raise Refused(f"{file} is there already", hint="another name, or --force to overwrite it")
    try:
        DIRECTORY.mkdir(exist_ok=True)
        write_whole(file, starter(name))
    except OSError as error:
        raise UsageError(f"cannot write {file}", why=error.strerror or str(error)) from error
    say(f"wrote {file}; `provision up {name}` starts it")


def validate(
    envs: Envs = None,
    overrides: Set = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
) -> None:
    """Check environment files; shows every problem at once."""
    from provision.events import Event, Warned

    problems: list[Problem] = []

    def take(event: Event) -> None:
        if strict and isinstance(event, Warned):
            problems.append(event.problem)
        else:
            tell_warnings(event)

    for env in without_locks(envs) if envs else [None]:
        environment = select_described(env, overrides, take)
        before = len(problems)
        try:
            cluster = environment.validate()
        except InvalidEnvironment as error:
            problems += error.problems
            continue
        if len(problems) > before:
            continue
        things = (
            *([("ZooKeeper", cluster.zookeepers)] if cluster.zookeepers else []),
            *([("controller", cluster.controllers)] if cluster.controllers else []),
            ("broker", cluster.brokers),
            ("topic", cluster.topics),
        )
        counts = ", ".join(counted(what, len(several)) for what, several in things)
        what = f"Kafka {cluster.version} in {cluster.mode} mode, {counts}"
        if environment.external_servers:
            what = f"{counted('topic', len(cluster.topics))} for {environment.external_servers}"
        say(f"{environment.file}: {cluster.name} is valid: {what}")
    if problems:
        raise InvalidEnvironment(problems)


def render(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write; a directory for each node.")],
    env: Env = None,
    overrides: Set = None,
) -> None:
    """Write the configuration files that every node would get."""
    files = select_described(env, overrides, tell_warnings).render()
    secret = [f"{file.node}/{file.name}" for file in files if file.secret]
    try:
        for file in files:
            if not file.secret:
                target = out / file.node / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.content)
    except OSError as error:
        raise UsageError(f"cannot write below {out}", why=error.strerror or str(error)) from error
    say(f"wrote {len(files) - len(secret)} files below {out}")
    if secret:
        say(f"left out, because they are secret: {', '.join(secret)}")


def plan(
    env: Env = None,
    overrides: Set = None,
    output: Output = Format.TABLE,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there are changes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save it, for `up --plan FILE` to do just this.")
    ] = None,
    frozen: Frozen = False,
) -> None:
    """Show what `up` would do, and why; changes nothing."""
    from provision.cli.plans import plan_lines

    planned, saved, topics_unknown = _planned(select_described(env, overrides, tell_warnings), frozen=frozen)
    if topics_unknown:
        if not planned.changes:
            raise Unavailable(
                f"the topics of {planned.environment} cannot be compared: its brokers do not answer",
                hint="`provision status` shows what is missing",
            )
        say("topics are not planned: not every broker answers yet; `up` plans them when all do")
    if output is Format.TABLE:
        for line in plan_lines(planned):
            write_line(line)
    else:
        print_value(planned.as_dict(), output)
    if out and not planned.refusals:
        if saved is None:
            raise UsageError("--out is for environments that `up` makes", hint="`topics apply` plans again and asks")
        saved.write(out)
        say(f"saved; `provision up … --plan {out}` does just this")
    if planned.refusals:
        raise typer.Exit(Refused.exit_code)
    if detailed_exitcode and planned.changes:
        raise typer.Exit(2)


def _planned(environment: "Environment", *, frozen: bool) -> "tuple[Plan, SavedPlan | None, bool]":
    """The plan of an environment, which can be saved, or of the resources of an external cluster.

    And whether it leaves topics out.
    """
    if environment.external_servers and not frozen:
        return environment.plan_resources(), None, False
    prepared = environment.plan(frozen=frozen)
    return prepared.plan, prepared.saved, prepared.topics_unknown


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, validate, render, plan):
        app.command(rich_help_panel=FILES)(command)
