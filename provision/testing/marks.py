"""Which clusters tests ask for: what their marks say, and what describes the rest."""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

from provision import UsageError

OVERRIDES = {"version": "kafka.version", "mode": "kafka.mode", "brokers": "brokers.nodes"}
"""What a mark changes of the environment."""
VALUES = "kafka_environment_values"
"""The fixture that describes it."""
_SHARED = "kafka_environment"


def asked(item: pytest.Item) -> dict[str, Any]:
    """What the marks of a test say, those of its class and module too: of each key, the one that is nearest to it.

    Raises:
        UsageError: one of them says what no mark can.
    """
    found: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("kafka"))):
        unknown = [*sorted(mark.kwargs.keys() - {*OVERRIDES, "check"}), *map(repr, mark.args)]
        wrong = f"does not take {', '.join(unknown)}" if unknown else ""
        if not isinstance(mark.kwargs.get("check", True), bool):
            wrong = f"takes True or False as check, not {mark.kwargs['check']!r}"
        if wrong:
            hint = f"it takes {', '.join(OVERRIDES)}, check"
            raise UsageError(f"the mark kafka {wrong}", why=f"it is a mark of {item.nodeid}", hint=hint)
        found |= mark.kwargs
    return found


def overridden(said: dict[str, Any]) -> dict[str, Any]:
    """What of it changes the environment."""
    return {key: said[key] for key in OVERRIDES if said.get(key) is not None}


def described_by(item: pytest.Item) -> object:
    """What gives a test the values of its environment: its class, its module, or the directory of a `conftest.py`.

    None stands for whatever gives them to all that have none of their own.
    """
    for holder in (getattr(item, "cls", None), getattr(item, "module", None)):
        if hasattr(holder, VALUES):
            return holder
    modules = [one for one in item.config.pluginmanager.get_plugins() if hasattr(one, VALUES)]
    directories = [Path(file).parent for one in modules if (file := getattr(one, "__file__", None))]
    above = [directory for directory in directories if item.path.is_relative_to(directory)]
    return max(above, key=lambda directory: len(directory.parts), default=None)


def given_by(item: pytest.Item) -> str:
    """The same as text."""
    found: Any = described_by(item)
    if isinstance(found, type):
        return f"{found.__module__}.{found.__qualname__}"
    return str(getattr(found, "__name__", found) or "")


def origin_of(item: pytest.Item) -> str:
    """Where the values of a test's environment are written: what gives them, below which directory, for which case.

    The case is that of fixtures with `params` on which they depend, or of `pytest.mark.parametrize`.
    """
    values, known = dict[str, Any](), getattr(item, "callspec", None)
    if known:
        names = _built_on(item, VALUES)
        # What is shown of other values may have their address: they are told apart by their place.
        values = {
            name: value if isinstance(value, str | int | float | None) else f"#{known.indices[name]}"
            for name, value in sorted(known.params.items())
            if name in names
        }
    return json.dumps([str(item.config.rootpath), given_by(item), values])


def _built_on(item: pytest.Item, name: str) -> set[str]:
    """A fixture and all that it takes, directly or not."""
    manager, names, coming = item.config.pluginmanager.get_plugin("funcmanage"), set[str](), [name]
    while coming:
        if (current := coming.pop()) not in names:
            names.add(current)
            found: Sequence[Any] = manager.getfixturedefs(current, item) or () if manager else ()
            coming += [argument for fixture in found for argument in fixture.argnames]
    return names


def asked_later(item: pytest.Item, fixtures: AbstractSet[str]) -> list[dict[str, Any]]:
    """The environments that the tests after this one ask for, each once, in the order of the tests.

    Left out are tests that may be skipped, that fail because of a wrong mark, or whose values another fixture gives;
    and those whose fixtures of these names are their own.

    Args:
        item: the test.
        fixtures: who takes one of these asks for an environment.
    """
    found: list[dict[str, Any]] = []
    items, by = item.session.items, described_by(item)
    for other in items[items.index(item) + 1 :]:
        asks = any(takes_ours(other, name) for name in fixtures)
        may_be_skipped = other.get_closest_marker("skip") or other.get_closest_marker("skipif")
        if not asks or may_be_skipped or described_by(other) != by:
            continue
        try:
            said = overridden(asked(other))
        except UsageError:  # it is told when the turn of that test comes
            continue
        if said not in found:
            found.append(said)
    return found


def has_ours(item: pytest.Item, name: str) -> bool:
    """Whether a fixture of that name is ours in a test, or is built on it, and not one of its own that replaces it."""
    manager = item.config.pluginmanager.get_plugin("funcmanage")
    found: Sequence[Any] = (manager and manager.getfixturedefs(name, item)) or ()
    for fixture in reversed(found):
        if fixture.func.__module__ == "provision.pytest_plugin":
            return True
        if name not in fixture.argnames:
            return False
    return False


def takes_ours(item: pytest.Item, name: str) -> bool:
    """Whether a test takes it, and it is ours."""
    return name in getattr(item, "fixturenames", ()) and has_ours(item, name)


def described_otherwise(item: pytest.Item) -> str:
    """Why `kafka_environment` is not what describes the cluster of a test; empty if it is."""
    if not takes_ours(item, _SHARED):
        return ""
    first = next((one for one in item.session.items if takes_ours(one, _SHARED)), item)
    if described_by(item) == described_by(first):
        return ""
    if mine := given_by(item):
        return f"{mine} describes another cluster than the first of these has, {first.nodeid}"
    return f"the first of these, {first.nodeid}, has the one that {given_by(first)} describes"
