"""What follows from measurements: medians, ratios, the page, and what becomes of a contestant that fails."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page, results
from benchmarks.measuring import OURS, Aim, CannotRun, Contestants, Failed, Row, measured
from benchmarks.suite import code_lines, written_lines

AIMS = (Aim("ready", 0.5, "other"), Aim("ready", 3.0), Aim("ready", 0.9, "absent"))


def row(ours: Mapping[str, list[float]], **others: Mapping[str, list[float]]) -> dict[str, Any]:
    """A measured row."""
    told = {"title": "Three brokers", "date": "2026-01-02", "program": "1.0 abc1234", "load": "0.1", "note": ""}
    aims = [asdict(aim) for aim in AIMS]
    return {**told, "aims": aims, "times": {OURS: ours, **others}, "phases": {}, "cannot": {}, "failed": []}


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs() -> None:
    relative, absolute, _ = results.outcomes(row({"ready": [1.0, 2.0, 9.0]}, other={"ready": [4.0, 5.0, 6.0]}))
    assert (relative.value, relative.lowest, relative.highest) == (0.4, 0.25, 1.5)
    assert relative.is_met
    assert (absolute.value, absolute.lowest, absolute.highest) == (2.0, 1.0, 9.0)


@pytest.mark.parametrize("ours", [{"ready": [3.0]}, {}])
def test_what_was_not_measured_is_not_reached(ours: Mapping[str, list[float]]) -> None:
    *_, absent = results.outcomes(row(ours))
    assert absent.value is None
    assert not absent.is_met


def test_results_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(file, {"machine": {"Java": "17"}, "rows": {"docker": row({})}, "scale": {}})
    assert list(results.begun(file, {"Java": "17"})["rows"]) == ["docker"]
    with pytest.raises(ValueError, match="Java"):
        results.begun(file, {"Java": "21"})


def test_a_contestant_that_fails_is_left_out_with_its_reason_and_the_others_go_on() -> None:
    turns: list[str] = []

    def turn(name: str, error: Exception | None = None) -> Mapping[str, float]:
        turns.append(name)
        if error:
            raise error
        return {"time": 1.0}

    @contextmanager
    def opened(_directory: Path) -> Iterator[Contestants]:
        yield {
            OURS: lambda _empty: turn("ours"),
            "failing": lambda _empty: turn("failing", Failed("it says why")),
            "absent": lambda _empty: turn("absent", CannotRun("it is not installed")),
        }

    found = measured(Row("name", "title", opened), 2, lambda _line: None)
    assert turns == ["ours", "failing", "absent", "ours"]
    assert found.times == {OURS: {"time": [1.0, 1.0]}}
    assert (found.failed, found.cannot) == ({"failing": "it says why"}, {"absent": "it is not installed"})


def test_the_page_has_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    span = {"phase": "ready", "what": "broker-1", "began_s": 0.5, "seconds": 1.25, "waited_for": "its port"}
    one = row({"ready": [2.0], "broker_bytes": [200 * 1024**2]}, other={"ready": [5.0]})
    topics = [{**span, "phase": "topics", "began_s": began, "seconds": 0.25} for began in (1.75, 2.0)]
    one["phases"] = {OURS: [[span, *topics]]}
    one["cannot"] = {"docker compose": "it is not installed"}
    scale = {"brokers": {"1": row({"ready": [2.0]}), "3": row({}) | {"failed": [OURS]}}}
    page.write({"machine": {"Java": "17", "Docker": ""}, "rows": {"docker": one}, "scale": scale}, tmp_path / "s.md")
    lines = (tmp_path / "s.md").read_text().splitlines()
    assert "| Three brokers | ready | other | 0.40 | ≤ 0.50 | reached |" in lines
    assert "| Three brokers | ready | absent |  | ≤ 0.90 | not measured |" in lines
    assert f"| {OURS} | 2.00 s | 200 MiB |" in lines
    assert "| ready | broker-1 | 0.50 | 1.25 | its port |" in lines
    assert "| topics | 2 | 1.75 | 0.50 |  |" in lines
    assert "Not measured for docker compose: it is not installed." in lines
    assert "| 3 | not measured: it failed in one of its turns |" in lines
    assert not [line for line in lines if line.startswith("| Docker |")]


def test_blank_lines_comments_and_docstrings_are_no_lines_of_code() -> None:
    program = '"""What it is."""\n\n# why\ndef f():\n    """It\n    does."""\n    return """a\nb"""  # so\n'
    assert code_lines(program) == ["def f():", 'return """a', 'b"""  # so']


def test_lines_are_counted_before_the_first_test_and_with_all_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text("import a\n\n# why\nb = 1\n")
    (tmp_path / "tests" / "test_it.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "kafka.yaml").write_text("# one\nbrokers: {nodes: 1}\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nkafka_environment = "kafka.yaml"\n')
    assert written_lines(tmp_path) == {"lines": 4, "all lines": 6}
