"""A plan as text: one aligned line per action with its cause, and a count at the end. And consent to it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from provision.cli.consent import require_agreement
from provision.cli.layout import wrapped
from provision.cli.output import say
from provision.cluster.model import Node
from provision.common.counts import plural
from provision.plan.actions import Action, Impact, Kind, NodeTarget, Plan, Verb
from provision.plan.listing import listed, placed, split
from provision.plan.topic_changes import Reassignment
from provision.spec.units import duration_text, size_text

Paint = Callable[[str, str], str]
_SIGNS = {
    Verb.FETCH: "↓",
    Verb.CREATE: "+",
    Verb.FILL: "+",
    Verb.FORMAT: "+",
    Verb.START: "▸",
    Verb.CONFIGURE: "~",
    Verb.GROW: "~",
    Verb.REASSIGN: "→",
    Verb.JOIN: "~",
    Verb.RESTORE: "~",
    Verb.RESTART: "↻",
    Verb.RECREATE: "↻",
    Verb.MOVE: "→",
    Verb.DELETE: "-",
    Verb.REMOVE: "-",
    Verb.REFUSE: "✗",
}


_COLORS = {
    **dict.fromkeys((Verb.CREATE, Verb.FILL, Verb.FORMAT, Verb.START), "green"),
    **dict.fromkeys((Verb.DELETE, Verb.REMOVE, Verb.REFUSE), "red"),
}
_NARROWEST = 24
_MANY = 25  # more would fill a screen


def plan_lines(plan: Plan, columns: int | None = None, paint: Paint = lambda text, _color: text) -> Iterator[str]:
    """The plan's lines; nodes to which the same happens for the same reason, one after the other, share one.

    Of many resources inside Kafka to which the same happens for the same reason, only the number is shown.

    Args:
        plan: what is shown.
        columns: of the terminal; None if lines may be as long as they are.
        paint: gives a text a color; what is added is green, what changes yellow, what goes or is refused red.
    """
    if not plan.changes:
        yield f"{plan.environment}: nothing to change"
        return
    rows = [
        (actions[0].verb, resources, "" if _says_it(actions[0]) else actions[0].impact, reason)
        for actions in _together(plan.actions)
        for resources, reason in [_counted(actions) if _are_many(actions) else _named(actions)]
    ]
    # No column for the class if everything is new.
    widths = [width for column in list(zip(*rows, strict=True))[:3] if (width := max(map(len, column)))]
    narrow = columns is not None and columns - sum(widths) - 2 * len(widths) - 2 < _NARROWEST
    for verb, *row, reason in rows:
        cells = [cell if narrow else cell.ljust(width) for cell, width in zip((verb, *row), widths, strict=False)]
        sign = f"{_SIGNS[verb]} {cells[0]}"
        start = "".join(f"{cell}  " for cell in (sign, *cells[1:]) if cell)
        first, *further = wrapped(f"{start}{reason}", columns, 4 if narrow else len(start))
        yield paint(sign, _COLORS.get(verb, "yellow")) + first.removeprefix(sign)
        yield from further
    counts = Counter(action.verb for action in plan.actions)
    summary = ", ".join(f"{count} to {verb}" for verb, count in counts.items() if verb is not Verb.REFUSE)
    refused = f"{counts[Verb.REFUSE]} refused" if counts[Verb.REFUSE] else ""
    yield f"{plan.environment}: {', '.join(part for part in (summary, _copied(plan), refused) if part)}"


def _together(actions: Sequence[Action]) -> Iterator[list[Action]]:
    """The actions that share a line. It stands where the first of them does."""
    alike: dict[tuple[object, ...], list[Action]] = {}
    for action in actions:
        alike.setdefault((action.verb, action.kind, action.cause), []).append(action)
    many = {action.key: several for several in alike.values() if _are_many(several) for action in several}
    rest = [action for action in actions if action.key not in many or many[action.key][0] is action]

    def line(action: Action) -> tuple[object, ...]:
        own = (action.key,) if action.key in many else ()
        return action.verb, split(action.resource)[0], action.impact, _common_reason(action), *own

    for _, several in groupby(rest, line):
        first, *further = several
        yield many.get(first.key, [first, *further])


def _are_many(actions: Sequence[Action]) -> bool:
    """Whether they are only counted. What the user has to agree to, or to change, is named."""
    first = actions[0]
    is_named = first.kind in set(Kind) or first.needs_consent or first.verb is Verb.REFUSE
    return len(actions) > _MANY and not is_named


def _counted(actions: Sequence[Action]) -> tuple[str, str]:
    """How many resources; and the reason, with the partitions to move, or what is the same in all of the details."""
    moves = [action.subject for action in actions if isinstance(action.subject, Reassignment)]
    moved = sum(len(move.replicas) for move in moves)
    details = [f"{moved:,} {plural('partition', moved)}"] if moves else list({action.detail for action in actions})
    reason = (actions[0].cause, *(detail for detail in details if detail and len(details) == 1))
    return f"{len(actions):,} {plural(actions[0].kind, len(actions))}", "; ".join(reason)


def _named(actions: Sequence[Action]) -> tuple[str, str]:
    return listed(action.resource for action in actions), _reason(actions)


def _common_reason(action: Action) -> tuple[object, ...]:
    """What is the same for all nodes that share a line: each new one has a place of its own."""
    if node := _new_node(action):
        return action.phase, action.cause, node.endpoint is None, node.rack is None
    return action.phase, action.cause, action.detail


def _new_node(action: Action) -> Node | None:
    is_new = action.verb is Verb.CREATE and action.kind is Kind.NODE
    return action.subject.node if is_new and isinstance(action.subject, NodeTarget) else None


def _reason(actions: Sequence[Action]) -> str:
    cause, detail = actions[0].cause, actions[0].detail
    if nodes := [node for action in actions if (node := _new_node(action))]:
        detail = placed(nodes)
    phase = f"{actions[0].phase}: " if actions[0].phase else ""
    return f"{phase}{cause}; {detail}" if detail else f"{phase}{cause}"


def _says_it(action: Action) -> bool:
    """Whether the verb already implies the class."""
    return action.impact in (Impact.NONE, Impact.REFUSED) or str(action.impact) == str(action.verb)


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
        resources = dict.fromkeys(action.resource for action in plan.needs_consent if action.impact is impact)
        if resources:
            say(f"{plan.environment}: this {text.format(_few(listed(resources)))}")
    require_agreement(f"{plan.environment} is left as it is", "--yes agrees; `provision plan` shows it")


def _few(names: str) -> str:
    """At most so many names of a list."""
    shown, several = 6, names.split(", ")
    more = f" and {len(several) - shown} more" if len(several) > shown else ""
    return f"{', '.join(several[:shown])}{more}"
