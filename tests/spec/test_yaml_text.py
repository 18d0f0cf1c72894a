"""YAML to data with places: the scalars of YAML 1.2, anchors, merge keys, limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import Problem
from provision.spec.yaml_text import MAX_DEPTH, MAX_VALUES, Positions, dotted, parse, parse_scalar


def data_of(text: str) -> object:
    data, _, problems = parse(text, "orders.yaml")
    assert problems == []
    return data


def lines_of(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "orders.yaml")[2]]


@pytest.mark.parametrize(
    "text",
    [
        *("off", "no", "on", "yes", "y", "n", "Off", "NO"),
        *("12:30", "1:30:00", "2024-01-01", "2024-01-01T00:00:00Z"),
        *("0x10", "0o17", "0b1", "1_000", "007", "-01", "01.5", "1e", "e5", "1.2.3", ".", "+", "=", "<<"),
        *(".inf", "-.inf", ".nan", "nan", "inf", "tRUE", "NuLL", "nothing"),
        *("１２", "1" * 101),
    ],
)
def test_words_that_other_yaml_readers_change_stay_text(text: str) -> None:
    assert parse_scalar(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("~", "null", "Null", "NULL", "")),
        *(("0", 0), ("7", 7), ("-7", -7), ("+7", 7), ("9223372036854775807", 9223372036854775807)),
        *(("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("-0.5E-2", -0.005), ("3.", 3.0), ("1e999", float("inf"))),
        *(('"7"', "7"), ("'true'", "true"), ('""', ""), ('"~"', "~")),
        *(("[a, 1]", ["a", 1]), ("{a: 1}", {"a": 1}), ("a: b", {"a": "b"})),
    ],
)
def test_what_yaml_1_2_says_is_no_text_is_none(text: str, value: object) -> None:
    parsed = parse_scalar(text)
    assert parsed == value
    assert isinstance(parsed, bool) == isinstance(value, bool)


@pytest.mark.parametrize("text", ["3.10", "1e3", "1E+3", "5e999", "0.10", "10.", ".50"])
def test_a_number_with_a_point_or_an_exponent_keeps_its_text(text: str) -> None:
    value = parse_scalar(text)
    assert isinstance(value, float)
    assert (str(value), f"{value}", repr(value)) == (text, text, text)


@given(st.integers(-(10**99), 10**99))
def test_whole_numbers_are_exact_however_long(number: int) -> None:
    assert parse_scalar(str(number)) == number


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_quoted_text_is_that_text(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert parse_scalar(quoted) == text


def test_an_alias_repeats_what_its_anchor_marks() -> None:
    assert data_of("vars: {a: &a [1, 2], b: *a}") == {"vars": {"a": [1, 2], "b": [1, 2]}}


def test_a_merge_key_gives_what_the_mapping_does_not_say_itself() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a\n"
    assert data_of(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_of_several_merged_mappings_the_first_wins() -> None:
    text = "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n"
    assert data_of(text) == {"a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"x": 1, "y": 2}}


def test_merges_of_merges_reach_all_the_way() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n"
    assert data_of(text) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2, "z": 3}}


def test_overriding_a_merged_key_is_no_duplicate() -> None:
    assert lines_of("a: &a {x: 1}\nb: {<<: *a, x: 2}\n") == []


def test_a_merged_value_has_the_place_where_it_is_written() -> None:
    _, source, _ = parse("a: &a\n  x: 1\nb:\n  <<: *a\n", "orders.yaml")
    assert str(source.problem(("b", "x"), "wrong")) == "orders.yaml:2:6: b.x: wrong"


def test_keys_and_values_have_places_that_count_from_one() -> None:
    _, source, _ = parse("# first\nbrokers:\n  nodes: 3\ntopics:\n  - name: a\n  - {name: b}\n", "orders.yaml")
    assert source.keys[("brokers", "nodes")] == (3, 3)
    assert source.values[("brokers", "nodes")] == (3, 10)
    assert source.values[("topics", 0)] == (5, 5)
    assert source.values[("topics", 1, "name")] == (6, 12)


def test_a_problem_of_a_key_that_is_not_there_stands_at_the_nearest_one_above() -> None:
    _, source, _ = parse("kafka: {}\nbrokers:\n  nodes: 3\n", "orders.yaml")
    assert str(source.problem(("brokers", "port"), "wrong")) == "orders.yaml:3:3: brokers.port: wrong"
    assert str(source.problem(("storage",), "wrong", "mend it")) == "orders.yaml:1:1: storage: wrong (mend it)"


def test_a_problem_can_stand_at_the_key_instead_of_the_value() -> None:
    _, source, _ = parse("brokers:\n  nodes: 3\n", "orders.yaml")
    assert str(source.problem(("brokers", "nodes"), "wrong", at_key=True)) == "orders.yaml:2:3: brokers.nodes: wrong"


def test_a_source_without_any_place_names_the_beginning_of_the_file() -> None:
    assert Positions("orders.yaml").problem(("a",), "wrong") == Problem("orders.yaml", 1, 1, "a", "wrong")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("brokers", "nodes"), "brokers.nodes"),
        (("topics", 0, "name"), "topics[0].name"),
        (("brokers", "racks", 1), "brokers.racks[1]"),
        (("brokers", "overrides", 2, "heap"), "brokers.overrides.2.heap"),
        (("brokers", "properties", "num.io.threads"), "brokers.properties.num.io.threads"),
    ],
)
def test_paths_read_as_people_write_them(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


def test_what_could_be_read_beside_a_problem_is_returned() -> None:
    data, _, problems = parse("a: 1\na: 2\nb: !x 3\n", "orders.yaml")
    assert data == {"a": 1, "b": "3"}
    assert [problem.line for problem in problems] == [2, 3]


def test_as_many_values_as_the_limit_are_read_and_one_more_is_not() -> None:
    items = ",".join("1" for _ in range(MAX_VALUES - 1))
    assert lines_of(f"[{items}]") == []
    assert lines_of(f"[{items},1]") == [
        f"orders.yaml:1:{2 * MAX_VALUES}: the file unfolds to more than 100000 values; too many aliases (*name)?"
    ]


def test_values_may_be_nested_as_deep_as_the_limit_and_no_deeper() -> None:
    assert lines_of("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == []
    assert lines_of("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)) == [
        f"orders.yaml:1:{MAX_DEPTH + 1}: values are nested more than 32 deep"
    ]


def test_the_hint_about_tabs_comes_only_where_the_line_has_one() -> None:
    assert [line.endswith("(indent with spaces)") for line in lines_of("name: a\nbrokers:\n\tnodes: 1\n")] == [True]
    assert [line.endswith("(indent with spaces)") for line in lines_of("# a\tb\nname: [\n")] == [False]


@pytest.mark.parametrize("text", ["[1", "{a: 1, a: 2}", "!!python/name:os.system x", "*a", "[" * 100_000, "a\x00b"])
def test_a_fragment_that_is_no_plain_yaml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_scalar(text)


@given(st.text())
def test_any_text_is_data_or_problems_with_places(text: str) -> None:
    data, _, problems = parse(text, "orders.yaml")
    assert data is None or problems == [] or all(problem.line for problem in problems)
    for problem in problems:
        assert problem.message
        assert 1 <= problem.line <= len(text.splitlines()) + 1
        assert problem.column >= 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)),
            "values",
        ),
        (
            "a0: &a0 {}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 20)),
            "values",
        ),
        ("a: &a {" + "".join(f"k{n}: 1, " for n in range(5000)) + "}\nb: {<<: [" + "*a, " * 5000 + "]}\n", "values"),
        ("a: &a " + "x" * 500_000 + "\n" + "".join(f"b{n}: *a\n" for n in range(1000)), "characters"),
        ("? &k " + "x" * 1000 + "\n: 1\nb:\n" + "- {*k : 1}\n" * 60_000, "values"),
    ],
    ids=["aliases", "merges", "merged keys", "texts", "keys"],
)
def test_what_unfolds_without_measure_is_refused_before_it_does(text: str, what: str) -> None:
    data, _, problems = parse(text, "a.yaml")
    assert data is None
    (problem,) = problems
    assert f"{what}; too many aliases" in problem.message


def test_a_problem_does_not_repeat_a_million_characters() -> None:
    problem = Positions("a.yaml").problem(("x" * 10**6,), "y" * 10**6)
    assert len(str(problem)) < 3000
