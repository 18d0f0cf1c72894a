"""The command doctor: what is wrong, why, and what mends it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from provision.cli.environment import select
from provision.cli.groups import LOOK
from provision.cli.options import Env, Output
from provision.cli.output import Format, counted, painted, print_table, print_value, say, write_line
from provision.cli.progress import progress
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.operations.doctor.examine import Diagnosis
    from provision.operations.doctor.findings import Finding, Repair

_SIGNS = {"error": ("✗", "red"), "warning": ("!", "yellow")}
_YES = ("y", "yes")


def doctor(
    env: Env = None,
    fix: Annotated[bool, typer.Option("--fix", help="Carry out the safe repairs, each after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fix: do not ask.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Say what is wrong with an environment, why, and what mends it.

    Exits with 1 if something is wrong.
    """
    if yes and not fix:
        raise UsageError("--yes goes with --fix")
    with progress() as tell:
        environment = select(env, tell=tell)

        def choose(repair: "Repair") -> bool:
            with tell.paused():
                return yes or _agreed(f"{environment.name}: {repair}?")

        diagnosis = environment.mend(choose) if fix else environment.examine()
    _show(diagnosis, output)
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
    for finding in diagnosis.findings:
        for line in _lines(finding):
            write_line(line)
        write_line("")
    if diagnosis.reachability:
        rows = (
            (row.node, row.listener or None, row.address, row.asker, _said(row.expected), _said(row.answers), row.why)
            for row in diagnosis.reachability
        )
        headers = ("NODE", "LISTENER", "ADDRESS", "FROM", "EXPECTED", "ANSWERS", "WHY NOT")
        print_table(headers, rows)
    found = counted("finding", len(diagnosis.findings)) if diagnosis.findings else "nothing wrong"
    say(f"{diagnosis.environment}: {found}" + ("" if diagnosis.is_up else "; it is not up"))


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
