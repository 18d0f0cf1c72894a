"""Java's properties format, as `java.util.Properties` reads it.

The tables were made with OpenJDK 17: each text was given to `Properties.load`, and each escaped value read back by it.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.properties import encode, escape_value, parse

JAVA_READS: list[tuple[str, dict[str, str]]] = [
    ("k=v", {"k": "v"}),
    ("k:v", {"k": "v"}),
    ("k v", {"k": "v"}),
    ("k\tv", {"k": "v"}),
    ("k\x0cv", {"k": "v"}),
    ("k = v", {"k": "v"}),
    ("k : v", {"k": "v"}),
    ("k  v", {"k": "v"}),
    ("k==v", {"k": "=v"}),
    ("k=:v", {"k": ":v"}),
    ("k = = v", {"k": "= v"}),
    ("k", {"k": ""}),
    ("k=", {"k": ""}),
    ("=v", {"": "v"}),
    (":v", {"": "v"}),
    (" k=v", {"k": "v"}),
    ("k=v ", {"k": "v "}),
    ("k=v\t", {"k": "v\t"}),
    ("\tk=v", {"k": "v"}),
    ("a\\=b=c", {"a=b": "c"}),
    ("a\\:b=c", {"a:b": "c"}),
    ("a\\ b=c", {"a b": "c"}),
    ("a\\\\=b", {"a\\": "b"}),
    ("a\\\\\\=b=c", {"a\\=b": "c"}),
    ("k=a\\\\b", {"k": "a\\b"}),
    ("k=a\\b", {"k": "ab"}),
    ("k=\\", {"k": ""}),
    ("k=\\ v", {"k": " v"}),
    ("k=\\tv", {"k": "\tv"}),
    ("k=\\n\\r\\f", {"k": "\n\r\x0c"}),
    ("k=\\0", {"k": "0"}),
    ("k=\\u00e9", {"k": "\xe9"}),
    ("k=\\u00E9x", {"k": "\xe9x"}),
    ("k=\\ud83d\\ude00", {"k": "\U0001f600"}),
    ("\\u0061=v", {"a": "v"}),
    ("k=\\:", {"k": ":"}),
    ("k=#v", {"k": "#v"}),
    ("k=!v", {"k": "!v"}),
    ("#k=v", {}),
    ("!k=v", {}),
    (" #k=v", {}),
    ("# a\\\nk=v", {"k": "v"}),
    ("k=a\\\nb", {"k": "ab"}),
    ("k=a\\\n   b", {"k": "ab"}),
    ("k=a\\\r\nb", {"k": "ab"}),
    ("k=a\\\rb", {"k": "ab"}),
    ("k=a\\\\\nb=c", {"b": "c", "k": "a\\"}),
    ("k=a\\\n#b", {"k": "a#b"}),
    ("k=a\\\n\nb=c", {"b": "c", "k": "a"}),
    ("k=\\\nv", {"k": "v"}),
    ("k\\\n=v", {"k": "v"}),
    ("k=a\\\n", {"k": "a"}),
    ("a=1\nb=2", {"a": "1", "b": "2"}),
    ("a=1\r\nb=2", {"a": "1", "b": "2"}),
    ("a=1\rb=2", {"a": "1", "b": "2"}),
    ("a=1\n\n\nb=2", {"a": "1", "b": "2"}),
    ("\n", {}),
    ("", {}),
    ("k=\xe9", {"k": "\xe9"}),
    ("k=\xa0v", {"k": "\xa0v"}),
    ("k=\x85v", {"k": "\x85v"}),
    ("k=a;b,c", {"k": "a;b,c"}),
    ("k=a=b", {"k": "a=b"}),
    ("k=${v}", {"k": "${v}"}),
    ("a\x0bb=c", {"a\x0bb": "c"}),
    ("k=\x1cv", {"k": "\x1cv"}),
]
JAVA_READS_BACK = [
    ("v", "v"),
    ("", ""),
    (" v", "\\ v"),
    ("  v", "\\  v"),
    ("v ", "v "),
    (" ", "\\ "),
    ("\t", "\\u0009"),
    ("\tv", "\\u0009v"),
    ("a\tb", "a\\u0009b"),
    ("a\\b", "a\\\\b"),
    ("\\", "\\\\"),
    ("\\\\", "\\\\\\\\"),
    ("C:\\temp\\new", "C:\\\\temp\\\\new"),
    ("\\u0041", "\\\\u0041"),
    ("=v", "=v"),
    (":v", ":v"),
    ("#v", "#v"),
    ("!v", "!v"),
    ("a=b", "a=b"),
    ("a:b", "a:b"),
    ("\xe9", "\\u00e9"),
    ("\u20ac", "\\u20ac"),
    ("\U0001f600", "\\ud83d\\ude00"),
    ("\x00", "\\u0000"),
    ("\x7f", "\\u007f"),
    ("\u2028", "\\u2028"),
    ("\x85", "\\u0085"),
    ("\xa0", "\\u00a0"),
    ("\ufeff", "\\ufeff"),
    ("\ufffe", "\\ufffe"),
    ("${v}", "${v}"),
    ("100%", "100%"),
    ("a\x0cb", "a\\u000cb"),
    ("\x0b", "\\u000b"),
    ("~", "~"),
    ("'\"", "'\""),
]
ANY_LINE = st.text().filter(lambda text: not set(text) & {"\n", "\r"})


@pytest.mark.parametrize(("text", "values"), JAVA_READS, ids=[ascii(text) for text, _ in JAVA_READS])
def test_a_file_is_read_as_java_reads_it(text: str, values: dict[str, str]) -> None:
    assert parse(text) == values


@pytest.mark.parametrize(("value", "escaped"), JAVA_READS_BACK, ids=[ascii(value) for value, _ in JAVA_READS_BACK])
def test_a_value_is_escaped_so_that_java_reads_it_back(value: str, escaped: str) -> None:
    assert escape_value(value) == escaped
    assert parse(f"k={escaped}") == {"k": value}


@given(ANY_LINE)
def test_any_text_without_line_breaks_comes_back(value: str) -> None:
    assert parse(f"k={escape_value(value)}") == {"k": value}


@given(st.lists(ANY_LINE, min_size=1))
def test_many_values_stay_on_their_lines(values: list[str]) -> None:
    text = "\n".join(f"k{index}={escape_value(value)}" for index, value in enumerate(values))
    assert parse(text) == {f"k{index}": value for index, value in enumerate(values)}


@given(ANY_LINE)
def test_what_is_written_is_printable_ascii(value: str) -> None:
    assert all(" " <= character <= "~" for character in escape_value(value))


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\n", "a\r\nlisteners=x"])
def test_a_line_break_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="a value cannot contain a line break"):
        escape_value(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=1\na=2", "a is set twice, in line 1 and in line 2"),
        ("a=1\n# a\n\na : 1", "a is set twice, in line 1 and in line 4"),
        ("a=1\\\n2\nb=3\n\\u0061=4", "a is set twice, in line 1 and in line 4"),
        ("a.b 1\na.b=1", r"a\.b is set twice, in line 1 and in line 2"),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_both_lines(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["k=\\u12", "k=\\u", "k=\\uxyz1", "\\u00=v"])
def test_a_broken_escape_is_refused_as_java_refuses_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not an escape of four hexadecimal digits"):
        parse(text)


@given(st.text(st.sampled_from("ab=: \t\f\n\r\\#!u0é")))
def test_any_text_is_read_or_refused(text: str) -> None:
    refusal = ""
    try:
        parse(text)
    except ValueError as error:
        refusal = str(error)
    assert not refusal or "is set twice" in refusal or "is not an escape" in refusal


@given(st.lists(st.sampled_from("ab=: \t\\#!u0é\x80☃\N{GRINNING FACE}\n\r")).map("".join))
def test_a_whole_file_means_the_same_once_it_is_encoded(text: str) -> None:
    try:
        values = parse(text)
    except ValueError:  # no properties file
        return
    assert parse(encode(text).decode("ascii")) == values


def test_a_text_that_no_file_can_hold_is_escaped_as_java_has_it() -> None:
    assert escape_value("a\udcffb") == "a\\udcffb"
