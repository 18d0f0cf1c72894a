"""How the rules of an environment file are applied, and what they find.

A rule yields findings of a well-formed spec. It declares the keys it reads, so that it is skipped if one of them could
not be read at all: one mistake gives one message.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from provision.errors import Problem
from provision.spec.yaml_text import Path, Positions

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec


class Finding(Struct, frozen=True):
    """A problem without its position: `path` is the offending key."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False
    warning: bool = False


ANY = "*"
"""In a key: each item of a list, or each key of a mapping."""
Rule = Callable[["EnvironmentSpec"], Iterator[Finding]]
RuleReads = tuple[Rule, tuple[Path, ...]]
"""A rule, and the keys it reads."""


def check(
    spec: "EnvironmentSpec",
    source: Positions,
    rules: Sequence[RuleReads],
    unreadable: frozenset[Path] = frozenset(),
) -> list[Problem]:
    """Every finding of every rule, in the order of the rules.

    Args:
        spec: a well-formed spec.
        source: gives the positions.
        rules: the rules to apply.
        unreadable: paths whose values were replaced by defaults because their form is wrong.
    """
    touched: dict[Path, list[Path]] = defaultdict(list)  # by section: a file may have many wrong keys
    for path in unreadable:
        touched[path[:1]].append(path)
    problems = (
        source.problem(finding.path, finding.message, finding.hint, at_key=finding.at_key, warning=finding.warning)
        for rule, reads in rules
        if (aside := _set_aside(spec, touched, reads)) is not None
        for finding in rule(_without(spec, aside) if aside else spec)
        if not aside or _is_of_another_item(finding, aside)
    )
    return list(dict.fromkeys(problems))  # a wrong default is reported once, for however many topics


def _set_aside(
    spec: "EnvironmentSpec", touched: Mapping[Path, Sequence[Path]], reads: Sequence[Path]
) -> frozenset[Path] | None:
    """The items of one list that a rule can do without, because it looks at each (`ANY`); None if it cannot look."""
    items: set[Path] = set()
    hit = ((path, one) for one in reads for path in touched.get(one[:1], ()))
    for path, read in hit:
        if not _touches(path, read):
            continue
        # A mapping may have a number as a key, too.
        is_item = isinstance(path[1:2] and path[1], int) and isinstance(getattr(spec, str(path[0])), Sequence)
        if read[1:2] != (ANY,) or not is_item:
            return None
        items.add(path[:2])
    return frozenset(items) if len({section for section, _ in items}) <= 1 else None


def _without(spec: "EnvironmentSpec", items: frozenset[Path]) -> "EnvironmentSpec":
    """The spec with items in the place of those that say nothing, so that the others keep their positions."""
    ((section, _), *_) = items
    found = list(getattr(spec, str(section)))
    for index in (index for _, index in items if isinstance(index, int) and index < len(found)):
        kind = type(found[index])
        needed = kind.model_fields["name"].is_required() if "name" in kind.model_fields else False
        found[index] = kind.model_validate({"name": f"unreadable-{index}"} if needed else {})
    return spec.model_copy(update={str(section): found})


def _is_of_another_item(finding: Finding, items: frozenset[Path]) -> bool:
    """Whether a finding is of an item of the same list that could be read: all else may follow from those that not."""
    return (
        finding.path[:2] not in items and any(finding.path[:1] == path[:1] for path in items) and len(finding.path) > 1
    )


def _touches(unreadable: Path, read: Path) -> bool:
    return all(one in (other, ANY) or other == ANY for one, other in zip(read, unreadable, strict=False))
