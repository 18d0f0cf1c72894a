"""`provision gc`: what is left over, and what removes it."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provision.cli.consent import require_agreement
from provision.cli.groups import ENVIRONMENT
from provision.cli.options import Output, seconds
from provision.cli.output import Format, print_error, print_table, print_value, say, tell_notices
from provision.common.counts import counted
from provision.errors import Interrupted, PartlyApplied, UsageError
from provision.events import Notice, silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.events import Event, Listener
    from provision.operations.gc.collector import Collector, Outcome
    from provision.operations.gc.leftover import Leftover


_EVERY_S = 10.0


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is left over.")] = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DURATION", help="Leave alone what is younger, e.g. 1h or 2d.")
    ] = None,
    jobs_ended: Annotated[
        list[str] | None,
        typer.Option("--job-ended", metavar="ID", help="Also the environments of this CI job. Repeatable."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Remove what is left over again and again, as a service; never asks.")
    ] = False,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="With --watch: how often. Default: 10s.")
    ] = None,
    owned: Annotated[
        bool,
        typer.Option("--owned", help="With --watch: only environments made with --owner-pid; ends when none is left."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree without being asked.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Remove what nobody needs any more.

    Environments past their ttl or whose owner has ended, and what killed commands have left.
    """
    from provision.environment import Environment

    _require_sense(watch=watch, every=every, owned=owned, dry_run=dry_run, shaped=output is not Format.TABLE)
    if owned and (older_than or jobs_ended):
        raise UsageError(f"{'--older-than' if older_than else '--job-ended'} goes without --owned")
    older_than_s = seconds("--older-than", older_than) if older_than else 0.0
    every_s = seconds("--every", every) if every else None
    told = _telling_changes() if watch else tell_notices
    with Environment.collector(older_than_s=older_than_s, jobs_ended=jobs_ended or (), on_event=told) as collector:
        if watch:
            _watch(collector, every_s, owned=owned)
        else:
            _collect(collector, output, dry_run=dry_run, yes=yes)


def _require_sense(*, watch: bool, every: str | None, owned: bool, dry_run: bool, shaped: bool) -> None:
    if not watch and (every or owned):
        raise UsageError(f"{'--every' if every else '--owned'} goes with --watch")
    if watch and dry_run:
        raise UsageError("--watch and --dry-run contradict each other")
    if watch and shaped:
        raise UsageError("--output goes without --watch, which tells what it removes as it does")


def _collect(collector: "Collector", output: Format, *, dry_run: bool, yes: bool) -> None:
    found = collector.find()
    sizes = collector.sizes(found)
    if output is Format.TABLE:
        _show(found, sizes)
    if dry_run or not found:
        if output is not Format.TABLE:
            print_value([_as_dict(one, sizes) for one in found], output)
        return
    if not yes:
        say(f"this removes {counted('thing', len(found))}")
        require_agreement("nothing is removed", "--yes agrees; --dry-run only shows what is left over")
    outcomes = collector.remove(found)
    if output is not Format.TABLE:
        print_value([_as_dict(one.leftover, sizes) | _as_dict_of(one) for one in outcomes], output)
    _report(outcomes)


def _report(outcomes: "Sequence[Outcome]") -> None:
    say(f"{counted('thing', sum(one.removed for one in outcomes))} removed")
    failed = [one for one in outcomes if one.error]
    if failed:
        reasons = "\n".join(f"{one.leftover.kind} {one.leftover.name}: {one.error}" for one in failed)
        raise PartlyApplied("not everything could be removed", why=reasons, hint="`provision gc` again")


def _show(found: "Sequence[Leftover]", sizes: "Mapping[Leftover, int]") -> None:
    from provision.spec.units import size_text

    if not found:
        say("nothing is left over")
        return
    rows = ((one.kind, one.name, size_text(sizes[one]) if one in sizes else None, one.why) for one in found)
    print_table(("KIND", "NAME", "SIZE", "WHY"), rows)
    sys.stdout.flush()


def _as_dict(one: "Leftover", sizes: "Mapping[Leftover, int]") -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "why": one.why,
        "size_bytes": sizes.get(one),
        "since_s": None if one.since_s is None else int(one.since_s),
    }


def _as_dict_of(outcome: "Outcome") -> dict[str, Any]:
    return {"removed": outcome.removed, "error": str(outcome.error) if outcome.error else None}


def _watch(collector: "Collector", every_s: float | None, *, owned: bool) -> None:
    """Work until a signal ends it; what is being removed then is finished as `down` finishes it."""
    from provision.operations.gc.kinds import TRAINING
    from provision.operations.gc.reaper import EVERY_S, Reaper

    try:
        if owned:
            Reaper(collector.runtimes, silent).run(every_s or EVERY_S)
            return
        collector.kinds = tuple(kind for kind in collector.kinds if kind is not TRAINING)  # it ends by itself
        while True:
            for outcome in collector.remove(collector.find()):
                if outcome.removed:
                    say(f"removed: {outcome.leftover.kind} {outcome.leftover.name}: {outcome.leftover.why}")
                elif outcome.error:
                    print_error(outcome.error)
            time.sleep(_EVERY_S if every_s is None else every_s)
    except (KeyboardInterrupt, Interrupted):
        say("gc has ended")


def _telling_changes() -> "Listener":
    """The listener of a service: a notice that came last is not repeated every few seconds."""
    last = ""

    def tell(event: "Event") -> None:
        nonlocal last
        if isinstance(event, Notice) and event.text != last:
            last = event.text
            say(event.text)

    return tell


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc", rich_help_panel=ENVIRONMENT)(gc)
