"""Several failures at the same time are one error, which has all that any of them says, each once."""

import pytest

from provision.errors import PartlyApplied, ProvisionError
from provision.events import silent
from provision.operations.concurrently import each


def test_the_error_has_the_causes_and_hints_of_all() -> None:
    def fail(name: str) -> None:
        hint = f"`docker volume rm {name}`; with its address, this is not needed"
        raise PartlyApplied(f"{name} is left", why=f"it is away\n{name} is there", hint=hint)

    with pytest.raises(PartlyApplied) as caught:
        each(silent, "remove", ["a", "b", "c"], fail)
    error = caught.value
    assert str(error) == "a is left"
    assert error.why.splitlines() == [
        "it is away",
        "a is there",
        "and b is left",
        "b is there",
        "and c is left",
        "c is there",
    ]
    assert error.hint.split("; ") == [
        "`docker volume rm a`",
        "with its address, this is not needed",
        "`docker volume rm b`",
        "`docker volume rm c`",
    ]


def test_an_error_without_a_hint_gets_that_of_another_one_and_what_is_none_of_ours_is_named() -> None:
    def fail(name: str) -> None:
        if name == "c":
            raise OSError("the disk is gone")
        raise ProvisionError(f"{name} failed", hint="look there" if name == "b" else "")

    with pytest.raises(ProvisionError, match="a failed") as caught:
        each(silent, "remove", ["a", "b", "c"], fail)
    assert (caught.value.why, caught.value.hint) == ("and b failed\nand the disk is gone", "look there")
