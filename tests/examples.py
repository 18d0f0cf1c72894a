"""How many examples properties are tried with."""

from hypothesis import settings

_THOROUGH = 200
"""The examples of the profile of `make test-soak`."""


def examples(*, of: int = 1) -> int:
    """The profile's number of examples, or one `of` so many."""
    return max(1, settings().max_examples // of)


def many(quick: int, *, thorough: int) -> int:
    """So many in `make test`, and so many in `make test-soak`, whatever the profile has for others."""
    return thorough if settings().max_examples >= _THOROUGH else quick
