"""Every state of a container or a process means one state of its node, or that only something to remove is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provision.errors import ProvisionError
from provision.home.place import Home
from provision.plan.observed import NodeState
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.docker.containers import STATES
from tests.fake_engine import FakeEngine

LABELS = {
    "provision.environment": "odd",
    "provision.node": "broker-1",
    "provision.role": "broker",
    "provision.endpoint": "127.0.0.1:9092",
}


def container(state: str) -> dict[str, Any]:
    listed = {"Id": "c1", "Names": ["/odd-broker-1"], "Labels": LABELS, "State": state, "ImageID": "sha256:0"}
    return listed | {"NetworkSettings": {"Networks": {}}}


def details(state: str, exit_code: int = 3, **more: object) -> dict[str, Any]:
    running = state in ("running", "paused", "restarting")
    told = {"Status": state, "Running": running, "Paused": state == "paused", "ExitCode": exit_code, "OOMKilled": False}
    return {"Id": "c1", "State": told | more}


@contextmanager
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> Iterator[Runtime]:
    """The runtime for an engine that is not there."""
    with engine.on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtimes = Runtimes(Home.at(tmp_path / "home"))
        try:
            yield runtimes.of_kind("docker")
        finally:
            runtimes.close()


# The states of Docker's API (ContainerState.Status), one of a later engine that runs, and one that does not.
@pytest.mark.parametrize(
    ("state", "expected", "exit_code"),
    [
        ("created", NodeState.CREATED, None),
        ("running", NodeState.RUNNING, None),
        ("paused", NodeState.PAUSED, None),
        ("restarting", NodeState.RESTARTING, 3),
        ("exited", NodeState.EXITED, 3),
        ("removing", None, None),
        ("dead", None, None),
        ("hibernating", NodeState.RUNNING, 3),
        ("evaporated", NodeState.EXITED, 3),
    ],
)
def test_each_state_of_a_container_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, expected: NodeState | None, exit_code: int | None
) -> None:
    later = {"Running": True} if state == "hibernating" else {}
    answers = {
        "GET /containers/json": (200, [container(state)]),
        "GET /containers/c1/json": (200, details(state, **later)),
    }
    with docker(tmp_path, monkeypatch, FakeEngine(answers)) as runtime:
        observed = runtime.observe("odd")
    assert [(node.state, node.exit_code) for node in observed.nodes] == ([(expected, exit_code)] if expected else [])
    assert observed.incomplete is (expected is None)
    assert not observed.is_absent


def test_the_table_has_every_state_of_the_api() -> None:
    assert STATES.keys() == {"created", "running", "paused", "restarting", "removing", "exited", "dead"}


def test_what_somebody_is_removing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine({"DELETE /containers/c1": (409, {"message": "removal of container c1 is already in progress"})})
    left = ["removing", "removing"]

    def answer(method: str, url: str) -> tuple[int, Any]:
        if "/volumes" in url:
            return 200, {"Volumes": []}
        if "/containers/c1" not in url:
            listed = {"ApiVersion": "1.41", "Volumes": []}
            return 200, [container("removing")] if "containers/json" in url else listed
        if method == "DELETE":
            return engine.answers["DELETE /containers/c1"] if left else (404, {"message": "gone"})
        return (200, details(left.pop())) if left else (404, {"message": "gone"})

    monkeypatch.setattr(engine, "answer", answer)
    with docker(tmp_path, monkeypatch, engine) as runtime:
        runtime.remove_node("odd", "broker-1")  # no node any more
        monkeypatch.setattr("provision.runtime.docker.networks.remove", lambda *_: None)
        runtime.remove_network("odd")
    assert not left


def test_what_somebody_is_copying_from_is_removed_once_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, copying = FakeEngine({}), ["a", "b"]
    why = 'container c1: driver "overlay2" failed to remove root filesystem: unlinkat /x: read-only file system'

    def answer(method: str, url: str) -> tuple[int, Any]:
        if method == "DELETE":
            return (500, {"message": why}) if copying and copying.pop() else (204, None)
        if "/containers/c1" in url:
            return 200, details("dead")
        return 200, [container("exited")] if "containers/json" in url else {"ApiVersion": "1.41", "Volumes": []}

    monkeypatch.setattr(engine, "answer", answer)
    with docker(tmp_path, monkeypatch, engine) as runtime:
        runtime.remove_node("odd", "broker-1")
    assert not copying


def test_a_refused_removal_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "GET /containers/json": (200, [container("dead")]),
        "GET /containers/c1/json": (200, details("dead")),
        "DELETE /containers/c1": (409, {"message": "device or resource busy"}),
    }
    with (
        docker(tmp_path, monkeypatch, FakeEngine(answers)) as runtime,
        pytest.raises(ProvisionError, match="the Docker engine refused") as caught,
    ):
        runtime.remove_network("odd")
    assert "busy" in caught.value.why
