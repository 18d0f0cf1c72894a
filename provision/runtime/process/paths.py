"""Which paths Kafka's JVMs can use.

What a format gives a meaning is escaped where the format is written. A path with something for which there is no escape
is refused before anything starts.
"""

import os
from collections.abc import Mapping

from provision.common.texts import has_controls, is_text

DATA: Mapping[str, str] = {
    ",": "Kafka takes a comma for the end of one directory and the start of another",
    "${": "Kafka takes ${ for the start of a reference",
}
"""What the path of a data directory cannot have, and why: Kafka's `log.dirs` knows no escape."""

SECRETS: Mapping[str, str] = {
    ":": "Kafka takes a colon for the end of the path of a file with secrets",
    "}": "Kafka takes } for the end of a reference to a secret",
}
"""What the path of a node's files cannot have with `security`, and why: references to secrets know no escape."""

JARS: Mapping[str, str] = {
    os.pathsep: f"Java takes {os.pathsep} for the end of one path and the start of another",
    "!/": "Java takes !/ for the end of an archive's name",
}
"""What the path of a directory of jars cannot have, and why: a class path knows no escape."""


def trouble(path: str, meanings: Mapping[str, str]) -> str:
    """Why a path cannot be used; empty if it can.

    `meanings` are the texts that it must not contain, each with the reason, beyond what no path of a JVM can have.
    """
    if not is_text(path):
        return "its name is not UTF-8 text, and Java would not find it"
    if has_controls(path):
        return "it contains a line break or another control character"
    return next((reason for text, reason in meanings.items() if text in f"{path}/"), "")
