"""Every file of `tests/specs/invalid` is refused with exactly the lines beside it."""

from pathlib import Path

import pytest

from provision.environment import Environment
from provision.errors import InvalidEnvironment
from provision.spec.yaml_text import MAX_BYTES
from tests.golden import Golden

INVALID = Path(__file__).parent.parent / "specs" / "invalid"
FILES = sorted(INVALID.glob("*.yaml"))


def refusal(file: Path) -> InvalidEnvironment:
    with pytest.raises(InvalidEnvironment) as caught:
        Environment(file).validate()
    return caught.value


def lines(error: InvalidEnvironment, file: Path) -> str:
    return "".join(f"{problem}\n".replace(str(file), file.name) for problem in error.problems)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_invalid_file_is_refused_with_every_problem_and_its_place(file: Path, golden: Golden) -> None:
    error = refusal(file)
    assert error.exit_code == 65
    golden(file.with_suffix(".expected"), lines(error, file))


def test_there_are_many_invalid_files_and_no_expectation_without_its_file() -> None:
    assert len(FILES) >= 45
    assert {file.stem for file in INVALID.glob("*.expected")} == {file.stem for file in FILES}


def test_every_expected_line_names_file_line_and_column() -> None:
    for file in FILES:
        for line in file.with_suffix(".expected").read_text().splitlines():
            name, number, column = line.split(":")[:3]
            assert name == file.name
            assert int(number) >= 1
            assert int(column) >= 1


def test_the_error_says_how_many_problems_there_are_and_lists_them() -> None:
    file = INVALID / "many-mistakes.yaml"
    error = refusal(file)
    assert error.what == f"the environment file is not valid: {len(error.problems)} problems"
    assert error.why == "\n".join(map(str, error.problems))


def test_problems_come_in_the_order_of_the_file() -> None:
    places = [(problem.line, problem.column) for problem in refusal(INVALID / "many-mistakes.yaml").problems]
    assert places == sorted(places)
    assert len(places) == 16


def test_a_file_larger_than_a_mebibyte_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert lines(refusal(file), file) == "large.yaml:1:1: the file is larger than 1 MiB (is it the right one?)\n"


def test_a_file_of_exactly_a_mebibyte_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"name: orders".ljust(MAX_BYTES))
    assert Environment(file).validate().name == "orders"


@pytest.mark.parametrize("unit", ["[", "- ", "{a: ", "? "])
def test_the_deepest_file_that_fits_is_refused_and_does_not_crash_the_parser(tmp_path: Path, unit: str) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text(unit * (MAX_BYTES // len(unit)))
    assert "values are nested more than 32 deep" in lines(refusal(file), file)
