"""Building, listing and loading images against a scripted engine: what is refused, and that nothing half made stays."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound, NotFound
from requests import Response

from provision.catalogue.versions import KafkaVersion
from provision.errors import ProvisionError, Refused, Unavailable, UsageError
from provision.events import ActionDone, Event, Fetching, silent
from provision.home.place import Home
from provision.runtime.docker import image_store
from provision.software import images

VERSION = KafkaVersion(3, 9, 1)
NAME = "provision/kafka:3.9.1"
BASE_ID, NEW_ID, STEP = "sha256:" + "b" * 64, "sha256:" + "e" * 64, "d" * 12
JAVA_17 = (0, 'openjdk version "17.0.9" 2023-10-17\n')
MISSING = 'exec: "java": executable file not found in $PATH: unknown'


def _refusal(status: int, explanation: str) -> APIError:
    response = Response()
    response.status_code = status
    return APIError("refused", response=response, explanation=explanation)


class _Engine:
    """The calls of the engine's API that are used, over images in memory."""

    timeout = 0
    base_url = "http+docker://localhost"

    def __init__(self) -> None:
        self.there = {"java:17": _image(BASE_ID, ["PATH=/opt/java/bin", "JAVA_HOME=/opt/jdk"])}
        self.listed: list[dict[str, Any]] = []
        self.running: list[dict[str, Any]] = []
        self.java: tuple[int, str] | APIError = JAVA_17
        self.kafka: tuple[int, str] | BaseException = (0, "3.9.1 (Commit:f745dfdcee2b9851)\n")
        self.builder: list[dict[str, Any]] = [
            {"stream": "Step 1/4 : FROM base"},
            {"stream": f" ---> {'b' * 12}\n"},
            {"stream": f" ---> {STEP}\n"},
            {"stream": f" ---> {'e' * 12}\n"},
            {"aux": {"ID": NEW_ID}},
        ]
        self.loader: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.containers_left: dict[str, Mapping[str, Any]] = {}
        self.built: dict[str, Any] = {}
        self.removed: list[str] = []
        self.sent = b""

    def inspect_image(self, name: str) -> dict[str, Any]:
        known = {**self.there, **{image["Id"]: image for image in self.there.values()}}
        if name in (STEP, "e" * 12):
            return {"RepoTags": []}
        if name not in known:
            raise ImageNotFound("no such image")
        return known[name]

    def pull(self, repository: str, tag: str, **_: object) -> Iterator[dict[str, Any]]:
        self.there[f"{repository}:{tag}"] = _image(BASE_ID, ["PATH=/opt/java/bin"])
        return iter([{"id": "a", "status": "Downloading", "progressDetail": {"current": 1, "total": 2}}])

    def create_host_config(self, **options: object) -> dict[str, object]:
        return options

    def create_container(self, **options: Any) -> dict[str, str]:  # noqa: ANN401 the SDK's own
        self.containers_left["c"] = options
        return {"Id": "c"}

    def _answer(self) -> tuple[int, str]:
        answer = self.java if self.containers_left["c"]["entrypoint"][-1] == "-version" else self.kafka
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def start(self, _container: str) -> None:
        self._answer()

    def wait(self, _container: str, timeout: int) -> dict[str, int]:
        assert timeout
        return {"StatusCode": self._answer()[0]}

    def logs(self, _container: str) -> bytes:
        return self._answer()[1].encode()

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        assert force
        assert v  # no anonymous volume stays
        del self.containers_left[container]

    def build(self, *, fileobj: Iterator[bytes], **options: object) -> Iterator[dict[str, Any]]:
        self.sent, self.built = b"".join(fileobj), options
        self.there["<none>"] = _image(NEW_ID, ["PATH=/opt/java/bin"])
        return iter(self.builder)

    def tag(self, identity: str, repository: str, tag: str) -> None:
        self.there[f"{repository}:{tag}"] = _image(identity, [], self.built["labels"])

    def remove_image(self, identity: str, *, noprune: bool) -> None:
        assert noprune
        self.removed.append(identity)

    def load_image(self, data: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        self.sent = b"".join(data)
        return iter(self.loader)

    def get_archive(self, _container: str, path: str) -> tuple[Iterator[bytes], dict[str, Any]]:
        image = self.containers_left["c"]["image"]
        if image not in self.files:
            raise NotFound("no such path")
        assert path in ("/opt/kafka/libs", "/apache-zookeeper-3.8.4-bin/lib")
        return iter([self.files[image]]), {}

    def images(self) -> list[dict[str, Any]]:
        return self.listed

    def containers(self, **_: object) -> list[dict[str, Any]]:
        return self.running


def _image(identity: str, variables: list[str], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"Id": identity, "RepoTags": ["some:name"], "Config": {"Env": variables, "Labels": labels, "Volumes": None}}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Engine:
    """An engine with a base, and the cache with the jars of one version."""
    monkeypatch.setenv("PROVISION_CACHE", str(tmp_path))
    directory = tmp_path / "kafka" / str(VERSION)
    directory.mkdir(parents=True)
    jar = directory / "kafka_2.13-3.9.1.jar"
    jar.write_bytes(b"jar")
    noted = {"size": 3, "mtime_ns": jar.stat().st_mtime_ns, "sha256": hashlib.sha256(b"jar").hexdigest()}
    (directory / "manifest.json").write_text(json.dumps({jar.name: noted}))
    scripted = _Engine()
    monkeypatch.setattr(image_store, "connect", lambda: SimpleNamespace(api=scripted))
    return scripted


def _left_nothing(engine: _Engine) -> bool:
    return NAME not in engine.there and not engine.containers_left


# -- build ------------------------------------------------------------------------------------------------------------


def test_it_is_named_when_its_kafka_has_answered_and_is_then_there(engine: _Engine) -> None:
    events: list[Event] = []
    built = images.build(VERSION, "java:17", None, Home.of_user(), events.append)
    assert built.as_dict() == {"name": NAME, "version": "3.9.1", "base": "java:17", "changed": True}
    assert engine.inspect_image(NAME)["Id"] == NEW_ID
    assert Fetching("the image of Kafka 3.9.1", len(engine.sent), len(engine.sent)) in events
    assert engine.built["network_mode"] == "none"
    assert engine.built["rm"]
    assert engine.built["forcerm"]
    assert [(event.resource, event.verb) for event in events if isinstance(event, ActionDone)] == [(NAME, "build")]
    engine.sent = b""
    assert not images.build(VERSION, "java:17", NAME, Home.of_user(), silent).changed
    assert engine.sent == b""
    assert engine.removed == []


def test_a_missing_base_is_pulled(engine: _Engine) -> None:
    events: list[Event] = []
    images.build(VERSION, "java:21", None, Home.of_user(), events.append)
    assert Fetching("java:21", 1, 2) in events
    assert [event.verb for event in events if isinstance(event, ActionDone)] == ["fetch", "build"]


def test_other_jars_are_another_image(engine: _Engine, tmp_path: Path) -> None:
    images.build(VERSION, "java:17", None, Home.of_user(), silent)
    manifest = tmp_path / "kafka" / "3.9.1" / "manifest.json"
    noted = json.loads(manifest.read_text())
    noted["kafka_2.13-3.9.1.jar"]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(noted))
    assert images.build(VERSION, "java:17", None, Home.of_user(), silent).changed


