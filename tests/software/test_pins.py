"""Locks: what counts as the same, what differs, and the file: stable, readable, and damaged in every way."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.identity import Identity
from provision.errors import InvalidEnvironment, ProvisionError, UsageError
from provision.software.pins import (
    Deviation,
    Pins,
    deviations,
    images_of,
    is_lock_file,
    lock_file_of,
    outdated,
    settled,
)
from provision.software.pins_file import read, text_of, write
from tests.golden import Golden
from tests.mutations import REPLACED, mangled, mutated
from tests.plan.world import cluster_of

GOLDEN = Path(__file__).parent / "lock" / "orders.lock.yaml"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
KAFKA = "apache/kafka:3.9.1"
FROM_REGISTRY = Identity(A, f"apache/kafka@{B}")
LOCK = Pins(
    "3.9.1",
    "zookeeper",
    {"registry.example:5000/own:1": Identity(C), KAFKA: FROM_REGISTRY},
    {"zookeeper-3.8.4.jar": Identity(B), "kafka-clients-3.9.1.jar": Identity(A)},
)


# -- comparing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Identity(A), Identity(A), True),
        (Identity(A), Identity(B), False),
        (FROM_REGISTRY, Identity(A), True),
        (FROM_REGISTRY, Identity(C, f"apache/kafka@{B}"), True),
        (FROM_REGISTRY, Identity(C, f"apache/kafka@{C}"), False),
        (FROM_REGISTRY, Identity(C), False),
    ],
    ids=["id", "other-id", "loaded-here", "other-processor", "other-digest-and-id", "other-id-without-digest"],
)
def test_either_id_or_digest_tells_that_the_bytes_are_the_same(one: Identity, other: Identity, same: bool) -> None:
    assert one.is_same(other) is same
    assert other.is_same(one) is same


def test_what_differs_is_missing_or_new_is_named_with_both_sides() -> None:
    locked = {"a.jar": Identity(A), "b.jar": Identity(B), "c.jar": Identity(C)}
    found = {"a.jar": Identity(A), "b.jar": Identity(C), "d.jar": Identity(A)}
    assert list(map(str, deviations(locked, found, "jar"))) == [
        f"jar b.jar: locked {B}, found {C}",
        f"jar c.jar: locked {C}, not there",
        f"jar d.jar: not in the lock, found {A}",
    ]
    assert deviations(locked, locked, "jar") == ()


def test_a_lock_for_what_the_file_says_is_not_outdated() -> None:
    cluster = cluster_of()
    lock = Pins(str(cluster.version), cluster.mode, {cluster.software: Identity(A)})
    assert outdated(lock, cluster) == ()
    assert lock.of(cluster) == lock.images


def test_another_version_mode_and_image_are_each_named() -> None:
    cluster = cluster_of(kafka={"version": "3.8.1", "mode": "kraft"})
    lock = Pins("3.9.1", "zookeeper", {KAFKA: FROM_REGISTRY})
    assert list(map(str, outdated(lock, cluster))) == [
        "kafka.version: locked 3.9.1, found 3.8.1",
        "kafka.mode: locked zookeeper, found kraft",
        "image apache/kafka:3.8.1: not in the lock",
        f"image {KAFKA}: locked apache/kafka@{B} ({A}), found no use of it in the file",
    ]


def test_a_cluster_of_containers_has_one_image() -> None:
    assert images_of(cluster_of()) == (KAFKA,)


def test_a_lock_without_images_is_none_for_containers() -> None:
    assert outdated(Pins("3.9.1", "zookeeper", {}, LOCK.jars), cluster_of()) == (
        Deviation(f"image {KAFKA}", None, None),
    )


def test_an_earlier_record_of_the_same_bytes_stays() -> None:
    other_processor = Identity(C, FROM_REGISTRY.digest)
    assert settled({KAFKA: FROM_REGISTRY}, {KAFKA: other_processor}) == {KAFKA: FROM_REGISTRY}
    assert settled({KAFKA: FROM_REGISTRY}, {KAFKA: Identity(A)}) == {KAFKA: FROM_REGISTRY}
    assert settled({KAFKA: Identity(A)}, {KAFKA: FROM_REGISTRY}) == {KAFKA: FROM_REGISTRY}
    assert settled({KAFKA: FROM_REGISTRY}, {KAFKA: Identity(C)}) == {KAFKA: Identity(C)}
    assert settled({KAFKA: FROM_REGISTRY}, {}) == {}


# -- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_as_it_was_read_and_found_right(golden: Golden) -> None:
    golden(GOLDEN, text_of(LOCK))


def test_what_is_written_is_read_back_and_the_same_things_make_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "orders.lock.yaml"
    write(LOCK, file)
    again = read(file)
    assert again == LOCK
    assert again is not None
    assert text_of(again) == text_of(LOCK) == file.read_text()


def test_a_file_that_is_not_there_is_no_lock(tmp_path: Path) -> None:
    assert read(tmp_path / "orders.lock.yaml") is None


def test_a_lock_lies_beside_its_environment_and_is_known_by_its_name() -> None:
    assert lock_file_of(Path("environments/orders.yaml")) == Path("environments/orders.lock.yaml")
    assert lock_file_of(Path("orders.yml")) == Path("orders.lock.yml")
    assert is_lock_file(Path("environments/orders.lock.yaml"))
    assert is_lock_file(Path("orders.lock.yml"))
    assert not is_lock_file(Path("lock.yaml"))
    assert not is_lock_file(Path("orders.yaml"))


HEAD = "provision_lock: 1\nkafka: {version: 3.9.1, mode: zookeeper}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1:1: the file is empty"),
        ("jars: [", "2:1: this is not YAML"),
        ("- a\n", "1:1: this is not a lock: it has no provision_lock"),
        ("name: orders\n", "1:1: this is not a lock: it has no provision_lock"),
        ("provision_lock: 2\n", "1:17: provision_lock: format 2 is not known: this version of provision knows 1"),
        ("provision_lock: 1\n", "1:1: kafka: this key is required"),
        (HEAD + "extra: 1\n", "3:1: extra: unknown key"),
        (HEAD + "jars: 3\n", "3:7: jars: the number 3 does not belong here"),
        (HEAD + "jars: {a.jar: sha256:abc}\n", "3:15: jars.a.jar: 'sha256:abc' is not a checksum"),
        (HEAD + f"jars: {{a.jar: {A}, a.jar: {A}}}\n", "jars.a.jar: this key is already there in line 3"),
        (HEAD + f"images: {{a: {{id: {A}, digest: a:1}}}}\n", "images.a.digest: 'a:1' is not a repository digest"),
        (HEAD + f"images: {{a: {{digest: 'a@{A}'}}}}\n", "3:13: images.a.id: this key is required"),
        (HEAD + f"images: {{a: {{id: {A}, size: 3}}}}\n", "images.a.size: unknown key"),
    ],
)
def test_a_damaged_lock_is_one_message_with_its_place_and_what_to_do(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "orders.lock.yaml"
    file.write_text(text)
    with pytest.raises(InvalidEnvironment) as caught:
        read(file)
    assert caught.value.exit_code == 65
    assert caught.value.what == "the lock is not valid: 1 problem"
    assert caught.value.why.startswith(f"{file}:")
    assert told in caught.value.why
    assert caught.value.why.endswith("(`provision lock` writes a new one)")


def test_a_lock_that_is_no_text_or_no_file_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "orders.lock.yaml"
    file.write_bytes(b"provision_lock: 1\n\xff\n")
    with pytest.raises(InvalidEnvironment, match="the lock is not valid") as caught:
        read(file)
    assert f"{file}:2:1: this line is not UTF-8 text" in caught.value.why
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match="cannot read"):
        read(file)


@given(data=st.data())
def test_whatever_has_become_of_a_lock_it_is_read_as_it_stands_or_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("locks") / "orders.lock.yaml"
    text = text_of(LOCK)
    content = yaml.safe_load(text)
    file.write_bytes(data.draw(mangled(text.encode()) | mutated(json.dumps(content).encode())))  # JSON is YAML too
    lock, told = None, ""
    try:
        lock = read(file)
    except InvalidEnvironment as error:
        told = error.why
    assert bool(told) is (lock is None)
    if lock is not None:
        found = (*outdated(lock, cluster_of()), *deviations(lock.jars, LOCK.jars, "jar"))
        told = "\n".join(map(str, found))
    assert told.replace("\n", "").isprintable()


@pytest.mark.parametrize("what", REPLACED)
def test_whatever_stands_in_the_place_of_a_lock_is_told(tmp_path: Path, what: str) -> None:
    file = tmp_path / "orders.lock.yaml"
    write(LOCK, file)
    REPLACED[what](file)
    with suppress(ProvisionError):
        assert read(file) in (LOCK, None)
