"""What lets a tool in, where it runs as a process: for that tool alone, and for as long as it runs."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from provision.home.place import Home
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import DIRECTORY, JavaCommand, Streams
from provision.runtime.process import tools
from provision.runtime.process.notes import EnvironmentNote
from provision.runtime.process.runtime import ProcessRuntime

NAME = "shown"
# In place of Java: it waits for the end of its input, then shows the file that it was told of twice.
SHOWS = """#!/bin/sh
[ "$1" = -version ] && { echo 'openjdk version "17.0.1"' >&2; exit; }
echo ready
cat >/dev/null
for last; do :; done
cat "$last" "$last"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(SHOWS)
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    home = Home.at(tmp_path / "home")
    (home.environments / NAME).mkdir(parents=True, mode=0o700)
    EnvironmentNote(
        software="kafka 3.9.1",
        libs="",
        version="3.9.1",
        mode="kraft",
        storage="volume",
        created_s=0,
        ttl_s=None,
        cluster_id="",
    ).write(home.environments / NAME)
    return home


def _command(word: str) -> JavaCommand:
    return JavaCommand("Main", (), "--command-config", f"password={word}\n".encode())


def _run(home: Home, word: str, stdin: int | None = None) -> str:
    out, err = io.BytesIO(), io.BytesIO()
    source = os.fdopen(stdin, "rb") if stdin is not None else None
    streams = Streams(source, out, err)
    observed = ObservedEnvironment(NAME, "process")
    assert ProcessRuntime(home).run_tool(observed, _command(word), streams) == 0, err.getvalue()
    if source:
        source.close()
    return out.getvalue().decode()


def _left(home: Home) -> list[str]:
    """The files in which a password is."""
    return [path.name for path in home.directory.rglob("*") if path.is_file() and b"password" in path.read_bytes()]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a descriptor has one position for all who open it")
def test_two_tools_at_once_have_what_lets_each_of_them_in(home: Home) -> None:
    read, write = os.pipe()
    said: list[str] = []
    waiting = threading.Thread(target=lambda: said.append(_run(home, "first", read)))
    waiting.start()
    try:
        second = _run(home, "second")
        assert _left(home) == []
    finally:
        os.close(write)
        waiting.join(30)
    assert second == "ready\n" + "password=second\n" * 2
    assert said == ["ready\n" + "password=first\n" * 2]
    assert _left(home) == []


def test_of_a_command_that_is_killed_nothing_stays(home: Home) -> None:
    program = f"""
import sys
from pathlib import Path
from provision.home.place import Home
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import JavaCommand, Streams
from provision.runtime.process.runtime import ProcessRuntime

command = JavaCommand("Main", (), "--command-config", b"password=x\\n")
streams = Streams(sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
observed = ObservedEnvironment({NAME!r}, "process")
ProcessRuntime(Home.at(Path({str(home.directory)!r}))).run_tool(observed, command, streams)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        assert command.stdout
        assert command.stdout.readline() == b"ready\n"
        command.send_signal(signal.SIGKILL)
        command.wait(30)
        assert _left(home) == []


def test_files_that_its_jvm_is_told_of_are_the_tools_own_too(home: Home) -> None:
    jvm = (f"-Dkeys={DIRECTORY}/own.pem", f"-Dothers={DIRECTORY}/others.pem")
    secrets = {"own.pem": b"password=own\n", "others.pem": b"password=others\n"}
    command = JavaCommand("Main", (), "--command-config", b"password=x\n", secrets, jvm)
    with tools.told(command, home.directory, home.directory) as started:
        paths = [option.partition("=")[2] for option in started.options]
        assert started.options == (f"-Dkeys={paths[0]}", f"-Dothers={paths[1]}")
        shown = [Path(path).read_bytes() for path in (*paths, started.arguments[1])]
        assert _left(home) == []
    assert shown == [*secrets.values(), b"password=x\n"]
    assert len(set(started.descriptors)) == 3


def test_files_that_a_command_does_not_bring_are_the_nodes(home: Home) -> None:
    command = JavaCommand("Main", (), jvm=(f"-Dkeys={DIRECTORY}/own.pem",))
    with tools.told(command, home.directory, Path("/node/config")) as started:
        assert (started.options, started.descriptors) == (("-Dkeys=/node/config/own.pem",), ())
