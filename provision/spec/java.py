"""The key `java` of a section: how the JVMs of its nodes are started."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from provision.spec.section import Section

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
"""The options that the program decides, and what decides them."""
_OPEN = ("-Xms", "-Xmx", ".")
"""The ends of those that are only the beginning of an option: its value or the rest of its name follows."""
_ENDING = ("-version", "--version", "-showversion", "-help", "--help", "-h", "-?", "-X", "--help-extra", "--dry-run")
"""Options after which Java prints something, and most after which it exits."""


def _option(text: str) -> str:
    if not text.startswith("-") or text == "-" or any(character in text for character in "\n\r\0"):
        raise ValueError(
            f"{text!r} is not an option of Java: one begins with a hyphen, and has its value after = or : in one text"
        )
    name = text.partition("=")[0]
    for start, by in _DECIDED.items():
        if text.startswith(start) if start.endswith(_OPEN) else name == start:
            raise ValueError(f"{name} is decided by {by}")
    if name in _ENDING:
        raise ValueError(f"with {name}, Java would not run Kafka")
    return text


class JavaSpec(Section):
    """How the JVM of each node is started."""

    profile: Literal["fast", "server"] = "fast"
    """`fast`: one compiler, one collector thread; for 1 or 2 processors. `server`: as Kafka's own scripts do."""
    options: list[Annotated[str, AfterValidator(_option)]] = []
    """Additional options of Java, one text each, such as `-Dcom.sun.management.jmxremote.port=9999`; they win."""
