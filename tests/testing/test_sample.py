"""The sample project, run as its users run it: with workers and without, in any order, and beside itself."""

import shutil
from pathlib import Path

import pytest

from tests.engine import DEFAULT_VERSION, NO_ENGINE, ROOT, java
from tests.testing.test_plugin import Project, counts

pytestmark = [pytest.mark.process, pytest.mark.row("apart")]

SAMPLE = ROOT / "examples" / "pytest-service"
TESTS = 15
SHUFFLE = """
import os, random

def pytest_collection_modifyitems(items):
    random.Random(os.environ["SEED"]).shuffle(items)
"""


@pytest.fixture
def sample(tmp_path: Path) -> Project:
    """A copy of the sample project, with a home of its own."""
    java(DEFAULT_VERSION)
    shutil.copytree(SAMPLE, tmp_path / "project")
    return Project(tmp_path / "project", tmp_path / "home")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-n", "4"], id="four workers", marks=pytest.mark.soak),
        pytest.param(["-p", "no:xdist"], id="no xdist", marks=pytest.mark.soak),
    ],
)
def test_it_passes_and_leaves_nothing(sample: Project, arguments: list[str]) -> None:
    code, out = sample.run(*arguments, **NO_ENGINE)
    assert code == 0, out
    assert counts(out)["passed"] == TESTS
    assert sample.is_clean


@pytest.mark.soak
@pytest.mark.parametrize(
    ("arguments", "seed"), [(["-n", "3"], "1"), (["-p", "no:xdist"], "2")], ids=["three workers", "no xdist"]
)
def test_it_passes_in_another_order(sample: Project, arguments: list[str], seed: str) -> None:
    sample.write(conftest__py=SHUFFLE)
    code, out = sample.run(*arguments, SEED=seed, **NO_ENGINE)
    assert code == 0, out
    assert counts(out)["passed"] == TESTS
    assert sample.is_clean


@pytest.mark.soak
def test_it_passes_twice_at_the_same_time(sample: Project) -> None:
    with sample.start("-n", "2", **NO_ENGINE) as one, sample.start("-n", "2", **NO_ENGINE) as other:
        for run in (one, other):
            out, _ = run.communicate(timeout=480)
            assert run.returncode == 0, out
            assert counts(out)["passed"] == TESTS
    assert sample.is_clean
