"""`lock` and `up --frozen` with real images and jars: another byte is refused by name, and nothing is left."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from tests.engine import DEFAULT_VERSION, Provision, engine, image, write_environment

SMALL = "zookeeper: {port: auto}\nbrokers: {port: auto}\n"
REPOSITORY = "kafka-provision-lock-test"
NAME = f"{REPOSITORY}:1"
JAR = f"kafka-clients-{DEFAULT_VERSION}.jar"
ON_DOCKER = pytest.mark.parametrize(
    "provision", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True, scope="module"
)
AS_PROCESSES = pytest.mark.parametrize(
    "provision", [pytest.param("process", marks=pytest.mark.process)], indirect=True, scope="module"
)
NOT_READY = ("--until", "process")


def _refused(provision: Provision, env: str) -> str:
    """What a refused `up --frozen` says; it leaves nothing."""
    result = provision("up", env, "--frozen")
    assert result.code == 4, result.err
    assert provision.traces(Path(env).stem) == []
    return result.err


@pytest.mark.group(process="matrix")
def test_what_is_locked_comes_up_and_a_second_lock_changes_nothing(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "locked", SMALL)
    assert "has no lock" in _refused(provision, env)
    provision.ok("lock", env)
    written = (tmp_path / "locked.lock.yaml").read_text()
    assert json.loads(provision.ok("lock", env, "-o", "json"))["changed"] is False
    provision.ok("lock", env, "--check")
    assert (tmp_path / "locked.lock.yaml").read_text() == written
    assert "://" not in written
    assert str(tmp_path) not in written
    provision.ok("up", env, "--frozen", *NOT_READY)
    assert "nothing to change" in provision.ok_err("up", env, "--frozen", *NOT_READY)
    provision.ok("down", env)


@contextmanager
def _another_image() -> Iterator[str]:
    """The id of an image that differs from the tests' own in a label."""
    api = engine().api
    container = api.create_container(image(), "true")["Id"]
    try:
        made: str = api.commit(container, changes="LABEL another=true")["Id"]
    finally:
        api.remove_container(container, v=True)
    try:
        yield made
    finally:
        for name in (made, NAME):
            with suppress(ImageNotFound):
                api.remove_image(name, force=True)


@ON_DOCKER
def test_an_image_that_is_another_than_locked_is_refused(provision: Provision, tmp_path: Path) -> None:
    api = engine().api
    plain = Provision(provision.home, started=provision.started, own_image=False)
    env = write_environment(tmp_path, "retagged", f"{SMALL}kafka: {{image: '{NAME}'}}\n")
    own = api.inspect_image(image())["Id"]
    with _another_image() as another:
        api.tag(own, REPOSITORY, "1")
        plain.ok("lock", env)
        api.tag(another, REPOSITORY, "1")
        assert f"image {NAME}: locked {own}, found {another}" in _refused(plain, env)
        assert plain("lock", env, "--check").code == 4
        plain.ok("up", env, *NOT_READY)
        api.tag(own, REPOSITORY, "1")
        running = plain("up", env, "--frozen", *NOT_READY)
        assert running.code == 4
        assert f"broker-1, image {NAME}: locked {own}, found {another}" in running.err
        plain.ok("down", env)
        api.remove_image(NAME)
        missing = _refused(plain, env)
        assert f"image {NAME}: locked {own}, not there" in missing
        assert "`provision image load`" in missing


def _kafka_of_links(provision: Provision, directory: Path) -> Path:
    """The cached jars again, and their manifest, in a directory of our own."""
    cached = Path(provision.ok_err("fetch", DEFAULT_VERSION).rpartition(" in ")[2].strip())
    shutil.copytree(cached, directory, copy_function=os.symlink)
    return directory / JAR


def _change_one_byte(jar: Path) -> None:
    """Where neither size nor time tells it."""
    content, times = bytearray(jar.read_bytes()), jar.stat()
    content[len(content) // 2] ^= 1
    jar.unlink()
    jar.write_bytes(content)
    os.utime(jar, ns=(times.st_atime_ns, times.st_mtime_ns))


@AS_PROCESSES
@pytest.mark.matrix
@pytest.mark.parametrize("place", ["cache", "distribution"])
def test_a_jar_with_another_byte_is_refused(provision: Provision, tmp_path: Path, place: str) -> None:
    if place == "cache":
        jar = _kafka_of_links(provision, tmp_path / "cache" / "kafka" / DEFAULT_VERSION)
        more, environment = "", {"PROVISION_CACHE": str(tmp_path / "cache")}
    else:
        jar = _kafka_of_links(provision, tmp_path / "kafka" / "libs")
        more, environment = "kafka: {distribution: ./kafka}\n", {}
    own = Provision(provision.home, "process", environment=environment, started=provision.started)
    env = write_environment(tmp_path, f"changed-{place}", f"runtime: process\n{SMALL}{more}")
    own.ok("lock", env)
    own.ok("plan", env, "--frozen")
    _change_one_byte(jar)
    told = _refused(own, env)
    assert f"  jar {JAR}: locked sha256:" in told
    assert told.count("  jar ") == 1
