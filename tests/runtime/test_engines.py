"""Which engine it is, which environments are where, and which containers a signal has stopped."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from provision.errors import Unavailable
from provision.home.place import Home
from provision.runtime import Runtimes
from provision.runtime.fake import FakeRuntime
from tests.fake_engine import FakeEngine
from tests.runtime.test_states import container, details, docker
from tests.runtimes import Answers, FakeRuntimes


class At(FakeRuntime):
    """A runtime at a place, with an environment."""

    def __init__(self, place: str, *environments: str) -> None:
        super().__init__()
        self.at = place
        self.names = environments

    @property
    def place(self) -> str:
        """Where it is."""
        return self.at

    def environments(self) -> tuple[str, ...]:
        """What is there."""
        return self.names


SILENT = Unavailable("nothing answers")


@pytest.mark.parametrize(
    ("place", "docker_is", "process_is", "known"),
    [
        ("docker A", At("docker A", "one"), SILENT, {"one"}),
        ("docker A", At("docker B", "one"), At("process", "two"), None),
        ("docker A", SILENT, At("process", "two"), None),
        ("process", SILENT, At("process", "two"), {"two"}),
        ("", At("docker A", "one"), At("process", "two"), {"one", "two"}),
        ("", SILENT, At("process", "two"), None),
        ("", At("docker A", "one"), SILENT, None),
    ],
)
def test_what_is_at_a_place_is_known_only_from_the_runtime_that_is_there(
    tmp_path: Path, place: str, docker_is: At | Unavailable, process_is: At | Unavailable, known: Collection[str] | None
) -> None:
    answers: Answers = {"docker": docker_is, "process": process_is}
    found = FakeRuntimes(tmp_path, answers).environments_at(place)
    assert (None if found is None else set(found)) == known


def test_a_kind_of_runtime_that_a_later_version_has_is_not_known_here(tmp_path: Path) -> None:
    assert Runtimes(Home.at(tmp_path)).environments_at("swarm X") is None


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ((200, {"ID": "ABCD:EFGH"}), "docker ABCD:EFGH"),
        ((200, {"ID": ""}), "docker http+docker://localhost"),
        ((200, {}), "docker http+docker://localhost"),
        ((403, {"message": "forbidden by the proxy"}), "docker http+docker://localhost"),
        ((404, {"message": "page not found"}), "docker http+docker://localhost"),
    ],
)
def test_an_engine_is_known_by_its_id_else_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any], place: str
) -> None:
    engine = FakeEngine({"GET /info": answer})
    with docker(tmp_path, monkeypatch, engine) as runtime:
        assert [runtime.place, runtime.place] == [place, place]
    assert engine.asked.count("GET /info") == 1


@pytest.mark.parametrize(
    ("answer", "is_halted"),
    [
        ((200, {"Titles": ["PID", "STAT"], "Processes": [["7", "Tsl"], ["8", "S"]]}), True),
        ((200, {"Titles": ["STAT", "PID"], "Processes": [["T", "7"]]}), True),
        ((200, {"Titles": ["PID", "STAT"], "Processes": [["7", "Ssl"], ["8", "T"]]}), False),
        ((200, {"Titles": ["PID", "STAT"], "Processes": []}), False),
        ((200, {"Titles": ["UID"], "Processes": [["root"]]}), False),
        ((200, {}), False),
        ((200, {"Titles": None, "Processes": None}), False),
        ((409, {"message": "container is not running"}), False),
        ((500, {"message": "ps: unknown option"}), False),
    ],
)
def test_a_container_that_a_signal_stopped_is_halted_and_goes_on_when_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any], is_halted: bool
) -> None:
    engine = FakeEngine(
        {
            "GET /containers/json": (200, [container("running")]),
            "GET /containers/c1/json": (200, details("running")),
            "GET /containers/c1/top": answer,
            "POST /containers/c1/start": (304, {}),
            "POST /containers/c1/kill": (204, b""),
        }
    )
    monkeypatch.setattr("provision.runtime.docker.networks.rejoin", lambda *_: None)
    with docker(tmp_path, monkeypatch, engine) as runtime:
        assert runtime.halted("odd", ["broker-1", "broker-9"]) == ({"broker-1"} if is_halted else set())
        runtime.start_node("odd", "broker-1")
    assert ("POST /containers/c1/kill?signal=SIGCONT" in engine.asked) is is_halted


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Up Less than a second", 1.0),
        ("Up 1 second", 1.0),
        ("Up 45 seconds", 45.0),
        ("Up About a minute", 60.0),
        ("Up 5 minutes (Paused)", 300.0),
        ("Up 5 minutes (healthy)", 300.0),
        ("Up About an hour", 3600.0),
        ("Up 3 hours", 10800.0),
        ("Up 2 days", 86400.0),
        ("Up 3 weeks", 86400.0),
        ("Exited (1) 3 seconds ago", None),
        ("Created", None),
        ("", None),
        ("läuft", None),
    ],
)
def test_for_how_long_a_container_runs_is_what_the_engine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, expected: float | None
) -> None:
    listed = container("running") | {"Status": status}
    with docker(tmp_path, monkeypatch, FakeEngine({"GET /containers/json": (200, [listed])})) as runtime:
        (node,) = runtime.observe("odd").nodes
    assert node.up_s == expected


def test_the_leases_of_an_engine_stay_while_another_one_is_asked(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    (tmp_path / "ports.json").write_text('{"orders": {"place": "docker A", "ports": {"broker-1": 20001}}}')
    for here, gone in ((At("docker B"), ()), (At("docker A", "orders"), ()), (At("docker A"), ("orders",))):
        runtimes = FakeRuntimes(tmp_path, {"docker": here, "process": At("process")})
        assert home.ports.reclaim(runtimes.environments_at) == gone
