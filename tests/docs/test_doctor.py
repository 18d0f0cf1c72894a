"""The table of what doctor finds against the checks."""

from provision.operations.doctor import checks as checks  # noqa: PLC0414 they register themselves
from provision.operations.doctor.registry import CHECKS, LAST
from tests.docs.reading import REFERENCE, rows, section

PAGE = REFERENCE / "doctor.md"


def test_every_finding_has_a_row_and_every_row_a_finding() -> None:
    ids = {one for entry in (*CHECKS, *LAST) for one in entry.ids}
    assert set(rows(section(PAGE, "## Findings"))) == ids
