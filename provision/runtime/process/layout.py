"""Where the process runtime puts an environment: `local_layout` is the part that needs this machine's directories."""

import hashlib
import os
import re
from pathlib import Path

from provision.cluster.catalogue import KafkaVersion
from provision.cluster.layout import LocalLayout
from provision.cluster.model import StorageKind
from provision.cluster.resolve import resolve_storage
from provision.home.directory import home_directory
from provision.runtime.jars import directory_of
from provision.spec.model import EnvironmentSpec

NAME = r"[a-z0-9][a-z0-9-]{1,39}"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 a tmpfs on Linux


def environments_directory() -> Path:
    """All environments of this home."""
    return home_directory() / "environments"


def environment_directory(name: str) -> Path:
    """What the runtime keeps of one environment.

    Raises:
        ValueError: the name could lead out of the home. Whoever passes it on has checked it; this is the last door.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} is no environment's name")
    return environments_directory() / name


def memory_directory(name: str) -> Path:
    """Data in memory, apart for each home; on disk where there is no tmpfs."""
    if not os.access(_SHARED_MEMORY, os.W_OK):
        return environment_directory(name)
    home = hashlib.sha256(str(home_directory()).encode()).hexdigest()[:12]
    return _SHARED_MEMORY / f"provision-{home}" / name


def local_layout(spec: EnvironmentSpec, base_directory: str) -> LocalLayout:
    """The places of an environment; `base_directory` is where relative paths of its file start."""
    directory = environment_directory(spec.name)
    storage = resolve_storage(spec.storage, base_directory)
    data_root = {
        StorageKind.VOLUME: directory,
        StorageKind.MEMORY: memory_directory(spec.name),
        StorageKind.DIRECTORY: Path(storage.directory),
    }[storage.kind]
    if spec.kafka.distribution:
        software = Path(base_directory, spec.kafka.distribution)
        libs = software / "libs"
        return LocalLayout(software.as_posix(), libs.as_posix(), directory.as_posix(), data_root.as_posix())
    version = KafkaVersion.parse(spec.kafka.version)
    return LocalLayout(f"kafka {version}", directory_of(version).as_posix(), directory.as_posix(), data_root.as_posix())
