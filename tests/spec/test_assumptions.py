"""What is assumed where a file leaves it open: the newest version of a line, and the layout of an unknown image."""

from pathlib import Path

import pytest

from provision.catalogue.versions import NEWEST, RELEASES, KafkaVersion, version_or_newest
from provision.environment import Environment
from provision.errors import InvalidEnvironment
from provision.events import Event, Notice


def read(tmp_path: Path, text: str, *overrides: str) -> tuple[str, list[str]]:
    """The version of a file, and what is said about it."""
    file, told = tmp_path / "dev.yaml", list[Event]()
    file.write_text(text)
    version = Environment(file, overrides=overrides, on_event=told.append).validate().version
    return str(version), [event.text for event in told if isinstance(event, Notice)]


LINES = {
    "2.8": "2.8.2",
    "3.0": "3.0.2",
    "3.6": "3.6.2",
    "3.9": "3.9.1",
    "4.1": "4.1.1",
    "2": "2.8.2",
    "3": "3.9.1",
    "4": "4.3.0",
}


@pytest.mark.parametrize(("line", "version"), LINES.items())
@pytest.mark.parametrize("form", ["{}", '"{}"', "'{}'"])
def test_a_release_line_is_its_newest_version_and_that_is_said(
    tmp_path: Path, line: str, version: str, form: str
) -> None:
    written = form.format(line)
    said = [f"kafka.version {line} is taken as {version}, the newest {line} that is known"]
    assert read(tmp_path, f"kafka: {{version: {written}}}\n") == (version, said)
    assert read(tmp_path, "{}", f"kafka.version={written}") == (version, said)
    assert read(tmp_path, "kafka: {version: 3.9.1}\n", f"kafka.version={written}") == (version, said)
    values = Environment(name="dev", kafka={"version": line})
    assert str(values.validate().version) == version


@pytest.mark.parametrize("version", NEWEST, ids=str)
def test_a_whole_version_is_itself_and_nothing_is_said(tmp_path: Path, version: KafkaVersion) -> None:
    assert read(tmp_path, f"kafka: {{version: {version}}}\n") == (str(version), [])
    assert version_or_newest(f"{version.major}.{version.minor}") == version


def test_the_newest_versions_are_of_all_lines_in_order() -> None:
    assert list(NEWEST) == sorted(NEWEST)
    lines = {(version.major, version.minor) for version in NEWEST}
    assert len(lines) == len(NEWEST)
    assert lines >= {(release.first.major, release.first.minor) for release in RELEASES}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("3.10", "there is no Kafka 3.10.0"),
        ("2.9", "there is no Kafka 2.9.0"),
        ("2.7", "Kafka 2.7.0 is too old"),
        ("1", "Kafka 1.0.0 is too old"),
        ("4.99", "no version of Kafka 4.99 is known (write it like 3.9.1, or 3.9 for the newest 3.9)"),
        ("5", "no version of Kafka 5 is known"),
        ("39", "no version of Kafka 39 is known"),
        ("-4", "'-4' is not a Kafka version"),
        ("+3.9", "'+3.9' is not a Kafka version"),
        ("3.", "'3.' is not a Kafka version"),
        (".9", "'.9' is not a Kafka version"),
        ("3.9e0", "'3.9e0' is not a Kafka version"),
        ("03.9", "'03.9' is not a Kafka version"),
        ("3.09", "'3.09' is not a Kafka version"),
        ("true", "must be text, not true"),
        ("~", "must be text, not nothing"),
        ("[3, 9]", "must be text, not a list"),
    ],
)
def test_what_is_no_line_is_told(tmp_path: Path, written: str, told: str) -> None:
    for text, overrides in ((f"kafka: {{version: {written}}}", []), ("{}", [f"kafka.version={written}"])):
        with pytest.raises(InvalidEnvironment) as caught:
            read(tmp_path, text, *overrides)
        assert told in caught.value.why
        assert len(caught.value.problems) == 1


def test_a_number_of_a_program_has_lost_what_was_written() -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        Environment(name="dev", kafka={"version": 3.10}).validate()
    assert "must be text, not the number 3.1, which 3.10 and 3.1 share" in caught.value.why
    assert str(Environment(name="dev", kafka={"version": 4}).validate().version) == "4.3.0"


def test_an_images_tag_says_which_version_of_the_line(tmp_path: Path) -> None:
    text = "kafka: {version: 3.8, image: 'apache/kafka:3.8.0'}"
    assert read(tmp_path, text) == ("3.8.0", ["kafka.version 3.8 is taken as 3.8.0, the version of apache/kafka:3.8.0"])
    version, said = read(tmp_path, "kafka: {version: 3.6, image: 'confluentinc/cp-kafka:7.6.1'}")
    assert (version, len(said)) == ("3.6.2", 1)


LAYOUT = "laid out like apache/kafka (jars in /opt/kafka/libs, user 1000, `java` on the PATH)"


@pytest.mark.parametrize(
    "image", ["acme/kafka:3.6.1", "registry.example:5000/team/broker", "kafka", "acme/x@sha256:ab"]
)
def test_the_version_and_the_layout_that_are_assumed_of_an_unknown_image_are_said(tmp_path: Path, image: str) -> None:
    said = f"kafka.image {image} is not known: assuming "
    assert read(tmp_path, f"kafka: {{image: '{image}'}}") == (
        "3.9.1",
        [f"{said}Kafka 3.9.1, {LAYOUT}; for another, set kafka.version"],
    )
    assert read(tmp_path, f"kafka: {{image: '{image}', version: 3.8.1}}") == ("3.8.1", [f"{said}that it is {LAYOUT}"])
    assert len(read(tmp_path, f"kafka: {{image: '{image}', version: 3.8}}")[1]) == 2
    ensemble = read(tmp_path, f"zookeeper: {{image: '{image}'}}")[1]
    assert ensemble == [f"zookeeper.image {image} is not known: assuming that it is {LAYOUT}"]
    assert len(read(tmp_path, f"{{kafka: {{image: '{image}'}}, zookeeper: {{image: '{image}'}}}}")[1]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {image: 'apache/kafka:3.9.1'}",
        "kafka: {image: 'mirror.example/confluentinc/cp-kafka:7.6.1', version: 3.6.1}",
        "kafka: {image: 'provision/kafka:3.9.1'}",
        "zookeeper: {image: 'zookeeper:3.8'}",
        "zookeeper: {image: 'confluentinc/cp-zookeeper:7.6.1'}",
        "bootstrap_servers: kafka.example:9092",
    ],
)
def test_nothing_is_said_where_nothing_is_assumed(tmp_path: Path, text: str) -> None:
    file, told = tmp_path / "dev.yaml", list[Event]()
    file.write_text(text)
    Environment(file, on_event=told.append).validate()
    assert [event for event in told if isinstance(event, Notice)] == []


@pytest.mark.parametrize("version", ["4", "4.0", "4.1.0", "4.3"])
def test_an_ensemble_with_kafka_4_is_told_what_to_do(tmp_path: Path, version: str) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        read(tmp_path, f"kafka: {{version: {version}}}\nzookeeper: {{nodes: 3}}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (2, "zookeeper")
    assert "has no ZooKeeper" in problem.message
    assert problem.hint == "remove it, or use Kafka 3.9"
