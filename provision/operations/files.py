"""What a file means, without an engine: its cluster, and the configuration files of the nodes.

Apart from `pipeline`, so that `validate` loads nothing that only a running environment needs.
"""

from collections.abc import Sequence
from pathlib import Path

from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import resolve, resolve_without_ports
from provision.common.whole_files import is_private, write_whole
from provision.errors import Refused, UsageError
from provision.events import Listener, Notice, silent
from provision.home.place import Home
from provision.operations.storage import require_storage_apart
from provision.runtime import Runtimes
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source
from provision.spec.swarm import SWARM


def validate(source: Source, runtimes: Runtimes, tell: Listener = silent) -> Cluster:
    """Load and resolve only: no network, no engine, no templates. Warnings go to the listener.

    Raises:
        InvalidEnvironment: lists every problem in the file.
    """
    spec = source.load(tell)
    require_storage_apart(source, spec, runtimes.home)
    return resolve_without_ports(spec, _layout(spec, source, runtimes), source.base_directory)


def render(
    source: Source, runtimes: Runtimes, tell: Listener = silent, *, secrets: bool = False
) -> tuple[RenderedFile, ...]:
    """The configuration files of every node, with the ports that `up` would choose now.

    With `secrets`, also the files with keys and passwords: what the home keeps of them and, where something is missing,
    others, which are kept nowhere.
    """
    from provision.cluster.render import render as render_files

    spec = source.load(tell)
    require_nodes(spec)
    require_storage_apart(source, spec, runtimes.home)
    layout = _layout(spec, source, runtimes)
    if spec.runtime == "process":  # the files of processes have its path in them
        runtimes.home.require_path()
    if spec.runtime == SWARM:  # and those of a swarm the addresses of its engines
        unlocated = resolve_without_ports(spec, layout, source.base_directory)
        layout = runtimes.of_kind(SWARM).located(layout, unlocated)
    ports = runtimes.home.ports.propose(spec.name, layout.leased_ports(spec), {})
    cluster = resolve(spec, layout, ports, source.base_directory)
    return (*render_files(cluster), *(_secret_files(cluster, runtimes.home, tell) if secrets else ()))


def _secret_files(cluster: Cluster, home: Home, tell: Listener) -> tuple[RenderedFile, ...]:
    from provision.cluster.secured import file_of, secret_files
    from provision.operations.securing import material_in

    store = home.secrets(cluster.name)
    made = material_in(store, cluster)
    chosen = {f"{file_of(user.name)}.password" for user in cluster.users if user.variable or user.file}
    if made.new - chosen:
        what = f"{store.directory} does not have all of these keys and passwords"
        tell(Notice(f"{what}: the others are in these files alone, and `provision up` makes its own"))
    return secret_files(cluster, made)


def write_below(directory: Path, files: Sequence[RenderedFile]) -> None:
    """Write the files as `NODE/FILE` below a directory, and nowhere else; existing files are replaced.

    Only this user can read a secret one, and its directory.

    Raises:
        Refused: something there is a link, or others have access to what is to have a secret; nothing was written.
        OSError: they cannot be written.
    """
    targets = {directory / file.node / file.name: file.content for file in files}
    for place in dict.fromkeys(place for target in targets for place in (target.parent, target)):
        if place.is_symlink():
            why = f"files are written below {directory} only"
            raise Refused(f"{place} is a link", why=why, hint="remove it, or name another directory")
    private = {directory / file.node for file in files if file.secret}
    for place in private:
        if place.exists() and not is_private(place):
            why = "others have access to it, and it is to have keys and passwords"
            raise Refused(
                f"{place} is not yours alone", why=why, hint=f"`chmod 700 {place}`, or name another directory"
            )
    secret = {directory / file.node / file.name for file in files if file.secret}
    for target, content in targets.items():
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(mode=0o700 if target.parent in private else 0o777, exist_ok=True)
        write_whole(target, content, 0o600 if target in secret else None)


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
