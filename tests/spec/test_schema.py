"""The JSON Schema of environment files: complete, described, and of one mind with the program."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.environment import Environment
from provision.errors import InvalidEnvironment
from provision.software.pins import is_lock_file
from provision.spec.schema import schema, schema_text
from provision.spec.yaml_text import LISTS, dotted, parse
from tests.docs.reading import REFERENCE, ROOT, blocks
from tests.docs.test_docs import KEYS

jsonschema = pytest.importorskip("jsonschema")


def as_editors_read(text: str) -> Any:  # noqa: ANN401 any YAML value
    """The values of a text, with keys that are texts, as in JSON."""
    return json.loads(json.dumps(parse(text, "")[0]))


def described(definition: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in [definition, *definition.get("$defs", {}).values()]:
        yield from part["properties"].items()


def complaints(text: str) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(schema()).iter_errors(as_editors_read(text))]


VALID = [
    *(file.read_text() for file in sorted((ROOT / "environments").glob("*.yaml")) if not is_lock_file(file)),
    *(example for page in sorted(REFERENCE.glob("*.md")) for example in blocks(page.read_text(), "yaml")),
    "{}",
    "kafka: {version: 3.9}",
    "kafka: {version: 4}",
    "zookeeper: {port: ~, properties: {a: true, b: 1.5, c: text}}",
    "bootstrap_servers: [a:1, b:2]",
    "brokers: {overrides: {2: {rack: a, heap: ~}}}",
]


def test_it_is_a_schema_with_every_key_and_a_description_of_each() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    told = list(described(schema()))
    assert {key for key, _ in told} == {key for _, key, _ in KEYS}
    for key, about in told:
        assert len(about["description"]) > 8, key
        assert about["description"].endswith((".", "too.")), key
    assert json.loads(schema_text()) == schema()


def is_list(about: Any) -> bool:  # noqa: ANN401 a part of the schema
    if reference := about.get("$ref"):
        return is_list(schema()["$defs"][reference.rpartition("/")[2]])
    return "array" in about.get("type", ()) or any(map(is_list, about.get("anyOf", ())))


def test_places_in_every_list_are_shown_as_such() -> None:
    assert {key for key, about in described(schema()) if is_list(about)} <= LISTS
    assert {dotted((key, 0)) for key in LISTS} == {f"{key}[0]" for key in LISTS}


@pytest.mark.parametrize("text", VALID)
def test_what_is_valid_fits_it(text: str) -> None:
    assert complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "broker: {}",
        "brokers: {nodes: 0}",
        "brokers: {nodes: '3'}",
        "brokers: {port: 0}",
        "brokers: {port: none}",
        "brokers: {heap: 1.5g}",
        "brokers: {overrides: {1: {nodes: 3}}}",
        "zookeeper: {nodes: 2}",
        "controllers: {nodes: 2}",
        "kafka: {mode: raft}",
        "kafka: {version: latest}",
        "kafka: {version: v3.9.1}",
        "ttl: 2",
        "ttl: 2w",
        "name: Shop",
        "topics: [{partitions: 3}]",
        "topics: {name: a}",
        "topics: [{name: a, config: {x: [1]}}]",
        "quotas: [{producer_byte_rate: 0}]",
        "prune: 1",
        "runtime: podman",
    ],
)
def test_what_has_a_wrong_form_fits_neither_the_schema_nor_the_program(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(text)
    with pytest.raises(InvalidEnvironment):
        Environment(file).validate()
    assert complaints(text)
