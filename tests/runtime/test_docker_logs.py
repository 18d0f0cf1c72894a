"""The log of a container that has run more than once: what of it is said of the present run."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest
from docker.errors import APIError, NotFound

from provision.kafka.failures import explain, telling
from provision.runtime.docker import logs
from provision.runtime.docker.logs import followed, log_of
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


class Replacing:
    """An engine whose node ends again and again; each time it is asked for, the next of `steps` happens.

    A step is the container that there is then (empty for none), with when it was started (0 for never), and whether a
    command is changing the environment.
    """

    def __init__(self, *steps: tuple[str, float, bool]) -> None:
        self.steps = list(steps)
        self.now = self.steps.pop(0)
        self.asked = 0
        self.error: APIError | None = None

    def find(self) -> str | None:
        """The node's container."""
        return self.now[0] or None

    def is_changing(self) -> bool:
        """The next step."""
        self.asked += 1
        self.now = self.steps.pop(0) if self.steps else self.now
        return self.now[2]

    def inspect_container(self, container: str) -> dict[str, Any]:
        """Its run."""
        there, started_s, _ = self.now
        if container != there:
            raise NotFound(container)
        return {"State": {"StartedAt": _at(started_s) if started_s else "0001-01-01T00:00:00Z", "Status": "running"}}

    def logs(self, container: str, *, since: float | None = None, follow: bool, **_: Any) -> Iterator[bytes]:  # noqa: ANN401
        """What of it a run has written."""
        if self.error and follow:
            raise self.error
        if follow:  # what was there before is nothing
            yield f"{container} {round((since or 0) - BEGAN_S)}\n".encode()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("a", 1, False)], ["a 1"]),
        ([("a", 1, True), ("a", 1, True), ("a", 1, False)], ["a 1"]),
        ([("a", 1, True), ("", 0, True), ("b", 0, True), ("b", 5, True), ("b", 5, False)], ["a 1", "b 5"]),
        ([("a", 1, True), ("a", 5, True), ("a", 5, False)], ["a 1", "a 5"]),
        ([("a", 1, True), ("b", 5, False)], ["a 1", "b 5"]),
        ([("a", 1, True), ("b", 5, True), ("", 0, True), ("c", 9, True), ("c", 9, False)], ["a 1", "b 5", "c 9"]),
        ([("a", 1, True), ("", 0, True), ("", 0, False)], ["a 1"]),
        ([("", 0, True), ("", 0, True), ("b", 5, True), ("b", 5, False)], ["b 5"]),
        ([("", 0, True), ("", 0, False)], []),
    ],
    ids=[
        "it has exited",
        "it is stopped",
        "it is replaced",
        "it is restarted",
        "it is replaced, and the command has ended",
        "it is replaced twice",
        "it is removed",
        "it is being replaced already",
        "it is being removed already",
    ],
)
def test_a_log_that_is_followed_goes_on_with_what_takes_the_place_of_its_node(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, float, bool]], expected: list[str]
) -> None:
    monkeypatch.setattr(logs, "_PAUSE_S", 0.001)
    engine: Any = Replacing(*((name, BEGAN_S + at if at else 0, changing) for name, at, changing in steps))
    assert list(followed(engine, engine.find(), None, engine.find, engine.is_changing)) == expected


def test_a_node_that_does_not_come_back_is_not_waited_for_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "COMES_BACK_S", 0.05)
    monkeypatch.setattr(logs, "_PAUSE_S", 0.01)
    engine: Any = Replacing(("", 0, True))
    assert list(followed(engine, None, None, engine.find, engine.is_changing)) == []
    assert 1 < engine.asked < 10


@pytest.mark.parametrize("goes", [True, False])
def test_only_of_a_container_that_goes_an_error_is_its_end(goes: bool) -> None:
    engine: Any = Replacing(("a", BEGAN_S, False))
    engine.error = APIError("it is marked for removal")
    find: Callable[[], str | None] = engine.find
    if goes:
        engine.inspect_container = lambda _container: {"State": {"StartedAt": _at(BEGAN_S), "Status": "dead"}}
        list(followed(engine, "a", None, find, engine.is_changing))
    else:
        with pytest.raises(APIError, match="marked for removal"):
            list(followed(engine, "a", None, find, engine.is_changing))
