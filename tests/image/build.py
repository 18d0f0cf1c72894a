"""Build images laid out like the official ``apache/kafka`` from packages, pulling none.

Debian's Java runtime is bootstrapped once into a base image, and each Kafka version is a layer of
jars from Maven on top of it. What a test finds in such an image is what it finds in the official
one: user ``appuser`` (1000), jars in ``/opt/kafka/libs``, data in ``/var/lib/kafka/data``, the same
volumes and the same ``JAVA_HOME``. Only the start scripts are missing. The jars are those of the
program's own cache, so that no version is downloaded twice.

On the command line: ``python -m tests.image.build 3.9.1 2.8.2``.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from filelock import BaseFileLock, FileLock

from provision.catalogue.versions import KafkaVersion, coordinates
from provision.errors import Unavailable
from provision.events import silent
from provision.home.place import Home
from provision.runtime import jars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from docker import DockerClient

BASE_REPOSITORY = "kafka-provision-test-base"
REPOSITORY = "kafka-provision-test"
RECIPE_LABEL = "kafka-provision-test.recipe"
LOCK_TIMEOUT_S = 600

# "$1" is the root of the new system. JAVA_HOME gets the official image's path, so that nothing
# depends on Debian's, which names the processor.
_SETUP_HOOKS = (
    'chroot "$1" useradd --uid 1000 --user-group --home-dir /home/appuser --create-home appuser',
    'cd "$1" && mkdir -p opt/kafka/libs opt/java etc/kafka/secrets mnt/shared/config var/lib/kafka/data',
    'cd "$1" && chown -R 1000:1000 opt/kafka etc/kafka mnt/shared var/lib/kafka',
    'cd "$1" && ln -s ../../usr/lib/jvm/java-17-openjdk-* opt/java/openjdk',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*',
)

# The manual pages' directory stays: openjdk's installation fails without /usr/share/man/man1.
_BOOTSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=openjdk-17-jre-headless",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    *(f"--customize-hook={hook}" for hook in _SETUP_HOOKS),
    "bookworm",
)

# The volumes are the official image's: tests have to see the anonymous ones that it leaves behind.
_DOCKERFILE = f"""\
FROM {BASE_REPOSITORY}
ENV JAVA_HOME=/opt/java/openjdk \
PATH=/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY libs /opt/kafka/libs
EXPOSE 9092
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
USER appuser
"""


class ImageBuildError(Exception):
    """An image could not be built, for a reason that a person can act on."""


def ensure_image(version: str) -> str:
    """Return the tag of the image for a Kafka version such as ``3.9.1``, building it if need be.

    An image made by the same recipe is reused, so a second call costs one question to the engine.
    """
    client = _connect()
    try:
        with _alone(f"{REPOSITORY}-{version}"):
            return _ensure_kafka(client, version)
    except APIError as error:
        message = f"the Docker engine refused a step of the image for Kafka {version}: {error}"
        raise ImageBuildError(message) from error
    finally:
        client.close()


def _alone(image: str) -> BaseFileLock:
    """Return the lock that whoever builds that image holds: tests run in several processes."""
    directory = Home.of_user().cache
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / f"{image}.lock", timeout=LOCK_TIMEOUT_S)


def _connect() -> DockerClient:
    """Return a client of the engine that the environment points to, once it has answered."""
    try:
        # Building sends hundreds of megabytes, and the engine answers only when it has stored them.
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        message = f"no Docker engine answers: {error}"
        raise ImageBuildError(message) from error
    return client


def _ensure_base(client: DockerClient) -> None:
    """Make sure that the base image with the Java runtime is there."""
    recipe = _fingerprint(_BOOTSTRAP)
    with _alone(BASE_REPOSITORY):
        if not _is_current(client, BASE_REPOSITORY, recipe):
            _build_base(client, recipe)


def _build_base(client: DockerClient, recipe: str) -> None:
    """Bootstrap the base image and import it."""
    if shutil.which(_BOOTSTRAP[0]) is None:
        message = "mmdebstrap is not installed: apt-get install mmdebstrap"
        raise ImageBuildError(message)
    _say(f"{BASE_REPOSITORY}: bootstrapping Debian with a Java runtime")
    started = time.monotonic()
    # A file in between, not a pipe: a bootstrap that fails half-way must not become an image.
    with tempfile.TemporaryDirectory() as directory:
        root = f"{directory}/root.tar"
        try:
            subprocess.run([*_BOOTSTRAP, root], check=True)
        except subprocess.CalledProcessError as error:
            message = f"mmdebstrap failed with exit code {error.returncode}; its messages are above"
            raise ImageBuildError(message) from error
        _say(f"{BASE_REPOSITORY}: importing it")
        client.api.import_image_from_file(
            root,
            repository=BASE_REPOSITORY,
            tag="latest",
            changes=[f"LABEL {RECIPE_LABEL}={recipe}"],
        )
    # The engine reports a failed import inside an answer that says success.
    if not _is_current(client, BASE_REPOSITORY, recipe):
        message = f"the Docker engine did not import {BASE_REPOSITORY}"
        raise ImageBuildError(message)
    _say(f"{BASE_REPOSITORY}: done in {time.monotonic() - started:.0f} s")


def _ensure_kafka(client: DockerClient, version: str) -> str:
    """Make sure that the image of one Kafka version is there, and its base if need be; return its tag."""
    tag = f"{REPOSITORY}:{version}"
    try:
        parsed = KafkaVersion.parse(version)
    except ValueError as error:
        raise ImageBuildError(str(error)) from error
    recipe = _fingerprint([*_BOOTSTRAP, _DOCKERFILE, *coordinates(parsed)])
    if _is_current(client, tag, recipe):
        _say(f"{tag}: up to date")
        return tag
    started = time.monotonic()
    libs = _ensure_base_and_jars(client, parsed)
    _say(f"{tag}: building with {len(libs)} jars")
    with tempfile.TemporaryFile() as context:
        _write_context(context, libs)
        try:
            client.images.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                labels={RECIPE_LABEL: recipe},
                rm=True,
                forcerm=True,
            )
        except BuildError as error:
            message = f"the Docker engine could not build {tag}: {error}"
            raise ImageBuildError(message) from error
    _say(f"{tag}: done in {time.monotonic() - started:.0f} s")
    return tag


def _ensure_base_and_jars(client: DockerClient, version: KafkaVersion) -> list[Path]:
    """Bring both at the same time, for each waits for the network; return the jars sorted by name."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        fetched = pool.submit(jars.fetch, version, Home.of_user().jars(version), silent)
        _ensure_base(client)
        try:
            return sorted(fetched.result().glob("*.jar"))
        except Unavailable as error:
            message = f"{error.what}: {error.why}"
            raise ImageBuildError(message) from error


