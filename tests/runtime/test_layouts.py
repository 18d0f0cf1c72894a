"""What is in a container is looked at without its content."""

import base64
import json
from http import HTTPStatus

import pytest
import requests
from docker.errors import APIError

from provision.runtime.docker.layouts import is_there, size_of

DIRECTORY, LINK, STICKY = 1 << 31, 1 << 27, 1 << 20  # as Go has them


class Engine:
    """An engine that tells of one path, as it does in a header."""

    base_url, api_version, timeout = "http+docker://engine", "1.41", 60

    def __init__(self, status: HTTPStatus, told: object = None) -> None:
        self._answer = requests.Response()
        self._answer.status_code = status
        if told:
            text = base64.b64encode(json.dumps(told).encode()).decode()
            self._answer.headers["X-Docker-Container-Path-Stat"] = text

    def head(self, url: str, params: dict[str, str], timeout: float) -> requests.Response:
        """Tell of it."""
        assert (url, params, timeout) == (f"{self.base_url}/v1.41/containers/one/archive", {"path": "/data"}, 60)
        return self._answer


@pytest.mark.parametrize(
    ("mode", "size"),
    [(0o644, 7), (0o777, 7), (DIRECTORY | 0o755, None), (LINK | 0o777, None), (DIRECTORY | STICKY | 0o777, None)],
)
def test_only_a_file_has_a_size(mode: int, size: int | None) -> None:
    engine = Engine(HTTPStatus.OK, {"name": "data", "size": 7, "mode": mode, "linkTarget": ""})
    assert size_of(engine, "one", "/data") == size  # type: ignore[arg-type]
    assert is_there(engine, "one", "/data")  # type: ignore[arg-type]


def test_what_is_not_there_has_none() -> None:
    engine = Engine(HTTPStatus.NOT_FOUND)
    assert size_of(engine, "one", "/data") is None  # type: ignore[arg-type]
    assert not is_there(engine, "one", "/data")  # type: ignore[arg-type]


def test_an_engine_that_does_not_tell_more_is_taken_at_its_word() -> None:
    engine = Engine(HTTPStatus.OK)
    assert size_of(engine, "one", "/data") is None  # type: ignore[arg-type]
    assert is_there(engine, "one", "/data")  # type: ignore[arg-type]


def test_an_engine_that_cannot_tell_is_an_error() -> None:
    engine = Engine(HTTPStatus.INTERNAL_SERVER_ERROR)
    with pytest.raises(APIError):
        size_of(engine, "one", "/data")  # type: ignore[arg-type]
