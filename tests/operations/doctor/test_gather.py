"""Gathering comes to an end whatever is broken, and what cannot be asked is told with its reason."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from provision.environment import Environment
from provision.errors import ProvisionError, Unavailable, UsageError
from provision.home.secrets import note_where
from provision.operations.doctor.examine import Diagnosis, examine
from provision.operations.doctor.facts import Unasked
from provision.operations.doctor.gather import side_by_side
from provision.plan.observed import ObservedEnvironment
from provision.runtime.fake import FakeRuntime
from provision.runtime.health import Vitals
from provision.spec.source import Source
from tests.fake_kafka import FakeKafka, SpokenRuntime
from tests.runtimes import FakeRuntimes

NAME = "shop"


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a hanging answer waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_a_fact_that_fails_and_one_that_never_comes_do_not_keep_the_others(never: threading.Event) -> None:
    def refused() -> None:
        raise Unavailable("it cannot be asked", why="nobody\nlistens")

    asks = {"fine": lambda: 1, "fails": refused, "breaks": lambda: os.environ["NO_SUCH_KEY"], "hangs": never.wait}
    found = side_by_side(asks, limit_s=2.0)
    assert found["fine"] == 1
    assert found["hangs"] == Unasked("there was no answer within 2 s")
    assert found["fails"] == Unasked("it cannot be asked: nobody; listens")
    assert found["breaks"] == Unasked("KeyError: 'NO_SUCH_KEY'")


class Broken(FakeRuntime):
    """Has the environment, and fails at whatever else it is asked."""

    def observe(self, name: str, wanted: object = ()) -> ObservedEnvironment:  # noqa: ARG002 as the runtime
        """A cluster of one broker, whose engine then dies."""
        from tests.operations.doctor.world import node

        return ObservedEnvironment(name, "docker", mode="kraft", network=True, nodes=(node("broker-1"),))

    def __getattribute__(self, attribute: str) -> object:
        if attribute in ("vitals", "read_files", "log_lines", "machine", "surroundings", "inside_address"):
            return partial(_fail, attribute)
        return super().__getattribute__(attribute)


def _fail(what: str, *_: object, **__: object) -> None:
    raise ProvisionError(f"{what} is broken")


def test_an_engine_that_dies_meanwhile_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="machine is broken"):
        Broken().machine()
    diagnosis = examined(tmp_path, FakeRuntimes(tmp_path / "home", Broken()))
    assert [finding.id for finding in diagnosis.findings] == ["not-examined"]
    assert "machine: machine is broken" in diagnosis.findings[0].evidence


def examined(directory: Path, runtimes: FakeRuntimes, text: str = "name: shop\n") -> Diagnosis:
    file = directory / "shop.yaml"
    file.write_text(text)
    return examine(Source(file), runtimes)[0]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SpokenRuntime, FakeRuntimes]:
    """A healthy cluster of a fake runtime, whose addresses answer."""
    import provision.operations.doctor.gather as gathering
    from provision import pipeline

    runtime = SpokenRuntime()
    FakeKafka(runtime, NAME).speak(monkeypatch)
    monkeypatch.setattr(gathering, "asked_from_here", lambda probes: {probe.address: "" for probe in probes})
    runtimes = FakeRuntimes(tmp_path / "home", runtime)
    file = tmp_path / "shop.yaml"
    file.write_text("name: shop\n")
    pipeline.up(Source(file), runtimes)
    return runtime, runtimes


def test_a_healthy_cluster_has_no_finding(tmp_path: Path, cluster: tuple[SpokenRuntime, FakeRuntimes]) -> None:
    diagnosis = examined(tmp_path, cluster[1])
    assert diagnosis.findings == ()
    assert diagnosis.is_up
    assert {row.node for row in diagnosis.reachability} == {"broker-1", "zookeeper-1"}


def test_what_a_runtime_tells_reaches_the_checks(tmp_path: Path, cluster: tuple[SpokenRuntime, FakeRuntimes]) -> None:
    runtime, runtimes = cluster
    runtime.healths["broker-1"] = Vitals(stopped=True)
    assert [finding.id for finding in examined(tmp_path, runtimes).findings] == ["frozen-node"]


def test_notes_of_the_home_that_are_damaged(tmp_path: Path, cluster: tuple[SpokenRuntime, FakeRuntimes]) -> None:
    runtimes = cluster[1]
    written = [notes.directory / "id.json" for notes in runtimes.home.notes(NAME)]
    for file in written:
        file.parent.mkdir(mode=0o700, parents=True)
        file.write_text("{")
    found = examined(tmp_path, runtimes).findings
    assert [(finding.id, finding.file) for finding in found] == [("note-damaged", str(file)) for file in written]
    assert all(finding.fix.startswith("delete it") for finding in found)  # `up` does not write them again


def test_a_file_that_is_not_valid_does_not_keep_its_cluster_from_being_examined(
    tmp_path: Path, cluster: tuple[SpokenRuntime, FakeRuntimes]
) -> None:
    runtime, runtimes = cluster
    runtime.pause_node(NAME, "broker-1")
    diagnosis = examined(tmp_path, runtimes, "name: shop\nbrokers: {nods: 1}\n")
    found = {finding.id: finding for finding in diagnosis.findings}
    assert set(found) == {"environment-file-invalid", "paused-node"}
    assert found["environment-file-invalid"].file == f"{tmp_path / 'shop.yaml'}:2"


def test_an_engine_that_does_not_answer_is_the_finding(tmp_path: Path) -> None:
    silent = Unavailable("no Docker engine answers", why="nothing listens at unix:///nowhere")
    runtimes = FakeRuntimes(tmp_path / "home", {"docker": silent, "process": FakeRuntime()})
    diagnosis = examined(tmp_path, runtimes, "name: shop\nruntime: docker\n")
    (finding,) = diagnosis.findings
    assert finding.id == "engine-unreachable"
    assert "unix:///nowhere" in finding.evidence[0]
    assert finding.file.endswith("shop.yaml:2")


def test_with_processes_a_silent_engine_is_none(tmp_path: Path) -> None:
    silent = Unavailable("no Docker engine answers")
    runtimes = FakeRuntimes(tmp_path / "home", {"docker": silent, "process": FakeRuntime()})
    assert examined(tmp_path, runtimes, "name: shop\nruntime: process\nbrokers: {port: auto}\n").findings == ()


def test_of_a_name_that_nothing_has_the_silent_engine_is_no_finding(tmp_path: Path) -> None:
    silent = Unavailable("no Docker engine answers", why="nothing listens at unix:///nowhere")
    runtimes = FakeRuntimes(tmp_path / "home", {"docker": silent, "process": FakeRuntime()})
    named = Environment.named("nope", runtimes=runtimes)
    with pytest.raises(UsageError, match="there is no environment nope") as told:
        named.examine()
    assert "nothing listens at unix:///nowhere" in told.value.why
    note_where(runtimes.home.secrets("nope"), "docker of:this:home", "")  # it may be there
    assert [finding.id for finding in named.examine().findings] == ["engine-unreachable"]
