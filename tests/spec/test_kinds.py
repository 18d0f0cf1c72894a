"""What messages call a value that is of the wrong kind: each by what it is."""

from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from provision import Environment
from provision.errors import InvalidEnvironment
from provision.spec.model import kind_of


@pytest.mark.parametrize(
    ("value", "called"),
    [
        (None, "nothing"),
        (True, "true"),
        (3, "the number 3"),
        ("", "an empty text"),
        ("two", "the text 'two'"),
        ([1], "a list"),
        ((1, 2), "a list"),
        ({}, "a mapping"),
        (OrderedDict(a=1), "a mapping"),
        (MappingProxyType({}), "a mapping"),
        ({1}, "a set"),
        (frozenset(), "a set"),
        (b"two", "bytes"),
        (Path("a/b"), "the path 'a/b'"),
        (object(), "a Python object of the type object"),
    ],
)
def test_each_kind_has_its_words(value: Any, called: str) -> None:  # noqa: ANN401 any value
    assert kind_of(value) == called


@pytest.mark.parametrize(("value", "called"), [((1, 2), "a list"), ({1}, "a set"), (Path("x"), "the text 'x'")])
def test_a_program_is_told_what_it_gave(value: object, called: str) -> None:
    with pytest.raises(InvalidEnvironment) as raised:
        Environment(name="orders", brokers={"nodes": value}).validate()
    assert f"not {called}" in raised.value.why


def test_a_tuple_is_a_list_and_a_path_is_its_text() -> None:
    topics = ({"name": "orders", "config": {"cleanup.policy": "compact"}}, {"name": "totals"})
    given = Environment(name="shop", storage=Path("/data"), topics=topics)
    written = Environment(name="shop", storage="/data", topics=list(topics))
    assert given.validate() == written.validate()


def test_values_that_contain_themselves_are_refused() -> None:
    values: dict[str, Any] = {"nodes": 1}
    values["more"] = (values,)
    shop = Environment(name="shop", brokers=values)
    assert shop.name == "shop"
    with pytest.raises(InvalidEnvironment, match="does a value contain itself"):
        shop.validate()
