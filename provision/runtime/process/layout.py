"""Where the process runtime puts an environment: the part of its layout that needs this machine's directories."""

import hashlib
import os
from pathlib import Path

from provision.catalogue.versions import KafkaVersion
from provision.cluster.layout import LocalLayout
from provision.cluster.model import StorageKind
from provision.cluster.resolve import resolve_storage
from provision.home.place import Home
from provision.spec.model import EnvironmentSpec
from provision.spec.names import is_environment_name

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 a tmpfs on Linux


def environment_directory(home: Home, name: str) -> Path:
    """What the runtime keeps of one environment.

    Raises:
        ValueError: the name could lead out of the home. Callers check it before; this is the last safeguard.
    """
    if not is_environment_name(name):
        raise ValueError(f"{name!r} is no environment's name")
    return home.environments / name


def memory_place(home: Home) -> Path:
    """The place below which data in memory are: everybody's, or the home if there is no tmpfs."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else home.directory


def memory_root(home: Home) -> Path:
    """What holds the data in memory of all environments of a home; on disk if there is no tmpfs."""
    if memory_place(home) != _SHARED_MEMORY:
        return home.environments
    digest = hashlib.sha256(os.fsencode(home.directory)).hexdigest()[:12]
    return _SHARED_MEMORY / f"provision-{digest}"


def memory_directory(home: Home, name: str) -> Path:
    """The directory for an environment's data in memory."""
    return memory_root(home) / environment_directory(home, name).name


def local_layout(spec: EnvironmentSpec, base_directory: str, home: Home) -> LocalLayout:
    """The places of an environment; `base_directory` is where relative paths of its file start."""
    directory = environment_directory(home, spec.name)
    storage = resolve_storage(spec.storage, base_directory)
    data_root = {
        StorageKind.VOLUME: directory,
        StorageKind.MEMORY: memory_directory(home, spec.name),
        StorageKind.DIRECTORY: Path(storage.directory),
    }[storage.kind]
    if spec.kafka.distribution:
        software = Path(base_directory, spec.kafka.distribution)
        libs = software / "libs"
        return LocalLayout(software.as_posix(), libs.as_posix(), directory.as_posix(), data_root.as_posix())
    version = KafkaVersion.parse(spec.kafka.version)
    libs = home.jars(version)
    return LocalLayout(f"kafka {version}", libs.as_posix(), directory.as_posix(), data_root.as_posix())
