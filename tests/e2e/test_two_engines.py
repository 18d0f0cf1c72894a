"""Two engines at once: each command talks to the one that `docker` would talk to, and to no other."""

import json
from pathlib import Path

import pytest

from tests.docker_contexts import add_context, at
from tests.engine import Provision, engine, write_environment
from tests.own_engine import IMAGE, OwnEngine

pytestmark = [pytest.mark.engine, pytest.mark.row(None)]

NAME = "two-engines"
FILE = f"kafka: {{mode: zookeeper, version: 3.9.1, image: {IMAGE}}}\nruntime: docker\nbrokers: {{port: auto}}\n"


@pytest.fixture(scope="module")
def nothing_is_left() -> None:
    """The second engine goes with all it has; the first one never had anything."""


@pytest.mark.parametrize(
    "named_by",
    [
        pytest.param("DOCKER_HOST", marks=pytest.mark.soak),
        pytest.param("DOCKER_CONTEXT", marks=pytest.mark.matrix),
        pytest.param("currentContext", marks=pytest.mark.soak),
    ],
)
def test_an_environment_is_in_the_engine_that_is_named_and_in_no_other(
    tmp_path: Path, own: OwnEngine, named_by: str
) -> None:
    engine()  # the first one
    configuration = tmp_path / "docker"
    add_context(configuration, "second", at(own.address))
    if named_by == "currentContext":
        (configuration / "config.json").write_text(json.dumps({"currentContext": "second"}))
    variables = {"DOCKER_HOST": own.address, "DOCKER_CONTEXT": "second", "currentContext": ""}
    chosen = {named_by: variables[named_by]} if variables[named_by] else {}
    second = Provision(
        tmp_path / "second", as_written=True, environment={"DOCKER_CONFIG": str(configuration), **chosen}
    )
    first = Provision(tmp_path / "first", as_written=True)
    env = write_environment(tmp_path, NAME, FILE)
    second.ok("up", env, "--until", "process")
    try:
        assert NAME in second.ok("list")
        assert NAME not in first.ok("list")
        assert f"no environment {NAME}" in first("status", NAME).err
        assert first.traces(NAME) == []
        first.ok("down", NAME)
        assert NAME in second.ok("list")
    finally:
        second.ok("down", env)
    assert NAME not in second.ok("list")
