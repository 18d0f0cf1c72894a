"""What differs between two states of a node's files, key by key and in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import RenderedFile
from provision.cluster.properties import escape_value
from provision.plan.differences import Difference, differences, same_setting


def files(**contents: str) -> list[RenderedFile]:
    return [RenderedFile("broker-1", name.replace("_", "."), text.encode()) for name, text in contents.items()]


def told(before: list[RenderedFile], after: list[RenderedFile]) -> list[str]:
    return [str(difference) for difference in differences(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("a=1\n", "a=2\n", ["a 1 → 2"]),
        ("a=1\n", "a=1\nb=2\n", ["b unset → 2"]),
        ("a=1\nb=2\n", "a=1\n", ["b 2 → unset"]),
        ("b=1\na=1\n", "b=2\na=2\n", ["a 1 → 2", "b 1 → 2"]),
        ("a=1\n", "a=1\n", []),
        ("# one\na=1\n", "# two\na=1\n", []),
        ("a=1\nb=2\n", "b=2\na=1\n", []),
        ("a = 1\n", "a=1\n", []),
        ("a=\\u00e9\n", "a=é\n", []),
        ("a=\\u00e9\n", "a=e\n", ["a é → e"]),
        ("a=\n", "", ["a  → unset"]),
    ],
)
def test_each_changed_key_is_named_with_both_values(before: str, after: str, changes: list[str]) -> None:
    assert told(files(server_properties=before), files(server_properties=after)) == changes


def test_a_difference_knows_its_key_its_values_and_its_file() -> None:
    (changed, came, went) = differences(
        files(server_properties="a=1\nc=3\n"), files(server_properties="# anything\na=2\nb=\n")
    )
    assert changed == Difference("a", "1", "2", "server.properties")
    assert came == Difference("b", None, "", "server.properties")
    assert went == Difference("c", "3", None, "server.properties")
    assert [(d.old, d.new) for d in (changed, came, went)] == [("1", "2"), ("unset", ""), ("3", "unset")]


WORD = "xyzzy-0pen"


@pytest.mark.parametrize(
    ("before", "after", "told_as"),
    [
        (
            "ssl.truststore.password={}1\n",
            "ssl.truststore.password={}2\n",
            "ssl.truststore.password (hidden) → (hidden)",
        ),
        ("", "my.plugin.password={}\n", "my.plugin.password unset → (hidden)"),
        ("x.token={}\n", "", "x.token (hidden) → unset"),
        ('sasl.jaas.config=x password="{}";\n', "", "sasl.jaas.config (hidden) → unset"),
        ("my.url=https://me:{}@host\n", "", "my.url https://me:(hidden)@host → unset"),
        ("my.header=Bearer {}.abc\n", "my.header=none\n", "my.header Bearer (hidden) → none"),
    ],
)
def test_that_a_secret_setting_changes_is_told_and_not_what_it_is(before: str, after: str, told_as: str) -> None:
    changes = told(files(server_properties=before.format(WORD)), files(server_properties=after.format(WORD)))
    assert changes == [told_as]


def test_a_secret_argument_of_a_node_is_not_told() -> None:
    before = json.dumps({"java_args": ["-Xmx1g", f"-Dmy.password={WORD}1", "-Da=1"]})
    after = json.dumps({"java_args": ["-Xmx1g", f"-Dmy.password={WORD}2", "-Da=2"]})
    assert told(files(launch_json=before), files(launch_json=after)) == [
        "java_args -Dmy.password=(hidden) -Da=1 → -Dmy.password=(hidden) -Da=2"
    ]


def test_files_come_in_the_order_of_their_names() -> None:
    before = files(b_properties="x=1", a_properties="y=1")
    after = files(a_properties="y=2", b_properties="x=2")
    assert told(before, after) == ["y 1 → 2", "x 1 → 2"]


def test_a_file_that_came_is_told_key_by_key_and_one_that_went_is_read_by_nobody() -> None:
    assert told([], files(a_properties="x=1")) == ["x unset → 1"]
    assert told(files(a_properties="x=1"), []) == []


def test_a_file_of_another_format_is_told_by_its_name() -> None:
    assert differences(files(jaas_conf="one"), files(jaas_conf="two")) == (Difference("", None, None, "jaas.conf"),)
    assert told(files(jaas_conf="one"), files(jaas_conf="two")) == ["jaas.conf changed"]
    assert told(files(jaas_conf="one"), files(jaas_conf="one")) == []


def test_the_launch_file_is_told_key_by_key_and_of_its_arguments_those_that_changed() -> None:
    before = json.dumps({"arguments": ["-Xmx1g", "kafka.Kafka"], "host_port": None, "memory_bytes": 1})
    after = json.dumps({"arguments": ["-Xmx2g", "kafka.Kafka"], "host_port": 9092, "memory_bytes": 1})
    assert differences(files(launch_json=before), files(launch_json=after)) == (
        Difference("arguments", ("-Xmx1g", "kafka.Kafka"), ("-Xmx2g", "kafka.Kafka"), "launch.json"),
        Difference("host_port", None, "9092", "launch.json"),
    )
    assert told(files(launch_json=before), files(launch_json=after)) == [
        "arguments -Xmx1g → -Xmx2g",
        "host_port unset → 9092",
    ]


def test_a_launch_file_written_in_another_way_is_no_difference() -> None:
    launch = {"arguments": ["a"], "memory_bytes": 1}
    before, after = json.dumps(launch), json.dumps(dict(reversed(launch.items())), indent=4)
    assert before != after
    assert told(files(launch_json=before), files(launch_json=after)) == []


def test_arguments_in_another_order_are_shown_whole() -> None:
    before, after = json.dumps({"arguments": ["a", "b"]}), json.dumps({"arguments": ["b", "a"]})
    assert told(files(launch_json=before), files(launch_json=after)) == ["arguments a b → b a"]


@pytest.mark.parametrize("broken", ["{", "[1]", '"text"', "7", "null"])
def test_a_launch_file_that_was_damaged_by_hand_is_told_as_a_whole(broken: str) -> None:
    assert told(files(launch_json=broken), files(launch_json='{"a": 1}')) == ["launch.json changed"]


@pytest.mark.parametrize("broken", ["a=1\na=1\n", "a=\\u12\n"])
def test_properties_that_were_damaged_by_hand_are_told_as_a_whole(broken: str) -> None:
    assert told(files(server_properties=broken), files(server_properties="a=1\n")) == ["server.properties changed"]


@pytest.mark.parametrize("name", ["server.properties", "launch.json", "keystore.pem"])
@pytest.mark.parametrize(("before_is_secret", "after_is_secret"), [(True, True), (False, True), (True, False)])
def test_of_a_secret_file_nothing_is_told_but_that_it_changed(
    name: str, *, before_is_secret: bool, after_is_secret: bool
) -> None:
    before = RenderedFile("broker-1", name, b'{"password": "hunter1"}', secret=before_is_secret)
    after = RenderedFile("broker-1", name, b'{"password": "hunter2"}', secret=after_is_secret)
    (difference,) = differences([before], [after])
    assert difference == Difference("", None, None, name)
    assert "hunter" not in f"{difference} {difference!r} {before!r} {after!r}"
    assert differences([before], [before]) == ()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00\x01", b"a=\xe9\n"])
def test_a_file_that_is_not_text_differs_like_any_other(content: bytes) -> None:
    binary, text = RenderedFile("broker-1", "key.jks", content), RenderedFile("broker-1", "key.jks", b"a")
    assert differences([binary], [text]) == (Difference("", None, None, "key.jks"),)
    assert differences([binary], [binary]) == ()


VALUES = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}", fullmatch=True),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])),
)


@given(VALUES, VALUES)
def test_exactly_the_changed_keys_are_told(before: dict[str, str], after: dict[str, str]) -> None:
    def written(values: dict[str, str]) -> list[RenderedFile]:
        return files(a_properties="".join(f"{key}={escape_value(value)}\n" for key, value in values.items()))

    changed = [
        Difference(key, before.get(key), after.get(key), "a.properties")
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    assert list(differences(written(before), written(after))) == changed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, None),
        ("", ""),
        ("a", "a"),
        ("true", "True"),
        ("FALSE", "false"),
        ("a,b", "a, b"),
        (" a , b ", "a,b"),
        ("True, 1", "true,1"),
        ("0.5", "0.50"),
        ("0.5", ".5"),
        ("1", "01"),
        ("-1", "-1 "),
        ("9223372036854775807", "9223372036854775807"),
    ],
)
def test_kafka_reads_these_as_the_same(one: str | None, other: str | None) -> None:
    assert same_setting(one, other)
    assert same_setting(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "2"),
        ("1", None),
        ("", None),
        ("a", "b"),
        ("a", "A"),
        ("a,b", "b,a"),
        ("a,b", "a"),
        ("true", "1"),
        ("false", "0"),
        ("0.5", "0.05"),
        ("1g", "1"),
        ("9223372036854775807", "9223372036854775806"),
        ("compact,delete", "compact"),
    ],
)
def test_kafka_tells_these_apart(one: str | None, other: str | None) -> None:
    assert not same_setting(one, other)
    assert not same_setting(other, one)
