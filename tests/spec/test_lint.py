"""Every file of `tests/specs/lint` has exactly the errors and warnings beside it, found without a broker."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.catalogue.versions import KafkaVersion
from provision.environment import Environment
from provision.errors import InvalidEnvironment, Problem
from provision.events import Event, Warned
from provision.spec.checks import RULES as CHECKS
from provision.spec.lint import RULES
from provision.spec.lint.keys import _distance, _nearest, _plain
from provision.spec.lint.known import BROKER, TOPIC, keys, names
from provision.spec.lint.known import lines as release_lines
from provision.spec.loader import load_values
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import check
from provision.spec.yaml_text import Positions as Places
from tests.golden import Golden

ROOT = Path(__file__).parents[2]
LINT = ROOT / "tests" / "specs" / "lint"
FILES = sorted(LINT.glob("*.yaml"))


def found(file: Path, *overrides: str) -> list[Problem]:
    """Errors, then warnings, each in the order of the file."""
    warnings: list[Problem] = []

    def take(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(event.problem)

    try:
        Environment(file, overrides=overrides, on_event=take).validate()
    except InvalidEnvironment as error:
        return [*error.problems, *warnings]
    return warnings


def lines(file: Path, *overrides: str) -> str:
    return "".join(f"{problem}\n".replace(str(file), file.name) for problem in found(file, *overrides))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_has_what_stands_beside_it(file: Path, golden: Golden) -> None:
    golden(file.with_suffix(".expected"), lines(file))


def test_there_are_many_files_and_no_expectation_without_its_file() -> None:
    assert len(FILES) >= 30
    assert {file.stem for file in LINT.glob("*.expected")} == {file.stem for file in FILES}


def test_both_errors_and_warnings_are_among_them_for_old_and_new_versions() -> None:
    expected = [file.with_suffix(".expected").read_text() for file in FILES]
    assert sum(": warning: " in text for text in expected) >= 15
    assert sum(any(": warning: " not in line for line in text.splitlines()) for text in expected) >= 20
    written = "".join(file.read_text() for file in FILES)
    assert all(f"version: {version}" in written for version in ("2.8.2", "3.3.2", "3.6.2", "4.0.0", "4.3.0", "4.9.0"))


@pytest.mark.parametrize("file", sorted((ROOT / "environments").glob("*.yaml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("version", ["", "2.8.2", "3.3.2", "3.6.2", "3.9.1"])
def test_shipped_environments_have_nothing_to_warn_of(file: Path, version: str) -> None:
    if version == "2.8.2" and file.stem in ("kraft", "swarm"):
        pytest.skip("2.8 has no KRaft mode")
    assert found(file, *([f"kafka.version={version}"] if version else [])) == []


def test_a_place_that_an_override_made_is_named_by_it(tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text("name: orders\n")
    (problem,) = found(file, "brokers.properties.num.io.threads=0")
    assert (problem.file, problem.line) == ("--set brokers.properties.num.io.threads=0", 0)


VALUES = st.one_of(
    st.sampled_from(
        ["", "-1", "0", "1", "true", "9" * 40, "1e9", "NaN", "3.9", "none", "compact", "${file:/a:b}", ","]
    ),
    st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=12),
)


@given(
    version=st.sampled_from(release_lines()),
    mode=st.sampled_from([None, "zookeeper", "kraft"]),
    nodes=st.integers(1, 4),
    broker=st.dictionaries(st.sampled_from(keys(BROKER)), VALUES, max_size=4),
    topic=st.dictionaries(st.sampled_from(keys(TOPIC)), VALUES, max_size=4),
)
def test_whatever_values_keys_have_the_rules_find_words_for_it(
    version: KafkaVersion, mode: str | None, nodes: int, broker: dict[str, str], topic: dict[str, str]
) -> None:
    data = {
        "name": "any",
        "kafka": {"version": str(version), "mode": mode},
        "brokers": {"nodes": nodes, "properties": broker, "overrides": {1: {"properties": broker}}},
        "topics": [{"name": "orders", "config": topic}],
    }
    spec = EnvironmentSpec.model_validate(data)
    for rules in (CHECKS, RULES):
        for problem in check(spec, Places("any.yaml"), rules):
            assert problem.message
            assert problem.path


def _warnings(values: Mapping[str, object]) -> list[Problem]:
    told: list[Problem] = []
    load_values({"name": "orders", **values}, tell=lambda event: told.append(event.problem))  # type: ignore[attr-defined]
    return told


def test_however_many_unknown_keys_are_told_and_only_the_first_with_the_nearest_one() -> None:
    """Comparing a key with all known ones is slow; 20,000 keys took two minutes."""
    keys_of_plugins = {f"log.segments.bytes.of.{number}": "1" for number in range(20_000)}
    told = _warnings({"brokers": {"properties": keys_of_plugins}})
    assert len(told) == len(keys_of_plugins)
    assert len([problem for problem in told if problem.hint]) == 50


def test_the_same_unknown_keys_of_a_hundred_brokers_are_told_for_each() -> None:
    override = {"properties": {f"my.plugin.setting.{number}": "1" for number in range(300)}}
    told = _warnings({"brokers": {"nodes": 100, "overrides": dict.fromkeys(range(1, 101), override)}})
    assert len(told) == 30_000


@given(
    st.sampled_from(sorted(keys(BROKER))),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abes.-_0A")), max_size=4),
)
def test_the_nearest_key_is_that_of_all_whose_distance_is_least(key: str, errors: list[tuple[int, str]]) -> None:
    for place, letter in errors:
        place %= len(key) + 1  # noqa: PLW2901
        key = key[:place] + letter + key[place + (ord(letter) % 2) :]
    line = len(release_lines()) - 1
    slips = 2 if len(key) >= 10 else 1
    plain = _plain(key)
    distances = [(_distance(plain, _plain(name), slips), name) for name in names(BROKER, line)]
    distance, name = min(distances)
    assert _nearest(key, BROKER, line) == (name if distance <= slips else None)
