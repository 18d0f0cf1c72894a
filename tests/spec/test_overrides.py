"""`--set path.to.key=value` in all its forms."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import InvalidEnvironment, UsageError
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec
from provision.spec.overrides import apply_overrides
from provision.spec.yaml_text import Positions

TEXT = """\
brokers:
  nodes: 3
  properties: {num.io.threads: 4}
  overrides: {1: {rack: a}}
topics:
  - {name: orders, partitions: 1}
  - {name: orders.new, partitions: 2}
  - {name: "1", partitions: 3}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "orders.yaml"
    file.write_text(TEXT)
    return file


def problems(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(InvalidEnvironment) as caught:
        load(file, overrides)
    return [str(problem).replace(str(file), file.name) for problem in caught.value.problems]


def refusal(file: Path, *overrides: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(file, overrides)
    assert caught.value.exit_code == 64
    return caught.value


def test_a_key_is_set_over_what_the_file_says(file: Path) -> None:
    assert load(file, ("brokers.nodes=5",)).brokers.nodes == 5


def test_a_key_whose_section_is_not_in_the_file_is_set(file: Path) -> None:
    assert load(file, ("kafka.version=3.8.1",)).kafka.version == "3.8.1"


def test_a_section_that_is_empty_in_the_file_is_filled(tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text("brokers:\n")
    assert load(file, ("brokers.nodes=3",)).brokers.nodes == 3


def test_later_ones_win(file: Path) -> None:
    assert load(file, ("brokers.nodes=5", "brokers.nodes=7")).brokers.nodes == 7


def test_a_whole_section_replaces_the_files(file: Path) -> None:
    spec = load(file, ("brokers={nodes: 2, racks: [a, b]}", "topics=[]"))
    assert (spec.brokers.nodes, spec.brokers.racks, spec.brokers.properties) == (2, ["a", "b"], {})
    assert spec.topics == []


def test_below_properties_and_config_the_rest_of_the_path_is_one_key(file: Path) -> None:
    spec = load(
        file,
        (
            "brokers.properties.num.io.threads=8",
            "brokers.overrides.1.properties.log.retention.ms=5",
            "topics.orders.config.min.insync.replicas=1",
            "topic_defaults.config.cleanup.policy=compact",
        ),
    )
    assert spec.brokers.properties == {"num.io.threads": "8"}
    assert spec.brokers.overrides[1].properties == {"log.retention.ms": "5"}
    assert spec.topics[0].config == {"min.insync.replicas": "1"}
    assert spec.topic_defaults.config == {"cleanup.policy": "compact"}


@pytest.mark.parametrize(("address", "index"), [("orders", 0), ("0", 0), ("2", 2), ("1", 2)])
def test_a_topic_is_addressed_by_its_name_else_by_its_index(file: Path, address: str, index: int) -> None:
    partitions = [topic.partitions for topic in load(file, (f"topics.{address}.partitions=9",)).topics]
    assert [place for place, number in enumerate(partitions) if number == 9] == [index]


def test_overrides_of_brokers_are_addressed_by_number(file: Path) -> None:
    spec = load(file, ("brokers.overrides.2.heap=300m", "brokers.overrides.1.heap=200m"))
    assert spec.brokers.overrides[2].heap == "300m"
    assert (spec.brokers.overrides[1].heap, spec.brokers.overrides[1].rack) == ("200m", "a")


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", "a"), ("a=b", "a=b"), ("", None), ('""', ""), ("off", "off"), ("[1, x]", [1, "x"]), ("{y: 2}", {"y": 2})],
)
def test_the_value_is_yaml_and_may_have_equals_signs(file: Path, text: str, value: object) -> None:
    assert load(file, (f"vars.x={text}",)).vars == {"x": value}


def test_blanks_around_the_path_do_not_matter(file: Path) -> None:
    assert load(file, (" brokers.nodes = 5",)).brokers.nodes == 5


@pytest.mark.parametrize("text", ["brokers.nodes", "", "=3", "  =3", "--set"])
def test_what_has_no_path_or_no_equals_sign_is_wrong_usage(file: Path, text: str) -> None:
    error = refusal(file, text)
    assert error.what == f"--set {text} is not of the form path.to.key=value"
    assert error.hint == "for example --set brokers.nodes=3"


def test_a_value_that_is_no_yaml_is_wrong_usage_and_says_why(file: Path) -> None:
    error = refusal(file, "brokers.racks=[a")
    assert error.what == "--set brokers.racks=[a: the value is not YAML"
    assert "did not find expected ',' or ']'" in error.why


def test_a_value_with_a_tag_is_wrong_usage(file: Path) -> None:
    assert "!!python/name:os.system" in refusal(file, "vars.x=!!python/name:os.system y").why


def test_a_path_through_a_single_value_is_wrong_usage(file: Path) -> None:
    assert refusal(file, "brokers.nodes.x=3").what == (
        "--set brokers.nodes.x=3: brokers.nodes is a single value and has no keys below it"
    )


@pytest.mark.parametrize("entry", ["payments", "3", "-1", "²", ""])
def test_a_topic_that_is_not_in_the_list_is_wrong_usage(file: Path, entry: str) -> None:
    text = f"topics.{entry}.partitions=3"
    assert refusal(file, text).what == f"--set {text}: topics has no entry {entry!r}"


def test_a_problem_of_an_override_names_it_instead_of_the_file(file: Path) -> None:
    assert problems(file, "brokers.nodes=0") == [
        "--set brokers.nodes=0: brokers.nodes: must be at least 1, not 0",
    ]


def test_a_problem_below_an_overridden_section_names_the_override(file: Path) -> None:
    assert problems(file, "brokers={nodes: 0, properties: {a b: 1}}") == [
        "--set brokers={nodes: 0, properties: {a b: 1}}: brokers.nodes: must be at least 1, not 0",
        (
            "--set brokers={nodes: 0, properties: {a b: 1}}: brokers.properties.a b: "
            "'a b' cannot be a property's name: letters, digits, dots, hyphens and underscores only"
        ),
    ]


def test_of_two_overrides_the_one_that_made_the_value_is_named(file: Path) -> None:
    assert problems(file, "brokers.nodes=0", "brokers={nodes: 101}") == [
        "--set brokers={nodes: 101}: brokers.nodes: must be at most 100, not 101",
    ]
    assert problems(file, "brokers={nodes: 1}", "brokers.nodes=0") == [
        "--set brokers.nodes=0: brokers.nodes: must be at least 1, not 0",
    ]


def test_an_unknown_section_made_by_an_override_is_named_with_the_nearest_known(file: Path) -> None:
    assert problems(file, "broker.nodes=3") == ["--set broker.nodes=3: broker: unknown key (did you mean brokers?)"]


def test_problems_of_the_file_keep_their_place_beside_those_of_overrides(file: Path) -> None:
    file.write_text("brokers:\n  nodes: 0\n")
    assert problems(file, "storage=/") == [
        "--set storage=/: storage: data cannot be kept in the root directory (name a directory of its own)",
        "orders.yaml:2:10: brokers.nodes: must be at least 1, not 0",
    ]


def test_overrides_take_part_in_what_goes_together(file: Path) -> None:
    assert problems(file, "topics.orders.replication_factor=4") == [
        (
            "--set topics.orders.replication_factor=4: topics[0].replication_factor: "
            "4 replicas need 4 brokers; brokers.nodes is 3 (lower it, or raise brokers.nodes)"
        ),
    ]


def test_the_name_of_an_override_counts_before_the_files_stem(file: Path) -> None:
    assert load(file, ("name=payments",)).name == "payments"
    assert problems(file, "name=X") == [
        (
            "--set name=X: name: 'X' cannot be an environment's name: "
            "2 to 40 lower-case letters, digits and hyphens, beginning with a letter or digit"
        ),
    ]


@given(st.lists(st.text(max_size=30) | st.from_regex(r"[a-z_.0-9]{1,20}=.{0,10}", fullmatch=True), max_size=4))
def test_any_text_is_an_override_or_wrong_usage(texts: list[str]) -> None:
    data: dict[str, object] = {"brokers": {"nodes": 1}, "topics": [{"name": "a"}], "storage": "memory"}
    refusal = ""
    try:
        apply_overrides(data, Positions("orders.yaml"), tuple(texts))
    except UsageError as error:
        refusal = error.what
    assert not refusal or any(refusal.startswith(f"--set {text}") for text in texts)


def test_an_override_cannot_make_what_the_model_does_not_know(file: Path) -> None:
    known = ", ".join(EnvironmentSpec.model_fields)
    assert problems(file, "xyzzy=1") == [f"--set xyzzy=1: xyzzy: unknown key (known here: {known})"]


MANY_DIGITS = "9" * 5000


@pytest.mark.parametrize(
    "override",
    [
        f"topics.{MANY_DIGITS}.partitions=1",
        f"topics.-{MANY_DIGITS}.partitions=1",
        "topics.\N{SUPERSCRIPT TWO}.partitions=1",
        "brokers.nodes.a=1",
        ".".join(["vars", *("a" * 32)]) + "=1",
        ".".join("a" * 5000) + "=1",
        "vars=" + "[" * 5000,
        "vars.\udcff=1",
        "vars.a=\udcff",
        "\udcff",
        MANY_DIGITS,
    ],
)
def test_what_no_file_could_say_is_refused_in_a_few_words(file: Path, override: str) -> None:
    error = refusal(file, override)
    assert error.what.startswith("--set ")
    assert len(f"{error.what}{error.why}") < 600
    assert f"{error.what}{error.why}".isprintable()


@pytest.mark.parametrize(
    "key",
    [
        *(
            "brokers.overrides.{}.heap",
            "brokers.nodes",
            "brokers.port",
            "brokers.heap",
            "ttl",
            "throttle",
            "kafka.version",
        ),
        *("bootstrap_servers", "topics.orders.partitions", "{}", "brokers.{}", "brokers.racks", "name"),
    ],
)
def test_numbers_of_thousands_of_digits_are_told_in_a_few_words(file: Path, key: str) -> None:
    value = f"a:{MANY_DIGITS}" if key == "bootstrap_servers" else MANY_DIGITS
    for line in problems(file, f"{key.format(MANY_DIGITS)}={value}"):
        assert len(line) < 3000
        assert "set_int_max_str_digits" not in line
