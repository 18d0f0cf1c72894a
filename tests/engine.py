"""The Docker engine and images that tests with real brokers need."""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from docker.errors import DockerException

from provision.catalogue.versions import KafkaVersion
from provision.errors import Unavailable
from provision.runtime.process.java import find_java
from tests.image.build import ensure_image

ROOT = Path(__file__).parent.parent
DEFAULT_VERSION = "3.9.1"
COMMAND_TIMEOUT_S = 600
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
# ZooKeeper notices a killed broker after it, and a broker gives up a connection that ZooKeeper, not quite up, left
# unanswered. The default is 18 s.
SHORT_SESSION = "{zookeeper.session.timeout.ms: 6000}"
SMALL = f"zookeeper: {{port: auto}}\nbrokers: {{port: auto, properties: {SHORT_SESSION}}}\ntopics: [{{name: t}}]\n"


@functools.cache
def engine() -> docker.DockerClient:
    """The engine; without one the test is skipped, or fails where an engine is required (in CI)."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE"):
            pytest.fail(f"an engine is required here and none answers: {error}")
        pytest.skip("no Docker engine answers")
    return client


def java(version: str) -> None:
    """A Java that runs that Kafka; without one the test is skipped, or fails where everything is required (in CI)."""
    try:
        find_java(KafkaVersion.parse(version))
    except Unavailable as error:
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE"):
            pytest.fail(f"a Java is required here: {error}")
        pytest.skip(str(error))


@functools.cache
def image(version: str = DEFAULT_VERSION) -> str:
    """The test image of a Kafka version, built when it is missing."""
    engine()
    return ensure_image(version)


def engine_traces(environment: str, client: docker.DockerClient | None = None) -> list[str]:
    """What the engine, or another one, has of an environment: containers, networks and volumes, by label or by name."""
    api = (client or engine()).api
    things = [
        *(("container", c["Names"][0].removeprefix("/"), c["Labels"]) for c in api.containers(all=True) if c["Names"]),
        *(("network", network["Name"], network["Labels"]) for network in api.networks()),
        *(("volume", volume["Name"], volume["Labels"]) for volume in api.volumes()["Volumes"] or ()),
    ]
    return sorted(
        f"{kind} {name}"
        for kind, name, labels in things
        if (labels or {}).get("provision.environment") == environment
        or name == environment
        or name.startswith(tuple(f"{environment}-{role}-" for role in ("broker", "controller", "zookeeper")))
    )


def anonymous_volumes() -> frozenset[str]:
    """The volumes that images ask for, which nobody can find by a label: none may stay behind its container."""
    names = (volume["Name"] for volume in engine().api.volumes(filters={"dangling": True})["Volumes"] or ())
    return frozenset(name for name in names if re.fullmatch(r"[0-9a-f]{64}", name))


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Provision:
    """The command line, run as a user runs it: a process of its own, from the project's root, with its own home."""

    home: Path
    runtime: str = "docker"
    version: str = DEFAULT_VERSION
    environment: Mapping[str, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    own_image: bool = True
    as_written: bool = False
    """Whether a file is given to a command as it is."""
    inside: tuple[str, ...] = ()
    """What starts it somewhere else, such as in another network."""

    def arguments(self, *arguments: str) -> list[str]:
        """The whole command. Where it takes a file it gets the runtime, the version and the test image."""
        overrides = [f"runtime={self.runtime}", f"kafka.version={self.version}"]
        if self.runtime == "docker" and self.own_image:
            overrides.append(f"kafka.image={image(self.version)}")
        takes_file = arguments[0] in ("up", "plan", "lock", "render", "validate") and not self.as_written
        settings = [word for override in overrides for word in ("--set", override)]
        return [*self.inside, sys.executable, "-m", "provision", *arguments, *(settings if takes_file else ())]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 Popen's own
        """Start the command and do not wait for it. What it may leave is removed when the module's tests are done."""
        if arguments[0] == "up":
            self.started.add(Path(arguments[1]).stem)
        return subprocess.Popen(
            self.arguments(*arguments),
            cwd=ROOT,
            env={**os.environ, "PROVISION_HOME": str(self.home), "NO_COLOR": "1", **self._engine, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **({"stdin": subprocess.DEVNULL} | options),
        )

    @property
    def _engine(self) -> dict[str, str]:
        """Processes know of no engine: an environment of the same name may run there at the same time."""
        return NO_ENGINE if self.runtime == "process" else {}

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run the command to its end."""
        options = {"stdin": subprocess.DEVNULL if stdin is None else subprocess.PIPE}
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(stdin, timeout=COMMAND_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, out, err)

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the command, which must succeed; returns its standard output."""
        result = self(*arguments, stdin=stdin)
        assert result.code == 0, f"{' '.join(arguments)} exited with {result.code}:\n{result.err}{result.out}"
        return result.out

    def ok_err(self, *arguments: str) -> str:
        """Run the command, which must succeed; returns its messages."""
        result = self(*arguments)
        assert result.code == 0, result.err
        return result.err

    def traces(self, environment: str) -> list[str]:
        """All that is left of an environment; nothing after `down`."""
        if self.runtime == "docker":
            return engine_traces(environment)
        home = self.home / "environments" / environment
        # Unlike `rglob`, this goes on where a directory is removed meanwhile.
        below = [Path(place, one) for place, directories, files in os.walk(home) for one in (*directories, *files)]
        files = [str(path.relative_to(home.parent)) for path in [home, *below] if path.exists()]
        memory = [str(path) for path in Path("/dev/shm").glob(f"provision-*/{environment}")]
        return sorted([*files, *memory, *(f"process {process.pid}" for process in self._processes(environment))])

    def kill(self, environment: str, node: str) -> None:
        """Kill a node as a crash would."""
        if self.runtime == "docker":
            engine().api.kill(f"{environment}-{node}")
            return
        process = self._process(environment, node)
        process.kill()
        process.wait(timeout=30)

    def pause(self, environment: str, node: str) -> None:
        """Let a node keep its process and answer nothing."""
        if self.runtime == "docker":
            engine().api.pause(f"{environment}-{node}")
            return
        self._process(environment, node).suspend()

    def _process(self, environment: str, node: str) -> psutil.Process:
        """The process of a node; one that has just been started has no command line for a moment."""
        assert wait_until(lambda: len(self._processes(environment, node)) == 1)
        (process,) = self._processes(environment, node)
        return process

    def lose(self, environment: str, node: str) -> None:
        """Take a node away with its data, behind the program's back."""
        if self.runtime == "docker":
            engine().api.remove_container(f"{environment}-{node}", force=True, v=True)
            engine().api.remove_volume(f"{environment}-{node}")
            return
        self.kill(environment, node)
        shutil.rmtree(self.home / "environments" / environment / node)

    def listening(self, environment: str, node: str = "") -> frozenset[tuple[str, int]]:
        """The addresses and ports on which a plain process listens, or all of an environment."""
        found = [one for process in self._processes(environment, node) for one in process.net_connections("inet")]
        return frozenset((one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN)

    def _processes(self, environment: str, node: str = "") -> list[psutil.Process]:
        mark = f"-Dprovision.node={self.home}/environments/{environment}/{node}"
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(word.startswith(mark) for word in process.cmdline()):
                    found.append(process)
        return found


def reapers(provision: Provision) -> list[psutil.Process]:
    """The reapers of that home."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = "--owned" in process.cmdline() and process.environ().get("PROVISION_HOME") == str(provision.home)
        except psutil.Error:
            continue
        if ours:
            found.append(process)
    return found


def write_environment(directory: Path, name: str, text: str) -> str:
    """Write an environment file and return its path, to be given as `ENV`."""
    file = directory / f"{name}.yaml"
    file.write_text(text)
    return str(file)


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> bool:
    """Ask again and again; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return true


def wait_for_line(process: subprocess.Popen[str], text: str, timeout_s: float = 60) -> None:
    """Read a process' standard error until a line begins with `text`: `storage broker-1 created` is not `broker-1`."""
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_s
    seen: list[str] = []
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if not line:
            break
        seen.append(line)
        if line.startswith(text):
            return
    raise AssertionError(f"{text!r} did not come; there was:\n{''.join(seen)}")
