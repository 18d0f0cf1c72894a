"""Hundreds of cycles of `up` and `down` on the fake runtime, in one process: nothing grows."""

from pathlib import Path

import pytest

from provision import pipeline
from provision.kafka.levels import Level
from provision.operations.remove import down
from provision.pipeline import UpOptions
from provision.plan.observed import NodeState
from provision.runtime.fake import FakeRuntime
from provision.spec.source import Source
from tests.footprint import grows_not_by, of_home, of_this_process
from tests.runtimes import FakeRuntimes

NAME = "again"
RUNNING = UpOptions(until=Level.PROCESS)


@pytest.mark.parametrize("times", [20, pytest.param(500, marks=pytest.mark.matrix)])
def test_nothing_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr("provision.home.ports.port_is_free", lambda _port: True)  # whoever else comes and goes
    file = tmp_path / "again.yaml"
    file.write_text("name: again\nbrokers: {nodes: 3, port: auto}\nzookeeper: {nodes: 3}\n")
    runtime = FakeRuntime()
    runtimes = FakeRuntimes(tmp_path / "home", runtime)
    seen: list[frozenset[int]] = []

    def cycle() -> None:
        pipeline.up(Source(file), runtimes, RUNNING)
        assert {node.state for node in runtime.observe(NAME).nodes} == {NodeState.RUNNING}
        seen.append(frozenset(runtimes.home.ports.of(NAME).values()))
        assert down(runtime, NAME, runtimes.home) == 3 + 3 + 6 + 1
        assert runtime.observe(NAME).is_absent

    home = runtimes.home.directory
    grows_not_by(cycle, times, lambda: {**of_this_process(), **of_home(home)} | {"memory": []})
    assert len(seen) == times
    assert len(set(seen)) == 1  # ports that were given back are given again
    assert of_home(home)["leases"] == {}
