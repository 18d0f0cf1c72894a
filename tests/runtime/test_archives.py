"""The archives with which nodes start faster: used if they are ours, whole and fit, else ignored, and made again."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import Cluster, Node
from provision.cluster.render import render
from provision.cluster.resolve import resolve_without_ports
from provision.errors import ProvisionError, Unavailable
from provision.home.place import Home
from provision.runtime import archives
from provision.runtime.process.archives import ProcessArchives
from provision.runtime.process.java import find_java
from provision.runtime.process.layout import local_layout
from provision.runtime.process.notes import NodeNote
from provision.runtime.process.places import Places
from provision.spec.loader import load_values

# Makes a file with the first bytes of an archive, and takes one whose last line is the class path.
JAVA = """#!/bin/sh
for word in "$@"; do
  case "$word" in
    -XX:SharedArchiveFile=*) archive="${word#*=}" ;;
    -XX:SharedClassListFile=*) list="${word#*=}" ;;
    -Xshare:*) share="${word#*:}" ;;
  esac
  [ "$before" = -cp ] && path="$word"
  before="$word"
done
case "$share" in
  dump) [ -f "$list" ] || { echo "no list $list"; exit 1; }
        { printf '\\242\\253\\013\\360'; cat "$list"; echo "$path"; } > "$archive" ;;
  on) tail -n 1 "$archive" | grep -qxF "$path" ;;
