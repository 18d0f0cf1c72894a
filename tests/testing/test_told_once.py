"""Why there is no cluster is told once in a run, also where a test that failed for it is run again."""

from types import SimpleNamespace

import pytest

from provision.pytest_plugin import _UNSTARTED, Run, _Workers


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (["failed"], ["failed"]),
        (["failed", "failed"], ["failed", "skipped"]),
        (["rerun", "failed"], ["rerun", "failed"]),
        (["rerun", "rerun", "failed", "failed"], ["rerun", "rerun", "failed", "skipped"]),
        (["passed", "failed", "rerun", "failed"], ["passed", "failed", "rerun", "skipped"]),
    ],
)
def test_the_first_failure_tells_it(outcomes: list[str], told: list[str]) -> None:
    workers = _Workers(Run("run", 1))
    reports = [
        SimpleNamespace(outcome=outcome, failed=outcome == "failed", location=("test.py", 1, "test"), longrepr="why")
        for outcome in outcomes
    ]
    for report in reports:
        setattr(report, _UNSTARTED, "no engine")
        workers.pytest_runtest_logreport(report)  # type: ignore[arg-type]
    assert [report.outcome for report in reports] == told
