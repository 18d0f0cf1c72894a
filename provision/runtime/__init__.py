"""Where nodes run: the port in `base`, an adapter each for Docker and the tests, and the registry of adapters."""

import importlib
from typing import cast

from provision.cluster.layout import container_layout
from provision.errors import UsageError
from provision.runtime.base import Runtime

LAYOUTS = {"docker": container_layout}
"""Where each kind of runtime puts things; known without connecting to it."""

_ADAPTERS = {
    "docker": "provision.runtime.docker:DockerRuntime",
}


def runtime_of_kind(kind: str) -> Runtime:
    """The adapter of that kind, connected. Adapters are imported here, when one is used: their SDKs are slow to load.

    Raises:
        UsageError: there is no such kind.
        Unavailable: the place it stands for does not answer.
    """
    if kind not in _ADAPTERS:
        raise UsageError(f"there is no runtime {kind!r}", hint=f"known: {', '.join(_ADAPTERS)}")
    module, _, name = _ADAPTERS[kind].partition(":")
    return cast(Runtime, getattr(importlib.import_module(module), name)())


def choose_runtime(asked: str) -> Runtime:
    """The runtime for what a file asks: `auto` takes Docker, the only one so far.

    Raises:
        Unavailable: it does not answer.
    """
    return runtime_of_kind("docker" if asked == "auto" else asked)
