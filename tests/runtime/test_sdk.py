"""Tests of an application replace what `requests` does; the engine is reached all the same."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from provision.runtime.docker.client import connect
from tests.engine import engine
from tests.fake_engine import FakeEngine

REPLACED = (
    "requests.Session.request",
    "requests.Session.send",
    "requests.Session.get_adapter",
    "requests.Session.merge_environment_settings",
    "requests.adapters.HTTPAdapter.send",
)
LOADED_LATER = f"""
import warnings
from unittest import mock
import requests, docker
warnings.simplefilter("error")
for name in {REPLACED}:
    mock.patch(name, side_effect=AssertionError(name)).start()
from provision.runtime.docker.client import connect
client = connect()
print(client.ping())
client.close()
"""
OURS = "http://127.0.0.1:1/ours"


def replace(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **_options: object) -> None:
        raise AssertionError("this request is the application's")

    for name in REPLACED:
        monkeypatch.setattr(name, answer)


@pytest.fixture(params=["socket", "port"])
def served(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    fake = FakeEngine({"GET /_ping": (200, b"OK")})
    with fake.on_socket(tmp_path / "e.sock") if request.param == "socket" else fake.on_port() as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield fake


@pytest.mark.parametrize("made", ["before", "meanwhile"])
def test_the_engine_is_reached_however_it_is(served: FakeEngine, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    before = connect()
    replace(monkeypatch)
    client = before if made == "before" else connect()
    client.ping()
    client.close()
    before.close()
    assert served.asked[-1] == "GET /_ping"


@pytest.mark.engine
def test_a_real_engine_is_reached_and_the_application_meets_what_it_has_put_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine()
    replace(monkeypatch)
    client = connect()
    assert client.ping()
    client.close()
    with pytest.raises(AssertionError, match="the application's"):
        requests.get(OURS, timeout=1)


@pytest.mark.usefixtures("served")
def test_it_is_reached_where_all_is_loaded_only_after_that() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_LATER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
