"""The key `java` of a section: how the JVMs of its nodes are started."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.checks import Finding
    from provision.spec.model import EnvironmentSpec

_DECIDED = {
    "-Xms": "the key `heap`",
    "-Xmx": "the key `heap`",
    "-cp": "Kafka's jars",
    "-classpath": "Kafka's jars",
    "--class-path": "Kafka's jars",
    "-Djava.class.path": "Kafka's jars",
    "-jar": "Kafka's jars",
    "-m": "Kafka's jars",
    "--module": "Kafka's jars",
    "-Dprovision.": "provision, which finds processes by it",
}
"""The beginnings of options that the program decides, and what decides them."""
_ENDING = ("-version", "--version", "-showversion", "-help", "--help", "-h", "-?", "-X", "--help-extra", "--dry-run")
"""Options after which Java prints something, and most after which it exits."""


def _option(text: str) -> str:
    if not text.startswith("-") or text == "-" or any(character in text for character in "\n\r\0"):
        raise ValueError(
            f"{text!r} is not an option of Java: one begins with a hyphen, and has its value after = or : in one text"
        )
    return text


class JavaSpec(Section):
    """How the JVM of each node is started."""

    profile: Literal["fast", "server"] = "fast"
    """`fast`: one compiler, one collector thread; for 1 or 2 processors. `server`: as Kafka's own scripts do."""
    options: list[Annotated[str, AfterValidator(_option)]] = []
    """Additional options of Java, one text each, such as `-Dcom.sun.management.jmxremote.port=9999`; they win."""


def java_options(spec: "EnvironmentSpec") -> Iterator["Finding"]:
    """Options of Java do not decide what the program decides, and let the node run."""
    from provision.spec.checks import Finding

    for section in ("zookeeper", "controllers", "brokers"):
        for index, option in enumerate(getattr(spec, section).java.options):
            path = (section, "java", "options", index)
            name = option.partition("=")[0]
            by = next((by for start, by in _DECIDED.items() if _begins(option, start)), "")
            if by:
                yield Finding(path, f"{name} is decided by {by}", "remove it")
            elif name in _ENDING:
                yield Finding(path, f"with {name}, Java would not run Kafka", "remove it")


def _begins(option: str, start: str) -> bool:
    """Whether an option is the one, or has its value right behind it, as in -Xmx1g."""
    if start.startswith("-X") or start.endswith("."):
        return option.startswith(start)
    return option.partition("=")[0] == start
