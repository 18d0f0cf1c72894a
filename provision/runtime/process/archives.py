"""The archives of nodes that are processes: files in the cache, by a digest of what they are for.

A file counts only if it is this user's, and is as its note says; the note is written last. So a half-written, damaged
or foreign file is ignored, and replaced when the archive is made again.
"""

import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from msgspec import Struct
from pydantic import Field

from provision.cluster.model import Cluster, Node
from provision.common.clocks import now_s
from provision.common.notes import Note, Seconds
from provision.common.own_directories import is_own, make_own, remove_tree, require_no_trap
from provision.common.whole_files import read_whole, write_whole
from provision.errors import ProvisionError, Refused, Unavailable
from provision.home.place import Home
from provision.runtime import archives
from provision.runtime.archives import Archive, Archives, Left
from provision.runtime.process import processes
from provision.runtime.process.java import Java, find_java, variables
from provision.runtime.process.notes import NodeNote, known
from provision.runtime.process.places import Places

_SUFFIX, _NOTE_SUFFIX, _DRAFT = ".jsa", ".json", ".new"
_MAKE_TIMEOUT_S, _TRY_TIMEOUT_S = 600, 60
_UNFINISHED_S = 3600.0
"""For how long an archive without a note is left alone: somebody may be about to write one."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _Note(Note):
    """The note beside an archive: what it is for, and its size, time and checksum."""

    kind: str
    software: str
    java: str
    java_version: int
    libs: str
    made_s: Seconds
    size: Annotated[int, Field(ge=1)]
    mtime_ns: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Purpose(Struct, frozen=True):
    """What an archive is for; `class_path` has every jar, and `jars` are those of `libs`."""

    kind: str
    software: str
    java: Java
    libs: Path
    jars: tuple[Path, ...]

    @property
    def class_path(self) -> str:
        return os.pathsep.join(jar.as_posix() for jar in self.jars)

    @property
    def digest(self) -> str:
        what = [self.kind, _identity(Path(self.java.command)), list(map(_stamp, self.jars))]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


class ProcessArchives(Archives):
    """The archives in the cache of a home."""

    class_list = "classes.list"  # in the node's own directory, where its JVM is started

    def __init__(self, home: Home, places: Places) -> None:
        self._cache, self._places = home.cache, places

    @property
    def _directory(self) -> Path:
        return self._cache / "archives"

    # -- use ----------------------------------------------------------------------------------------------------------

    def launched(self, note: NodeNote, java: Java, directory: Path) -> tuple[str, ...]:
        """The arguments of a node's JVM: with every jar named, sorted, and with its archive, if there is one."""
        (directory / "log" / archives.CDS_LOG).unlink(missing_ok=True)
        libs = archives.class_path_of(note.arguments)
        jars = _jars(libs)
        if not jars:  # the JVM says what it misses
            return note.arguments
        purpose = _Purpose(note.archive, note.software, java, Path(libs).parent, jars)
        arguments = archives.with_class_path(note.arguments, purpose.class_path)
        if not (note.archive and archives.takes_archive(arguments) and java.version >= archives.FIRST_JAVA):
            return arguments
        if self._whole(purpose) is None:
            return arguments
        file, log = self._file(purpose).as_posix(), f"log/{archives.CDS_LOG}"
        return (*archives.options(file, log, java.version), *arguments)

    def unused(self, name: str) -> dict[str, str]:
        """Read it from what the JVMs have written."""
        home, found = self._places.environment(name), {}
        for node in sorted(self._places.storages(name)):
            with suppress(OSError):  # it started without one
                log = read_whole(home / node / "log" / archives.CDS_LOG, archives.LARGEST_LOG)
                found[node] = archives.why_unused(log.decode(errors="replace"))
        return {node: why for node, why in found.items() if why}

    # -- make ---------------------------------------------------------------------------------------------------------

    def fitting(self, cluster: Cluster, node: Node) -> Archive | None:
        """Ask Java itself."""
        purpose = self._purpose(cluster, node)
        note = self._whole(purpose)
        if note is None or not _succeeds(
            purpose.java, archives.trying(self._file(purpose).as_posix(), purpose.class_path)
        ):
            return None
        return self._archive(purpose, note)

    def lacks(self, cluster: Cluster, node: Node) -> bool:
        """Look into the cache."""
        if not archives.takes_archive(node.java_args):
            return False
        try:
            purpose = self._purpose(cluster, node)
        except Unavailable:  # its Java is too old, or gone
            return False
        return bool(purpose.jars) and self._whole(purpose) is None

    def make(self, cluster: Cluster, node: Node, trained: str) -> Archive:
        """Make it next to its place, and move it there when it is whole and Java takes it."""
        purpose = self._purpose(cluster, node)
        classes = self._places.environment(trained) / node.role.node(1) / self.class_list
        directory = self._made()
        draft = directory / f"{purpose.digest}.{os.getpid()}-0{_DRAFT}"
        try:
            arguments = archives.making(classes.as_posix(), draft.as_posix(), purpose.class_path)
            # With the mark, it ends with the throwaway environment.
            _run(purpose.java, (processes.tool_mark(self._places.environment(trained)), *arguments))
            if not _succeeds(purpose.java, archives.trying(draft.as_posix(), purpose.class_path)):
                raise ProvisionError(f"the archive for {purpose.kind} does not fit the Java that made it")
            with draft.open("rb") as stream:
                checksum = hashlib.file_digest(stream, "sha256").hexdigest()
            file = self._file(purpose)
            if file.is_dir():
                remove_tree(file)
            draft.replace(file)
        except OSError as error:
            raise ProvisionError(f"cannot keep an archive in {directory}", why=error.strerror or str(error)) from error
        finally:
            draft.unlink(missing_ok=True)
        kept = file.stat()
        note = _Note(
            kind=purpose.kind,
            software=purpose.software,
            java=purpose.java.command,
            java_version=purpose.java.version,
            libs=purpose.libs.as_posix(),
            made_s=now_s(),
            size=kept.st_size,
            mtime_ns=kept.st_mtime_ns,
            sha256=checksum,
        )
        write_whole(file.with_suffix(_NOTE_SUFFIX), note.model_dump_json(indent=2))
        self._remove_stale(purpose)
        return self._archive(purpose, note)

    def _remove_stale(self, purpose: _Purpose) -> None:
        """Remove those for the same that no longer fit, because the Java or the jars at that place are others now."""
        for file in self._directory.glob(f"*{_NOTE_SUFFIX}"):
            note = known(file, _Note)
            same = note and (note.kind, note.java, note.libs) == (
                purpose.kind,
                purpose.java.command,
                purpose.libs.as_posix(),
            )
            if same and file.stem != purpose.digest:
                _remove(file.with_suffix(_SUFFIX), file)

    # -- remove -------------------------------------------------------------------------------------------------------

    def left(self) -> Iterator[Left]:
        """Those whose Java or jars are gone, or are others now; and what was never finished."""
        for file in sorted(self._directory.glob(f"*{_SUFFIX}")) if self._is_ours() else ():
            if why := _why_left(file):
                remove = partial(_remove_left, file)
                yield Left(str(file), why, remove, _made_s(file))

    def remove_all(self) -> int:
        """Remove the directory's own files, and the directory if nothing else is in it."""
        if not self._is_ours():
            return 0
        found = sorted(self._directory.glob(f"*{_SUFFIX}"))
        _remove(
            *(file for kind in (_SUFFIX, _NOTE_SUFFIX, _DRAFT, ".lock") for file in self._directory.glob(f"*{kind}"))
        )
        with suppress(OSError):
            self._directory.rmdir()
        return len(found)

    # -- what is there ------------------------------------------------------------------------------------------------

    def _purpose(self, cluster: Cluster, node: Node) -> _Purpose:
        java = find_java(cluster.version)
        if java.version < archives.FIRST_JAVA:
            raise Unavailable(
                f"there are no archives for Java {java.version}",
                why=f"its JVM cannot make them; {java.found_in} has it",
                hint=f"nodes start without one; use Java {archives.FIRST_JAVA} or later",
            )
        libs = archives.class_path_of(node.java_args)
        return _Purpose(archives.kind_of(cluster, node), node.software, java, Path(libs).parent, _jars(libs))

    def _file(self, purpose: _Purpose) -> Path:
        return self._directory / f"{purpose.digest}{_SUFFIX}"

    def _whole(self, purpose: _Purpose) -> _Note | None:
        """The note of an archive that is there, ours, and as the note says."""
        if not self._is_ours():
            return None
        file = self._file(purpose)
        note = known(file.with_suffix(_NOTE_SUFFIX), _Note)
        return note if note and note.kind == purpose.kind and _is_as_noted(file, note) else None

    def _is_ours(self) -> bool:
        with suppress(Refused, ProvisionError):
            require_no_trap(self._cache)
            return is_own(self._directory, below=self._cache)
        return False

    def _made(self) -> Path:
        try:
            return make_own(self._directory, below=self._cache)
        except OSError as error:
            raise ProvisionError(f"cannot use {self._directory}", why=error.strerror or str(error)) from error

    def _archive(self, purpose: _Purpose, note: _Note) -> Archive:
        return Archive(purpose.kind, purpose.software, purpose.java.version, note.size, str(self._file(purpose)))


