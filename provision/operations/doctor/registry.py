"""The registry of checks. `provision.operations.doctor` says how one is added."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from provision.operations.doctor.facts import Facts
from provision.operations.doctor.findings import Finding

Look = Callable[[Facts], Iterator[Finding]]
_ID = re.compile(r"[a-z]+(-[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Check:
    """An entry: the ids of the failures that it names, and the function that finds them."""

    ids: tuple[str, ...]
    look: Look


CHECKS: list[Check] = []


def check(*ids: str) -> Callable[[Look], Look]:
    """Register a check under the ids of all failures that it can find."""
    assert all(_ID.fullmatch(one) for one in ids), ids  # noqa: S101 a mistake in an entry shows when it is loaded

    def register(look: Look) -> Look:
        CHECKS.append(Check(ids, look))
        return look

    return register


def findings(facts: Facts) -> tuple[Finding, ...]:
    """What all checks find, errors first, in the order of the registry."""
    found = [finding for entry in CHECKS for finding in entry.look(facts)]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.severity))
