"""The cache of jars: fetched once, used offline, and never with a jar that is cut off or changed."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jgo
import pytest

from provision.catalogue.versions import KafkaVersion, coordinates
from provision.errors import ProvisionError, Unavailable
from provision.events import Event, Fetching, Listener, Notice, silent
from provision.home.place import Home
from provision.runtime.jars import fetch as fetch_into
from provision.runtime.jars import fingerprint, identify, is_whole

VERSION = KafkaVersion(3, 9, 1)
NAMES = ("kafka_2.13-3.9.1.jar", "kafka-clients-3.9.1.jar", "zookeeper-3.8.4.jar")


@dataclass
class _Artifact:
    """What jgo's artifact does: a path in Maven's repository, downloaded when it is missing."""

    path: Path
    artifactId: str = "some-artifact"  # noqa: N815 jgo's name
    downloads: int = 0
    arrives_cut_off: int = 0
    others_were_faster: int = 0

    def resolve(self) -> Path:
        if self.others_were_faster:
            self.others_were_faster -= 1
            raise AssertionError
        if not self.path.exists():
            self.downloads += 1
            with zipfile.ZipFile(self.path, "w") as jar:
                jar.writestr("kafka/Kafka.class", self.path.name * 100)
            if self.downloads <= self.arrives_cut_off:
                self.path.write_bytes(self.path.read_bytes()[:-40])
        return self.path


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[_Artifact]:
    monkeypatch.setenv("PROVISION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "maven").mkdir()
    artifacts = [_Artifact(tmp_path / "maven" / name) for name in NAMES]
    monkeypatch.setattr(jgo, "resolve", lambda _endpoint: artifacts)
    return artifacts


def directory_of(version: KafkaVersion) -> Path:
    return Home.of_user().jars(version)


def fetch(version: KafkaVersion, tell: Listener) -> Path:
    return fetch_into(version, directory_of(version), tell)


def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_endpoint: str) -> list[_Artifact]:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(jgo, "resolve", fail)


def test_a_version_is_fetched_once_and_then_works_offline(
    maven: list[_Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = fetch(VERSION, silent)
    assert directory == directory_of(VERSION)
    assert sorted(jar.name for jar in directory.glob("*.jar")) == sorted(NAMES)
    assert is_whole(directory)
    _offline(monkeypatch)
    assert fetch(VERSION, silent) == directory


def test_the_fingerprint_is_of_names_and_contents_alone(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    before = fingerprint(directory)
    for artifact in maven:  # fetched again, at another time
        os.utime(artifact.path, (1, 1))
    shutil.rmtree(directory)
    assert fingerprint(fetch(VERSION, silent)) == before
    maven[0].path.rename(maven[0].path.with_name("renamed.jar"))
    maven[0].path = maven[0].path.with_name("renamed.jar")
    shutil.rmtree(directory)
    assert fingerprint(fetch(VERSION, silent)) != before


def test_progress_counts_every_jar(maven: list[_Artifact]) -> None:
    events: list[Event] = []
    fetch(VERSION, events.append)
    fetched = [event for event in events if isinstance(event, Fetching)]
    assert {(event.done, event.total, event.unit) for event in fetched} >= {(3, 3, "jars")}


def test_without_network_and_cache_it_is_a_missing_need(
    maven: list[_Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    _offline(monkeypatch)
    with pytest.raises(Unavailable, match=r"the jars of Kafka 3\.9\.1 are not in the cache") as caught:
        fetch(VERSION, silent)
    assert "no route to host" in caught.value.why
    assert "kafka.distribution" in caught.value.hint
    assert not directory_of(VERSION).exists()


def _cut_off(jar: Path) -> None:
    jar.write_bytes(jar.read_bytes()[:50])


def _change(jar: Path) -> None:
    content = bytearray(jar.read_bytes())
    content[40] ^= 0xFF
    jar.write_bytes(content)


def _remove(jar: Path) -> None:
    jar.unlink()


@pytest.mark.parametrize("damage", [_cut_off, _change, _remove])
def test_a_damaged_jar_is_noticed_and_fetched_again(maven: list[_Artifact], damage: Callable[[Path], None]) -> None:
    directory = fetch(VERSION, silent)
    sound = (directory / NAMES[1]).read_bytes()
    damage(directory / NAMES[1])
    assert not is_whole(directory)
    events: list[Event] = []
    fetch(VERSION, events.append)
    assert Notice("the cached jars of Kafka 3.9.1 are damaged: fetching them again") in events
    assert (directory / NAMES[1]).read_bytes() == sound
    assert is_whole(directory)


def test_a_touched_jar_with_the_same_content_is_still_whole(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    (directory / NAMES[0]).touch()
    assert is_whole(directory)


def test_jars_are_known_by_their_bytes_whatever_size_and_time_say(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    before, jar = identify(directory), directory / NAMES[1]
    assert set(before) == set(NAMES)
    times = jar.stat()
    _change(jar)
    os.utime(jar, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert is_whole(directory)
    after = identify(directory)
    assert [name for name in before if before[name] != after[name]] == [NAMES[1]]


def test_a_jar_that_the_manifest_does_not_name_is_on_the_class_path_too(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    (directory / "of-somebody.JAR").write_bytes(b"")
    (directory / "readme.txt").write_bytes(b"")
    assert identify(directory).keys() == {*NAMES, "of-somebody.JAR"}


def test_where_there_are_no_jars_none_is_identified(tmp_path: Path) -> None:
    assert identify(tmp_path / "nowhere") == {}


def test_a_jar_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jar").symlink_to("nowhere")
    with pytest.raises(ProvisionError, match="cannot read the jars"):
        identify(tmp_path)


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", "[" * 100_000, '{"a.jar": 3}', '{"a.jar": {}}'])
def test_a_damaged_manifest_is_no_version(maven: list[_Artifact], manifest: str) -> None:
    directory = fetch(VERSION, silent)
    (directory / "manifest.json").write_text(manifest)
    assert not is_whole(directory)
    fetch(VERSION, silent)
    assert set(json.loads((directory / "manifest.json").read_text())) == set(NAMES)


def test_a_download_that_was_cut_off_is_repeated(maven: list[_Artifact]) -> None:
    maven[2].arrives_cut_off = 1
    assert is_whole(fetch(VERSION, silent))
    assert maven[2].downloads == 2


def test_a_jar_that_another_command_brings_at_the_same_time_is_taken(maven: list[_Artifact]) -> None:
    maven[1].others_were_faster = 1
    assert is_whole(fetch(VERSION, silent))
    assert maven[1].downloads == 1


def test_a_jar_that_always_arrives_damaged_is_an_error(maven: list[_Artifact]) -> None:
    maven[2].arrives_cut_off = 9
    with pytest.raises(Unavailable) as caught:
        fetch(VERSION, silent)
    assert "arrives damaged" in caught.value.why
    assert not directory_of(VERSION).exists()


def test_the_logging_binding_is_named_where_the_tools_do_not_bring_it() -> None:
    assert coordinates(VERSION) == ("org.apache.kafka:kafka_2.13:3.9.1", "org.apache.kafka:kafka-tools:3.9.1")
    assert "org.slf4j:slf4j-reload4j:1.7.36!" in coordinates(KafkaVersion(2, 8, 2))


def test_from_4_0_on_log4j_2_is_named_and_only_3_9_needs_nothing() -> None:
    for version, log4j in ((KafkaVersion(4, 0, 0), "2.24.3"), (KafkaVersion(4, 1, 1), "2.24.3")):
        assert coordinates(version)[2:] == _log4j2(log4j)
    for version in (KafkaVersion(4, 2, 0), KafkaVersion(4, 3, 0)):
        assert coordinates(version)[2:] == _log4j2("2.25.4")


def _log4j2(version: str) -> tuple[str, ...]:
    return tuple(f"org.apache.logging.log4j:{name}:{version}!" for name in ("log4j-slf4j-impl", "log4j-core"))