def _why_left(file: Path) -> str:
    """Why no node can use an archive; empty if one can, or if that may just be in the making."""
    note = known(file.with_suffix(_NOTE_SUFFIX), _Note)
    if note is None:
        is_young = now_s() - (_made_s(file) or 0) < _UNFINISHED_S
        return "" if is_young else "it has no note that says what it is for"
    if not Path(note.java).exists():
        return f"its Java {note.java} is gone"
    if not (jars := _jars(f"{note.libs}/*")):
        return f"its jars in {note.libs} are gone"
    now = _Purpose(note.kind, note.software, Java(note.java, note.java_version, ""), Path(note.libs), jars)
    return "" if now.digest == file.stem else f"its Java {note.java} or its jars in {note.libs} are others now"


def _remove_left(file: Path) -> bool:
    is_left = file.exists() and bool(_why_left(file))
    if is_left:
        _remove(file, file.with_suffix(_NOTE_SUFFIX))
    return is_left


def _made_s(file: Path) -> float | None:
    with suppress(OSError):
        return file.lstat().st_mtime
    return None


def _jars(class_path: str) -> tuple[Path, ...]:
    """The jars that `DIRECTORY/*` stands for, sorted: a JVM itself takes them in the order of the file system."""
    directory, star, _ = class_path.rpartition("/*")
    with suppress(OSError):
        return tuple(sorted(jar for jar in Path(directory).iterdir() if jar.suffix in (".jar", ".JAR"))) if star else ()
    return ()


