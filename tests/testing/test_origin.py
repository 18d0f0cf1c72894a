"""Where the values of a test's cluster are written: by that, a kept cluster is replaced once they change."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import pytest
from provision.testing.marks import origin_of

{fixtures}

def pytest_collection_finish(session):
    for item in session.items:
        print("origin", item.name, origin_of(item))
"""
TESTS = """
def test_one(kafka):
    pass

def test_two(kafka_environment):
    pass
"""
FIXTURE = "@pytest.fixture(scope='session')\ndef kafka_environment_values(request{}):\n    return {{}}\n"
NONE = FIXTURE.format("")
TEXTS = FIXTURE.replace("')", "', params=['a', 'b'])", 1).format("")
INDIRECT = "@pytest.fixture(scope='session', params=[{}, {'n': 1}])\ndef threads(request):\n    return request.param\n"
OTHER = "@pytest.fixture(scope='session', params=[1, 2], autouse=True)\ndef other(request):\n    return request.param\n"


def origins(project: Path, fixtures: str, place: str = ".") -> dict[str, str]:
    """The origin of each test, as found out from a directory of the project."""
    (project / "sub").mkdir(exist_ok=True)
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "conftest.py").write_text(CONFTEST.format(fixtures=fixtures))
    (project / "sub" / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-s", "-p", "no:cacheprovider"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    told = subprocess.run(command, cwd=project / place, env=variables, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=2) for line in told.stdout.splitlines() if line.startswith("origin ")]
    return {name: origin for _, name, origin in lines}


@pytest.mark.parametrize(
    ("fixtures", "several"),
    [
        (NONE, 1),
        (TEXTS, 2),
        (INDIRECT + FIXTURE.format(", threads"), 2),
        (OTHER + NONE, 1),
    ],
    ids=["one cluster", "parameters", "parameters of what it is built on", "parameters of something else"],
)
def test_each_case_of_the_values_is_written_somewhere_else(tmp_path: Path, fixtures: str, several: int) -> None:
    """And the same for both fixtures, from wherever pytest is started, whatever the values are."""
    found = origins(tmp_path, fixtures)
    of_both = [{origin for name, origin in found.items() if one in name} for one in ("test_one", "test_two")]
    assert of_both[0] == of_both[1]
    assert len(of_both[0]) == several
    assert origins(tmp_path, fixtures.replace("'n': 1", "'n': 2"), "sub") == found
    assert all(json.loads(origin)[0] == str(tmp_path) for origin in found.values())
