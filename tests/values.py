"""Values of the program with something else in them."""

import dataclasses
from typing import Any, TypeVar

from msgspec import Struct, structs

V = TypeVar("V")


def replace(value: V, /, **changes: Any) -> V:  # noqa: ANN401 whatever its fields are
    """Like `copy.replace` of Python 3.13, for the two kinds of values that the program has."""
    if isinstance(value, Struct):
        return structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]
