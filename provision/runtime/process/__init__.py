"""The process runtime: plain JVMs on this machine, found again by their directory and their process."""

from provision.cluster.layout import LocalLayout
from provision.home.place import Home
from provision.runtime.base import Runtime
from provision.spec.model import EnvironmentSpec


def connected(home: Home) -> Runtime:
    """The processes of a home."""
    from provision.runtime.process.runtime import ProcessRuntime

    return ProcessRuntime(home)


def make_layout(spec: EnvironmentSpec, base_directory: str, home: Home) -> LocalLayout:
    """Where processes have things: below the home, and the jars in its cache."""
    from provision.runtime.process.layout import local_layout

    return local_layout(spec, base_directory, home)
