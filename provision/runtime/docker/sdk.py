"""The Docker SDK's client, whose requests nobody else answers.

It is a session of `requests`. Tests of an application replace methods of that library, for the whole process, to
answer requests of their own or to forbid them (`responses`, `requests-mock`, a fixture of the user's). The engine is
not meant: this client has the methods of modules of its own, loaded from the files of `requests`, so that it does not
matter whether anything has been replaced before this module is loaded.
"""

import importlib.util
import sys
from types import FunctionType, ModuleType
from typing import Any

import docker
from requests.adapters import BaseAdapter

_SOCKS = "urllib3.contrib.socks"


def _own(name: str) -> ModuleType:
    """A module of its own from the file of one that is loaded."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} has no loader")
    module = importlib.util.module_from_spec(spec)
    # If `requests` could not load this one, to try again would warn, which may be an error. None: it is missing.
    sys.modules.setdefault(_SOCKS, None)  # type: ignore[arg-type]
    try:
        spec.loader.exec_module(module)
    finally:
        if sys.modules[_SOCKS] is None:
            del sys.modules[_SOCKS]
    return module


_SESSIONS = _own("requests.sessions")
_METHODS = {
    name: method
    for part in (_SESSIONS.SessionRedirectMixin, _SESSIONS.Session)
    for name, method in vars(part).items()
    if isinstance(method, FunctionType) and not name.startswith("__")
}
_send = _own("requests.adapters").HTTPAdapter.send


class _Sender(BaseAdapter):
    """Sends as an adapter does whose `send` nobody has replaced."""

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self._adapter = adapter

    def send(self, *request: Any, **options: Any) -> Any:  # noqa: ANN401 as in `requests`
        return _send(self._adapter, *request, **options)


class ApiClient(docker.APIClient):
    """The SDK's client of the engine's API."""

    def get_adapter(self, url: str) -> BaseAdapter:
        """What sends a request to this address."""
        return _Sender(_METHODS["get_adapter"](self, url))


for _name in _METHODS.keys() - vars(ApiClient).keys():
    setattr(ApiClient, _name, _METHODS[_name])


class Client(docker.DockerClient):
    """The SDK's client; `options` are those of `ApiClient`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 the SDK's own
        self.api = ApiClient(**options)
