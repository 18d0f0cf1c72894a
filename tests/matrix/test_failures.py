"""Why a broker exits, made for real: limits, full disks, taken ports, missing classes, a crash of the JVM."""

import io
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

from tests.engine import DEFAULT_VERSION, Provision, java, wait_until, write_environment

pytestmark = [pytest.mark.matrix, pytest.mark.process, pytest.mark.row(None)]

FILE = "kafka: {mode: kraft}\nbrokers: {port: auto}\ntopics: [{name: t, partitions: 40}]\n"


@contextmanager
def fails(
    tmp_path: Path, name: str, *settings: str, jvm: tuple[str, str] = ("", "")
) -> Iterator[tuple[Provision, list[str]]]:
    """A home whose Java gets a wrapper and an option where it is a broker's, and the arguments of `up`."""
    java(DEFAULT_VERSION)
    command = tmp_path / "jvm" / "bin" / "java"
    command.parent.mkdir(parents=True)
    real, (wrapper, option) = shutil.which("java"), jvm
    broker = f'*provision.node=*broker-1*) exec {wrapper} {real} {option} "$@";;'
    command.write_text(f'#!/bin/sh\ncase "$*" in {broker} *) exec {real} "$@";; esac\n')
    command.chmod(0o755)
    provision = Provision(tmp_path / "home", "process", environment={"JAVA_HOME": str(tmp_path / "jvm")})
    env = write_environment(tmp_path, name, FILE)
    overrides = [word for setting in settings for word in ("--set", setting)]
    try:
        yield provision, [env, *overrides]
    finally:
        provision.ok("down", env, "--delete-data")
        assert provision.traces(name) == []


def reason(provision: Provision, arguments: list[str]) -> str:
    """What a failing `up` says; it is not the shutdown, and no stack trace."""
    result = provision("up", *arguments)
    assert result.code == 1, result.err
    assert "broker-1 exited" in result.err
    assert "\tat " not in result.err
    return result.err


@pytest.mark.parametrize(("command", "rest"), [("run", ["--", "true"]), ("up", [])])
def test_a_start_that_fails_leaves_its_logs_to_whoever_wants_a_bundle(
    tmp_path: Path, command: str, rest: list[str]
) -> None:
    with fails(tmp_path, "nodes-bundled", "brokers.heap=8m") as (provision, arguments):
        file = tmp_path / "reports" / "kafka.tar.gz"
        result = provision(command, *arguments, "--bundle", str(file), *rest)
        assert (result.code, f"wrote {file}, as the start has failed" in result.err) == (1, True), result.err
        with tarfile.open(file) as archive:
            (log,) = [name for name in archive.getnames() if name.endswith("/logs/broker-1.log")]
            assert b"OutOfMemoryError" in (archive.extractfile(log) or io.BytesIO()).read()
            assert [name for name in archive.getnames() if name.endswith("/files/broker-1/server.properties")]


MISSING = {
    "no Java": ({"JAVA_HOME": "", "PATH": ""}, "runtime=process", 69, "needs Java"),
    "no engine": ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "runtime=docker", 69, "/nowhere/docker.sock"),
    "a taken port": ({}, "brokers.port={taken}", 1, "{taken}"),
}


@pytest.mark.parametrize(("command", "rest"), [("run", ["--", "/bin/true"]), ("up", [])])
@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_outside_is_told_in_the_report(
    tmp_path: Path, taken: int, missing: str, command: str, rest: list[str]
) -> None:
    variables, setting, code, said = MISSING[missing]
    report, env = tmp_path / "readiness.xml", write_environment(tmp_path, "nodes-reported", FILE)
    provision = Provision(tmp_path / "home", "process", environment=variables, as_written=True)
    words = ["--set", "runtime=process", "--set", setting.format(taken=taken), "--junit", str(report), *rest]
    result = provision(command, env, *words)
    provision.ok("down", env)
    assert result.code == code, result.err
    told = [element.text or "" for case in ET.parse(report).iter("testcase") for element in case]  # noqa: S314 our own
    assert any(said.format(taken=taken) in text for text in told), told
    assert provision.traces("nodes-reported") == []


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


JMX = "-Dcom.sun.management.jmxremote"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:{port}",
            "its debugger (jdwp) is taken",
        ),
        (
            f"{JMX}.port={{port}} {JMX}.host=127.0.0.1 {JMX}.ssl=false {JMX}.authenticate=false",
            "the port {port} of JMX is taken",
        ),
        ("-javaagent:/no/such.jar", "the agent /no/such.jar in its Java options is not there"),
        ("-XX:MaxMetaspaceSize=16m", "raise -XX:MaxMetaspaceSize"),
    ],
)
def test_what_the_java_options_ask_for(tmp_path: Path, taken: int, option: str, said: str) -> None:
    with fails(tmp_path, "nodes-options", jvm=("", option.format(port=taken))) as (provision, arguments):
        assert said.format(port=taken) in reason(provision, arguments)


@pytest.mark.parametrize("key", ["metric.reporters", "authorizer.class.name"])
def test_a_plugin_that_is_not_there(tmp_path: Path, key: str) -> None:
    with fails(tmp_path, "nodes-plugin", f"brokers.properties.{key}=no.such.Plugin") as (provision, arguments):
        assert "it does not find the class no.such.Plugin" in reason(provision, arguments)


def test_a_limit_of_threads(tmp_path: Path) -> None:
    """None of root's processes has one; so each thread wants more memory than a few of them may have."""
    with fails(tmp_path, "nodes-threads", jvm=("prlimit --as=8000000000", "-Xss300m")) as (provision, arguments):
        assert "it may not start another thread" in reason(provision, arguments)


def test_a_limit_of_open_files_is_told_of_a_broker_that_runs_on(tmp_path: Path) -> None:
    with fails(tmp_path, "nodes-files", jvm=("prlimit --nofile=170", "")) as (provision, arguments):
        result = provision("up", *arguments, "--timeout", "40s")
    assert result.code in (1, 124), result.err
    assert "its limit of open files is reached" in result.err
    assert "Too many open files" in result.err


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("only root mounts a small disk")
    try:
        with fails(tmp_path, "nodes-disk", f"storage={small}/data") as (provision, arguments):
            provision.ok("up", *arguments)
            provision("produce", arguments[0], "t", stdin=f"{'x' * 1000}\n" * 2000)
            result = provision("wait", "nodes-disk", "--timeout", "60s")
            assert result.code == 1, result.err
            said = result.err
        assert "its disk is full" in said or "its disk or /dev/shm is full" in said
    finally:
        subprocess.run(["/bin/umount", small], check=True)


def test_a_crash_by_sigbus(tmp_path: Path) -> None:
    """As the kernel sends it when a page of a mapped file cannot be had."""
    with fails(tmp_path, "nodes-sigbus") as (provision, arguments):
        provision.ok("up", *arguments)
        mark = f"-Dprovision.node={provision.home}/environments/nodes-sigbus/broker-1"
        (broker,) = [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or ())]
        broker.send_signal(signal.SIGBUS)
        assert wait_until(lambda: not broker.is_running())
        result = provision("wait", "nodes-sigbus")
        assert result.code == 1, result.err
        assert "it could not write a file that is mapped into memory" in result.err