def _identity(command: Path) -> list[object]:
    """What a JVM compares: itself, and the classes that it comes with."""
    home = command.resolve().parent.parent
    parts = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll", "lib/modules", "release")
    return [str(home), [_stamp(home / part) for part in parts]]


def _stamp(file: Path) -> tuple[str, int, int]:
    """A file's path, size, and time in seconds: what a JVM compares of a jar."""
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0
    return file.as_posix(), found.st_size, int(found.st_mtime)


def _is_as_noted(file: Path, note: _Note) -> bool:
    """Whether it is an archive of this user alone with the noted content; it is read if its time has changed."""
    with suppress(OSError):
        found = file.lstat()
        ours = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE)
        if not (stat.S_ISREG(found.st_mode) and ours and found.st_size == note.size):
            return False
        with file.open("rb") as stream:
            if not archives.is_archive(stream.read(4)):
                return False
            stream.seek(0)
            return (
                found.st_mtime_ns == note.mtime_ns or hashlib.file_digest(stream, "sha256").hexdigest() == note.sha256
            )
    return False


def _remove(*files: Path) -> None:
    for file in files:
        with suppress(OSError):  # what cannot be removed is not used either
            file.unlink(missing_ok=True)


def _run(java: Java, arguments: Sequence[str]) -> None:
    code, output = _output(java, arguments, _MAKE_TIMEOUT_S)
    if code:
        raise ProvisionError("Java could not make the archive", why="\n".join(_said(output))[-2000:])


def _said(output: str) -> Iterator[str]:
    return (line for line in output.splitlines() if line.strip())


def _succeeds(java: Java, arguments: Sequence[str]) -> bool:
    return _output(java, arguments, _TRY_TIMEOUT_S)[0] == 0


def _output(java: Java, arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
    try:
        done = subprocess.run(  # noqa: S603 the command is ours
            [java.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables(),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{java.command} did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise Unavailable(f"{java.command} cannot be run", why=error.strerror or str(error)) from error
    return done.returncode, done.stdout.decode(errors="replace")
