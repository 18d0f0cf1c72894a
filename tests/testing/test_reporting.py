"""What a failed test's report says of the cluster: whatever goes wrong meanwhile, the test's own failure stays."""

import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.errors import Unavailable
from provision.testing.reporting import sections

TOPIC = SimpleNamespace(name="orders", under_replicated=0, partitions=[1])
UNTELLABLE = "half a character: \ud800"


def kafka(**broken: BaseException) -> Any:  # noqa: ANN401 stands for a Kafka
    """A cluster of which some questions fail."""

    def answer(question: str, value: object) -> object:
        if question in broken:
            raise broken[question]
        return value

    node = SimpleNamespace(name="broker-1", state="running")
    observed = SimpleNamespace(nodes=[node])
    assessment = SimpleNamespace(level="topics", observed=observed, missing={})
    return SimpleNamespace(
        name="shop",
        runtime=SimpleNamespace(kind="docker"),
        status=lambda: answer("status", assessment),
        topics=lambda settings: answer("topics", [] if settings else [TOPIC]),
        observe=lambda: answer("observe", observed),
        logs=lambda nodes, tail: answer("logs", [(nodes[0], f"[2999-01-01 00:00:00] {UNTELLABLE}")][:tail]),
        bootstrap_servers="127.0.0.1:9092",
    )


def told(directory: Path | None, **broken: BaseException) -> dict[str, str]:
    return dict(sections(kafka(**broken), "test_a.py::test_b[c/d]", time.time(), directory, tail=9))


def test_state_and_logs_are_told_and_written(tmp_path: Path) -> None:
    said = told(tmp_path / "logs")
    assert said.keys() == {"Kafka: status", "Kafka: logs"}
    place = tmp_path / "logs" / "test_a.py-test_b-c-d"
    assert (place / "status.txt").read_text() == f"{said['Kafka: status']}\n"
    assert "half a character: \\ud800" in (place / "logs.txt").read_text()


@pytest.mark.parametrize("question", ["status", "topics", "observe", "logs"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("no engine", why="because"), "no engine\nbecause"),
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (RuntimeError("odd"), "RuntimeError: odd"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "UnicodeDecodeError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_told_of_the_cluster_is_said_instead(
    tmp_path: Path, question: str, error: Exception, reason: str
) -> None:
    said = told(tmp_path / "logs", **{question: error})
    where, other = ("status", "logs") if question in ("status", "topics") else ("logs", "status")
    assert reason in said[f"Kafka: {where}"]
    assert reason not in said[f"Kafka: {other}"]
    beside = {"status": "topic orders", "topics": "broker-1: running"}.get(question, "")
    assert beside in said[f"Kafka: {where}"]
    for title in ("status", "logs"):
        written = tmp_path / "logs" / "test_a.py-test_b-c-d" / f"{title}.txt"
        assert (
            written.read_text(errors="replace").strip() == said[f"Kafka: {title}"].replace("\ud800", "\\ud800").strip()
        )


BEGAN = datetime(2026, 3, 1, 12, 0, 5, 400_000, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["[2026-03-01 12:00:05,399] before"], []),
        (["[2026-03-01 12:00:04,999] before", "[2026-03-01 12:00:05,400] since"], [1]),
        (["[2026-03-01 12:00:05,399] before", "\tat its.trace", "[2026-03-01 12:00:05,401] since", "\tat a"], [2, 3]),
        (["2026-03-01 12:00:05 without a fraction", "2026-03-01 12:00:04 before"], [0]),
        (["[2026-03-01T12:00:05.399+0000] before", "[2026-03-01T12:00:05.400+0000] since"], [1]),
        (["no time"], []),
    ],
)
def test_only_what_was_logged_since_the_test_began_is_told(lines: list[str], shown: list[int]) -> None:
    cluster = kafka()
    cluster.logs = lambda nodes, tail: [(nodes[0], line) for line in lines][:tail]
    said = dict(sections(cluster, "test_it", BEGAN, None, tail=9))["Kafka: logs"]
    expected = "\n".join(f"broker-1  {lines[number]}" for number in shown)
    assert said == (expected or "nothing was logged during the test")


def test_files_that_cannot_be_written_are_told_beside_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = told(tmp_path / "file")
    assert said.keys() == {"Kafka: status", "Kafka: logs", "Kafka: files"}
    assert "Not a directory" in said["Kafka: files"]