@pytest.mark.parametrize(
    ("java", "what", "why"),
    [
        (_refusal(400, MISSING), "the image java:17 has no Java", "run in /opt/java/bin:/opt/jdk/bin (JAVA_HOME: "),
        ((1, "exec format error"), "the Java of the image java:17 does not run", "exits with 1: exec format error"),
        ((0, "hello"), "the Java of the image java:17 does not run", "exits with 0: hello"),
        ((0, 'openjdk version "23.0.1"'), "Kafka 3.9.1 does not run on the Java 23 of the image java:17", ""),
    ],
)
def test_a_base_without_a_fitting_java_is_refused_with_the_range(
    engine: _Engine, java: tuple[int, str] | APIError, what: str, why: str
) -> None:
    engine.java = java
    with pytest.raises(Unavailable) as caught:
        images.build(VERSION, "java:17", None, Home.of_user(), silent)
    assert caught.value.what == what
    assert why in caught.value.why
    assert "Kafka 3.9.1 needs Java 8 to 21" in caught.value.hint
    assert engine.sent == b""
    assert _left_nothing(engine)


def test_a_name_of_somebody_elses_image_is_refused(engine: _Engine) -> None:
    with pytest.raises(Refused, match="java:17 is an image that provision did not build"):
        images.build(VERSION, "java:17", "java:17", Home.of_user(), silent)
    assert engine.sent == b""


