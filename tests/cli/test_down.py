"""`down` of several environments goes on when one of them cannot be removed."""

from pathlib import Path

import pytest

from provision.cli.run import run
from provision.errors import PartlyApplied
from provision.home.place import Home
from tests.fake_engine import FakeEngine
from tests.runtime.test_refusals import used


def test_the_other_environments_that_down_names_are_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    home = Home.of_user()
    for name in ("odd", "even"):
        home.ports.lease(name, ["broker-1"], {})
    with used("network", users=True).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        monkeypatch.chdir(tmp_path)
        assert run(["down", "odd", "even"]) == PartlyApplied.exit_code
    told = capsys.readouterr().err
    assert "even: there is nothing to remove" in told
    assert "the network odd is left" in told
    assert home.ports.held("odd") == home.ports.held("even") == frozenset()


def test_down_tells_what_is_called_like_a_node_of_it_but_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {"provision.environment": "odd-broker"}  # whose node `broker-1` is called `odd-broker-broker-1`
    container = {"Id": "c", "Labels": {}, "State": "exited", "ImageID": ""}
    volumes = [
        {"Name": "odd-broker-1", "Labels": None},
        {"Name": "odd-zookeeper-1", "Labels": {"provision.environment": "another"}},
        {"Name": "odd-broker-broker-1", "Labels": others},
        {"Name": "odd-broker-x", "Labels": None},
    ]
    answers = {
        "GET /containers/json": (200, [container | {"Names": ["/odd-broker-2"]}, container | {"Names": ["/odd-mine"]}]),
        "GET /volumes": (200, {"Volumes": volumes}),
    }
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with FakeEngine(answers).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        assert run(["down", "odd"]) == 0
    told = capsys.readouterr().err
    assert "`docker volume rm odd-broker-1` removes it" in told
    assert "`docker rm -f odd-broker-2` removes it" in told
    assert told.count("was not made by provision") == 2
