"""Commands that work on environment files: init, validate, render, plan."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import select_described
from provision.cli.groups import FILES
from provision.cli.layout import columns_of
from provision.cli.options import Env, Envs, Frozen, GiveUp, Output, Set, TakeOver
from provision.cli.output import Format, painted, print_value, say, tell_warnings, write_line
from provision.common.counts import counted
from provision.common.texts import shown_name, too_long
from provision.common.values import replace
from provision.common.whole_files import told_as_unwritable, write_whole
from provision.errors import InvalidEnvironment, Problem, Refused, Unavailable, UsageError
from provision.spec.limits import MAX_BROKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.cli.starter import Start
    from provision.environment import Environment
    from provision.plan.actions import Plan
    from provision.preparing import Prepared


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the environment, and of its file.")] = "dev",
    kraft: Annotated[bool, typer.Option("--kraft", help="Without ZooKeeper.")] = False,
    brokers: Annotated[
        int | None, typer.Option("--brokers", metavar="N", min=1, max=MAX_BROKERS, help="How many.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="NAME", help="What to start from: quickstart, three-brokers or ci."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented environment file to start from.

    On a terminal it asks for what no option says.
    """
    from provision.cli.starter import Start, Template, starter
    from provision.operations.finding import DIRECTORY
    from provision.spec.names import LONGEST_NAME, NAME_IN_WORDS, is_environment_name, network_of_engine

    if not is_environment_name(name):
        what = too_long(name, LONGEST_NAME) or "cannot be an environment's name"
        raise UsageError(f"{shown_name(name)} {what}", hint=NAME_IN_WORDS)
    if why := network_of_engine(name):
        raise UsageError(why, hint="give it another name")
    if template is not None and template not in list(Template):
        raise UsageError(f"there is no template {template!r}", hint=f"one of {', '.join(Template)}")
    file = DIRECTORY / f"{name}.yaml"
    if os.path.lexists(file) and not force:
        raise Refused(f"{file} is there already", hint="another name, or --force to overwrite it")
    start = Start(Template(template or Template.QUICKSTART), kraft, brokers)
    if not kraft and brokers is None and template is None and sys.stdin.isatty() and sys.stderr.isatty():
        start = _asked(start)
    try:
        DIRECTORY.mkdir(exist_ok=True)
        write_whole(file, starter(name, start))
        _write_schema(DIRECTORY)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or file}", why=error.strerror or str(error)) from error
    say(f"wrote {file}; `provision up {name}` starts it")


def _asked(start: "Start") -> "Start":
    """The choices of a user at a terminal; the return key alone takes the default."""
    brokers = typer.prompt("How many brokers?", default="1", value_proc=_broker_count, err=True)
    kraft = not typer.confirm("With ZooKeeper? (no: KRaft)", default=True, err=True)
    return replace(start, brokers=brokers, kraft=kraft)


def _broker_count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MAX_BROKERS:
        return int(text)
    raise typer.BadParameter(f"a number from 1 to {MAX_BROKERS}")


def _write_schema(directory: Path) -> None:
    """Write the schema that the file refers to, unless somebody else's is there."""
    from provision.spec.schema import FILE_NAME, TITLE, schema_text

    file = directory / FILE_NAME
    if not file.exists() or TITLE in file.read_text(encoding="utf-8", errors="replace"):
        write_whole(file, schema_text())


def validate(
    envs: Envs = None,
    overrides: Set = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
) -> None:
    """Check environment files, and show all problems at once."""
    from provision.events import Event, Warned
    from provision.operations.finding import without_locks

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
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The directory to write to; each node gets a subdirectory."),
    ],
    env: Env = None,
    overrides: Set = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Also the files with keys and passwords, which only you can read.")
    ] = False,
) -> None:
    """Write the configuration files that the nodes would get."""
    from provision.operations.files import write_below

    files = select_described(env, overrides, tell_warnings).render(secrets=secrets)
    left_out = [f"{file.node}/{file.name}" for file in files if file.secret and not secrets]
    written = [file for file in files if secrets or not file.secret]
    with told_as_unwritable(out):
        write_below(out, written)
    say(f"wrote {counted('file', len(written))} below {out}")
    if left_out:
        say(f"left out, because they are secret: {', '.join(left_out)}")


def plan(
    env: Env = None,
    overrides: Set = None,
    output: Output = Format.TABLE,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Save the plan to a file. `up --plan FILE` then carries out exactly this plan.",
        ),
    ] = None,
    frozen: Frozen = False,
    give_up: GiveUp = None,
    take_over: TakeOver = False,
) -> None:
    """Show what `up` would do and why, without changing anything."""
    from provision.cli.plans import plan_lines

    environment = select_described(env, overrides, tell_warnings, take_over=take_over)
    planned, prepared = _planned(environment, frozen=frozen, give_up=give_up or ())
    saved = prepared.saved if prepared else None
    if prepared:
        _tell_of_topics(prepared)
    if out and not planned.refusals:
        if saved is None:
            raise UsageError("--out is for environments that `up` makes", hint="`topics apply` plans again and asks")
        saved.write(out)
    if output is Format.TABLE:
        for line in plan_lines(planned, columns_of(sys.stdout), painted):
            write_line(line)
    else:
        print_value(planned.as_dict(), output)
    if out and not planned.refusals:
        say(f"saved; `provision up … --plan {out}` does just this")
    if planned.refusals:
        raise typer.Exit(Refused.exit_code)
    if detailed_exitcode and planned.changes:
        raise typer.Exit(2)


def _tell_of_topics(prepared: "Prepared") -> None:
    """Say what the plan does not know of topics.

    Raises:
        Unavailable: there is nothing else in it.
    """
    name = prepared.cluster.name
    if prepared.topics_unknown:
        if not prepared.plan.changes:
            raise Unavailable(
                f"the topics of {name} cannot be compared: not all of its nodes run and answer",
                hint=f"`provision status {name}` shows what is missing",
            )
        say("topics are not planned: not all of the nodes run and answer yet; `up` plans them when they do")
    if prepared.topics_assumed:
        say("topics are planned as new; the data that were kept may have them: `up` compares them when the brokers run")


def _planned(environment: "Environment", *, frozen: bool, give_up: "Sequence[str]") -> "tuple[Plan, Prepared | None]":
    """The plan of an environment with all that is known, or of the resources of an external cluster."""
    if environment.external_servers and not (frozen or give_up):
        return environment.plan_resources(), None
    prepared = environment.plan(frozen=frozen, give_up=give_up)
    return prepared.plan, prepared


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, validate, render, plan):
        app.command(rich_help_panel=FILES)(command)
