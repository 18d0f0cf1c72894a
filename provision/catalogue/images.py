"""The known images: their layout, and the Kafka version a tag stands for. Adding one is one entry.

Sources: the Dockerfiles of the images; for the Confluent Platform, its documentation's "Supported Versions and
Interoperability". The program starts Java itself and uses only Java and the jars of an image.
"""

import re
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from provision.catalogue.versions import KafkaVersion

_LEADING_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class Reference(Struct, frozen=True):
    """The parts of an image's name; `tag` and `digest` (`sha256:…`) are empty if it has none."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, image: str) -> "Reference":
        """Read `repository:tag@digest`; a colon before the last slash belongs to a registry's port."""
        name, _, digest = image.partition("@")
        directory, slash, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        return cls(f"{directory}{slash}{last}", tag, digest)


class ImageLayout(Struct, frozen=True):
    """Where an image has what a node needs.

    `libs` are its directories of jars, the first of which must exist; a relative one is below the image's working
    directory. `user` is the number of its unprivileged account. `java` is a path, or found on the image's PATH. `lines`
    are Kafka's release lines by the image's own, if tags are not Kafka versions. `logging` is a directory with a
    logging configuration if the logging library is not Kafka's; else a node gets that of its release.
    """

    repository: str
    libs: tuple[str, ...]
    user: int = 1000
    java: str = "java"
    lines: Mapping[str, str] = field(default_factory=dict)
    logging: str = ""
    has_kafka: bool = True

    @property
    def class_path(self) -> str:
        """All its jars, as a class path."""
        return ":".join([*([self.logging] if self.logging else []), *(f"{directory}/*" for directory in self.libs)])


_CONFLUENT_LINES = {"6.2": "2.8", **{f"7.{minor}": f"3.{minor}" for minor in range(10)}, "8.0": "4.0", "8.1": "4.1"}
# Kafka's own directory first: the other two are for the image's scripts, and add what Kafka's lacks.
_CONFLUENT_LIBS = ("/usr/share/java/kafka", "/usr/share/java/cp-base-new", "/usr/share/java/cp-base-java")

APACHE_KAFKA = ImageLayout("apache/kafka", libs=("/opt/kafka/libs",))
BUILT = replace(APACHE_KAFKA, repository="provision/kafka")
"""The layout of what `provision image build` creates."""
IMAGES = (
    APACHE_KAFKA,
    BUILT,
    ImageLayout("confluentinc/cp-kafka", libs=_CONFLUENT_LIBS, lines=_CONFLUENT_LINES),
    ImageLayout("confluentinc/cp-zookeeper", libs=_CONFLUENT_LIBS, lines=_CONFLUENT_LINES),
    ImageLayout("bitnamilegacy/kafka", libs=("/opt/bitnami/kafka/libs",), user=1001, java="/opt/bitnami/java/bin/java"),
    ImageLayout("bitnami/kafka", libs=("/opt/bitnami/kafka/libs",), user=1001, java="/opt/bitnami/java/bin/java"),
    # Its working directory is the unpacked ZooKeeper, and ZooKeeper's logging library is not Kafka's.
    ImageLayout("zookeeper", libs=("lib",), logging="/conf", has_kafka=False),
)

_FIRST_OF_APACHE = KafkaVersion(3, 7, 0)
# For release lines without an image from Apache: tags of confluentinc/cp-kafka.
_BEFORE_APACHE = {
    "2.8": "6.2.1",
    "3.0": "7.0.1",
    "3.1": "7.1.1",
    "3.2": "7.2.1",
    "3.3": "7.3.2",
    "3.4": "7.4.1",
    "3.5": "7.5.3",
    "3.6": "7.6.1",
}


def default_image(version: KafkaVersion) -> str:
    """The image for a version: Apache's, or before 3.7.0, the first with one, Confluent's of that release line."""
    if version >= _FIRST_OF_APACHE:
        return f"apache/kafka:{version}"
    return f"confluentinc/cp-kafka:{_BEFORE_APACHE[f'{version.major}.{version.minor}']}"


def layout_of(image: str) -> ImageLayout:
    """The layout of an image by its repository, on any mirror; an unknown one is assumed to be like Apache's."""
    return _known(image) or APACHE_KAFKA


def is_known(image: str) -> bool:
    """Whether an image of that repository is known to contain Kafka."""
    layout = _known(image)
    return layout is not None and layout.has_kafka


def is_known_ensemble(image: str) -> bool:
    """Whether an image of that repository is known to contain ZooKeeper."""
    return _known(image) is not None


def _known(image: str) -> ImageLayout | None:
    repository = Reference.parse(image).repository
    fitting = (one for one in IMAGES if repository == one.repository or repository.endswith(f"/{one.repository}"))
    # `apache/kafka` rather than a `kafka`, `confluentinc/cp-zookeeper` rather than `zookeeper`.
    return max(fitting, key=lambda one: len(one.repository), default=None)


def kafka_line_of(image: str) -> str | None:
    """The Kafka version of an image's tag: `3.9.1`, or only its line, `3.9`; None if the tag does not give it."""
    layout, numbers = _known(image), _LEADING_NUMBERS.match(Reference.parse(image).tag)
    if layout is None or not layout.has_kafka or numbers is None:
        return None
    if not layout.lines:
        return numbers.group()
    return layout.lines.get(".".join(numbers.group().split(".")[:2]))


def zookeeper_line_of(image: str) -> tuple[int, ...]:
    """The release line of ZooKeeper's own image, `(3, 8)`; empty for other images and for tags that do not give it."""
    layout, numbers = _known(image), _LEADING_NUMBERS.match(Reference.parse(image).tag)
    if layout is None or layout.has_kafka or numbers is None:
        return ()
    return tuple(int(number) for number in numbers.group().split("."))[:2]


def is_of_line(version: KafkaVersion, line: str) -> bool:
    """Whether a version is that version, or belongs to that release line."""
    return f"{version}.".startswith(f"{line}.")
