"""`down` of several environments goes on when one of them cannot be removed."""

from pathlib import Path

import pytest

from provision.cli.run import run
from provision.errors import PartlyApplied
from provision.home.place import Home
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


def test_caches_are_removed_only_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "shop", "--caches"]) == 64
    assert "--caches goes with --all\n  all environments share the caches" in capsys.readouterr().err
