"""`render --secrets`: the keys and passwords of an environment in files, which nobody else can read."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.catalogue.versions import ZOOKEEPER
from provision.cli.run import run
from provision.cluster.properties import read
from provision.errors import UsageError
from provision.events import Notice
from provision.security.certificates import is_whole
from provision.security.material import parted
from tests.security.test_environments import APP, MODES, NAME, Closed, closed
from tests.users import NOBODY, needs_root

__all__ = ["closed"]
OTHERS = "does not have all of these keys and passwords"


def _told(closed: Closed) -> list[str]:
    return [event.text for event in closed.told if isinstance(event, Notice)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("security", ["tls", "mtls", "sasl-plain", "sasl-scram", "sasl-tls"])
def test_they_are_those_that_its_nodes_have(closed: Closed, security: str, mode: str) -> None:
    environment = closed.of(security, **({} if security == "tls" else {"users": APP}), **MODES[mode])
    environment.up()
    closed.told.clear()
    rendered = {(file.node, file.name): file.content for file in environment.render(secrets=True) if file.secret}
    nodes = [node.name for node in closed.runtime.observe(NAME).nodes]
    assert rendered == {(node, name): content for node in nodes for name, content in closed.files(node).items()}
    assert len(rendered) >= 2
    assert not [text for text in _told(closed) if OTHERS in text]
    assert not [file for file in environment.render() if file.secret]


def test_what_is_not_kept_is_made_for_the_files_alone_and_told_of(closed: Closed) -> None:
    environment = closed.of("sasl-tls", users=[*APP, {"name": "made"}])
    files = {(file.node, file.name): file for file in environment.render(secrets=True)}
    assert not closed.store.is_there
    (told,) = _told(closed)
    assert told.startswith(f"{closed.store.directory} {OTHERS}")
    secrets = read(files["broker-1", "secrets.properties"].text)
    assert secrets
    assert {"password.provision", "password.app", "password.made", "key", "certificate"} == secrets.keys()
    pair = parted((secrets["key"] + secrets["certificate"]).encode())
    assert pair
    assert is_whole(pair)
    assert pair.certificate not in files["broker-1", "ca.pem"].content


def test_a_password_of_the_users_own_is_no_reason_to_tell_of_others(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [{"name": "app", "password": {"env": "APP_PASSWORD"}}]
    monkeypatch.setenv("APP_PASSWORD", "first")
    environment = closed.of("sasl-plain", users=users)
    environment.up()
    closed.told.clear()
    monkeypatch.setenv("APP_PASSWORD", "second")
    files = {(file.node, file.name): file for file in environment.render(secrets=True)}
    assert (read(files["broker-1", "secrets.properties"].text) or {})["password.app"] == "second"
    assert _told(closed) == []
    monkeypatch.delenv("APP_PASSWORD")
    with pytest.raises(
        UsageError, match="the environment variable that the file names for the password of app is not set"
    ):
        environment.render(secrets=True)


def _file(directory: Path, **values: Any) -> Path:  # noqa: ANN401 sections of a file
    file = directory / "orders.yaml"
    file.write_text(yaml.safe_dump({"security": "sasl-tls", "users": [{"name": "app"}], **values}))
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _rendered(directory: Path, *more: str, umask: int = 0) -> int:
    before = os.umask(umask)
    try:
        return run(["render", str(_file(directory)), "--out", str(directory / "out"), *more])
    finally:
        os.umask(before)


def test_only_this_user_can_read_them_whatever_the_umask(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # into nothing, and over what is there
        assert _rendered(here, "--secrets") == 0
        secret = [here / "out" / "broker-1" / name for name in ("secrets.properties", "ca.pem", "ensemble.pem")]
        assert [stat.S_IMODE(file.stat().st_mode) for file in secret] == [0o600] * 3
        assert [stat.S_IMODE(file.parent.stat().st_mode) for file in secret] == [0o700] * 3
    told = capsys.readouterr()
    passwords = (read(secret[0].read_text()) or {}).values()
    assert not [one for one in passwords if one in told.out + told.err]
    assert not [*here.rglob("*.new")]
    assert not (here / "home" / "secrets").exists()


def test_without_the_option_no_secret_is_written(here: Path) -> None:
    assert _rendered(here) == 0
    names = {file.name for file in (here / "out" / "broker-1").iterdir()}
    assert "server.properties" in names
    assert not names & {"secrets.properties", "ca.pem", "ensemble.pem"}


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o770, 0o777])
def test_a_directory_that_others_get_into_is_refused_before_anything_is_written(
    here: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in ("broker-1", f"{ZOOKEEPER}-1"):
        (here / "out" / node).mkdir(parents=True)
    (here / "out" / "broker-1").chmod(mode)
    (here / "out" / f"{ZOOKEEPER}-1").chmod(0o700)
    assert _rendered(here, "--secrets") == 4
    assert f"{here}/out/broker-1 is not yours alone" in capsys.readouterr().err
    assert [*here.glob("out/*/*")] == []
    assert _rendered(here) == 0  # the other files are no secret


@needs_root
def test_a_directory_of_somebody_elses_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out" / "broker-1").mkdir(parents=True, mode=0o700)
    os.chown(here / "out" / "broker-1", NOBODY, NOBODY)
    assert _rendered(here, "--secrets") == 4
    assert "is not yours alone" in capsys.readouterr().err
