"""`provision certs …`: the certificates of an environment."""

from pathlib import Path
from typing import Annotated

import typer

from provision.cli.environment import select, select_described
from provision.cli.groups import Commands
from provision.cli.options import Env, LockTimeout, Output, Set, TakeOver, Timeout, Yes, lock_seconds, seconds
from provision.cli.output import Format, print_table, print_value, say
from provision.cli.progress import progress
from provision.common.counts import counted

app = typer.Typer(cls=Commands, help="Show, export or rotate certificates.", no_args_is_help=True)


@app.command()
def show(env: Env = None, output: Output = Format.TABLE) -> None:
    """Show whose they are, and when they end."""
    from provision.operations.certificates import ends_of

    environment = select(env)
    found = environment.certificates()
    if output is not Format.TABLE:
        print_value([one.as_dict() for one in found], output)
        return
    if not found:
        say(f"{environment.name} has no certificates: its security has no TLS")
        return
    rows = ((one.kind, one.name, f"{one.says.ends:%Y-%m-%d}", one.says.days_left()) for one in found)
    print_table(("FOR", "NAME", "ENDS", "DAYS LEFT"), rows)
    if ends := ends_of(environment.name, found):
        say(ends)


@app.command()
def export(
    env: Env = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The directory to write the files into.")] = Path(),
    user: Annotated[str, typer.Option("--user", "-u", help="Also the key and the certificate of this user.")] = "",
    form: Annotated[str, typer.Option("--format", "-f", help="pem, or pkcs12 for Java clients.")] = "pem",
) -> None:
    """Write what a client needs into files that only you can read."""
    for file in select(env).export_certificates(to, user, form):
        say(f"wrote {file}")


@app.command()
def rotate(
    env: Env = None,
    overrides: Set = None,
    finish: Annotated[bool, typer.Option("--finish", help="Trust the old authority no longer.")] = False,
    timeout: Timeout = "120s",
    take_over: TakeOver = False,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Give nodes and users new certificates, one at a time.

    They are of a new authority. The old one is trusted as well until --finish.
    """
    from provision.cli.plans import require_consent
    from provision.pipeline import UpOptions
    from provision.plan.actions import Plan
    from provision.security.material import Rotation

    with progress(only_when_acting=True) as tell:
        environment = select_described(env, overrides, tell, take_over=take_over)
        environment.lock_timeout_s = lock_seconds(lock_timeout)

        def agree(shown: Plan) -> None:
            if shown.changes:
                say(f"{shown.environment}: {counted('action', len(shown.actions))}, one node at a time")
            with tell.paused():
                require_consent(shown, yes=yes)

        step = Rotation.FINISH if finish else Rotation.BEGIN
        environment.up(UpOptions(timeout_s=seconds("--timeout", timeout), rotation=step), agree=agree)
    say(_said(environment.name, {one.kind for one in environment.certificates()}))


def _said(name: str, kinds: "set[str]") -> str:
    """What a rotation has led to, by the kinds of the certificates that there are."""
    ends = f"`provision certs rotate {name} --finish` then ends the trust in the old one"
    if "old authority" in kinds:
        return f"{name}: both authorities are trusted; give clients the new files\n{ends}"
    if "old zookeeper authority" in kinds:
        return f"{name}: ZooKeeper's nodes trust both of its authorities; clients have nothing of them\n{ends}"
    return f"{name}: only the new authority is trusted"
