"""The Docker runtime: containers, a network and volumes, found again by their labels."""

from provision.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
