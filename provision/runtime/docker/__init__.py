"""The Docker runtime: containers, a network and volumes, found again by their labels."""

from provision.cluster.layout import ContainerLayout, container_layout
from provision.home.place import Home
from provision.runtime.base import Runtime
from provision.spec.model import EnvironmentSpec


def connected(_home: Home) -> Runtime:
    """The engine that `docker` would use; nothing is kept in the home.

    Raises:
        Unavailable: no engine answers, or this user may not use it.
    """
    from provision.runtime.docker.runtime import DockerRuntime

    return DockerRuntime()


def make_layout(spec: EnvironmentSpec, _base_directory: str, _home: Home) -> ContainerLayout:
    """The layout inside containers, which does not depend on this machine."""
    return container_layout(spec)
