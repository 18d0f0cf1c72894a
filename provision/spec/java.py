"""The key `java` of a section: how the JVMs of its nodes are started."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from provision.spec.ports import LAST_PORT
from provision.spec.section import Section

_DECIDED = {
    "-Xms": "the key `heap`",
    "-Xmx": "the key `heap`",
    "-ms": "the key `heap`",
    "-mx": "the key `heap`",
    "-XX:InitialHeapSize": "the key `heap`",
    "-XX:MaxHeapSize": "the key `heap`",
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
_OPEN = ("-Xms", "-Xmx", "-ms", "-mx", ".")
"""The ends of those that are only the beginning of an option: its value or the rest of its name follows."""
_ENDING = (
    *("-version", "--version", "-fullversion", "--full-version", "-showversion", "-Xinternalversion"),
    *("-help", "--help", "-h", "-?", "-X", "--help-extra", "-Xlog:help", "-XX:+PrintFlagsInitial"),
    *("--dry-run", "--list-modules", "--describe-module", "-d", "--validate-modules"),
)
"""Options after which Java prints something, and most after which it exits."""


def _is_one_line(text: str) -> bool:
    return not any(character in text for character in "\n\r\0")


def _option(text: str) -> str:
    if not text.startswith("-") or text == "-" or not _is_one_line(text):
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


FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""The names of files that options of Java can tell of, whatever an agent makes of other characters."""


def _file(text: str) -> str:
    name = text.rpartition("/")[2]
    if not FILE_NAME.fullmatch(name) or set(name) <= {"."} or "\0" in text:
        raise ValueError(
            f"{text!r} does not end in the name of a file of at most 64 letters, digits, dots, hyphens or underscores"
        )
    return text


def _one_line(text: str) -> str:
    if not _is_one_line(text):
        raise ValueError("the options of an agent are one line")
    return text


AgentFile = Annotated[str, AfterValidator(_file), WithJsonSchema({"type": "string", "minLength": 1})]
Port = Annotated[int, Field(ge=1, le=LAST_PORT)]


class AgentSpec(Section):
    """A Java agent."""

    jar: AgentFile
    """Its jar, a file of this machine that every node gets; a relative path starts at the directory of the file."""
    options: Annotated[str, AfterValidator(_one_line)] | None = None
    """What the agent is given. `{address}`, `{port}` and the names of `files` in braces stand for those of the node."""
    files: list[AgentFile] = []
    """Files of this machine that the agent reads; every node gets them, too."""
    port: Port | None = None
    """The port that it opens on node 1, on 127.0.0.1; node 2 gets the next one, and so on."""


class JavaSpec(Section):
    """How the JVM of each node is started."""

    profile: Literal["fast", "server"] = "fast"
    """`fast`: one compiler, one collector thread; for 1 or 2 processors. `server`: as Kafka's own scripts do."""
    options: list[Annotated[str, AfterValidator(_option)]] = []
    """Additional options of Java, one text each, such as `-Dcom.sun.management.jmxremote.port=9999`; they win."""
    agents: list[AgentSpec] = []
    """Java agents that each node loads, such as one for Prometheus."""
    jmx_port: Port | None = None
    """The port of JMX on node 1, on 127.0.0.1; node 2 gets the next one, and so on. Default: none."""
