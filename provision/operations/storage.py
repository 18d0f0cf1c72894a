"""A `storage` directory must be apart from everything that provision itself creates and removes."""

import os
from pathlib import Path

from provision.cluster.model import StorageKind
from provision.cluster.resolve import resolve_storage
from provision.home.place import Home
from provision.runtime.directories import environment_around, environments_in
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source


def require_storage_apart(source: Source, spec: EnvironmentSpec, home: Home) -> None:
    """Refuse a `storage` directory whose data something else would delete, by real paths.

    Raises:
        InvalidEnvironment: it is inside the home or the cache, or contains one of them; or other environments have
            their data there.
    """
    storage = resolve_storage(spec.storage, source.base_directory)
    if storage.kind is not StorageKind.DIRECTORY:
        return
    directory = Path(os.path.realpath(storage.directory))
    for place, variable in ((home.directory, "PROVISION_HOME"), (home.cache, "PROVISION_CACHE")):
        real = Path(os.path.realpath(place))
        inside = _is_inside(directory, real)
        if inside or _is_inside(real, directory):
            how = "is in" if inside else "contains"
            raise source.invalid(
                ("storage",),
                f"{storage.directory} {how} {place}, where provision creates and removes files of its own",
                f"name another directory, or set {variable}",
            )
    if around := environment_around(directory):
        message = f"{storage.directory} is in the data of a node of {around}"
        raise source.invalid(("storage",), message, "name a directory of its own")
    if others := sorted(environments_in(directory) - {spec.name}):
        message = f"{storage.directory} has data of {', '.join(others)}"
        raise source.invalid(("storage",), message, "name a directory of its own")


def _is_inside(inner: Path, outer: Path) -> bool:
    """Whether a path is in a directory, or is that directory: also by another name, as on a disk mounted twice."""
    return any(_is_same(level, outer) for level in (inner, *inner.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:  # one of them does not exist
        return False
