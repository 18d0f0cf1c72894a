"""What `provision doctor` says when the engine was restarted, or does not answer: an engine of the test's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Provision, write_environment
from tests.own_engine import IMAGE, OwnEngine

pytestmark = [pytest.mark.matrix, pytest.mark.engine, pytest.mark.row(None)]

NAME = "doctor-restarted"


@pytest.fixture(scope="module")
def nothing_is_left() -> None:
    """The engine goes with all it has."""


def test_a_restarted_engine_and_one_that_does_not_answer(tmp_path: Path, own: OwnEngine) -> None:
    variables = {"DOCKER_HOST": own.address}
    provision = Provision(tmp_path / "home", own_image=False, environment=variables)
    text = f"kafka: {{mode: zookeeper, image: {IMAGE}}}\nbrokers: {{port: auto}}\n"
    env = write_environment(tmp_path, NAME, text)
    provision.ok("up", env, "--until", "process")
    own.stop()
    found = findings(provision, env)
    assert set(found) == {"engine-unreachable"}
    assert own.address in found["engine-unreachable"]["evidence"][0]
    own.start()
    found = findings(provision, env)
    assert "engine-restarted" in found
    assert not {"node-killed", "node-stopped", "node-exited"} & set(found)
    assert "broker-1" in found["engine-restarted"]["title"]
    assert "start broker-1" in found["engine-restarted"]["repairs"]
    status = json.loads(provision.ok("status", env, "-o", "json"))
    assert {node["state"] for node in status["nodes"]} == {"exited"}
    provision.ok("up", env, "--until", "process")
    (row,) = json.loads(provision.ok("list", "-o", "json"))  # what stands for Java would not answer `status`
    assert (row["name"], row["running"]) == (NAME, 2)
    provision.ok("down", env)


def findings(provision: Provision, env: str) -> dict[str, dict[str, Any]]:
    result = provision("doctor", env, "-o", "json")
    assert result.code == 1, result.err
    return {finding["id"]: finding for finding in json.loads(result.out)["findings"]}
