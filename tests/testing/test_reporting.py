"""What a failed test's report says of the cluster: whatever goes wrong meanwhile, the test's own failure stays."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.errors import Unavailable
from provision.testing.reporting import sections

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
    environment = SimpleNamespace(
        name="shop",
        runtime=SimpleNamespace(kind="docker"),
        status=lambda: answer("status", assessment),
        topics=lambda settings: answer("topics", [] if not settings else None),
        observe=lambda: answer("observe", observed),
        logs=lambda nodes, tail: answer("logs", [(nodes[0], f"[2999-01-01 00:00:00] {UNTELLABLE}")][:tail]),
    )
    return SimpleNamespace(environment=environment, bootstrap_servers="127.0.0.1:9092")


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
    assert said.keys() == {"Kafka"}
    assert reason in said["Kafka"]


def test_files_that_cannot_be_written_are_told_beside_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = told(tmp_path / "file")
    assert said.keys() == {"Kafka: status", "Kafka: logs", "Kafka: files"}
    assert "Not a directory" in said["Kafka: files"]
