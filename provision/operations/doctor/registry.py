"""The registry of checks. `provision.operations.doctor` says how one is added."""

import re
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from provision.common.values import replace
from provision.operations.doctor.facts import Facts
from provision.operations.doctor.findings import Finding, Severity

Look = Callable[[Facts], Iterator[Finding]]
_ID = re.compile(r"[a-z]+(-[a-z]+)*")


class Check(Struct, frozen=True):
    """An entry: the ids of the failures that it names, and the function that finds them."""

    ids: tuple[str, ...]
    look: Look


CHECKS: list[Check] = []
LAST: list[Check] = []
"""Those that look only where no other has found an error."""


def check(*ids: str) -> Callable[[Look], Look]:
    """Register a check under the ids of all failures that it can find."""
    return _into(CHECKS, ids)


def last_check(*ids: str) -> Callable[[Look], Look]:
    """Register a check that looks only if no other has found an error."""
    return _into(LAST, ids)


def _into(entries: list[Check], ids: tuple[str, ...]) -> Callable[[Look], Look]:
    assert all(_ID.fullmatch(one) for one in ids), ids  # noqa: S101 a mistake in an entry shows when it is loaded

    def register(look: Look) -> Look:
        entries.append(Check(ids, look))
        return look

    return register


def findings(facts: Facts) -> tuple[Finding, ...]:
    """What all checks find, errors first, in the order of the registry."""
    found: dict[tuple[str, str], Finding] = {}
    _look(CHECKS, facts, found)
    if not any(finding.severity is Severity.ERROR for finding in found.values()):
        _look(LAST, facts, found)
    return tuple(sorted(found.values(), key=lambda finding: finding.severity))


def _look(entries: Iterable[Check], facts: Facts, found: dict[tuple[str, str], Finding]) -> None:
    for entry in entries:
        for finding in entry.look(facts):
            assert finding.id in entry.ids, finding  # noqa: S101 as above
            key = (finding.id, finding.node or finding.title)
            before = found.get(key)
            found[key] = replace(before, evidence=_united(before, finding)) if before else finding


def _united(first: Finding, second: Finding) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first.evidence, *second.evidence)))
