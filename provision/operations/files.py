"""What a file means, without an engine: its cluster, and the configuration files of the nodes.

Apart from `pipeline`, so that `validate` loads nothing that only a running environment needs.
"""

from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import resolve, resolve_without_ports
from provision.errors import UsageError
from provision.events import Listener, silent
from provision.runtime import Runtimes
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source


def validate(source: Source, runtimes: Runtimes, tell: Listener = silent) -> Cluster:
    """Load and resolve only: no network, no engine, no templates. Warnings go to the listener.

    Raises:
        InvalidEnvironment: lists every problem in the file.
    """
    spec = source.load(tell)
    return resolve_without_ports(spec, _layout(spec, source, runtimes), source.base_directory)


def render(source: Source, runtimes: Runtimes, tell: Listener = silent) -> tuple[RenderedFile, ...]:
    """The configuration files of every node, with the ports that `up` would choose now."""
    from provision.cluster.render import render as render_files

    spec = source.load(tell)
    require_nodes(spec)
    layout = _layout(spec, source, runtimes)
    if spec.runtime == "process":  # the files of processes have its path in them
        runtimes.home.require_path()
    ports = runtimes.home.ports.propose(spec.name, layout.leased_ports(spec), {})
    return render_files(resolve(spec, layout, ports, source.base_directory))


def _layout(spec: EnvironmentSpec, source: Source, runtimes: Runtimes) -> Layout:
    """Where things will be; `auto` is taken as Docker."""
    kind = "docker" if spec.runtime == "auto" else spec.runtime
    return runtimes.layout(kind, spec, source.base_directory)


def require_nodes(spec: EnvironmentSpec) -> None:
    """Refuse a file that describes an external cluster.

    Raises:
        UsageError: it has `bootstrap_servers`.
    """
    if spec.bootstrap_servers:
        raise UsageError(
            f"{spec.name} has bootstrap_servers: provision does not manage its nodes",
            hint="`provision topics apply` applies its topics and quotas",
        )
