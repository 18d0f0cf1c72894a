"""What an image of Kafka is made of: the same bytes for the same jars, and labels that say what decided them."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from provision.catalogue.versions import KafkaVersion
from provision.common.values import replace
from provision.runtime.docker.image_recipe import BASE, Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    jars = [tmp_path / name for name in ("a.jar", "kafka_2.13-3.9.1.jar")]
    for jar in jars:
        jar.write_bytes(jar.name.encode() * 100)
    return Recipe(KafkaVersion(3, 9, 1), "java:17", "sha256:abc", "/usr/bin", tuple(jars), "f00d")


def _context(recipe: Recipe) -> bytes:
    target = io.BytesIO()
    recipe.write_context(target)
    return target.getvalue()


def test_the_same_jars_are_the_same_bytes_whenever_they_came(recipe: Recipe) -> None:
    before = _context(recipe)
    for jar in recipe.jars:
        jar.chmod(0o600)
        os.utime(jar, (1, 1))
    assert _context(recipe) == before


def test_it_is_laid_out_like_the_official_image(recipe: Recipe) -> None:
    with tarfile.open(fileobj=io.BytesIO(_context(recipe))) as context:
        assert context.getnames() == ["Dockerfile", "root.tar"]
        packed = context.extractfile("root.tar")
        assert packed
        with tarfile.open(fileobj=packed) as root:
            found = {member.name: (member.uid, oct(member.mode), member.isdir(), member.mtime) for member in root}
    directory, jar = (0, "0o755", True, 0), (0, "0o644", False, 0)
    assert found == {
        "opt": directory, "opt/kafka": directory, "opt/kafka/libs": directory,
        "opt/kafka/libs/a.jar": jar, "opt/kafka/libs/kafka_2.13-3.9.1.jar": jar,
        "var": directory, "var/lib": directory, "var/lib/kafka": directory,
        "var/lib/kafka/data": (1000, "0o755", True, 0),
    }  # fmt: skip


def test_no_step_runs_anything_and_the_path_is_taken_as_it_is(recipe: Recipe) -> None:
    assert replace(recipe, path="/a b:/$HOME").dockerfile == (
        'FROM sha256:abc\nENV PATH="/a b:/\\$HOME"\nUSER 1000:1000\nADD root.tar /\n'
    )


def test_an_image_is_made_from_just_this_by_all_its_labels_but_the_bases_name(recipe: Recipe) -> None:
    labels = dict(recipe.labels)
    assert labels["provision.image"] == "kafka"
    assert labels["provision.kafka-version"] == "3.9.1"
    assert labels["provision.jars"] == "f00d"
    assert recipe.made(labels | {BASE: "another name", "theirs": "as well"})
    for other in (
        replace(recipe, version=KafkaVersion(3, 9, 0)),
        replace(recipe, base_id="sha256:def"),
        replace(recipe, path="/opt/java/bin"),
        replace(recipe, jars_hash="beef"),
    ):
        assert not other.made(labels)
