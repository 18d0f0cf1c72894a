"""One name, or several: what a program says is never taken letter by letter."""

import pytest

from provision.common.arguments import Texts, several
from provision.errors import UsageError


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("orders", ("orders",)),
        (["orders", "totals"], ("orders", "totals")),
        (("orders",), ("orders",)),
        ((name for name in ("a", "b")), ("a", "b")),
        ({"orders": 3}, ("orders",)),
        ((), ()),
    ],
)
def test_a_text_is_one_of_them(given: Texts, texts: tuple[str, ...]) -> None:
    assert several(given, "names of topics") == texts


@pytest.mark.parametrize("given", [5, None, b"orders", [b"orders"], ["orders", 5]])
def test_what_is_no_text_is_refused(given: Texts) -> None:
    with pytest.raises(UsageError, match="names of topics are a text, or a list of texts, not"):
        several(given, "names of topics")
