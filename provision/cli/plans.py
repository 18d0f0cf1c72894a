"""A plan as a person reads it: one line an action, aligned, with its cause; a count at the end. And consent to it."""

import sys
from collections import Counter
from collections.abc import Iterator

from provision.cli.output import say
from provision.errors import Refused
from provision.plan.actions import Impact, Plan, Verb

_SIGNS = {
    Verb.FETCH: "↓",
    Verb.CREATE: "+",
    Verb.FORMAT: "+",
    Verb.START: "▸",
    Verb.CONFIGURE: "~",
    Verb.GROW: "~",
    Verb.REASSIGN: "→",
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
    verb_width = max(len(action.verb) for action in plan.actions)
    width = max(len(action.resource) for action in plan.actions)
    for action in plan.actions:
        detail = f"; {action.detail}" if action.detail else ""
        yield f"{_SIGNS[action.verb]} {action.verb:<{verb_width}}  {action.resource:<{width}}  {action.cause}{detail}"
    counts = Counter(action.verb for action in plan.actions)
    summary = ", ".join(f"{count} to {verb}" for verb, count in counts.items() if verb is not Verb.REFUSE)
    refused = f"{counts[Verb.REFUSE]} refused" if counts[Verb.REFUSE] else ""
    yield f"{plan.environment}: {', '.join(part for part in (summary, refused) if part)}"


_MEANS = {
    Impact.ROLLING: "restarts {} one at a time",
    Impact.RECREATE: "makes {} anew, one at a time, with the data kept",
    Impact.DELETE: "deletes {} with all that is kept there",
}


def require_consent(plan: Plan, *, yes: bool) -> None:
    """Have the user agree to what restarts or deletes something; without a terminal only `--yes` agrees.

    Raises:
        Refused: they do not, or nobody is there to ask.
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
