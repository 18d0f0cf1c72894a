"""The page of the doctor's findings against the registry of its checks."""

import inspect
import re

import pytest

from provision.operations.doctor import checks, machine
from provision.operations.doctor.registry import CHECKS, LAST
from tests.docs.reading import REFERENCE

TEXT = (REFERENCE / "doctor.md").read_text(encoding="utf-8")
OF_ENVIRONMENTS, OF_MACHINES = TEXT.split("\n## This machine\n")
_ROW = re.compile(r"^\| `([a-z-]+)`(?: ⚕)? \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_finding_of_an_environment_has_one_row_and_every_row_a_finding() -> None:
    assert "exits" in checks.__all__  # importing them has registered them
    known = {identity for entry in (*CHECKS, *LAST) for identity in entry.ids}
    assert sorted(identity for identity, _, _ in _ROW.findall(OF_ENVIRONMENTS)) == sorted(known)


def test_every_finding_of_the_machine_is_named() -> None:
    own = re.findall(r'(?:Finding\(\s*|\n        \()"([a-z-]+)"', inspect.getsource(machine))
    assert {"no-runtime", "too-few-threads"} <= set(own)
    for identity in own:
        assert f"`{identity}`" in OF_MACHINES


@pytest.mark.parametrize("row", _ROW.findall(TEXT), ids=lambda row: row[0])
def test_every_row_says_what_it_means_and_what_to_do(row: tuple[str, str, str]) -> None:
    assert all(cell.strip() for cell in row)
