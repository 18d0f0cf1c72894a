"""How many examples slow properties are tried with."""

from hypothesis import settings


def examples(*, of: int = 1) -> int:
    """The profile's number of examples, or one `of` so many."""
    return max(1, settings().max_examples // of)