esac
"""
JARS = ("zookeeper-3.8.4.jar", "kafka_2.13-3.9.1.jar", "kafka-clients-3.9.1.jar")


class World:
    """A home with the jars of Kafka 3.9.1 and a Java, and an environment with one node of each role."""

    def __init__(self, directory: Path, java: str = "17.0.15") -> None:
        self.home = Home.at(directory / "home", directory / "cache")
        self.libs = self.home.jars("3.9.1")
        self.libs.mkdir(parents=True)
        for jar in JARS:
            (self.libs / jar).write_text(jar)
        self.java = directory / "jdk"
        (self.java / "bin").mkdir(parents=True)
        (self.java / "bin" / "java").write_text(JAVA)
        (self.java / "bin" / "java").chmod(0o755)
        self.release(java)
        self.archives = ProcessArchives(self.home, Places(self.home))

    def release(self, java: str) -> None:
        """Let the JVM be of another version."""
        (self.java / "release").write_text(f'JAVA_VERSION="{java}"\n')

    def cluster(self, **values: object) -> Cluster:
        """An environment with these keys, as processes."""
        spec = load_values({"name": "dev", "runtime": "process", **values}, (), lambda _: None)
        return resolve_without_ports(spec, local_layout(spec, "/", self.home))

    def train(self, *nodes: str) -> None:
        """What a training leaves: the lists of the classes of its nodes."""
        for node in nodes or ("zookeeper-1", "controller-1", "broker-1"):
            directory = self.home.environments / "training" / node
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (directory / "classes.list").write_text(f"java/lang/Object\n{node}\n")

    def make(self, cluster: Cluster, node: Node) -> archives.Archive:
        """Train, and make the archive of a node."""
        self.train()
        return self.archives.make(cluster, node, "training")

    def launched(self, cluster: Cluster, node: Node) -> tuple[str, ...]:
        """The arguments with which the node would be started."""
        directory = self.home.environments / "dev" / node.name
        (directory / "log").mkdir(parents=True, exist_ok=True)
        note = NodeNote(
            config_hash="",
            endpoint=None,
            version=str(cluster.version),
            software=node.software,
            ports=(),
            arguments=node.java_args,
            archive=archives.kind_of(cluster, node),
        )
        return self.archives.launched(note, find_java(cluster.version), directory)

    def uses_archive(self, cluster: Cluster, node: Node) -> bool:
        """Whether the node would be started with an archive."""
        return any(word.startswith("-XX:SharedArchiveFile=") for word in self.launched(cluster, node))

    @property
    def kept(self) -> Path:
        """Where archives are."""
        return self.home.cache / "archives"

    @property
    def archive(self) -> Path:
        """The only one."""
        (file,) = self.kept.glob("*.jsa")
        return file


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return World(tmp_path)


def test_without_an_archive_a_node_starts_as_described_with_every_jar_named_and_sorted(world: World) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    sorted_jars = ":".join(str(world.libs / jar) for jar in sorted(JARS))
    expected = [sorted_jars if word == f"{world.libs}/*" else word for word in broker.java_args]
    assert list(world.launched(cluster, broker)) == expected


def test_a_node_starts_with_its_archive_and_one_of_another_kind_without(world: World) -> None:
    cluster = world.cluster()
    zookeeper, broker = cluster.nodes
    made = world.make(cluster, broker)
    launched = world.launched(cluster, broker)
    assert launched[:6] == (
        f"-XX:SharedArchiveFile={world.archive}",
        "-Xshare:auto",
        "-XX:+VerifySharedSpaces",
        "-XX:+UnlockDiagnosticVMOptions",
        "-XX:ArchiveRelocationMode=0",
        "-Xlog:cds=info:file=log/cds.log::filecount=0",
    )
    assert (made.kind, made.java, made.place) == ("zookeeper-broker", 17, str(world.archive))
    assert made.size == world.archive.stat().st_size
    assert not world.uses_archive(cluster, zookeeper)
    assert world.archives.fitting(cluster, broker) == made
    assert world.archives.fitting(cluster, zookeeper) is None


def test_a_node_lacks_an_archive_if_there_is_none_and_could_be_one(world: World) -> None:
    cluster = world.cluster()
    zookeeper, broker = cluster.nodes
    world.make(cluster, broker)
    assert world.archives.lacks(cluster, zookeeper)
    assert not world.archives.lacks(cluster, broker)
    own = world.cluster(zookeeper={"java": {"options": ["-Xshare:off"]}})
    assert not world.archives.lacks(own, own.nodes[0])
    world.archive.unlink()
    assert world.archives.lacks(cluster, broker)
    world.release("1.8.0_452")
    assert not world.archives.lacks(cluster, broker)
    for jar in JARS:
        (world.libs / jar).unlink()
    world.release("17.0.15")
    assert not world.archives.lacks(cluster, broker)


def test_what_makes_an_archive_ends_with_the_environment_that_it_is_made_from(world: World) -> None:
    cluster = world.cluster()
    java = world.java / "bin" / "java"
    java.write_text(
        JAVA.replace("#!/bin/sh\n", '#!/bin/sh\ncase "$*" in *-Xshare:dump*) echo "$1" >> "$0.marks";; esac\n')
    )
    world.make(cluster, cluster.brokers[0])
    assert Path(f"{java}.marks").read_text() == f"-Dprovision.tool={world.home.environments}/training\n"


def test_the_note_beside_an_archive_says_what_it_is_for(world: World) -> None:
    cluster = world.cluster()
    world.make(cluster, cluster.brokers[0])
    note = json.loads(world.archive.with_suffix(".json").read_text())
    assert note["kind"] == "zookeeper-broker"
    assert note["software"] == "kafka 3.9.1"
    assert note["java"] == str(world.java / "bin" / "java")
    assert note["size"] == world.archive.stat().st_size
    assert note["made_s"] > 0


def test_an_archive_changes_nothing_of_what_defines_a_node(world: World) -> None:
    def defined() -> list[str]:
        files = render(world.cluster())
        return [config_hash(node.name, files) for node in world.cluster().nodes]

    before = defined()
    for node in world.cluster().nodes:
        world.make(world.cluster(), node)
    assert defined() == before


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({}, ["zookeeper", "zookeeper-broker"]),
        ({"kafka": {"mode": "kraft"}}, ["combined"]),
        ({"kafka": {"mode": "kraft"}, "controllers": {"nodes": 1}}, ["controller", "broker"]),
        ({"kafka": {"version": "4.1.0"}, "brokers": {"nodes": 4}}, ["combined"] * 3 + ["broker"]),
    ],
)
def test_an_archive_is_for_a_role_in_its_mode(world: World, values: dict[str, object], kinds: list[str]) -> None:
    cluster = world.cluster(**values)
    assert [archives.kind_of(cluster, node) for node in cluster.nodes] == kinds
    assert set(kinds) <= set(archives.KINDS)


def _truncate(file: Path) -> None:
    content = file.read_bytes()
    _write(file, content[: len(content) // 2])


def _write(file: Path, content: bytes) -> None:
    file.chmod(0o600)
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half of it": _truncate,
    "empty": lambda file: _write(file, b""),
    "a text": lambda file: _write(file, b"text"),
    "other content of the same size": lambda file: _write(file, bytes(file.stat().st_size)),
    "one byte": lambda file: _write(file, file.read_bytes()[:-1] + b"?"),
    "a link": _link,
    "a directory": _directory,
    "writable for others": lambda file: file.chmod(0o666),
    "gone": lambda file: file.unlink(),
    "without its note": lambda file: file.with_suffix(".json").unlink(),
    "with a damaged note": lambda file: file.with_suffix(".json").write_text("{"),
    "with the note of another kind": lambda file: file.with_suffix(".json").write_text(
        file.with_suffix(".json").read_text().replace("zookeeper-broker", "combined")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_archive_is_ignored_and_replaced(world: World, damage: Callable[[Path], object]) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    world.make(cluster, broker)
    file = world.archive
    damage(file)
    assert not world.uses_archive(cluster, broker)
    assert world.archives.fitting(cluster, broker) is None
    world.make(cluster, broker)
    assert world.uses_archive(cluster, broker)
    assert world.archives.fitting(cluster, broker) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whose", ["file", "directory"])
def test_another_users_archive_is_ignored(world: World, whose: str) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    world.make(cluster, broker)
    os.chown(world.archive if whose == "file" else world.kept, 4711, 4711)
    assert not world.uses_archive(cluster, broker)
    assert world.archives.fitting(cluster, broker) is None


def test_archives_in_a_directory_that_others_write_to_are_ignored(world: World) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    world.make(cluster, broker)
    world.kept.chmod(0o777)
    assert not world.uses_archive(cluster, broker)


def _another_time(world: World) -> None:
    os.utime(world.libs / JARS[0], (1, 1))


STALE: dict[str, Callable[[World], object]] = {
    "a jar more": lambda world: (world.libs / "a.jar").write_text("a"),
    "a jar less": lambda world: (world.libs / JARS[0]).unlink(),
    "a jar of another size": lambda world: (world.libs / JARS[0]).write_text("more than before, by far"),
    "a jar of another time": _another_time,
    "another Java at its place": lambda world: world.release("17.0.16+1"),
}


@pytest.mark.parametrize("change", STALE.values(), ids=list(STALE))
def test_a_stale_archive_is_ignored_and_replaced(world: World, change: Callable[[World], object]) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    world.make(cluster, broker)
    former = world.archive
    change(world)
    assert not world.uses_archive(cluster, broker)
    assert [(left.place, bool(left.why)) for left in world.archives.left()] == [(str(former), True)]
    world.make(cluster, broker)
    assert world.uses_archive(cluster, broker)
    assert world.archive != former  # and the only one


def _no_jars(world: World) -> None:
    for jar in world.libs.iterdir():
        jar.unlink()


def _no_note(world: World) -> None:
    world.archive.with_suffix(".json").unlink()
    os.utime(world.archive, (1, 1))


LEFT: dict[str, tuple[Callable[[World], object], str]] = {
    "the Java is gone": (lambda world: (world.java / "bin" / "java").unlink(), "its Java .* is gone"),
    "the jars are gone": (_no_jars, "its jars in .* are gone"),
    "a jar more": (
        lambda world: (world.libs / "a.jar").write_text("a"),
        "its Java .* or its jars in .* are others now",
    ),
    "no note": (_no_note, "it has no note"),
}


@pytest.mark.parametrize(("change", "why"), LEFT.values(), ids=list(LEFT))
def test_an_archive_that_no_node_can_use_any_more_is_left_over(
    world: World, change: Callable[[World], object], why: str
) -> None:
    cluster = world.cluster()
    world.make(cluster, cluster.brokers[0])
    assert list(world.archives.left()) == []
    change(world)
    (left,) = world.archives.left()
    assert re.match(why, left.why)
    assert left.made_s == world.archive.stat().st_mtime
    assert left.remove()
    assert list(world.kept.iterdir()) == []
    assert not left.remove()


def test_an_archive_that_fits_again_or_is_about_to_get_its_note_is_not_left_over(world: World) -> None:
    cluster = world.cluster()
    world.make(cluster, cluster.brokers[0])
    (world.libs / "a.jar").write_text("a")
    (left,) = world.archives.left()
    (world.libs / "a.jar").unlink()
    assert not left.remove()
    world.archive.with_suffix(".json").unlink()
    assert list(world.archives.left()) == []


def test_what_makes_no_difference_to_a_jvm_makes_none_to_an_archive(world: World) -> None:
    cluster = world.cluster()
    broker = cluster.brokers[0]
    world.make(cluster, broker)
    (world.libs / "readme.txt").write_text("no jar")
    os.utime(world.archive, ns=(5, 5))  # as a CI's cache may bring it back
    other = world.cluster(brokers={"java": {"profile": "server"}, "heap": "512m"}, name="another")
    assert world.uses_archive(other, other.brokers[0])


@pytest.mark.parametrize("java", ["11.0.2", "17.0.15", "21"])
def test_every_java_from_11_on_has_archives(world: World, java: str) -> None:
    world.release(java)
    cluster = world.cluster()
    assert world.make(cluster, cluster.brokers[0]).java == int(java.partition(".")[0])
    assert world.uses_archive(cluster, cluster.brokers[0])
    # Java 11 does not know the option, and would not start.
    knows = not java.startswith("11")
    assert ("-XX:ArchiveRelocationMode=0" in world.launched(cluster, cluster.brokers[0])) == knows


@pytest.mark.parametrize("java", ["1.8.0_402", "10.0.2"])
def test_an_older_java_has_none_and_that_is_said(world: World, java: str) -> None:
    world.release(java)
    cluster = world.cluster()
    assert not world.uses_archive(cluster, cluster.brokers[0])
    with pytest.raises(Unavailable, match=r"there are no archives for Java (8|10)\n") as caught:
        world.archives.fitting(cluster, cluster.brokers[0])
    assert "Java 11 or later" in caught.value.hint


@pytest.mark.parametrize(
    "option", ["-Xshare:off", "-XX:SharedArchiveFile=/mine.jsa", "-XX:DumpLoadedClassList=l", "-XX:AOTCache=/mine.aot"]
)
def test_a_node_with_its_own_word_on_archives_gets_none_of_ours(world: World, option: str) -> None:
    cluster = world.cluster()
    world.make(cluster, cluster.brokers[0])
    own = world.cluster(brokers={"java": {"options": [option]}})
    launched = world.launched(own, own.brokers[0])
    assert option in launched
    assert str(world.archive) not in " ".join(launched)


def test_a_java_that_cannot_make_one_is_told_with_what_it_said_and_leaves_nothing(world: World) -> None:
    cluster = world.cluster()
    with pytest.raises(ProvisionError, match="could not make the archive") as caught:
        world.archives.make(cluster, cluster.brokers[0], "training")
    assert "no list" in caught.value.why
    assert list(world.kept.iterdir()) == []


def test_removing_them_leaves_what_is_not_ours(world: World) -> None:
    cluster = world.cluster()
    for node in cluster.nodes:
        world.make(cluster, node)
    (world.kept / "mine.txt").write_text("mine")
    assert world.archives.remove_all() == 2
    assert [file.name for file in world.kept.iterdir()] == ["mine.txt"]
    assert world.archives.remove_all() == 0


# What each JVM writes, by `-Xlog:cds=info`: recorded.
REFUSALS = {
    "[0.004s][info][cds] UseSharedSpaces: Unable to read the file header.": "Unable to read the file header.",
    "[0.004s][info][cds] UseSharedSpaces: The shared archive file has been truncated.\n"
    "[0.004s][info][cds] UseSharedSpaces: Unable to map shared spaces": "The shared archive file has been truncated.",
    "[0.006s][info   ][cds] Try to map archive(s) at an alternative address\n"
    "[0.119s][warning][cds] shared class paths mismatch (hint: enable -Xlog:class+path=info to diagnose the failure)": (
        "shared class paths mismatch (hint: enable -Xlog:class+path=info to diagnose the failure)"
    ),
    "[0.040s][warning][cds] Checksum verification failed.": "Checksum verification failed.",
    "[0.001s][info][cds] Specified shared archive not found (missing.jsa)\n"
    "[0.001s][info][cds] Unable to use shared archive: invalid archive": (
        "Specified shared archive not found (missing.jsa)"
    ),
    "[0.005s][error][cds] Not a valid shared archive file (missing.jsa)\n"
    "[0.005s][info ][cds] Unable to use shared archive: invalid archive": (
        "Unable to use shared archive: invalid archive"
    ),
    "[0.279s][warning][cds] The name of app classpath [1] does not match: expected '/a.jar', got '/b.jar'": (
        "The name of app classpath [1] does not match: expected '/a.jar', got '/b.jar'"
    ),
}
TAKEN = """[0.043s][info][cds] trying to map a.jsa
[0.043s][info][cds] Opened archive a.jsa.
[0.043s][info][cds] Archive was created with UseCompressedOops = 1, UseCompressedClassPointers = 1
[0.022s][info][cds] Mapped static  region #0 at base 0x00007efd55000000 top 0x00007efd56418000 (ReadWrite)
[0.141s][info][cds] CDS heap data is being ignored. UseG1GC, UseCompressedOops and others are required.
[0.141s][info][cds] optimized module handling: enabled
"""


def test_a_jvm_that_took_its_archive_is_not_told_of() -> None:
    assert archives.why_unused(TAKEN) == ""
    assert archives.why_unused("") == ""


@pytest.mark.parametrize(("log", "why"), REFUSALS.items())
def test_a_jvm_that_did_not_is_told_of_in_its_own_words(world: World, log: str, why: str) -> None:
    directory = world.home.environments / "dev"
    for node, text in (("broker-1", f"{TAKEN}{log}\n"), ("zookeeper-1", TAKEN)):
        (directory / node / "log").mkdir(parents=True, mode=0o700)
        (directory / node / "log" / "cds.log").write_text(text)
    (directory / "broker-2").mkdir(mode=0o700)  # started without one
    assert world.archives.unused("dev") == {"broker-1": why}


def test_a_node_started_without_an_archive_is_not_judged_by_an_earlier_start(world: World) -> None:
    cluster = world.cluster()
    log = world.home.environments / "dev" / "broker-1" / "log"
    log.mkdir(parents=True, mode=0o700)
    (log / "cds.log").write_text("[0.040s][warning][cds] Checksum verification failed.")
    world.launched(cluster, cluster.brokers[0])
    assert world.archives.unused("dev") == {}
