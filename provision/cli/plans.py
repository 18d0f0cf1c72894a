"""A plan as a person reads it: one line an action, aligned, with its cause; a count at the end."""

from collections import Counter
from collections.abc import Iterator

from provision.plan.actions import Plan, Verb

_SIGNS = {Verb.FETCH: "↓", Verb.CREATE: "+", Verb.START: "▸", Verb.REFUSE: "✗"}


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan's lines, without styles."""
    if not plan.changes:
        yield f"{plan.environment}: nothing to change"
        return
    width = max(len(action.resource) for action in plan.actions)
    for action in plan.actions:
        detail = f"; {action.detail}" if action.detail else ""
        yield f"{_SIGNS[action.verb]} {action.verb:<6}  {action.resource:<{width}}  {action.cause}{detail}"
    counts = Counter(action.verb for action in plan.actions)
    summary = ", ".join(f"{count} to {verb}" for verb, count in counts.items() if verb is not Verb.REFUSE)
    refused = f"{counts[Verb.REFUSE]} refused" if counts[Verb.REFUSE] else ""
    yield f"{plan.environment}: {', '.join(part for part in (summary, refused) if part)}"
