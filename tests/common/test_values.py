"""Changed copies of values of both kinds."""

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import Struct

from provision.common.values import replace


class Quick(Struct, frozen=True):
    """One kind."""

    name: str
    number: int = 1


class Quicker(Quick, frozen=True):
    """A kind of that kind."""

    speed: int = 2


@dataclass(frozen=True, slots=True)
class Plain:
    """The other kind."""

    name: str
    number: int = 1


VALUES = pytest.mark.parametrize(
    "value", [Quick("a"), Quicker("a", 1, 3), Plain("a")], ids=lambda one: type(one).__name__
)


@VALUES
def test_a_copy_differs_in_nothing_else(value: Any) -> None:  # noqa: ANN401
    changed = replace(value, number=7)
    assert (type(changed), changed.name, changed.number) == (type(value), "a", 7)
    assert value.number == 1
    assert replace(changed, number=1) == value


@VALUES
def test_a_field_that_it_has_not_is_an_error(value: Any) -> None:  # noqa: ANN401
    with pytest.raises(TypeError):
        replace(value, nubmer=7)
