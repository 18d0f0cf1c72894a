"""What is written as YAML is read back as it was, by the rules of environment files and by those of YAML 1.1."""

import datetime as dt
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.spec.yaml_output import dump
from provision.spec.yaml_text import parse, parse_scalar
from tests.examples import examples

# Each has a meaning of its own in YAML 1.1, in the core schema of 1.2, or in the syntax itself.
TELLING = (
    *("1e3", "5e-1", "12e03", "1E+5", "-1e3", ".5", "5.", "+.5e1", "1_000", "0x10", "0o17", "017"),
    *("007", "0b1", "12:30"),
    *("190:20:30", "1:2.5", "-0", "+1", "99e999", "9" * 101, "2024-01-01", "2024-01-01T00:00:00Z"),
    *("2024-01-01 1:2:3", "2024"),
    *("", "~", "null", "Null", "NULL", "true", "True", "FALSE", "yes", "no", "on", "Off", "y", "n"),
    *("=", "<<", "*", "&a"),
    *(".inf", "-.Inf", "+.INF", ".nan", ".NaN", "Infinity", "NaN", "nan", "inf", "-", "--", "---"),
    *("...", "?", ": ", ":"),
    *("!tag", "!!str", "%", "@", "`", "|", ">", "#", " #", "a #b", "a: b", "a:", "[a", "{b", "a]"),
    *("a, b", "'", '"', "\\"),
    *(" a", "a ", "\t", "a\tb", "\n", "a\n", "\na", "a\n\nb", "a\r\nb", "\r", "\x00", "\x07"),
    *("\x1b[0m", "\x7f", "\x85"),
    *("\xa0", "\u2028", "\u2029", "\ufeff", "\ufeffa", "\ufffe", "\uffff", "größe", "日本", "😀"),
    *("\U0010ffff", "a" * 500),
    *("word " * 60, "- a\n- b", "a: 1\nb: 2", "C:\\temp", "kafka.example:9092,[::1]:9092"),
)  # fmt: skip

numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text() | st.sampled_from(TELLING)
keys = st.text(min_size=1) | st.sampled_from([text for text in TELLING if text])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


def read(text: str) -> Any:  # noqa: ANN401 any value
    data, _, problems = parse(text, "written.yaml")
    assert problems == []
    return data


@pytest.mark.parametrize("text", TELLING)
def test_a_text_that_means_something_else_unquoted_is_read_as_text(text: str) -> None:
    value = {"a": text, "list": [text], "flow": [[text, {"b": text}]]}
    for written in (dump(value), dump(value, compact=True)):
        assert read(written) == yaml.safe_load(written) == value


@given(st.dictionaries(keys, values, min_size=1, max_size=3), st.booleans())
@settings(max_examples=examples(of=2))
@example({"a": 0.1, "b": -0.0, "c": 1e300, "d": 5e-324, "e": 10**30, "f": True, "g": None}, True)
def test_what_is_written_is_read_as_it_was(value: dict[str, Any], compact: bool) -> None:
    written = dump(value, compact=compact)
    assert read(written) == value
    assert yaml.safe_load(written) == value


@given(scalars)
@settings(max_examples=examples())
def test_a_single_value_is_read_as_it_was(value: object) -> None:
    again = parse_scalar(dump(value))
    assert again == value
    assert isinstance(again, bool) == isinstance(value, bool)


def test_the_same_list_twice_is_written_twice() -> None:
    shared = ["a"]
    assert dump({"one": shared, "two": shared}, compact=True) == "one: [a]\ntwo: [a]\n"


@pytest.mark.parametrize("value", [float("inf"), float("nan"), {"a": dt.date(2024, 1, 1)}, {1, 2}, object()])
def test_what_an_environment_file_cannot_say_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be written as YAML"):
        dump(value)
