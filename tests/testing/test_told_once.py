"""Why there is no cluster is told once in a run, also where a test that failed for it is run again."""

import threading
from types import SimpleNamespace

import pytest

from provision.pytest_plugin import _FIXTURES, _UNSTARTED, _USED, _Workers
from provision.pytest_run import Run
from provision.testing import choice


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
def test_the_first_failure_tells_it(pytestconfig: pytest.Config, outcomes: list[str], told: list[str]) -> None:
    workers = _Workers(Run("run", 1), pytestconfig)
    reports = [
        SimpleNamespace(outcome=outcome, failed=outcome == "failed", location=("test.py", 1, "test"), longrepr="why")
        for outcome in outcomes
    ]
    for report in reports:
        setattr(report, _UNSTARTED, "no engine")
        workers.pytest_runtest_logreport(report)  # type: ignore[arg-type]
    assert [report.outcome for report in reports] == told


def test_what_is_loaded_at_once_and_what_is_loaded_later_mean_the_same() -> None:
    assert (_FIXTURES, _UNSTARTED) == (choice.FIXTURES, choice.UNSTARTED)


@pytest.mark.parametrize(
    ("began", "ended", "may"),
    [
        (0, [], False),
        (2, [False, False], False),
        (2, [False, True], True),
        (2, [False, None], True),  # it crashed
        (2, [False], True),  # the run ended before it said anything
        (3, [False, False, False], False),
        (3, [True, True, True], True),
    ],
)
def test_what_no_worker_has_asked_for_is_not_looked_for(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, began: int, ended: list[bool | None], may: bool
) -> None:
    prepared = threading.Semaphore(0)
    monkeypatch.setattr(_Workers, "_prepare_removal", lambda _: prepared.release())
    workers = _Workers(Run("run", 1), pytestconfig)
    for _ in range(began):
        workers.pytest_configure_node(SimpleNamespace(workerinput={}))
    for said in ended:
        node = SimpleNamespace() if said is None else SimpleNamespace(workeroutput={_USED: said})
        workers.pytest_testnodedown(node)
    assert workers.may_have_started is may
    if any(said is not False for said in ended):
        assert prepared.acquire(timeout=30)
    assert not prepared.acquire(timeout=0.05)  # once at most
