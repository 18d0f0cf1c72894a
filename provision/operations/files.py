"""What a file means, without an engine: its cluster, and the configuration files of the nodes.

Apart from `pipeline`, so that `validate` loads nothing that only a running environment needs.
"""

from collections.abc import Sequence
from pathlib import Path

from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import resolve, resolve_without_ports
from provision.common.whole_files import write_whole
from provision.errors import Refused, UsageError
from provision.events import Listener, silent
from provision.operations.storage import require_storage_apart
from provision.runtime import Runtimes
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source


def validate(source: Source, runtimes: Runtimes, tell: Listener = silent) -> Cluster:
    """Load and resolve only: no network, no engine, no templates. Warnings go to the listener.

    Raises:
        InvalidEnvironment: lists every problem in the file.
    """
    spec = source.load(tell)
    require_storage_apart(source, spec, runtimes.home)
    return resolve_without_ports(spec, _layout(spec, source, runtimes), source.base_directory)


def render(source: Source, runtimes: Runtimes, tell: Listener = silent) -> tuple[RenderedFile, ...]:
    """The configuration files of every node, with the ports that `up` would choose now."""
    from provision.cluster.render import render as render_files

    spec = source.load(tell)
    require_nodes(spec)
    require_storage_apart(source, spec, runtimes.home)
    layout = _layout(spec, source, runtimes)
    if spec.runtime == "process":  # the files of processes have its path in them
        runtimes.home.require_path()
    ports = runtimes.home.ports.propose(spec.name, layout.leased_ports(spec), {})
    return render_files(resolve(spec, layout, ports, source.base_directory))


def write_below(directory: Path, files: Sequence[RenderedFile]) -> None:
    """Write the files as `NODE/FILE` below a directory, and nowhere else; existing files are replaced.

    Raises:
        Refused: something there is a link; nothing was written.
        OSError: they cannot be written.
    """
    targets = {directory / file.node / file.name: file.content for file in files}
    for place in dict.fromkeys(place for target in targets for place in (target.parent, target)):
        if place.is_symlink():
            why = f"files are written below {directory} only"
            raise Refused(f"{place} is a link", why=why, hint="remove it, or name another directory")
    for target, content in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)


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
            hint="`provision topics apply` applies its topics, ACLs and quotas",
        )
