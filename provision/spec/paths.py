"""The directories that an environment file names must be there, and be directories, before anything is started."""

import os
from collections.abc import Iterator
from pathlib import Path

from provision.spec.checks import Finding
from provision.spec.model import EnvironmentSpec

_ELSEWHERE = "a relative path starts at the directory of the file"


def paths(spec: EnvironmentSpec, base_directory: Path) -> Iterator[Finding]:
    """What is wrong with the directories of a spec; relative ones are below `base_directory`."""
    if spec.templates is not None:
        yield from _directory(("templates",), base_directory / spec.templates, "create it, or remove the key")
    if spec.kafka.distribution is not None and spec.runtime == "process":
        directory, hint = base_directory / spec.kafka.distribution, "unpack a Kafka there, or remove the key"
        found = list(_directory(("kafka", "distribution"), directory, hint))
        if not found and not any(directory.glob("libs/*.jar")):
            message = f"there is no Kafka in {directory}: it has no jars in libs"
            found = [Finding(("kafka", "distribution"), message, hint)]
        yield from found
    if spec.storage not in ("volume", "memory"):
        yield from _creatable(("storage",), base_directory / spec.storage)


def _directory(path: tuple[str, ...], directory: Path, hint: str) -> Iterator[Finding]:
    if not os.path.lexists(directory):
        yield Finding(path, f"there is no directory {directory} ({_ELSEWHERE})", hint)
    elif not directory.exists():
        yield Finding(path, f"{directory} is a link to something that is not there", hint)
    elif not directory.is_dir():
        yield Finding(path, f"{directory} is not a directory", hint)
    elif not os.access(directory, os.R_OK | os.X_OK):
        yield Finding(path, f"{directory} cannot be read: no permission", "give yourself the permission")


def _creatable(path: tuple[str, ...], directory: Path) -> Iterator[Finding]:
    """`up` creates the directory, but not where something else is in the way."""
    for place in (directory, *directory.parents):
        if place.is_dir():
            return
        if os.path.lexists(place):
            what = "is not a directory" if place.exists() else "is a link to something that is not there"
            yield Finding(path, f"{place} {what}", "name another directory")
            return