def _write_context(target: IO[bytes], libs: Iterable[Path]) -> None:
    """Write the builder's input, a Dockerfile and the jars, as a tar archive; rewind it.

    Owner, mode and time are fixed, so that the same jars always make the same layer.
    """
    with tarfile.open(fileobj=target, mode="w") as archive:
        dockerfile = _DOCKERFILE.encode()
        archive.addfile(_entry("Dockerfile", len(dockerfile)), io.BytesIO(dockerfile))
        for jar in libs:
            with jar.open("rb") as content:
                archive.addfile(_entry(f"libs/{jar.name}", jar.stat().st_size), content)
    target.seek(0)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """Describe one file of the builder's input: of root, readable by all, from 1970."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def _is_current(client: DockerClient, tag: str, recipe: str) -> bool:
    """Tell whether the tag names an image that this very recipe made."""
    try:
        return client.images.get(tag).labels.get(RECIPE_LABEL) == recipe
    except ImageNotFound:
        return False


def _fingerprint(recipe: Sequence[str]) -> str:
    """Hash all that decides what an image contains."""
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()


def _say(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


def main(versions: Sequence[str]) -> int:
    """Build the images of the given Kafka versions; return the exit code."""
    if not versions:
        print("usage: python -m tests.image.build VERSION...", file=sys.stderr)
        return 2
    try:
        for version in versions:
            ensure_image(version)
    except ImageBuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
