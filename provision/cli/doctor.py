"""The command doctor: what is wrong, why, and what mends it."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.completion import environments
from provision.cli.environment import select
from provision.cli.groups import LOOK
from provision.cli.layout import columns_of, wrapped
from provision.cli.options import LockTimeout, Output, TakeOver, lock_seconds
from provision.cli.output import Format, painted, print_table, print_value, say, write_line
from provision.cli.progress import progress
from provision.common.counts import counted
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.operations.doctor.examine import Diagnosis
    from provision.operations.doctor.findings import Finding, Repair

_SIGNS = {"error": ("✗", "red"), "warning": ("!", "yellow")}
_YES = ("y", "yes")
_INDENT = len("    evidence: ")


def doctor(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="ENV",
            help="An environment file, or a name. Left out: this machine is examined.",
            show_default=False,
            autocompletion=environments,
        ),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Carry out the safe repairs, each after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fix: do not ask.")] = False,
    take_over: TakeOver = False,
    lock_timeout: LockTimeout = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what is wrong, why, and what mends it.

    Exits with 1 if something is wrong.
    """
    if yes and not fix:
        raise UsageError("--yes goes with --fix")
    if lock_timeout and not fix:
        raise UsageError("--lock-timeout goes with --fix: whoever only looks waits for nobody")
    if take_over and not fix:
        raise UsageError("--take-over goes with --fix: whoever only looks takes nothing over")
    wait_s = lock_seconds(lock_timeout)
    if env is None:
        if fix:
            raise UsageError("--fix needs an environment: nothing of a machine is mended by itself")
        _examine_machine(output)
        return
    from provision.cli.look import tell_if_trained

    with progress() as tell:
        environment = select(env, tell=tell, take_over=take_over)
        environment.lock_timeout_s = wait_s

        def choose(repair: "Repair") -> bool:
            with tell.paused():
                return yes or _agreed(f"{environment.name}: {repair}?")

        diagnosis = environment.mend(choose) if fix else environment.examine()
    tell_if_trained(environment)
    _show(diagnosis, output)
    if diagnosis.findings:
        raise typer.Exit(1)


def _examine_machine(output: Format) -> None:
    from provision.environment import Environment

    diagnosis = Environment.examine_machine()
    if output is Format.TABLE:
        _print_findings(diagnosis.findings)
        print_table(("WHAT", "IS"), diagnosis.rows())
        say(f"this machine: {_count(diagnosis.findings)}")
    else:
        print_value(diagnosis.as_dict(), output)
    if diagnosis.findings:
        raise typer.Exit(1)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", hint="`--yes` agrees to every safe repair")
    return typer.prompt(question, default="n", err=True).strip().lower() in _YES


def _show(diagnosis: "Diagnosis", output: Format) -> None:
    if output is not Format.TABLE:
        print_value(diagnosis.as_dict(), output)
        return
    _print_findings(diagnosis.findings)
    if diagnosis.reachability:
        rows = (
            (row.node, row.listener or None, row.address, row.asker, _said(row.expected), _said(row.answers), row.why)
            for row in diagnosis.reachability
        )
        headers = ("NODE", "LISTENER", "ADDRESS", "FROM", "EXPECTED", "ANSWERS", "WHY NOT")
        print_table(headers, rows)
    say(f"{diagnosis.environment}: {_count(diagnosis.findings)}" + ("" if diagnosis.is_up else "; it is not up"))


def _print_findings(findings: "Sequence[Finding]") -> None:
    for finding in findings:
        for line in _lines(finding):
            for part in wrapped(line, columns_of(sys.stdout), _INDENT if line.startswith(" ") else None):
                write_line(part)
        write_line("")


def _count(findings: "Sequence[Finding]") -> str:
    return counted("finding", len(findings)) if findings else "nothing wrong"


def _said(answers: bool | None) -> str | None:
    return None if answers is None else "yes" if answers else "no"


def _lines(finding: "Finding") -> Iterator[str]:
    sign, color = _SIGNS[finding.severity]
    yield f"{painted(sign, color)} {finding.title}  [{finding.id}]"
    for line in finding.evidence:
        yield f"    evidence: {line}"
    if finding.cause:
        yield f"    cause:    {finding.cause}"
    if finding.file:
        yield f"    file:     {finding.file}"
    if finding.fix:
        yield f"    mend:     {finding.fix}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=LOOK)(doctor)
