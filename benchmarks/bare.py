"""The same clusters as bare JVMs that a script starts: the limit of what can be reached, and what people do by hand.

Configuration files and arguments are those that `provision render` writes, so that the work is the same. Three ways:

- `limit`: our options for the JVM and an archive of its classes, every JVM started at once; in KRaft mode the storages
  are formatted by Kafka's tool first, in parallel.
- `no archive`: the same without archives.
- `default`: what people do by hand: the options of Kafka's own start scripts, with our heap, and none of our settings
  for small clusters; ZooKeeper first until it answers, or the storages formatted one by one.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import reached
from benchmarks.measuring import Contestant, Failed
from benchmarks.ours import Program, archives_of, unique
from benchmarks.shapes import Shape, free_ports, written
from provision.catalogue.versions import KafkaVersion
from provision.runtime import archives
from provision.runtime.process.java import find_java

OF_SCRIPTS = (
    "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15",
)  # fmt: skip
"""What `kafka-run-class.sh` passes."""
_OUR_SETTINGS = (
    "group.initial.rebalance.delay.ms", "log.cleaner.dedupe.buffer.size", "num.io.threads", "num.network.threads",
)  # fmt: skip
_OUR_OPTIONS = ("-XX:TieredStopAtLevel=", "-XX:+UseSerialGC")
_CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"


@dataclass(frozen=True, slots=True)
class Way:
    """How the JVMs are started."""

    archives: bool = False
    our_options: bool = True
    one_by_one: bool = False


LIMIT, NO_ARCHIVE, DEFAULT = Way(archives=True), Way(), Way(our_options=False, one_by_one=True)


@dataclass(frozen=True, slots=True)
class _Node:
    """A JVM that is to be started in its directory."""

    name: str
    directory: Path
    java: tuple[str, ...]
    main: tuple[str, ...]

    @property
    def properties(self) -> str:
        return self.main[-1]


def bare(cache: Path, shape: Shape, way: Way) -> Contestant:
    """Such a cluster, until every topic is in sync, and the end of its processes."""

    def lived(empty: Path) -> Mapping[str, Any]:
        ports = free_ports(shape.brokers * 2 + 1)
        nodes = list(_nodes(empty, cache, shape, ports, way))
        admin = reached.client([f"127.0.0.1:{port}" for port in ports[1 : shape.brokers + 1]])
        began = time.perf_counter()
        with _started(nodes, way, ports) as processes:
            reached.until_in_sync(admin, shape, lambda: _require(processes))
            ready_s = time.perf_counter() - began
            sizes = [
                psutil.Process(process.pid).memory_info().rss
                for name, process in processes.items()
                if name.startswith("broker")
            ]
            began = time.perf_counter()
        down_s = time.perf_counter() - began
        return {"ready": ready_s, "down": down_s, "broker_bytes": sum(sizes) / len(sizes)}

    return lived


@contextmanager
def _started(nodes: Sequence[_Node], way: Way, ports: Sequence[int]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        _format([node for node in nodes if "process.roles" in Path(node.properties).read_text(encoding="utf-8")], way)
        for node in nodes:
            processes[node.name] = _begun(node.directory, [*node.java, *node.main])
            if way.one_by_one and node.name.startswith("zookeeper"):
                _until_it_listens(ports[0], lambda: _require(processes))
        yield processes
    finally:
        for process in processes.values():
            process.kill()
        for process in processes.values():
            process.wait(timeout=30)


def _format(nodes: Sequence[_Node], way: Way) -> None:
    tools = []
    for node in nodes:
        words = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", node.properties]
        java = [word for word in node.java if not word.startswith(("-XX:SharedArchiveFile", "-Xlog"))]
        tools.append(_begun(node.directory, [*java, *words]))
        if way.one_by_one:
            tools[-1].wait(timeout=60)
    for tool in tools:
        if tool.wait(timeout=60):
            raise Failed("kafka-storage failed")


def _begun(directory: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with (directory / "out.txt").open("ab") as out:
        return subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _until_it_listens(port: int, alive: Any) -> None:  # noqa: ANN401 a function
    end = time.monotonic() + 60
    while time.monotonic() < end:
        alive()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise Failed("ZooKeeper does not listen")


def _require(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise Failed(f"{name} exited with {process.returncode}")


def _nodes(directory: Path, cache: Path, shape: Shape, ports: Sequence[int], way: Way) -> Iterator[_Node]:
    """The nodes with their files, ZooKeeper first."""
    name, program = unique(), Program(directory, cache)
    file = written(directory, name, shape.text(ports=(ports[0], ports[1])))
    program("render", file, "--out", str(directory / "rendered"))
    made = {one["kind"]: one["place"] for one in archives_of(directory, cache, shape)} if way.archives else {}
    for rendered in sorted((directory / "rendered").iterdir(), key=lambda path: (path.name[0] == "b", path.name)):
        place = program.home / "environments" / name / rendered.name
        for part in ("config", "data", "log", "tmp"):
            (place / part).mkdir(parents=True)
        for content in rendered.iterdir():
            text = content.read_text(encoding="utf-8")
            text = text if way.our_options else without_our_settings(text)
            (place / "config" / content.name).write_text(text, encoding="utf-8")
        kind = _kind(rendered.name, shape)
        yield _node(place, json.loads((rendered / "launch.json").read_text(encoding="utf-8")), made.get(kind), way)


def without_our_settings(properties: str) -> str:
    """A broker's properties with Kafka's own values in the place of ours for small clusters."""
    lines = properties.splitlines(keepends=True)
    return "".join(line for line in lines if line.partition("=")[0] not in _OUR_SETTINGS)


def _kind(node: str, shape: Shape) -> str:
    if node.startswith("zookeeper"):
        return "zookeeper"
    return archives.COMBINED if shape.kraft else archives.ENSEMBLE_BROKER


def _node(place: Path, launch: Mapping[str, Any], archive: str | None, way: Way) -> _Node:
    java = find_java(KafkaVersion.parse(launch["kafka"]))
    arguments = launch["arguments"]
    libs = Path(archives.class_path_of(arguments)).parent
    class_path = ":".join(str(jar) for jar in sorted(libs.glob("*.jar")))
    words = list(archives.with_class_path(arguments, class_path))
    at = words.index("-cp") + 2
    options, main = words[:at], words[at:]
    if not way.our_options:
        options = [*OF_SCRIPTS, *(word for word in options if not word.startswith(_OUR_OPTIONS))]
    if archive:
        options = [*archives.options(archive, "log/cds.log", java.version), *options]
    return _Node(place.name, place, (java.command, *options), tuple(main))
