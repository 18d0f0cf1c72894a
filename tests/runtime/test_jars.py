"""The cache of jars: fetched once, used offline, and never with a jar that is cut off or changed."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from filelock import FileLock

from provision.catalogue.versions import KafkaVersion, coordinates
from provision.errors import Interrupted, ProvisionError, Unavailable
from provision.events import Event, Fetching, Listener, Notice, silent
from provision.home.place import Home
from provision.runtime import jars
from provision.runtime.jars import fetch as fetch_into
from provision.runtime.jars import fingerprint, identify, is_whole

VERSION = KafkaVersion(3, 9, 1)
NAMES = ("kafka_2.13-3.9.1.jar", "kafka-clients-3.9.1.jar", "zookeeper-3.8.4.jar")


@dataclass
class _Artifact:
    """What jgo's artifact does: a path in our repository, or the user's, downloaded when it is in neither."""

    name: str
    users: Path
    artifactId: str = "some-artifact"  # noqa: N815 jgo's name
    downloads: int = 0
    arrives_cut_off: int = 0
    breaks_off: int = 0
    repository: Path = Path()

    @property
    def cached_path(self) -> Path:
        return self.repository / self.name

    @property
    def context(self) -> "_Artifact":
        return self

    resolver = context

    def resolve(self) -> Path:
        if not self.cached_path.exists() and (self.users / self.name).exists():
            return self.users / self.name
        if not self.cached_path.exists():
            self.download(self)
        return self.cached_path

    def download(self, _artifact: object) -> None:
        self.downloads += 1
        self.repository.mkdir(parents=True, exist_ok=True)
        write_jar(self.cached_path)
        if self.downloads <= self.arrives_cut_off + self.breaks_off:
            _cut_off(self.cached_path)
        if self.downloads <= self.breaks_off:
            raise requests.ConnectionError("connection broken")


def write_jar(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as jar:
        jar.writestr(zipfile.ZipInfo("kafka/Kafka.class"), file.name * 100)


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[_Artifact]:
    monkeypatch.setenv("PROVISION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "maven").mkdir()
    artifacts = [_Artifact(name, tmp_path / "maven") for name in NAMES]

    def found(_version: KafkaVersion, repository: Path, count: Callable[[int], None]) -> list[_Artifact]:
        count(1)
        for artifact in artifacts:
            artifact.repository = repository
        return artifacts

    monkeypatch.setattr(jars, "_artifacts", found)
    return artifacts


def directory_of(version: KafkaVersion) -> Path:
    return Home.of_user().jars(version)


def fetch(version: KafkaVersion, tell: Listener) -> Path:
    return fetch_into(version, directory_of(version), tell)


def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[_Artifact]:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(jars, "_artifacts", fail)


def test_a_version_is_fetched_once_and_then_works_offline(
    maven: list[_Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = fetch(VERSION, silent)
    assert directory == directory_of(VERSION)
    assert sorted(jar.name for jar in directory.glob("*.jar")) == sorted(NAMES)
    assert is_whole(directory)
    _offline(monkeypatch)
    assert fetch(VERSION, silent) == directory


def _held_by_another(directory: Path) -> FileLock:
    directory.parent.mkdir(parents=True, mode=0o700)
    lock = FileLock(f"{directory}.lock")
    lock.acquire()
    return lock


def test_while_another_command_fetches_that_is_told_once(
    maven: list[_Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_TELL_EVERY_S", 0.01)
    other, events = _held_by_another(directory_of(VERSION)), list[Event]()

    def tell(event: Event) -> None:
        events.append(event)
        if len(events) == 5:
            other.release()

    assert is_whole(fetch(VERSION, tell))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "another command is fetching Kafka 3.9.1: waiting for it"
    ]


def test_an_interrupt_ends_the_wait_for_another_command(
    maven: list[_Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_TELL_EVERY_S", 0.01)

    def tell(event: Event) -> None:
        if isinstance(event, Fetching):
            raise Interrupted("enough")

    with _held_by_another(directory_of(VERSION)), pytest.raises(Interrupted, match="enough"):
        fetch(VERSION, tell)


def test_the_fingerprint_is_of_names_and_contents_alone(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    before = fingerprint(directory)
    shutil.rmtree(directory)  # fetched again, at another time
    assert fingerprint(fetch(VERSION, silent)) == before
    maven[0].name = "renamed.jar"
    shutil.rmtree(directory)
    assert fingerprint(fetch(VERSION, silent)) != before


def test_progress_counts_every_jar(maven: list[_Artifact]) -> None:
    events: list[Event] = []
    fetch(VERSION, events.append)
    fetched = [event for event in events if isinstance(event, Fetching)]
    told = [(event.done, event.total, event.unit) for event in fetched]
    assert told[:3] == [(0, 0, "POMs"), (1, 0, "POMs"), (0, 3, "jars")]
    assert sorted(told[3:]) == [(1, 3, "jars"), (2, 3, "jars"), (3, 3, "jars")]


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


def _add(jar: Path) -> None:
    jar.with_name("aaa.jar").write_bytes(b"")


def _add_in_capitals(jar: Path) -> None:
    jar.with_name("aaa.JAR").write_bytes(b"")


@pytest.mark.parametrize("damage", [_cut_off, _change, _remove, _add, _add_in_capitals])
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
    assert identify(directory).keys() == set(NAMES)


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


def test_a_download_that_breaks_off_is_repeated(maven: list[_Artifact]) -> None:
    maven[1].breaks_off = 2
    assert is_whole(fetch(VERSION, silent))
    assert maven[1].downloads == 3
    maven[1].breaks_off = 9
    shutil.rmtree(directory_of(VERSION))
    with pytest.raises(Unavailable) as caught:
        fetch(VERSION, silent)
    assert "connection broken" in caught.value.why


def test_jars_are_stored_once(maven: list[_Artifact]) -> None:
    directory = fetch(VERSION, silent)
    assert [entry.name for entry in directory.parent.iterdir() if entry.suffix != ".lock"] == ["3.9.1"]
    assert not any(maven[0].users.iterdir())


def test_what_the_user_has_is_taken_and_left_as_it_is(maven: list[_Artifact]) -> None:
    users = maven[0].users
    for name in NAMES[:2]:
        write_jar(users / name)
    _cut_off(users / NAMES[1])
    before = {file.name: file.read_bytes() for file in users.iterdir()}
    assert is_whole(fetch(VERSION, silent))
    assert [artifact.downloads for artifact in maven] == [0, 1, 1]
    assert {file.name: file.read_bytes() for file in users.iterdir()} == before


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
