"""Images without a registry, on a real engine: built, used, saved, loaded, and refused."""

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from provision.runtime.docker.containers import ENVIRONMENT
from tests.engine import Provision, engine, image, wait_until, write_environment
from tests.image.build import BASE_REPOSITORY

pytestmark = pytest.mark.engine

NAME = "provision-e2e/kafka:3.9.1"
JAVALESS = "provision-e2e/javaless:1"
FILE = f"""
kafka: {{image: "{NAME}"}}
zookeeper: {{port: auto}}
brokers: {{nodes: 1, port: auto}}
topics: [{{name: orders}}]
"""
BUILD = ("image", "build", "3.9.1", "--tag", NAME)


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provision]:
    """Only on an engine, where the base of the tests' own images is."""
    image()
    before = _unowned()
    yield Provision(tmp_path_factory.mktemp("home"), own_image=False)
    for name in (NAME, JAVALESS):
        _forget(name)
    # Other tests build images at the same time, whose steps come and go.
    assert wait_until(lambda: _unowned() <= before), _unowned() - before


def _unowned() -> frozenset[str]:
    """The containers of no environment, and the images that have no name and are part of none that has one."""
    api = engine().api
    containers = {thing["Id"] for thing in api.containers(all=True) if ENVIRONMENT not in (thing["Labels"] or {})}
    images = {each["Id"]: each for each in api.images(all=True)}
    part = set()
    for each in images.values():
        if any(name != "<none>:<none>" for name in each["RepoTags"] or ()):
            identity = each["Id"]
            while identity in images and identity not in part:
                part.add(identity)
                identity = images[identity]["ParentId"]
    return frozenset(containers | (images.keys() - part))


def _forget(name: str) -> None:
    try:
        engine().api.remove_image(name)
    except ImageNotFound:
        return


def _layers() -> list[str]:
    layers: list[str] = engine().api.inspect_image(NAME)["RootFS"]["Layers"]
    return layers


@pytest.mark.matrix
def test_from_a_base_to_a_cluster_and_through_a_file_to_another_machine(provision: Provision, tmp_path: Path) -> None:
    built = json.loads(provision.ok(*BUILD, "--base", BASE_REPOSITORY, "-o", "json"))
    assert built == {"name": NAME, "version": "3.9.1", "base": BASE_REPOSITORY, "changed": True}
    layers = _layers()
    assert "nothing to build" in provision.ok_err(*BUILD, "--base", BASE_REPOSITORY)
    env = write_environment(tmp_path, "airgapped", FILE)
    provision.ok("up", env)
    assert provision.ok("tool", env, "kafka-topics", "--", "--list").split() == ["orders"]
    shown = {each["name"]: each for each in json.loads(provision.ok("image", "list", "-o", "json"))}
    assert shown[NAME]["environments"] == ["airgapped"]
    assert shown[NAME]["version"] == "3.9.1"
    assert shown[NAME]["base"] == BASE_REPOSITORY
    provision.ok("down", env)

    archive = tmp_path / "kafka.tar"
    with archive.open("wb") as file:
        file.writelines(engine().api.get_image(NAME))
    _forget(NAME)
    assert NAME not in provision.ok("image", "list")
    assert [line.split() for line in provision.ok("image", "load", str(archive)).splitlines()[1:]] == [
        [NAME, "3.9.1", "yes"]
    ]
    assert _layers() == layers

    _forget(NAME)  # with all that the builder could take from its cache
    provision.ok(*BUILD, "--base", BASE_REPOSITORY)
    assert _layers() == layers


@pytest.mark.matrix
def test_a_running_tool_does_not_speak_for_its_environment(provision: Provision, tmp_path: Path) -> None:
    provision.ok(*BUILD, "--base", BASE_REPOSITORY)
    env = write_environment(tmp_path, "tooled", FILE)
    provision.ok("up", env)
    with provision.start("tool", env, "kafka-console-consumer", "--", "--topic", "orders") as tool:
        labels = ["provision.role=tool", f"{ENVIRONMENT}=tooled"]
        assert wait_until(lambda: bool(engine().api.containers(filters={"label": labels})))
        assert provision("plan", env, "--detailed-exitcode").code == 0
        tool.send_signal(signal.SIGINT)
    provision.ok("down", env)


def test_what_has_no_java_is_refused_as_base_and_as_archive(provision: Provision) -> None:
    dockerfile = io.BytesIO(b"FROM scratch\nLABEL of=tests\n")
    list(engine().api.build(fileobj=dockerfile, tag=JAVALESS, rm=True, decode=True))
    refused = provision(*BUILD, "--base", JAVALESS)
    assert refused.code == 69
    assert f"the image {JAVALESS} has no Java" in refused.err
    assert "Kafka 3.9.1 needs Java 8 to 21" in refused.err


def test_a_name_that_is_taken_by_another_image_is_refused(provision: Provision) -> None:
    before = engine().api.inspect_image(BASE_REPOSITORY)["Id"]
    refused = provision("image", "build", "3.9.1", "--base", BASE_REPOSITORY, "--tag", BASE_REPOSITORY)
    assert refused.code == 4
    assert engine().api.inspect_image(BASE_REPOSITORY)["Id"] == before


def test_archives_that_cannot_be_used_are_told(provision: Provision, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no archive\n" * 100)
    refused = provision("image", "load", str(text))
    assert refused.code == 1
    assert f"{text} is not an archive of images" in refused.err
    archive = tmp_path / "base.tar"
    with archive.open("wb") as file:
        file.writelines(engine().api.get_image(BASE_REPOSITORY))
    other = provision("image", "load", str(archive), "-o", "json")
    assert other.code == 1
    assert [each["usable"] for each in json.loads(other.out)] == [False]
    assert "brought no image of Kafka" in other.err
