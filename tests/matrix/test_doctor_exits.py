"""What the doctor says about a broker that does not start: its Java, its memory, its classes, its data.

The tests follow one another on one broker, which the last one starts again.
"""

import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.common.values import replace
from tests.engine import DEFAULT_VERSION
from tests.matrix.doctoring import Patient, healthy, rewritten

pytestmark = [pytest.mark.matrix, pytest.mark.process, pytest.mark.row("doctor-exits")]

FILE = """\
kafka:
  mode: kraft
brokers:
  port: auto
topics: [{name: t}]
runtime: process
"""
JMX = "-Dcom.sun.management.jmxremote"


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A broker that has run, and is stopped."""
    with healthy(tmp_path_factory.mktemp("exits"), "known-exits", FILE) as patient:
        patient.provision.ok("stop", patient.env)
        yield patient


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "identity", "said"),
    [
        (
            "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:{port}",
            "debugger-port-taken",
            "the port of its debugger (jdwp) is taken",
        ),
        (
            f"{JMX}.port={{port}} {JMX}.host=127.0.0.1 {JMX}.ssl=false {JMX}.authenticate=false",
            "jmx-port-taken",
            "the port {port} of JMX is taken",
        ),
    ],
)
def test_a_port_of_its_java_options(ill: Patient, taken: int, options: str, identity: str, said: str) -> None:
    told = replace(ill.provision, environment={"JAVA_TOOL_OPTIONS": options.format(port=taken)})
    assert told("start", ill.env).code == 1
    found = ill.only()
    assert (found["id"], found["cause"]) == (identity, said.format(port=taken))
    assert "JAVA_TOOL_OPTIONS" in found["fix"]


@pytest.mark.parametrize(
    ("written", "identity", "said"),
    [
        (
            "  properties:\n    metric.reporters: no.such.Plugin",
            "class-missing",
            "does not find the class no.such.Plugin",
        ),
        ("  heap: 20m", "heap-too-small", "the JVM ran out of memory"),
    ],
)
def test_what_its_file_asks_for(ill: Patient, written: str, identity: str, said: str) -> None:
    port = b"  port: auto"
    with rewritten(Path(ill.env), port, port + b"\n" + written.encode()) as line:
        assert ill.provision("up", ill.env).code == 1
        found = ill.only()
        assert found["id"] == identity
        assert said in found["cause"]
        assert found["file"] == f"{ill.env}:{line + written.count(chr(10)) + 1}"


def test_a_kafka_for_a_newer_java(ill: Patient, tmp_path: Path) -> None:
    """Its main class is one of the next century."""
    cached = Path(ill.provision.ok_err("fetch", DEFAULT_VERSION).rpartition(" in ")[2].strip())
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    for jar in cached.glob("*.jar"):
        if jar.name.startswith("kafka_2"):
            _for_newer_java(jar, libs / jar.name)
        else:
            (libs / jar.name).symlink_to(jar)
    with rewritten(Path(ill.env), b"mode: kraft", f"mode: kraft\n  distribution: {libs.parent}".encode()) as line:
        assert ill.provision("up", ill.env).code == 1
        found = ill.only()
    assert (found["id"], found["file"]) == ("java-too-old", f"{ill.env}:{line + 1}")


def _for_newer_java(jar: Path, made: Path) -> None:
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "kafka/Kafka.class":
                content = content[:6] + (999).to_bytes(2, "big") + content[8:]
            new.writestr(entry, content)


def test_a_log_directory_that_is_damaged(ill: Patient) -> None:
    ill.provision.ok("up", ill.env)
    ill.provision.ok("stop", ill.env)
    data = ill.directory / "broker-1" / "data"
    checkpoint = data / "t-0" / "leader-epoch-checkpoint"
    with rewritten(checkpoint, checkpoint.read_bytes(), b"garbage\n"):
        assert ill.provision("start", ill.env).code == 1
        damaged = ill.only()
        assert damaged["id"] == "log-damaged"
        assert str(checkpoint) in damaged["cause"]
    (data / "notes").mkdir()
    assert ill.provision("start", ill.env).code == 1
    strange = ill.only()
    assert strange["id"] == "log-directory-has-strangers"
    assert str(data / "notes") in strange["cause"]
    (data / "notes").rmdir()
    ill.provision.ok("start", ill.env)
    assert ill.findings() == []
