"""The directories and files that an environment file names must be there, and be right, before anything is started."""

import os
from collections.abc import Iterator
from pathlib import Path

from provision.common.whole_files import unreadable
from provision.spec.defaults import partitions_of
from provision.spec.model import EnvironmentSpec, RecordsSpec
from provision.spec.places import AT_HOME, FROM_FILE, is_at_home
from provision.spec.record_files import FORMATS, SUFFIXES, BadRecord, RecordFile, format_of
from provision.spec.rules import Finding
from provision.spec.topic_takes import Takes

_SHOWN = 40  # characters of a name that is too long
_CHECKED_RECORDS = 10_000
"""So many of a file are looked at whenever the environment file is loaded; all are before they are written."""


def paths(spec: EnvironmentSpec, base_directory: Path) -> Iterator[Finding]:
    """What is wrong with the directories of a spec; relative ones are below `base_directory`."""
    if spec.templates is not None:
        yield from _directory(("templates",), base_directory, spec.templates, "create it, or remove the key")
    if spec.kafka.distribution is not None and spec.runtime == "process":
        directory, hint = base_directory / spec.kafka.distribution, "unpack a Kafka there, or remove the key"
        found = list(_directory(("kafka", "distribution"), base_directory, spec.kafka.distribution, hint))
        if not found and not any(directory.glob("libs/*.jar")):
            message = f"there is no Kafka in {directory}: it has no jars in libs"
            found = [Finding(("kafka", "distribution"), message, hint)]
        yield from found
    if spec.storage not in ("volume", "memory"):
        yield from _creatable(("storage",), base_directory, spec.storage)


def _directory(path: tuple[str, ...], base_directory: Path, written: str, hint: str) -> Iterator[Finding]:
    directory = base_directory / written
    if not os.path.lexists(directory):
        yield _not_there(path, f"there is no directory {directory}", written, hint)
    elif not directory.exists():
        yield Finding(path, f"{directory} is a link to something that is not there", hint)
    elif not directory.is_dir():
        yield Finding(path, f"{directory} is not a directory", hint)
    elif not os.access(directory, os.R_OK | os.X_OK):
        yield Finding(path, f"{directory} cannot be read: no permission", "give yourself the permission")


def _not_there(path: tuple[str | int, ...], message: str, written: str, hint: str) -> Finding:
    if is_at_home(written):
        return Finding(path, message, AT_HOME)
    return Finding(path, f"{message} ({FROM_FILE})", hint)


def _creatable(path: tuple[str, ...], base_directory: Path, written: str) -> Iterator[Finding]:
    """`up` creates the directory, but not where something else is in the way, or with a name that is too long."""
    directory = base_directory / written
    if is_at_home(written) and not os.path.lexists(base_directory / Path(written).parts[0]):
        yield Finding(path, f"there is no directory {base_directory / Path(written).parts[0]}", AT_HOME)
        return
    for place in (directory, *directory.parents):
        if os.path.isdir(place):  # noqa: PTH112 unlike `Path.is_dir`, it raises nothing
            yield from _too_long(path, directory, place)
            return
        if os.path.lexists(place):
            there = os.path.exists(place)  # noqa: PTH110 as above
            what = "is not a directory" if there else "is a link to something that is not there"
            yield Finding(path, f"{place} {what}", "name another directory")
            return


def _too_long(path: tuple[str, ...], directory: Path, there: Path) -> Iterator[Finding]:
    """What the file system of `there` has no room for: a name, or a path to what Kafka creates in the directory."""
    if not hasattr(os, "pathconf"):
        return
    longest = os.pathconf(there, "PC_NAME_MAX")
    room = os.pathconf(there, "PC_PATH_MAX") - 2 * longest
    named = [(f"the name {part[:_SHOWN]}…", part, longest) for part in directory.relative_to(there).parts]
    for what, text, most in (*named, (f"the path {str(directory)[:_SHOWN]}…", str(directory), room)):
        if (length := len(os.fsencode(text))) > most:
            message = f"{what} is too long: it has {length} bytes, and {most} is the most"
            yield Finding(path, message, "name another directory")
            return


def record_files(spec: EnvironmentSpec, base_directory: Path) -> Iterator[Finding]:
    """What is wrong with the files of records of a spec; relative ones are below `base_directory`."""
    for index, topic in enumerate(spec.topics):
        if topic.records is None:
            continue
        path = ("topics", index, "records")
        if topic.records.format is None and format_of(topic.records.file) is None:
            hint = f"give it the key `format` ({', '.join(FORMATS)}), or one of the endings {SUFFIXES}"
            yield Finding(path, f"the name of {topic.records.file} does not say what format it has", hint)
        else:
            yield from _content(spec, index, record_file(topic.records, base_directory), topic.records.file)


def record_file(records: RecordsSpec, base_directory: Path) -> RecordFile:
    """The file of records that a topic names."""
    path = base_directory / records.file
    return RecordFile(str(path), records.format or format_of(records.file) or FORMATS[0], records.key)


def _content(spec: EnvironmentSpec, index: int, file: RecordFile, written: str) -> Iterator[Finding]:
    path = ("topics", index, "records")
    if not os.path.lexists(file.path):
        yield _not_there(path, f"there is no file {file.path}", written, "create it, or remove the key")
        return
    if why := unreadable(Path(file.path)):
        yield Finding(path, f"{file.path} {why}", "name a file that can be read")
        return
    try:
        config = spec.topic_defaults.config | spec.topics[index].config
        file.check(Takes.of(partitions_of(spec, index), config), _CHECKED_RECORDS)
    except BadRecord as error:
        yield Finding(path, f"{file.path}, line {error.line}: {error}", error.hint)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        yield Finding(path, f"{file.path} cannot be read: {why}", "name a file that can be read")
