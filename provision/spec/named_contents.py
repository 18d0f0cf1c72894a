"""What an environment file only names: files, directories and variables whose contents decide what `up` makes."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from provision.spec.model import EnvironmentSpec

_ROUNDS = 100_000
"""Who sees a name that is made of the digest is not to find out a password by trying many."""


def digest_of_named(spec: EnvironmentSpec, base_directory: Path) -> str:
    """A hash of all contents that a loaded spec names, empty if it names none; what cannot be read counts as such.

    The directory of `storage` is not read: its content is what `up` makes.

    Args:
        spec: the spec.
        base_directory: that of its relative paths.
    """
    contents = [part for file in _files(spec, base_directory) for part in (str(file), _digest(file))]
    if spec.kafka.distribution is not None:
        contents += _jars(base_directory / spec.kafka.distribution)
    if passwords := list(_passwords(spec, base_directory)):
        joined = "\0".join(passwords).encode(errors="surrogateescape")
        contents.append(hashlib.pbkdf2_hmac("sha256", joined, b"provision", _ROUNDS).hex())
    return hashlib.sha256("\0".join(contents).encode(errors="surrogateescape")).hexdigest() if contents else ""


def _files(spec: EnvironmentSpec, base_directory: Path) -> Iterator[Path]:
    if spec.templates is not None:
        directory = base_directory / spec.templates
        yield directory  # also one that is empty
        yield from sorted(file for file in directory.rglob("*") if file.is_file())
    yield from (base_directory / topic.records.file for topic in spec.topics if topic.records)
    for section in (spec.zookeeper, spec.controllers, spec.brokers):
        yield from (base_directory / file for agent in section.java.agents for file in (agent.jar, *agent.files))
    if spec.certificates:
        authority = spec.certificates.authority
        yield from (base_directory / file for file in (authority.key, authority.certificate))


def _passwords(spec: EnvironmentSpec, base_directory: Path) -> Iterator[str]:
    for user in spec.users:
        if user.password and user.password.env:
            yield os.environ.get(user.password.env, "")
        elif user.password and user.password.file:
            yield _digest(base_directory / user.password.file)


def _digest(file: Path) -> str:
    try:
        if not file.is_file():  # what else it is may never end
            return ""
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _jars(distribution: Path) -> Iterator[str]:
    """The jars of a Kafka, whose contents are too many to be read every time."""
    for jar in sorted(distribution.glob("libs/*.jar")):
        try:
            found = jar.stat()
        except OSError:  # a link that leads nowhere, or it has just been removed
            yield str(jar)
        else:
            yield f"{jar} {found.st_size} {found.st_mtime_ns}"
