"""Kafka's jars: resolved by Maven coordinates once, verified, and kept in a cache that all environments share.

A version is in the cache if its directory has a manifest, which is written last, and every file matches the manifest.
So an interrupted fetch does not count, and a jar that was changed or truncated later is noticed before it is used.
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from provision.catalogue.versions import RELOCATED, KafkaVersion, coordinates, version_of
from provision.cluster.identity import Identities, Identity
from provision.common.notes import DamagedNote, Note, read_note
from provision.common.offloading import result_of
from provision.common.own_directories import remove_tree, require_trusted
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import ProvisionError, Unavailable
from provision.events import Fetching, Listener, Notice
from provision.home.usable import HINT, made

if TYPE_CHECKING:
    from jgo.maven import Artifact


class _Jar(Note):
    size: int
    mtime_ns: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_MANIFEST = "manifest.json"
_Manifest = dict[Annotated[str, Field(pattern=r"^[^/\\]+$")], _Jar]
_TRIES = 3
_LOCK_TIMEOUT_S = 900
_TELL_EVERY_S = 1.0
_DOWNLOADS = 8
_DESCRIPTIONS = "POMs"
_OF_VERSION = (".lock", ".new", ".maven")
"""What stands beside the directory of a version while it is fetched."""


def is_jar(file: Path) -> bool:
    """Whether `-cp DIRECTORY/*` means it."""
    return file.suffix in (".jar", ".JAR")


def is_whole(directory: Path) -> bool:
    """Whether every jar is as it was fetched. Files with unchanged size and time are not read again."""
    try:
        manifest = read_note(directory / _MANIFEST, _Manifest) or {}
        if not manifest or manifest.keys() != {entry.name for entry in directory.iterdir() if is_jar(entry)}:
            return False  # what is not noted would be on the class path as well
        return all(_is_as_noted(directory / name, note) for name, note in manifest.items())
    except (OSError, DamagedNote):
        return False


def _is_as_noted(jar: Path, note: _Jar) -> bool:
    found = jar.stat()
    if found.st_size != note.size:
        return False
    return found.st_mtime_ns == note.mtime_ns or _sha256(jar) == note.sha256


def identify(libs: Path) -> Identities:
    """The identity of every jar on a directory's class path (`-cp LIBS/*`), always read again; empty if it is missing.

    Raises:
        ProvisionError: one cannot be read.
    """
    try:
        found = sorted(libs.iterdir()) if libs.is_dir() else []
        return {jar.name: Identity(f"sha256:{_sha256(jar)}") for jar in found if is_jar(jar)}
    except OSError as error:
        raise ProvisionError(f"cannot read the jars in {libs}", why=error.strerror or str(error)) from error


def fingerprint(directory: Path) -> str:
    """One hash (sha256, hexadecimal) over the names and contents of all jars: the same on every machine."""
    manifest = read_note(directory / _MANIFEST, _Manifest) or {}
    contents = {name: note.sha256 for name, note in manifest.items()}
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def fetch(version: KafkaVersion, directory: Path, tell: Listener) -> Path:
    """Fetch the jars of a version into their cache directory, and return it. Does nothing if they are complete.

    Raises:
        Refused: somebody else may have put something there.
        Unavailable: they are not there and cannot be fetched.
    """
    from filelock import Timeout

    try:
        made(directory.parent)
        require_trusted(directory, below=directory.parent.parent)
        with _alone(version, directory, tell):
            if not is_whole(directory):
                if directory.exists():
                    tell(Notice(f"the cached jars of Kafka {version} are damaged: fetching them again"))
                _fetch(version, directory, tell)
    except Timeout as error:
        raise Unavailable("another command is fetching Kafka and does not end") from error
    except OSError as error:
        what = f"cannot keep Kafka {version} in {directory}"
        hint = HINT if isinstance(error, PermissionError) else ""
        raise Unavailable(what, why=error.strerror or str(error), hint=hint) from error
    return directory


@contextmanager
def _alone(version: KafkaVersion, directory: Path, tell: Listener) -> Iterator[None]:
    """Have the version alone; while another command has it, `tell` hears so, and may end the wait.

    Raises:
        Timeout: the other command does not end.
    """
    from filelock import FileLock, Timeout

    what, lock, patience = f"Kafka {version}", FileLock(f"{directory}.lock"), Patience(_LOCK_TIMEOUT_S)
    is_told = False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_TELL_EVERY_S)
        except Timeout:
            if patience.is_over:
                raise
            if not is_told:
                tell(Notice(f"another command is fetching {what}: waiting for it"))
            is_told = True
            tell(Fetching(what, 0, 0, _DESCRIPTIONS))
    try:
        yield
    finally:
        lock.release()


def remove_all(directory: Path) -> tuple[str, ...]:
    """Remove the fetched jars of every version from the cache; returns the versions. Other things there stay.

    Raises:
        ProvisionError: something cannot be removed.
    """
    removed = []
    try:
        for entry in sorted(directory.iterdir()) if directory.is_dir() else ():
            version = next(
                (entry.name.removesuffix(end) for end in _OF_VERSION if entry.name.endswith(end)), entry.name
            )
            if version_of(version) is None or entry.is_symlink():
                continue
            if entry.name != version:
                remove_tree(entry)
            elif (entry / _MANIFEST).is_file():
                remove_tree(entry)
                removed.append(version)
    except OSError as error:
        raise ProvisionError(
            f"cannot remove {error.filename or directory}", why=error.strerror or str(error)
        ) from error
    with suppress(OSError):  # something else is in it, or it is not there
        directory.rmdir()
    return tuple(removed)


def left_fetches(cache: Path) -> Iterator[Path]:
    """What killed commands have left of downloads below the directory of all versions."""
    from filelock import FileLock, Timeout

    for left in sorted([*cache.glob("*.new"), *cache.glob("*.maven")]) if cache.is_dir() else ():
        with (
            suppress(Timeout, OSError),
            FileLock(f"{left.with_suffix('')}.lock", timeout=0),
        ):  # else it is being fetched
            yield left


def _fetch(version: KafkaVersion, directory: Path, tell: Listener) -> None:
    draft, repository = (directory.with_name(f"{directory.name}.{kind}") for kind in ("new", "maven"))
    for left in (draft, repository):  # by a killed command, perhaps with half a file
        shutil.rmtree(left, ignore_errors=True)
    try:
        jars = _download(version, repository, tell)
        draft.mkdir(parents=True)
        manifest = {}
        for jar in jars:
            keep = shutil.move if repository in jar.parents else shutil.copy2
            kept = Path(keep(jar, draft / jar.name))
            noted = kept.stat()
            manifest[jar.name] = {"size": noted.st_size, "mtime_ns": noted.st_mtime_ns, "sha256": _sha256(kept)}
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True))
        shutil.rmtree(directory, ignore_errors=True)
        draft.rename(directory)
    finally:
        shutil.rmtree(repository, ignore_errors=True)


def _download(version: KafkaVersion, repository: Path, tell: Listener) -> Sequence[Path]:
    """The jars, each one complete, in a Maven repository of our own, or in the user's if they are there already."""
    from xml.etree import ElementTree as ET

    import requests

    what = f"Kafka {version}"
    tell(Fetching(what, 0, 0, _DESCRIPTIONS))
    done = 0

    def bring(artifact: "Artifact") -> Path:
        nonlocal done
        jar = _whole(artifact, repository)
        done += 1
        tell(Fetching(what, done, len(artifacts), "jars"))
        return jar

    try:
        found = _artifacts(version, repository, lambda count: tell(Fetching(what, count, 0, _DESCRIPTIONS)))
        artifacts = [one for one in found if one.artifactId not in RELOCATED]
        tell(Fetching(what, 0, len(artifacts), "jars"))
        with ThreadPoolExecutor(max_workers=_DOWNLOADS) as pool:
            bringing = [pool.submit(bring, artifact) for artifact in artifacts]
            try:
                return [result_of(one) for one in bringing]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # those that have not begun
                raise
    except (requests.RequestException, ET.ParseError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"the jars of Kafka {version} are not in the cache and cannot be fetched",
            why=str(error).partition("\n")[0][:300],
            hint="check the network; or name an unpacked Kafka with kafka.distribution",
        ) from error


