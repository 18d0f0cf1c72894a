"""A plan as text: one aligned line per action with its cause, and a count at the end. And consent to it."""

import sys
from collections import Counter
from collections.abc import Iterator

from provision.cli.output import say
from provision.errors import Refused
from provision.plan.actions import Action, Impact, Plan, Verb
from provision.plan.topic_changes import Reassignment
from provision.spec.units import duration_text, size_text

_SIGNS = {
    Verb.FETCH: "↓",
    Verb.CREATE: "+",
    Verb.FORMAT: "+",
    Verb.START: "▸",
    Verb.CONFIGURE: "~",
    Verb.GROW: "~",
    Verb.REASSIGN: "→",
    Verb.JOIN: "~",
    Verb.RESTORE: "~",
    Verb.RESTART: "↻",
    Verb.RECREATE: "↻",
    Verb.DELETE: "-",
    Verb.REMOVE: "-",
    Verb.REFUSE: "✗",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan's lines, without styles."""
    if not plan.changes:
        yield f"{plan.environment}: nothing to change"
        return
    rows = [(action.verb, action.resource, _class_of(action)) for action in plan.actions]
    # No column for the class if everything is new.
    widths = [width for column in zip(*rows, strict=True) if (width := max(map(len, column)))]
    for action, row in zip(plan.actions, rows, strict=True):
        detail = f"; {action.detail}" if action.detail else ""
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join((f"{_SIGNS[action.verb]} {cells[0]}", *cells[1:], f"{action.cause}{detail}"))
    counts = Counter(action.verb for action in plan.actions)
    summary = ", ".join(f"{count} to {verb}" for verb, count in counts.items() if verb is not Verb.REFUSE)
    refused = f"{counts[Verb.REFUSE]} refused" if counts[Verb.REFUSE] else ""
    yield f"{plan.environment}: {', '.join(part for part in (summary, _copied(plan), refused) if part)}"


def _class_of(action: Action) -> str:
    """The action's class; empty for additions, and if the verb already implies it."""
    says_it = action.impact in (Impact.NONE, Impact.REFUSED) or str(action.impact) == str(action.verb)
    return "" if says_it else action.impact


def _copied(plan: Plan) -> str:
    """The total that several reassignments copy; each line has only its own."""
    moves = [action.subject for action in plan.actions if isinstance(action.subject, Reassignment)]
    sizes = [move.bytes_to_move for move in moves if move.bytes_to_move]
    if not sizes[1:]:
        return ""
    longest_s = max(action.estimate_s or 0 for action in plan.actions)
    return f"{size_text(sum(sizes))} to move in about {duration_text(longest_s)}"


_MEANS = {
    Impact.ROLLING: "restarts {} one at a time",
    Impact.RECREATE: "replaces {}, one at a time, and keeps the data",
    Impact.DELETE: "deletes {} for good",
}


def require_consent(plan: Plan, *, yes: bool) -> None:
    """Ask the user to agree to restarts and deletions; without a terminal only `--yes` agrees.

    Raises:
        Refused: they do not agree, or there is no terminal to ask.
    """
    if yes or not plan.needs_consent:
        return
    for impact, text in _MEANS.items():
        resources = list(dict.fromkeys(action.resource for action in plan.needs_consent if action.impact is impact))
        if resources:
            say(f"{plan.environment}: this {text.format(_listed(resources))}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = "nobody has agreed to that, and there is no terminal to ask"
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="--yes agrees; `provision plan` shows it")
    import typer

    if not typer.confirm("Go on?", err=True):
        raise Refused(f"{plan.environment} is left as it is", why="you did not agree")


def _listed(names: list[str]) -> str:
    shown = 6
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
