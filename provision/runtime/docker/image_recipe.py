"""The content of an image of Kafka: a base with a Java, and the jars of one version. Pure: makes no calls."""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from provision.catalogue.images import APACHE_KAFKA
from provision.catalogue.versions import KafkaVersion
from provision.runtime.docker.containers import VERSION

IMAGE, BASE, BASE_ID = "provision.image", "provision.base", "provision.base-id"
JARS, DOCKERFILE = "provision.jars", "provision.dockerfile"
KAFKA = "kafka"
"""The value of the label `provision.image`."""

_DATA = "/var/lib/kafka/data"
_ACCOUNT = f"{APACHE_KAFKA.user}:{APACHE_KAFKA.user}"
_ROOT = "root.tar"
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of an image.

    `base` is the name that the user gave, `base_id` the id of that image, `path` the directories searched for its
    Java, `jars_hash` one hash over the `jars`.
    """

    version: KafkaVersion
    base: str
    base_id: str
    path: str
    jars: tuple[Path, ...]
    jars_hash: str

    @cached_property
    def dockerfile(self) -> str:
        """The Dockerfile, without RUN steps: the base may have no shell, and the build needs no network."""
        path = json.dumps(self.path).replace("$", "\\$")
        return f"FROM {self.base_id}\nENV PATH={path}\nUSER {_ACCOUNT}\nADD {_ROOT} /\n"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that mark the image as built by provision from exactly this recipe."""
        return {
            IMAGE: KAFKA,
            VERSION: str(self.version),
            BASE: self.base,
            BASE_ID: self.base_id,
            JARS: self.jars_hash,
            DOCKERFILE: hashlib.sha256(self.dockerfile.encode()).hexdigest(),
        }

    def made(self, labels: Mapping[str, str]) -> bool:
        """Whether an image with these labels was built from this recipe, even if under another name of the base."""
        return all(labels.get(key) == value for key, value in self.labels.items() if key != BASE)

    def write_context(self, target: IO[bytes]) -> None:
        """Write the builder's input as a tar archive: the Dockerfile, and the new files in an archive of their own.

        The builder unpacks that archive unchanged, so that owner, mode and time of files and directories are the same
        each time, and the same jars give the same layer. For copied files it would only keep the files' own times.
        """
        with tempfile.TemporaryFile() as root, tarfile.open(fileobj=target, mode="w") as context:
            self._write_root(root)
            dockerfile = self.dockerfile.encode()
            context.addfile(_entry("Dockerfile", size=len(dockerfile)), io.BytesIO(dockerfile))
            size = root.tell()
            root.seek(0)
            context.addfile(_entry(_ROOT, size=size), root)

    def _write_root(self, target: IO[bytes]) -> None:
        libs = PurePosixPath(APACHE_KAFKA.libs[0])
        with tarfile.open(fileobj=target, mode="w") as root:
            for directory in sorted({*_and_parents(libs), *_and_parents(PurePosixPath(_DATA))}):
                root.addfile(_entry(str(directory), owner=APACHE_KAFKA.user if str(directory) == _DATA else 0))
            for jar in self.jars:
                with jar.open("rb") as content:
                    root.addfile(_entry(str(libs / jar.name), size=jar.stat().st_size), content)


def _and_parents(directory: PurePosixPath) -> tuple[PurePosixPath, ...]:
    return (directory, *directory.parents[:-1])


def _entry(path: str, *, size: int | None = None, owner: int = 0) -> tarfile.TarInfo:
    """A file of that size, or a directory if none is given, dated 1970."""
    entry = tarfile.TarInfo(path.removeprefix("/"))
    entry.uid = entry.gid = owner
    entry.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    entry.mode = _DIRECTORY_MODE if size is None else _FILE_MODE
    entry.size = size or 0
    return entry
