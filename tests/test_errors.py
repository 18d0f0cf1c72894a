"""An error says why and what to do, wherever Python or pytest shows it."""

import pickle
import traceback

import pytest

from provision.errors import InvalidEnvironment, NotReady, Problem, ProvisionError

ERROR = ProvisionError("it failed", why="one\ntwo", hint="try again")


@pytest.mark.parametrize(
    ("error", "notes"),
    [
        (ProvisionError("it failed"), []),
        (ProvisionError("it failed", hint="try again"), ["hint: try again"]),
        (ERROR, ["one\ntwo", "hint: try again"]),
        (NotReady("not ready", why="broker-1"), ["broker-1"]),
        (InvalidEnvironment([Problem("a.yaml", 1, 2, "name", "is wrong")]), ["a.yaml:1:2: name: is wrong"]),
        (pickle.loads(pickle.dumps(ERROR)), ["one\ntwo", "hint: try again"]),  # noqa: S301 our own
    ],
)
def test_its_notes_are_the_cause_and_the_hint(error: ProvisionError, notes: list[str]) -> None:
    assert str(error) == error.what
    assert error.__notes__ == notes
    assert traceback.format_exception_only(error)[1:] == [f"{line}\n" for note in notes for line in note.split("\n")]


def test_what_is_added_later_is_shown_too() -> None:
    error = ProvisionError("it failed", why="one")
    error.add_note("seen while testing")
    error.add("two")
    assert error.__notes__ == ["one\ntwo", "seen while testing"]
