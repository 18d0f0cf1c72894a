"""The log of a container that has run more than once: what of it is said of the present run."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import docker
import pytest

from provision.kafka.failures import explain, telling
from provision.runtime.docker.logs import log_of
from tests.fake_engine import API_VERSION, Answer, FakeEngine

BEGAN_S = 1_700_000_000.0
TAKEN = "org.apache.kafka.common.KafkaException: Socket server failed to bind to 0.0.0.0:9092: Address already in use."
FIRST = [(BEGAN_S - 9, "INFO first"), (BEGAN_S - 8, f"[2023-11-14 22:13:12,000] ERROR {TAKEN} (kafka.Kafka$)")]
SECOND = [(BEGAN_S - 0.001, "OpenJDK warning"), (BEGAN_S + 1, "[2023-11-14 22:13:21,000] INFO second (kafka.Kafka$)")]
MARK = "[2023-11-14 22:13:19,000] INFO Another JVM begins (provision)"


class Engine(FakeEngine):
    """It has one container with a log, of which it gives what is asked for: the last lines, without others' times."""

    def __init__(self, started_at: str, entries: list[tuple[float, str]]) -> None:
        state = {"Running": True, "StartedAt": started_at}
        super().__init__({"GET /containers/c/json": (200, {"Config": {"Tty": False}, "State": state})})
        self.entries = entries

    def answer(self, method: str, url: str) -> Answer:
        """The log, in the engine's frames."""
        asked = urlsplit(url)
        if asked.path != f"/v{API_VERSION}/containers/c/logs":
            return super().answer(method, url)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        last = (
            self.entries if query["tail"] == "all" else self.entries[max(len(self.entries) - int(query["tail"]), 0) :]
        )
        since, until = float(query.get("since", 0)), float(query.get("until", "inf"))
        texts = [f"{text}\n".encode() for at_s, text in last if since <= at_s <= until]
        return 200, b"".join(bytes([1, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for text in texts)


@pytest.fixture
def logged(tmp_path: Path) -> "Logged":
    return Logged(tmp_path / "engine.sock")


class Logged:
    """Reads the log of such a container."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def lines(self, engine: Engine, tail: int | None) -> list[str]:
        """Its lines."""
        with engine.on_socket(self._socket) as address:
            api = docker.APIClient(base_url=address, version=API_VERSION)
            found = list(log_of(api, "c", tail, follow=False))
            api.close()
        return found


def _at(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (None, [*(text for _, text in FIRST), MARK, *(text for _, text in SECOND)]),
        (9, [*(text for _, text in FIRST), MARK, *(text for _, text in SECOND)]),
        (4, [FIRST[1][1], MARK, *(text for _, text in SECOND)]),
        (3, [text for _, text in SECOND]),
        (1, [SECOND[1][1]]),
    ],
)
def test_between_two_runs_it_is_said_that_another_begins(logged: Logged, tail: int | None, expected: list[str]) -> None:
    assert logged.lines(Engine(_at(BEGAN_S), [*FIRST, *SECOND]), tail) == expected


def test_a_run_without_a_line_has_none_of_the_run_before(logged: Logged) -> None:
    found = logged.lines(Engine(_at(BEGAN_S), FIRST), 30)
    assert found == [*(text for _, text in FIRST), MARK]
    assert telling(found) == []
    assert explain(found) is None
    assert explain(found[:-1])


@pytest.mark.parametrize("started", ["0001-01-01T00:00:00Z", "", _at(BEGAN_S)])
def test_the_first_run_is_like_none_that_is_another(logged: Logged, started: str) -> None:
    assert logged.lines(Engine(started, SECOND), None) == [text for _, text in SECOND]
