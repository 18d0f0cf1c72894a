"""Which layout an image has, and which Kafka its tag stands for."""

import pytest

from provision.catalogue.images import APACHE_KAFKA, Reference, default_image, is_of_line, kafka_line_of, layout_of
from provision.catalogue.versions import RELEASES, KafkaVersion


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("zookeeper", ("zookeeper", "", "")),
        ("apache/kafka:3.9.1", ("apache/kafka", "3.9.1", "")),
        ("mirror.example:5000/apache/kafka", ("mirror.example:5000/apache/kafka", "", "")),
        (
            "example:5000/apache/kafka:3.9.1@sha256:01",
            ("example:5000/apache/kafka", "3.9.1", "sha256:01"),
        ),
    ],
)
def test_a_reference_has_parts(image: str, parts: tuple[str, str, str]) -> None:
    assert Reference.parse(image) == Reference(*parts)


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("apache/kafka:3.9.1", "apache/kafka"),
        ("apache/kafka-native:3.9.1", "apache/kafka"),
        ("confluentinc/cp-kafka:7.9.1", "confluentinc/cp-kafka"),
        ("mirror.example:5000/hub/confluentinc/cp-kafka@sha256:01", "confluentinc/cp-kafka"),
        ("confluentinc/cp-zookeeper:7.9.1", "confluentinc/cp-zookeeper"),
        ("bitnamilegacy/kafka:3.9.0-debian-12-r10", "bitnamilegacy/kafka"),
        ("docker.io/bitnami/kafka:3.6.2", "bitnami/kafka"),
        ("zookeeper:3.8.4", "zookeeper"),
        ("docker.io/library/zookeeper", "zookeeper"),
        ("example.org/mine@sha256:0123", "apache/kafka"),
    ],
)
def test_a_layout_is_found_by_the_end_of_the_repository(image: str, repository: str) -> None:
    assert layout_of(image).repository == repository


@pytest.mark.parametrize(
    ("image", "class_path"),
    [
        ("apache/kafka:3.9.1", "/opt/kafka/libs/*"),
        (
            "confluentinc/cp-kafka:7.9.1",
            "/usr/share/java/kafka/*:/usr/share/java/cp-base-new/*:/usr/share/java/cp-base-java/*",
        ),
        ("zookeeper:3.8.4", "/conf:lib/*"),
    ],
)
def test_the_class_path_names_every_directory_of_jars_in_order(image: str, class_path: str) -> None:
    assert layout_of(image).class_path == class_path


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("apache/kafka:3.9.1", "3.9.1"),
        ("apache/kafka:4.1.0-rc1", "4.1.0"),
        ("apache/kafka:latest", None),
        ("apache/kafka@sha256:0123", None),
        ("confluentinc/cp-kafka:7.6.1", "3.6"),
        ("confluentinc/cp-kafka:6.2.1-1-ubi8", "2.8"),
        ("confluentinc/cp-kafka:8.0.0", "4.0"),
        ("confluentinc/cp-kafka:99.0.0", None),
        ("bitnamilegacy/kafka:3.6", "3.6"),
        ("zookeeper:3.8.4", None),
        ("example.org/mine:3.8.4", None),
    ],
)
def test_a_tag_stands_for_a_kafka(image: str, line: str | None) -> None:
    assert kafka_line_of(image) == line


def test_a_version_is_of_its_line_and_of_no_other() -> None:
    version = KafkaVersion(3, 9, 1)
    assert [is_of_line(version, line) for line in ("3", "3.9", "3.9.1")] == [True] * 3
    assert [is_of_line(version, line) for line in ("2", "3.8", "3.9.11", "3.9.10")] == [False] * 4
    assert not is_of_line(KafkaVersion(3, 10, 0), "3.1")


def test_every_supported_version_has_an_image_of_its_line() -> None:
    lines = {(2, 8), *((3, minor) for minor in range(10)), *((r.first.major, r.first.minor) for r in RELEASES)}
    for major, minor in lines:
        version = KafkaVersion(major, minor, 1)
        line = kafka_line_of(default_image(version))
        assert line is not None
        assert is_of_line(version, line), (version, line)
    assert default_image(KafkaVersion(3, 7, 0)) == "apache/kafka:3.7.0"
    assert default_image(KafkaVersion(2, 8, 2)) == "confluentinc/cp-kafka:6.2.1"
    assert layout_of(default_image(KafkaVersion(3, 9, 1))) is APACHE_KAFKA