@pytest.mark.parametrize("name", ["Upper/case", "a b", "a@sha256:abc", "a:", "-"])
def test_what_can_be_no_name_is_wrong_usage(engine: _Engine, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an image's name"):
        images.build(VERSION, "java:17", name, Home.of_user(), silent)


def test_a_name_that_stands_for_another_layout_is_wrong_usage(engine: _Engine) -> None:
    with pytest.raises(UsageError, match="laid out like bitnami/kafka, and this one is not"):
        images.build(VERSION, "java:17", "mine/bitnami/kafka:3.9.1", Home.of_user(), silent)
    assert engine.sent == b""


@pytest.mark.parametrize("kafka", [(1, "no such class"), (0, "3.9.0 (Commit:x)"), KeyboardInterrupt()])
def test_what_was_built_and_does_not_work_or_is_given_up_is_removed(
    engine: _Engine, kafka: tuple[int, str] | BaseException
) -> None:
    engine.kafka = kafka
    with pytest.raises((ProvisionError, KeyboardInterrupt)):
        images.build(VERSION, "java:17", None, Home.of_user(), silent)
    assert engine.removed == ["e" * 12, STEP]  # and never the base
    assert _left_nothing(engine)


def test_a_builder_that_fails_is_told_and_its_steps_are_removed(engine: _Engine) -> None:
    engine.builder[3:] = [{"error": "no space left on device"}]
    with pytest.raises(ProvisionError) as caught:
        images.build(VERSION, "java:17", None, Home.of_user(), silent)
    assert caught.value.what == "the image of Kafka 3.9.1 could not be built"
    assert caught.value.why == "no space left on device"
    assert engine.removed == [STEP]
    assert _left_nothing(engine)


# -- list -------------------------------------------------------------------------------------------------------------


def test_images_are_listed_that_are_ours_or_known_or_used(engine: _Engine) -> None:
    def listed(identity: str, tags: list[str] | None, labels: dict[str, str] | None = None) -> dict[str, Any]:
        return {
            "Id": f"sha256:{identity * 64}", "RepoTags": tags, "RepoDigests": None, "Labels": labels, "Size": 1000,
            "Created": 5,
        }  # fmt: skip

    ours = {"provision.image": "kafka", "provision.kafka-version": "3.8.1", "provision.base": "java:17"}
    found = [
        listed("1", ["postgres:16"]),
        listed("2", ["apache/kafka:3.9.1", "apache/kafka:latest", "apache/kafka-native:3.9.1"]),
        listed("3", ["company/broker:stable"]),
        listed("4", ["mine:x"], ours),
        listed("5", ["<none>:<none>"], ours),
    ]
    engine.listed = found
    used = {"provision.environment": "shop", "provision.software": "company/broker:stable"}
    engine.running = [{"ImageID": found[2]["Id"], "Labels": used | {"provision.kafka-version": "3.9.0"}}]
    shown = {image.name: images.as_dict(image) for image in images.usable_images()}
    assert {name: image["version"] for name, image in shown.items()} == {
        "apache/kafka:3.9.1": "3.9.1",
        "apache/kafka:latest": None,
        "company/broker:stable": "3.9.0",
        "mine:x": "3.8.1",
        f"sha256:{'5' * 12}": "3.8.1",
    }
    assert shown["company/broker:stable"]["environments"] == ["shop"]
    assert not shown["company/broker:stable"]["built"]
    assert shown["mine:x"]["built"]
    assert shown["mine:x"]["base"] == "java:17"
    assert shown["mine:x"]["size_bytes"] == 1000


# -- load -------------------------------------------------------------------------------------------------------------


def _directory(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(f"libs/{name}"))
    return buffer.getvalue()


def test_each_image_of_an_archive_is_looked_into(engine: _Engine) -> None:
    names = ["my/kafka:1", "java:17", "jars:1", "old/kafka:1", "vendor/kafka:3.9.0", "zookeeper:3.8.4"]
    engine.loader = [*({"stream": f"Loaded image: {name}\n"} for name in names), {"stream": "Loaded image ID: x\n"}]
    engine.files = {
        "my/kafka:1": _directory("kafka_2.13-3.9.1-test.jar", "kafka_2.13-3.9.1.jar", "kafka-clients-3.9.1.jar"),
        "jars:1": _directory("guava.jar"),
        "old/kafka:1": _directory("kafka_2.11-1.1.1.jar"),
        "vendor/kafka:3.9.0": _directory("kafka_2.13-7.9.0-ccs.jar"),
        "zookeeper:3.8.4": _directory("zookeeper-3.8.4.jar", "zookeeper-jute-3.8.4.jar"),
    }
    engine.there["zookeeper:3.8.4"] = _image(BASE_ID, [])
    engine.there["zookeeper:3.8.4"]["Config"]["WorkingDir"] = "/apache-zookeeper-3.8.4-bin"
    loaded = images.load(io.BytesIO(b"an archive"), "a.tar", silent)
    assert engine.sent == b"an archive"
    assert [(image.name, image.version, image.lacks) for image in loaded] == [
        ("my/kafka:1", "3.9.1", ""),
        ("java:17", "", "there is no /opt/kafka/libs in it"),
        ("jars:1", "", "there are no jars of Kafka in its /opt/kafka/libs"),
        ("old/kafka:1", "1.1.1", "2.8.0 is the oldest that is supported"),
        ("vendor/kafka:3.9.0", "3.9.0", ""),
        ("zookeeper:3.8.4", "", ""),
        ("x", "", "there is no /opt/kafka/libs in it"),
    ]
    assert not engine.containers_left


def test_what_is_no_archive_is_one_error(engine: _Engine) -> None:
    engine.loader = [{"error": "archive/tar: invalid tar header"}]
    with pytest.raises(ProvisionError) as caught:
        images.load(io.BytesIO(b"text"), "notes.txt", silent)
    assert caught.value.what == "notes.txt is not an archive of images, or is incomplete"
    assert "invalid tar header" in caught.value.why
