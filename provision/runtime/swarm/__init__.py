"""The swarm runtime: services, configs, secrets and an overlay network of a Docker Swarm, found by their labels."""

from provision.home.place import Home
from provision.runtime.base import Runtime
from provision.runtime.swarm.layout import SwarmLayout, swarm_layout
from provision.spec.model import EnvironmentSpec


def connected(_home: Home) -> Runtime:
    """The swarm whose manager is the engine that `docker` would use; nothing is kept in the home.

    Raises:
        Unavailable: no engine answers, it is no manager of a swarm, or the swarm has no leader.
    """
    from provision.runtime.swarm.runtime import SwarmRuntime

    return SwarmRuntime()


def make_layout(spec: EnvironmentSpec, _base_directory: str, _home: Home) -> SwarmLayout:
    """The layout inside containers; where they are is not decided yet."""
    return swarm_layout(spec)
