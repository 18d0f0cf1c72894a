"""Every file of `tests/specs/lint` has exactly the errors and warnings beside it, found without a broker."""

from pathlib import Path

import pytest

from provision.errors import InvalidEnvironment, Problem
from provision.events import Event, Warned
from provision.pipeline import Source, validate
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
        validate(Source(file, overrides), take)
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
    if version == "2.8.2" and file.stem == "kraft":
        pytest.skip("2.8 has no KRaft mode")
    assert found(file, *([f"kafka.version={version}"] if version else [])) == []


def test_a_place_that_an_override_made_is_named_by_it(tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text("name: orders\n")
    (problem,) = found(file, "brokers.properties.num.io.threads=0")
    assert (problem.file, problem.line) == ("--set brokers.properties.num.io.threads=0", 0)
