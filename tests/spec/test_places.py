"""Paths in an environment file that lead to nothing: what is told of `~`, and of those that are there."""

import re
from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment
from provision.spec.loader import load
from provision.spec.places import AT_HOME, FROM_FILE

KEYS = {
    "storage": "runtime: process\nstorage: {}\n",
    "templates": "templates: {}\n",
    "kafka.distribution": "runtime: process\nkafka: {{distribution: {}}}\n",
    "topics[0].records": "topics: [{{name: orders, records: {}}}]\n",
    "brokers.java.agents[0].jar": "brokers: {{java: {{agents: [{{jar: {}}}]}}}}\n",
    "certificates.authority.key": "security: tls\ncertificates: {{authority: {{key: {}, certificate: ca.pem}}}}\n",
}


def told(directory: Path, key: str, written: str) -> str:
    file = directory / "kafka.yaml"
    file.write_text(KEYS[key].format(written))
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    return "\n".join(str(problem) for problem in caught.value.problems if problem.path == key)


@pytest.mark.parametrize("written", ["~/nothing.jsonl", "~nobody/nothing.jsonl"])
@pytest.mark.parametrize("key", KEYS)
def test_a_home_directory_is_told_as_what_is_not_replaced(tmp_path: Path, key: str, written: str) -> None:
    said = told(tmp_path, key, written)
    assert said.endswith(f"({AT_HOME})")
    assert FROM_FILE not in said


@pytest.mark.parametrize("key", [key for key in KEYS if key != "storage"])
def test_where_relative_paths_start_is_told_of_what_is_not_there(tmp_path: Path, key: str) -> None:
    assert FROM_FILE in told(tmp_path, key, "nothing.jsonl")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("storage", "templates", "kafka.distribution")])
def test_and_not_of_a_directory_in_the_place_of_a_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "there.jsonl").mkdir()
    said = told(tmp_path, key, "there.jsonl")
    assert re.search("is not a file", said)
    assert FROM_FILE not in said


def test_a_directory_of_that_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "~").mkdir()
    file = tmp_path / "kafka.yaml"
    file.write_text(KEYS["storage"].format("'~'"))
    assert load(file).storage == "~"