def _artifacts(version: KafkaVersion, repository: Path, count: Callable[[int], None]) -> "list[Artifact]":
    """Kafka's jars and all that they need, none fetched yet; `count` is told how many descriptions (POMs) were."""
    from jgo.constants import MAVEN_CENTRAL_URL, default_maven_repo
    from jgo.maven import MavenContext, PythonResolver
    from jgo.parse import Endpoint

    class Counting(PythonResolver):
        fetched = 0

        def download(self, artifact: "Artifact") -> Path | None:
            if artifact.packaging == "pom":
                self.fetched += 1
                count(self.fetched)
            return super().download(artifact)

    # The user's own repository is only read: what is fetched has one place, the cache.
    context = MavenContext(Counting(), repository, [default_maven_repo()], {"central": MAVEN_CENTRAL_URL})
    wanted = Endpoint.parse("+".join(coordinates(version))).coordinates
    named = [context.create_dependency(replace(one, scope=one.scope or "compile")) for one in wanted]
    inputs, needed = context.resolver.resolve(named)
    return [one.artifact for one in (*inputs, *(one for one in needed if one.scope in ("compile", "runtime")))]


def _whole(artifact: "Artifact", repository: Path) -> Path:
    """Resolve one jar. One that arrives cut off is fetched again; one that the user has cut off is left alone."""
    import requests

    failure: Exception = RuntimeError(f"{artifact.artifactId} arrives damaged")
    jar: Path | None = None
    for _ in range(_TRIES):
        try:
            if jar and repository not in jar.parents:
                artifact.context.resolver.download(artifact)
            jar = Path(artifact.resolve())
            with zipfile.ZipFile(jar) as archive:
                if archive.testzip() is None:
                    return jar
        except requests.RequestException as error:
            failure = error
        except (zipfile.BadZipFile, OSError):
            pass
        if artifact.cached_path:
            artifact.cached_path.unlink(missing_ok=True)
    raise failure


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
