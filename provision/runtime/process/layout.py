"""Where the process runtime puts an environment: the part of its layout that needs this machine's directories."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from provision.catalogue.versions import KafkaVersion
from provision.cluster.layout import LocalLayout
from provision.cluster.model import StorageKind
from provision.cluster.resolve import resolve_storage
from provision.common.texts import is_text
from provision.errors import InvalidEnvironment, Problem, UsageError
from provision.home.place import Home
from provision.runtime.process.paths import DATA, JARS, SECRETS, trouble
from provision.spec.listeners import security_of
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
    """The places of an environment; `base_directory` is where relative paths of its file start.

    Raises:
        UsageError: the home or the cache has a path that Kafka's JVMs cannot use.
        InvalidEnvironment: a path in the file is one.
    """
    directory = environment_directory(home, spec.name)
    storage = resolve_storage(spec.storage, base_directory)
    data_root = {
        StorageKind.VOLUME: directory,
        StorageKind.MEMORY: memory_directory(home, spec.name),
        StorageKind.DIRECTORY: Path(storage.directory),
    }[storage.kind]
    meanings = {**(DATA if data_root == directory else {}), **(SECRETS if security_of(spec).is_secured else {})}
    if reason := _trouble(directory, meanings):
        raise _unusable("home", home.directory, reason, "PROVISION_HOME")
    if storage.directory and (reason := trouble(data_root.as_posix(), DATA)):
        raise _unusable_key("storage", data_root, reason)
    name, libs = _software(spec, base_directory, home)
    return LocalLayout(name, libs.as_posix(), directory.as_posix(), data_root.as_posix())


def _software(spec: EnvironmentSpec, base_directory: str, home: Home) -> tuple[str, Path]:
    """Kafka's name, and the directory of its jars: in the named distribution, or in the cache."""
    if spec.kafka.distribution:
        software = Path(base_directory, spec.kafka.distribution)
        if reason := trouble((software / "libs").as_posix(), JARS):
            raise _unusable_key("kafka.distribution", software, reason)
        return software.as_posix(), software / "libs"
    version = KafkaVersion.parse(spec.kafka.version)
    libs = home.jars(version)
    if reason := _trouble(libs, JARS):
        raise _unusable("cache", home.cache, reason, "PROVISION_CACHE")
    return f"kafka {version}", libs


def _trouble(own: Path, meanings: Mapping[str, str]) -> str:
    """As `trouble`, of a path of this machine; that it is text at all is checked where it is written into files."""
    return trouble(own.as_posix(), meanings) if is_text(str(own)) else ""


def _unusable(what: str, path: Path, reason: str, variable: str) -> UsageError:
    return UsageError(
        f"the {what} cannot be {str(path)!r}", why=reason, hint=f"set {variable} to a directory with a plainer path"
    )


def _unusable_key(key: str, path: Path, reason: str) -> InvalidEnvironment:
    message = f"it cannot be {str(path)!r}: {reason}"
    return InvalidEnvironment([Problem("the environment", 0, 0, key, message, "use a directory with a plainer path")])
