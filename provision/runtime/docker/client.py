"""The connection to the engine, and the translation of its errors."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.context import ContextAPI
from docker.errors import APIError, DockerException

from provision.errors import ProvisionError, Unavailable
from provision.runtime.base import port_taken

CALL_TIMEOUT_S = 60
_ANSWER_S = 5
# One connection for each concurrent action.
_CONNECTIONS = 32

_START_HINT = "start Docker, or set DOCKER_HOST to an engine that runs"


def connect() -> docker.DockerClient:
    """A client of the engine that `docker` would use: `DOCKER_HOST`, else the current context.

    Raises:
        Unavailable: no engine answers, or this user has no permission.
    """
    address = "the default address"
    try:
        if os.environ.get("DOCKER_HOST"):
            address = os.environ["DOCKER_HOST"]
            client = docker.from_env(timeout=CALL_TIMEOUT_S, max_pool_size=_CONNECTIONS)
        else:
            context = ContextAPI.get_current_context()
            address = str(context.Host) if context else DEFAULT_UNIX_SOCKET
            client = docker.DockerClient(
                base_url=address,
                tls=context.TLSConfig if context and context.TLSConfig else False,
                timeout=CALL_TIMEOUT_S,
                max_pool_size=_CONNECTIONS,
            )
        _answer_soon(client)
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(error, address) from error
    return client


def _answer_soon(client: docker.DockerClient) -> None:
    """Check that the engine answers: a hanging engine must not block a command that can do without it."""
    client.api.timeout = _ANSWER_S
    client.ping()
    client.api.timeout = CALL_TIMEOUT_S


def _unreachable(error: Exception, address: str) -> Unavailable:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return Unavailable(
            f"this user may not speak to the Docker engine at {address}",
            why="permission denied",
            hint="add the user to the group docker (`sudo usermod -aG docker $USER`) and log in again",
        )
    if "FileNotFoundError" in text or "Connection refused" in text or "ConnectionRefusedError" in text:
        return Unavailable("no Docker engine answers", why=f"nothing listens at {address}", hint=_START_HINT)
    return Unavailable("no Docker engine answers", why=f"{address}: {text}", hint=_START_HINT)


_PORT_TAKEN = re.compile(r"(?:Bind for|listen tcp4?) (\S*?):(\d+)(?: failed|: bind: address already in use)")


@contextmanager
def translated(doing: str, timeout_s: float = CALL_TIMEOUT_S) -> Iterator[None]:
    """Translate the engine's errors into ours: `doing` names the operation, for example `starting broker-1`.

    `timeout_s` is the timeout of the calls, for the message.
    """
    try:
        yield
    except APIError as error:
        raise _refused(doing, error.explanation or str(error)) from error
    except requests.Timeout as error:
        raise Unavailable(f"{doing}: the Docker engine did not answer within {timeout_s:g} s") from error
    except (DockerException, requests.RequestException) as error:
        raise Unavailable(f"{doing}: the Docker engine stopped answering", why=str(error), hint=_START_HINT) from error


def _refused(doing: str, explanation: str) -> ProvisionError:
    text = str(explanation)
    if taken := _PORT_TAKEN.search(text):
        return port_taken(doing, taken[1], taken[2])
    return ProvisionError(f"{doing}: the Docker engine refused", why=text)
