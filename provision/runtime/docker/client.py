"""The connection to the engine, and the translation of its errors."""

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import docker
import requests
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, DockerException
from requests.utils import get_environ_proxies

from provision.errors import PartlyApplied, ProvisionError, StorageLost, Unavailable
from provision.runtime.base import port_forbidden, port_taken
from provision.runtime.docker.engine import Engine, chosen_engine
from provision.runtime.docker.sdk import Client

CALL_TIMEOUT_S = 60
_ANSWER_S = 5
# One connection for each concurrent action.
_CONNECTIONS = 32

_DESCRIBED: WeakKeyDictionary[Any, Mapping[str, Any]] = WeakKeyDictionary()
_START_HINT = "start Docker, or set DOCKER_HOST to an engine that runs"


def connect() -> docker.DockerClient:
    """A client of the engine that `docker` would use.

    Raises:
        Unavailable: no engine answers, this user has no permission, or what names the engine is not valid.
    """
    try:
        engine = chosen_engine()
    except DockerException as error:
        raise Unavailable("the certificates for the Docker engine cannot be used", why=str(error)) from error
    return connect_to(engine)


def connect_to(engine: Engine) -> docker.DockerClient:
    """A client of an engine.

    Raises:
        Unavailable: it does not answer, or this user has no permission.
    """
    try:
        return _client(engine, _api_version(engine), CALL_TIMEOUT_S)
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(error, engine) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # whatever answered, or is in config.json
        raise Unavailable(f"what answers at {engine} is not a Docker engine", why=str(error)) from error


def _api_version(engine: Engine) -> str:
    """The version of the API that the engine speaks, which it has to tell soon: a command may do without it."""
    client = _client(engine, MINIMUM_DOCKER_API_VERSION, _ANSWER_S)  # with a version, it asks nothing by itself
    try:
        if not client.api.proxies:
            _require_listener(engine)
        return str(client.api.version(api_version=False)["ApiVersion"])
    finally:
        client.close()


def _require_listener(engine: Engine) -> None:
    """Connect once: the SDK leaves its socket open where nothing listens, and hides the reason in a long text."""
    if engine.socket:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_ANSWER_S)
            probe.connect(engine.socket)
    elif engine.tcp:
        socket.create_connection(engine.tcp, timeout=_ANSWER_S).close()


def _client(engine: Engine, version: str, timeout_s: int) -> docker.DockerClient:
    options: dict[str, Any] = {"tls": engine.tls} if engine.tls else {}
    client = Client(base_url=engine.address, version=version, timeout=timeout_s, max_pool_size=_CONNECTIONS, **options)
    # Else a proxy would be asked for this machine too, and `.netrc` or REQUESTS_CA_BUNDLE would change the requests.
    client.api.trust_env = False
    if not engine.is_loopback:
        client.api.proxies = get_environ_proxies(client.api.base_url)
    return client


def _unreachable(error: Exception, engine: Engine) -> Unavailable:
    hint = f"start that engine, or correct or remove {engine.named_by}" if engine.named_by else _START_HINT
    if isinstance(error, PermissionError):
        return Unavailable(
            f"this user may not speak to the Docker engine at {engine}",
            why="permission denied",
            hint="add the user to the group docker (`sudo usermod -aG docker $USER`) and log in again",
        )
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return Unavailable("no Docker engine answers", why=f"nothing listens at {engine}", hint=hint)
    if isinstance(error, requests.Timeout | TimeoutError):
        return Unavailable("no Docker engine answers", why=f"{engine} is silent for {_ANSWER_S} s", hint=hint)
    return Unavailable("no Docker engine answers", why=f"{engine}: {error}", hint=hint)


# As written by Docker 20 to 28, rootless Docker and Docker Desktop, also on Windows.
_PORT = re.compile(
    r"(?:Bind for|listen tcp4?|bind host port(?: for)?) (?P<address>\S*?):(?P<port>\d+)(?P<reason>.*)", re.DOTALL
)
_NO_SOURCE = re.compile(r"bind source path does not exist: (.+)")
_LEADERLESS = "swarm does not have a leader"
_TAKEN = re.compile(r"already (?:in use|allocated)|Only one usage of each socket address")
_FORBIDDEN = re.compile(r"permission denied|forbidden by its access permissions")


@contextmanager
def translated(doing: str, timeout_s: float = CALL_TIMEOUT_S) -> Iterator[None]:
    """Translate the engine's errors into ours: `doing` names the operation, for example `starting broker-1`.

    `timeout_s` is the timeout of the calls, for the message.
    """
    try:
        yield
    except APIError as error:
        raise refusal(doing, error.explanation or str(error)) from error
    except requests.Timeout as error:
        raise Unavailable(f"{doing}: the Docker engine did not answer within {timeout_s:g} s") from error
    except (DockerException, requests.RequestException) as error:
        raise Unavailable(f"{doing}: the Docker engine stopped answering", why=str(error), hint=_START_HINT) from error


def still_used(what: str, users: Sequence[str], environment: str, command: str) -> PartlyApplied:
    """The error for what cannot be removed because containers that provision did not create use it."""
    commands = "; ".join(f"{command} {user}" for user in users)
    return PartlyApplied(
        f"{what} is left",
        why=f"containers that provision did not create use it: {', '.join(users)}",
        hint=f"`{commands}`, then `provision down {environment}` again",
    )


def lines_in(chunks: Iterator[bytes]) -> Iterator[str]:
    """The complete lines of a stream of chunks."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def engine_identity(api: docker.APIClient) -> str:
    """The engine's id; its address if the engine, or a proxy before it, does not tell."""
    with translated("asking the Docker engine who it is"):
        try:
            return str(described(api).get("ID") or api.base_url)
        except APIError:  # nor will it tell the next time
            _DESCRIBED[api] = {}
            return str(api.base_url)


def refusal(doing: str, explanation: str) -> ProvisionError:
    """What an engine refuses, with the reason that it gives, as one of our errors."""
    text = str(explanation)
    if _LEADERLESS in text:
        why = "too few of its managers answer each other: without a majority of them, nothing is changed"
        hint = "start the missing managers; `docker node ls` shows them once a majority is there"
        return Unavailable(f"{doing}: the swarm has no leader", why=why, hint=hint)
    if port := _PORT.search(text):
        if _TAKEN.search(port["reason"]):
            return port_taken(doing, port["address"], int(port["port"]))
        if _FORBIDDEN.search(port["reason"]):
            return port_forbidden(doing, port["address"], port["port"])
    if gone := _NO_SOURCE.search(text):
        what = f"{doing}: the directory {gone[1]} is gone, and the node's data with it"
        hint = "put it back as it was; or `provision down ENV`, then `provision up ENV`, makes the environment anew"
        return StorageLost(what, why=text, hint=hint)
    return ProvisionError(f"{doing}: the Docker engine refused", why=text)


def swarm_of(api: Any) -> Mapping[str, Any]:  # noqa: ANN401 the SDK's client has no types
    """What an engine tells of its swarm."""
    told: Mapping[str, Any] = described(api).get("Swarm") or {}
    return told


def described(api: Any) -> Mapping[str, Any]:  # noqa: ANN401 as above
    """What an engine tells of itself, which takes it longer than most answers: asked once in each connection."""
    if api not in _DESCRIBED:
        _DESCRIBED[api] = api.info()
    return _DESCRIBED[api]
