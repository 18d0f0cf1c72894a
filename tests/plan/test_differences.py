"""What differs between two states of a node's files, in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import RenderedFile
from provision.cluster.properties import escape_value
from provision.plan.differences import differences


def files(**contents: str) -> list[RenderedFile]:
    return [RenderedFile("broker-1", name.replace("_", "."), text) for name, text in contents.items()]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("a=1\n", "a=2\n", ("a 1 → 2",)),
        ("a=1\n", "a=1\nb=2\n", ("b unset → 2",)),
        ("a=1\nb=2\n", "a=1\n", ("b 2 → unset",)),
        ("b=1\na=1\n", "b=2\na=2\n", ("a 1 → 2", "b 1 → 2")),
        ("a=1\n", "a=1\n", ()),
        ("# one\na=1\n", "# two\na=1\n", ("server.properties changed",)),
        ("a=1\nb=2\n", "b=2\na=1\n", ("server.properties changed",)),
        ("a=\\u00e9\n", "a=e\n", ("a é → e",)),
        ("a=1\na=2\n", "a=3\n", ("a unset → 3",)),
    ],
)
def test_each_changed_key_is_named_with_both_values(before: str, after: str, changes: tuple[str, ...]) -> None:
    assert differences(files(server_properties=before), files(server_properties=after)) == changes


def test_files_come_in_the_order_of_their_names() -> None:
    before = files(b_properties="x=1", a_properties="y=1")
    after = files(a_properties="y=2", b_properties="x=2")
    assert differences(before, after) == ("y 1 → 2", "x 1 → 2")


def test_a_file_that_came_or_went_is_told_key_by_key() -> None:
    assert differences([], files(a_properties="x=1")) == ("x unset → 1",)
    assert differences(files(a_properties="x=1"), []) == ("x 1 → unset",)


def test_a_file_of_another_format_is_told_by_its_name() -> None:
    assert differences(files(jaas_conf="one"), files(jaas_conf="two")) == ("jaas.conf changed",)


def test_the_launch_file_is_told_key_by_key_and_of_its_arguments_those_that_changed() -> None:
    before = json.dumps({"arguments": ["-Xmx1g", "kafka.Kafka"], "host_port": None, "memory_bytes": 1})
    after = json.dumps({"arguments": ["-Xmx2g", "kafka.Kafka"], "host_port": 9092, "memory_bytes": 1})
    assert differences(files(launch_json=before), files(launch_json=after)) == (
        "arguments -Xmx1g → -Xmx2g",
        "host_port unset → 9092",
    )


def test_arguments_in_another_order_are_shown_whole() -> None:
    before, after = json.dumps({"arguments": ["a", "b"]}), json.dumps({"arguments": ["b", "a"]})
    assert differences(files(launch_json=before), files(launch_json=after)) == ("arguments a b → b a",)


@pytest.mark.parametrize("broken", ["{", "[1]", '"text"', "7", "null"])
def test_a_launch_file_written_by_hand_does_no_harm(broken: str) -> None:
    assert differences(files(launch_json=broken), files(launch_json='{"a": 1}')) == ("a unset → 1",)


VALUES = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}", fullmatch=True),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])),
)


@given(VALUES, VALUES)
def test_exactly_the_changed_keys_are_told(before: dict[str, str], after: dict[str, str]) -> None:
    def written(values: dict[str, str]) -> list[RenderedFile]:
        return files(a_properties="".join(f"{key}={escape_value(value)}\n" for key, value in values.items()))

    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    told = differences(written(before), written(after))
    if changed:
        assert [change.split(" ")[0] for change in told] == changed
    else:
        assert told in ((), ("a.properties changed",))
